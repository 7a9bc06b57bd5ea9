{# A public address reaches a database port of ours. #}

select
    flows.started_date,
    flows.server_addr as entity,
    cast(null as varchar) as peer,
    flows.server_port as port,
    flows.protocol,
    cast(count(distinct flows.client_addr) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }} as flows
where
    flows.server_port in (
        1433, 1521, 3306, 5432, 5439, 6379, 9042, 9200, 11211, 27017
    )
    and flows.action = 'ACCEPT'
    and {{ vpc_flow_logs.is_outside_end('client') }}
    and {{ vpc_flow_logs.is_own_end('server') }}
group by flows.started_date, flows.server_addr, flows.server_port, flows.protocol
having
    count(distinct flows.client_addr)
    >= {{ vpc_flow_logs.threshold('database_port_from_public') }}
