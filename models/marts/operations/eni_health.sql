{# One row per flow log and network interface with a record in the window: how many
   records the interface has, and whether new ones still arrive. #}

with

{# Delays are kept by day: by file and interface they would need far more rows. #}
days as (

    select
        flow_log_id,
        interface_id,
        started_date,
        sum(records) as records,
        sum(nodata_records) as nodata_records,
        sum(skipdata_records) as skipdata_records,
        max(account_id) as account_id,
        max(newest_record_ended_at) as newest_record_ended_at,
        max(newest_file_created_at) as newest_file_created_at,
        max(longest_delivery_lag_seconds) as longest_delivery_lag
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_interfaces') }}
    where interface_id is not null and {{ vpc_flow_logs.in_window('started_date') }}
    group by flow_log_id, interface_id, started_date

),

regions as (

    select
        flow_log_id,
        min(region) as region
    from {{ ref('vpc_flow_logs', 'int_health__files') }}
    where flow_log_id is not null
    group by flow_log_id

),

interfaces as (

    select
        flow_log_id,
        interface_id,
        cast(sum(records) as bigint) as records,
        cast(sum(nodata_records) as bigint) as nodata_records,
        cast(sum(skipdata_records) as bigint) as skipdata_records,
        max(account_id) as account_id,
        max(newest_record_ended_at) as newest_record_ended_at,
        max(newest_file_created_at) as newest_file_created_at,
        {{ vpc_flow_logs.lag_percentiles(['longest_delivery_lag']) }}
    from days
    group by flow_log_id, interface_id

),

measured as (

    select
        interfaces.*,
        regions.region,
        interfaces.newest_record_ended_at < {{ dbt.dateadd(
            'hour', -1 * var('silent_after_hours'), vpc_flow_logs.as_of_time()
        ) }} as is_silent,
        cast(
            cast(interfaces.skipdata_records as double) / interfaces.records as double
        ) as skipdata_share
    from interfaces
    left join regions on interfaces.flow_log_id = regions.flow_log_id

)

select * from measured
