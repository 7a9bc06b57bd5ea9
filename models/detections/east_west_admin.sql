{# A host of ours exchanges data with several hosts of ours on an administrative port
   that it did not reach there in the window before. They are more than it reached in
   all on any day of that window: a bastion does what it always does. #}

with

contacts as (

    select * from {{ ref('vpc_flow_logs', 'int_detections__internal_attempts') }}
    where
        is_exchange
        and server_port in (22, 135, 445, 3389, 5985, 5986)
        and {{ vpc_flow_logs.in_history() }}

),

dated as (

    select
        *,
        lag(started_date) over (
            partition by client_addr, server_addr, server_port
            order by started_date
        ) as previous_date
    from contacts

),

days as (

    select
        started_date,
        client_addr,
        server_port,
        count(*) as reached_hosts
    from contacts
    group by started_date, client_addr, server_port

),

spreading as (

    select
        started_date,
        client_addr,
        server_port,
        cast(count(*) as bigint) as new_hosts,
        {{ vpc_flow_logs.sums_of_flow_measures() }}
    from dated
    where
        {{ vpc_flow_logs.is_new_since('previous_date') }}
        and {{ vpc_flow_logs.has_history() }}
    group by started_date, client_addr, server_port
    having count(*) >= {{ vpc_flow_logs.threshold('east_west_admin') }}

),

usual as (

    select
        spreading.started_date,
        spreading.client_addr,
        spreading.server_port,
        max(days.reached_hosts) as reached_hosts
    from spreading
    left join days
        on
            spreading.client_addr = days.client_addr
            and spreading.server_port = days.server_port
            and spreading.started_date > days.started_date
            and {{ dbt.datediff('days.started_date', 'spreading.started_date', 'day') }}
            <= {{ var('lookback_days') }}
    group by spreading.started_date, spreading.client_addr, spreading.server_port

)

select
    spreading.started_date,
    spreading.client_addr as entity,
    cast(null as varchar) as peer,
    spreading.server_port as port,
    cast(6 as bigint) as protocol,
    spreading.new_hosts as observed,
    spreading.records,
    spreading.bytes,
    spreading.first_seen_at,
    spreading.last_seen_at,
    spreading.has_tcp_flags,
    spreading.has_flow_direction
from spreading
inner join usual
    on
        spreading.started_date = usual.started_date
        and spreading.client_addr = usual.client_addr
        and spreading.server_port = usual.server_port
where spreading.new_hosts > coalesce(usual.reached_hosts, 0)
