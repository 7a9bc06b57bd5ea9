{# A client opens very many connections to one port that nobody answers. #}

select
    started_date,
    server_addr as entity,
    client_addr as peer,
    server_port as port,
    protocol,
    cast(sum(syn_only_records) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
where
    protocol = 6
    and action = 'ACCEPT'
    and syn_only_records > 0
    and {{ vpc_flow_logs.is_probe() }}
group by started_date, server_addr, client_addr, server_port, protocol
having sum(syn_only_records) >= {{ vpc_flow_logs.threshold('syn_flood') }}
