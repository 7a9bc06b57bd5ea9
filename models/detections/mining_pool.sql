{# A host of ours stays in contact with a public address on a port of mining pools.
   #}

select
    flows.started_date,
    flows.client_addr as entity,
    flows.server_addr as peer,
    flows.server_port as port,
    flows.protocol,
    max({{ vpc_flow_logs.hours_in('flows.active_hours') }}) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
where
    flows.server_port in (3333, 4444, 5555, 7777, 14444, 45700)
    and flows.protocol = 6
    and flows.action = 'ACCEPT'
    and not {{ vpc_flow_logs.is_probe() }}
    and {{ vpc_flow_logs.is_own_end('client') }}
    and {{ vpc_flow_logs.is_outside_end('server') }}
group by
    flows.started_date,
    flows.client_addr,
    flows.server_addr,
    flows.server_port,
    flows.protocol
having
    max({{ vpc_flow_logs.hours_in('flows.active_hours') }})
    >= {{ vpc_flow_logs.threshold('mining_pool') }}
