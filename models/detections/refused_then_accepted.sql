{# A public address is refused on several ports of a host, and then accepted on another
   one that answers. #}

with

{# Few pairs have so many refused ports. #}
refused as (

    select
        flows.started_date,
        flows.client_addr,
        flows.server_addr
    from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
    where
        flows.action = 'REJECT'
        and flows.client_packets > 0
        and {{ vpc_flow_logs.is_outside_end('client') }}
        and {{ vpc_flow_logs.is_own_end('server') }}
    group by flows.started_date, flows.client_addr, flows.server_addr
    having count(*) >= {{ vpc_flow_logs.threshold('refused_then_accepted') }}

),

pairs as (

    select flows.*
    from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
    inner join refused
        on
            flows.started_date = refused.started_date
            and flows.client_addr = refused.client_addr
            and flows.server_addr = refused.server_addr
    where
        flows.server_port not in (53, 80, 123, 443)
        and flows.protocol in (6, 17)

)

select
    started_date,
    server_addr as entity,
    client_addr as peer,
    cast(null as bigint) as port,
    protocol,
    cast(count(distinct case when action = 'REJECT' then server_port end) as bigint)
        as observed,
    {{ vpc_flow_logs.flow_measures() }}
from pairs
group by started_date, server_addr, client_addr, protocol
having
    count(distinct case when action = 'REJECT' then server_port end)
    >= {{ vpc_flow_logs.threshold('refused_then_accepted') }}
    {# Scanners read a greeting of a few hundred bytes. #}
    and sum(case when action = 'ACCEPT' then client_bytes + server_bytes end) >= 10000
    and min(case when action = 'REJECT' then first_seen_at end)
    <= max(
        case
            when action = 'ACCEPT' and not {{ vpc_flow_logs.is_probe() }}
                then last_seen_at
        end
    )
