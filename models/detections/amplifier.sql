{# A UDP service of ours sends public addresses many times what they sent. #}

select
    flows.started_date,
    flows.server_addr as entity,
    cast(null as varchar) as peer,
    flows.server_port as port,
    flows.protocol,
    cast(sum(flows.server_bytes) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
where
    flows.server_port in (19, 53, 123, 161, 389, 1900, 11211)
    and flows.protocol = 17
    and flows.action = 'ACCEPT'
    and {{ vpc_flow_logs.is_outside_end('client') }}
    and {{ vpc_flow_logs.is_own_end('server') }}
group by flows.started_date, flows.server_addr, flows.server_port, flows.protocol
having
    sum(flows.server_bytes) >= {{ vpc_flow_logs.threshold('amplifier') }}
    and sum(flows.server_bytes) >= 10 * sum(flows.client_bytes)
