{# A host of ours sends mail to many public servers in a day. #}

select
    flows.started_date,
    flows.client_addr as entity,
    cast(null as varchar) as peer,
    flows.server_port as port,
    flows.protocol,
    cast(count(distinct flows.server_addr) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
where
    flows.server_port = 25
    and {{ vpc_flow_logs.is_own_end('client') }}
    and {{ vpc_flow_logs.is_outside_end('server') }}
group by flows.started_date, flows.client_addr, flows.server_port, flows.protocol
having
    count(distinct flows.server_addr)
    >= {{ vpc_flow_logs.threshold('mail_to_many_servers') }}
