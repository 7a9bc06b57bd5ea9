{# A host of ours tries very many public addresses that are blocked. #}

select
    flows.started_date,
    flows.client_addr as entity,
    cast(null as varchar) as peer,
    cast(null as bigint) as port,
    flows.protocol,
    cast(count(distinct flows.server_addr) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
where
    flows.action = 'REJECT'
    and flows.server_port is not null
    {# Late answers are also refused, on their way in. #}
    and flows.client_packets > 0
    and {{ vpc_flow_logs.is_own_end('client') }}
    and {{ vpc_flow_logs.is_outside_end('server') }}
group by flows.started_date, flows.client_addr, flows.protocol
having
    count(distinct flows.server_addr)
    >= {{ vpc_flow_logs.threshold('blocked_egress') }}
