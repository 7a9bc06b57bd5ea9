{# One row per account and region: the rows of flow_log_health, added up. #}

with

flow_logs as (

    select * from {{ ref('vpc_flow_logs', 'flow_log_health') }}

),

summed as (

    select
        account_id,
        region,
        cast(count(flow_log_id) as bigint) as flow_logs,
        cast(sum(gaps) as bigint) as gaps,
        cast(sum(files) as bigint) as files,
        cast(sum(failed_files) as bigint) as failed_files,
        cast(sum(records) as bigint) as records,
        cast(sum(skipdata_records) as bigint) as skipdata_records,
        max(newest_record_ended_at) as newest_record_ended_at,
        max(newest_file_created_at) as newest_file_created_at,
        max(newest_file_loaded_at) as newest_file_loaded_at,
        max(longest_gap_minutes) as longest_gap_minutes
    from flow_logs
    group by account_id, region

),

{# The percentiles of an account come from its files, because percentiles of flow logs
   can't be combined. #}
delivered_files as (

    {{ vpc_flow_logs.delivered_files() }}

),

lags as (

    select
        account_id,
        region,
        {{ vpc_flow_logs.lag_percentiles(['delivery_lag', 'load_lag']) }}
    from delivered_files
    group by account_id, region

),

{# Several flow logs may log one interface. It counts once. #}
interfaces as (

    select
        flow_logs.account_id,
        flow_logs.region,
        cast(count(distinct eni_health.interface_id) as bigint) as interfaces,
        cast(
            count(
                distinct case when eni_health.is_silent then eni_health.interface_id end
            ) as bigint
        ) as silent_interfaces
    from {{ ref('vpc_flow_logs', 'eni_health') }} as eni_health
    inner join flow_logs
        on eni_health.flow_log_id is not distinct from flow_logs.flow_log_id
    group by flow_logs.account_id, flow_logs.region

),

joined as (

    select
        summed.account_id,
        summed.region,
        summed.flow_logs,
        summed.newest_record_ended_at,
        summed.newest_file_created_at,
        summed.newest_file_loaded_at,
        lags.delivery_lag_p50_seconds,
        lags.delivery_lag_p95_seconds,
        lags.load_lag_p50_seconds,
        lags.load_lag_p95_seconds,
        summed.gaps,
        summed.longest_gap_minutes,
        summed.files,
        summed.failed_files,
        summed.records,
        summed.skipdata_records,
        coalesce(interfaces.interfaces, 0) as interfaces,
        coalesce(interfaces.silent_interfaces, 0) as silent_interfaces,
        case
            when summed.records > 0
                then cast(
                    cast(summed.skipdata_records as double) / summed.records as double
                )
        end as skipdata_share
    from summed
    left join lags
        on
            summed.account_id is not distinct from lags.account_id
            and summed.region is not distinct from lags.region
    left join interfaces
        on
            summed.account_id is not distinct from interfaces.account_id
            and summed.region is not distinct from interfaces.region

)

select * from joined
