{# A host of ours reaches a public address on a port of Windows file sharing or RPC. #}

select
    flows.started_date,
    flows.client_addr as entity,
    cast(null as varchar) as peer,
    flows.server_port as port,
    flows.protocol,
    cast(count(distinct flows.server_addr) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }} as flows
where
    flows.server_port in (135, 137, 138, 139, 445)
    and flows.action = 'ACCEPT'
    and {{ vpc_flow_logs.is_own_end('client') }}
    and {{ vpc_flow_logs.is_outside_end('server') }}
group by flows.started_date, flows.client_addr, flows.server_port, flows.protocol
having
    count(distinct flows.server_addr)
    >= {{ vpc_flow_logs.threshold('smb_to_internet') }}
