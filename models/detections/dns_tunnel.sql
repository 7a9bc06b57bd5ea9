{# A client sends many bytes to one DNS server in a day, in packets that are larger than
   usual questions. #}

select
    started_date,
    client_addr as entity,
    server_addr as peer,
    server_port as port,
    protocol,
    cast(sum(client_bytes) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
where server_port = 53 and action = 'ACCEPT'
group by started_date, client_addr, server_addr, server_port, protocol
having
    sum(client_bytes) >= {{ vpc_flow_logs.threshold('dns_tunnel') }}
    {# Questions for long names inside clusters have about 130 bytes. #}
    and sum(client_bytes) >= 150 * sum(client_packets)
