{# Flow logs of an interface skipped records. Such a record covers the interval in which
   others may be missing. Of several flow logs of an interface the one that skipped most
   counts, since they log the same traffic. #}

with

flow_logs as (

    select
        started_date,
        interface_id,
        flow_log_id,
        sum(skipdata_minutes) as minutes,
        sum(skipdata_records) as records,
        min(first_skipdata_at) as first_seen_at,
        max(last_skipdata_at) as last_seen_at
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_interfaces') }}
    where skipdata_records > 0
    group by started_date, interface_id, flow_log_id

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
    cast(max(minutes) as bigint) as observed,
    cast(max(records) as bigint) as records,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at
from flow_logs
group by started_date, interface_id
having max(minutes) >= {{ vpc_flow_logs.threshold('records_skipped') }}
