{# Two addresses, one of them public, use an uncommon protocol. #}

select
    started_date,
    client_addr as entity,
    server_addr as peer,
    cast(null as bigint) as port,
    protocol,
    cast(sum(client_packets + server_packets) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
where
    protocol not in (1, 6, 17, 58)
    and action = 'ACCEPT'
    and (
        ({{ vpc_flow_logs.is_outside_end('client') }})
        or ({{ vpc_flow_logs.is_outside_end('server') }})
    )
group by started_date, client_addr, server_addr, protocol
having
    sum(client_packets + server_packets)
    >= {{ vpc_flow_logs.threshold('uncommon_protocol') }}
