{# Flow logs of an interface skipped records. #}

select
    started_date,
    interface_id as entity,
    true as has_tcp_flags,
    cast(null as varchar) as peer,
    cast(null as bigint) as port,
    cast(null as bigint) as protocol,
    cast(sum(skipdata_records) as bigint) as observed,
    cast(sum(records) as bigint) as records,
    cast(sum(bytes) as bigint) as bytes,
    min(newest_record_ended_at) as first_seen_at,
    max(newest_record_ended_at) as last_seen_at
from {{ ref('vpc_flow_logs', 'int_traffic__daily_interfaces') }}
where skipdata_records > 0
group by started_date, interface_id
having sum(skipdata_records) >= {{ vpc_flow_logs.threshold('records_skipped') }}
