{# Flow logs of an interface skipped records. Such a record covers the interval in which
   others may be missing. #}

with

intervals as (

    select distinct
        interface_id,
        started_at,
        ended_at
    from {{ ref('vpc_flow_logs', 'flow_records') }}
    where log_status = 'SKIPDATA' and has_plausible_time

),

timed as (

    select
        interface_id,
        started_at,
        cast(started_at as date) as started_date,
        ceil(
            {{ dbt.datediff('started_at', 'ended_at', 'second') }}
            / 60.0
        ) as minutes
    from intervals

)

select
    started_date,
    interface_id as entity,
    cast(null as varchar) as peer,
    cast(null as bigint) as port,
    cast(null as bigint) as protocol,
    cast(0 as bigint) as bytes,
    cast(null as boolean) as has_tcp_flags,
    cast(null as boolean) as has_flow_direction,
    cast(sum(minutes) as bigint) as observed,
    cast(count(*) as bigint) as records,
    min(started_at) as first_seen_at,
    max(started_at) as last_seen_at
from timed
group by started_date, interface_id
having sum(minutes) >= {{ vpc_flow_logs.threshold('records_skipped') }}
