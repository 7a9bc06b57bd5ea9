{# A client tries many ports of one server in a day. Ports that answer with data don't
   count, such as those of passive FTP; neither do the UDP ports of traceroute. #}

with

{{ vpc_flow_logs.flows_of_probing_clients('port_scan_vertical') }}

select
    started_date,
    client_addr as entity,
    server_addr as peer,
    cast(null as bigint) as port,
    protocol,
    cast(count(distinct server_port) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from flows
where
    server_port is not null
    and {{ vpc_flow_logs.is_scan() }}
    and not (protocol = 17 and server_port between 33434 and 33534)
group by started_date, client_addr, server_addr, protocol, is_own_client
having
    count(distinct server_port)
    >= {{ vpc_flow_logs.scan_threshold('port_scan_vertical') }}
