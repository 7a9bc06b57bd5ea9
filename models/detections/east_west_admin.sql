{# A host of ours gets into several others on an administrative port, and never did
   so in the window before. #}

with

contacts as (

    select
        started_date,
        client_addr,
        server_addr,
        server_port,
        protocol,
        {{ vpc_flow_logs.flow_measures() }}
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
    where
        server_port in (22, 135, 445, 3389, 5985, 5986)
        and protocol = 6
        and action = 'ACCEPT'
        and client_scope = 'internal'
        and server_scope = 'internal'
        and not {{ vpc_flow_logs.is_probe() }}
        and {{ vpc_flow_logs.in_history('started_date') }}
    group by started_date, client_addr, server_addr, server_port, protocol

),

dated as (

    select
        *,
        lag(started_date) over (
            partition by client_addr, server_addr, server_port, protocol
            order by started_date
        ) as previous_date
    from contacts

)

select
    started_date,
    client_addr as entity,
    cast(null as varchar) as peer,
    server_port as port,
    protocol,
    cast(count(*) as bigint) as observed,
    cast(sum(records) as bigint) as records,
    cast(sum(bytes) as bigint) as bytes,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at,
    max(case when has_tcp_flags then 1 else 0 end) = 1 as has_tcp_flags
from dated
where
    {{ vpc_flow_logs.is_new_since('previous_date') }}
    and {{ vpc_flow_logs.has_history() }}
group by started_date, client_addr, server_port, protocol
having count(*) >= {{ vpc_flow_logs.threshold('east_west_admin') }}
