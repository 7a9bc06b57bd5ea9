{# Two addresses, one of them public, exchange large ICMP packets in a day. #}

select
    started_date,
    client_addr as entity,
    server_addr as peer,
    cast(null as bigint) as port,
    protocol,
    cast(sum(client_bytes + server_bytes) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
where
    protocol in (1, 58)
    and action = 'ACCEPT'
    and (
        ({{ vpc_flow_logs.is_outside_end('client') }})
        or ({{ vpc_flow_logs.is_outside_end('server') }})
    )
group by started_date, client_addr, server_addr, protocol
having
    sum(client_bytes + server_bytes) >= {{ vpc_flow_logs.threshold('icmp_tunnel') }}
    and sum(client_bytes + server_bytes) >= 256 * sum(client_packets + server_packets)
