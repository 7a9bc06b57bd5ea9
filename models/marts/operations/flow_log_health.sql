{# One row per flow log with a file in the window: its newest file and record, delays,
   and what is missing or failed. The tests tagged `health` warn about these columns. #}

{% set loaded_at = vpc_flow_logs.load_time_in_utc('loads.loaded_at') %}
{% set overlap_seconds = vpc_flow_logs.load_overlap_seconds() %}

with

files as (

    select
        *,
        {{ vpc_flow_logs.load_time_in_utc('loaded_at') }} as landed_at
    from {{ ref('vpc_flow_logs', 'int_health__files') }}

),

delivered_files as (

    {{ vpc_flow_logs.delivered_files() }}

),

{# Snowflake's load history may list files that the models haven't read yet. A load
   counts as missing only if it is older than this. #}
last_read as (

    select
        {{ dbt.dateadd('second', -1 * overlap_seconds, 'max(landed_at)') }}
            as landed_at
    from files

),

loads as (

    select
        loads.flow_log_id,
        loads.metadata_filename,
        max(loads.records) as records
    from {{ ref('vpc_flow_logs', 'int_health__loads') }} as loads
    inner join last_read on {{ loaded_at }} <= last_read.landed_at
    where
        loads.status = 'loaded'
        and {{ vpc_flow_logs.in_window(
            'cast(coalesce(loads.created_at, ' ~ loaded_at ~ ') as date)'
        ) }}
    group by loads.flow_log_id, loads.metadata_filename

),

missing as (

    select
        loads.flow_log_id,
        sum(greatest(loads.records - coalesce(files.records, 0), 0)) as records_missing
    from loads
    left join files on loads.metadata_filename = files.metadata_filename
    group by loads.flow_log_id

),

delivered as (

    select
        flow_log_id,
        min(account_id) as account_id,
        min(region) as region,
        count(*) as files,
        sum(records) as records,
        sum(nodata_records) as nodata_records,
        sum(skipdata_records) as skipdata_records,
        sum(records_without_time) as records_without_time,
        sum(records_with_implausible_time) as records_with_implausible_time,
        sum(records_with_implausible_counts) as records_with_implausible_counts,
        max(newest_record_ended_at) as newest_record_ended_at,
        max(created_at) as newest_file_created_at,
        max(landed_at) as newest_file_loaded_at,
        {{ vpc_flow_logs.lag_percentiles(['delivery_lag', 'load_lag']) }}
    from delivered_files
    group by flow_log_id

),

failed as (

    select
        flow_log_id,
        min(account_id) as account_id,
        min(region) as region,
        count(*) as failed_files
    from {{ ref('vpc_flow_logs', 'failed_files') }}
    group by flow_log_id

),

gaps as (

    select
        flow_log_id,
        count(*) as gaps,
        max(gap_minutes) as longest_gap_minutes
    from {{ ref('vpc_flow_logs', 'delivery_gaps') }}
    group by flow_log_id

),

interfaces as (

    select
        flow_log_id,
        count(*) as interfaces,
        count(case when is_silent then 1 end) as silent_interfaces
    from {{ ref('vpc_flow_logs', 'eni_health') }}
    group by flow_log_id

),

{# Files whose name holds no flow log id share one row without an id. #}
flow_logs as (

    select flow_log_id from delivered
    union distinct
    select flow_log_id from failed
    union distinct
    select flow_log_id from missing

),

joined as (

    select
        flow_logs.flow_log_id,
        coalesce(delivered.account_id, failed.account_id) as account_id,
        coalesce(delivered.region, failed.region) as region,
        delivered.newest_record_ended_at,
        delivered.newest_file_created_at,
        delivered.newest_file_loaded_at,
        cast({{ dbt.datediff(
            'delivered.newest_file_created_at', vpc_flow_logs.as_of_time(), 'minute'
        ) }} as bigint) as minutes_since_newest_file,
        delivered.delivery_lag_p50_seconds,
        delivered.delivery_lag_p95_seconds,
        delivered.load_lag_p50_seconds,
        delivered.load_lag_p95_seconds,
        cast(coalesce(gaps.gaps, 0) as bigint) as gaps,
        cast(gaps.longest_gap_minutes as bigint) as longest_gap_minutes,
        cast(coalesce(interfaces.interfaces, 0) as bigint) as interfaces,
        cast(coalesce(interfaces.silent_interfaces, 0) as bigint) as silent_interfaces,
        cast(coalesce(delivered.files, 0) as bigint) as files,
        cast(coalesce(failed.failed_files, 0) as bigint) as failed_files,
        cast(coalesce(delivered.records, 0) as bigint) as records,
        cast(coalesce(delivered.nodata_records, 0) as bigint) as nodata_records,
        cast(coalesce(delivered.skipdata_records, 0) as bigint) as skipdata_records,
        cast(
            cast(delivered.nodata_records as double) / delivered.records as double
        ) as nodata_share,
        cast(
            cast(delivered.skipdata_records as double) / delivered.records as double
        ) as skipdata_share,
        cast(coalesce(delivered.records_without_time, 0) as bigint)
            as records_without_time,
        cast(coalesce(delivered.records_with_implausible_time, 0) as bigint)
            as records_with_implausible_time,
        cast(coalesce(delivered.records_with_implausible_counts, 0) as bigint)
            as records_with_implausible_counts,
        cast(coalesce(missing.records_missing, 0) as bigint) as records_missing
    from flow_logs
    left join delivered
        on flow_logs.flow_log_id is not distinct from delivered.flow_log_id
    left join failed
        on flow_logs.flow_log_id is not distinct from failed.flow_log_id
    left join gaps
        on flow_logs.flow_log_id is not distinct from gaps.flow_log_id
    left join interfaces
        on flow_logs.flow_log_id is not distinct from interfaces.flow_log_id
    left join missing
        on flow_logs.flow_log_id is not distinct from missing.flow_log_id

)

select * from joined
