{# A client tries one port of many servers in a day. Servers that answer with data don't
   count. Neither do the ports of the web, DNS and NTP, where a client that is blocked
   tries many servers. #}

with

{{ vpc_flow_logs.flows_of_probing_clients('port_scan_horizontal') }}

select
    started_date,
    client_addr as entity,
    cast(null as varchar) as peer,
    server_port as port,
    protocol,
    cast(count(distinct server_addr) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from flows
where
    server_port not in (53, 80, 123, 443)
    {# BitTorrent tries many peers, by TCP on its own ports and by UDP on any. #}
    and server_port not between 6881 and 6889
    and (protocol = 6 or {{ vpc_flow_logs.is_service_port('server_port') }})
    and {{ vpc_flow_logs.is_scan() }}
group by started_date, client_addr, server_port, protocol, is_own_client
having
    count(distinct server_addr)
    >= {{ vpc_flow_logs.scan_threshold('port_scan_horizontal') }}
