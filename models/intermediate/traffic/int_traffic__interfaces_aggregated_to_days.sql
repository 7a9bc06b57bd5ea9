{% set scope = load_scope(ref('flow_records'), 'loaded_through') %}

with

{# By file first: the flow log's id is read from the name, once a file and not once a
   record. #}
files as (

    select
        cast(started_at as date) as started_date,
        metadata_filename,
        interface_id,
        action,
        max(account_id) as account_id,
        sum(bytes) as bytes,
        count(*) as records,
        count(case when log_status = 'NODATA' then 1 end) as nodata_records,
        count(case when log_status = 'SKIPDATA' then 1 end) as skipdata_records,
        count(
            case
                when
                    action is not null
                    and (srcport is null or dstport is null or protocol is null)
                    then 1
            end
        ) as records_without_ports,
        max(coalesce(ended_at, started_at)) as newest_record_ended_at,
        min(ended_at) as oldest_record_ended_at
    from {{ ref('flow_records') }}
    where has_plausible_time and {{ in_days(scope.days) }}
    group by started_date, metadata_filename, interface_id, action

),

aggregated as (

    select
        started_date,
        {{ flow_log_id('metadata_filename') }} as flow_log_id,
        interface_id,
        action,
        max(account_id) as account_id,
        cast(sum(bytes) as bigint) as bytes,
        cast(sum(records) as bigint) as records,
        cast(sum(nodata_records) as bigint) as nodata_records,
        cast(sum(skipdata_records) as bigint) as skipdata_records,
        cast(sum(records_without_ports) as bigint) as records_without_ports,
        max(newest_record_ended_at) as newest_record_ended_at,
        max({{ file_created_at('metadata_filename') }}) as newest_file_created_at,
        cast(
            max(
                {{ dbt.datediff(
                    'oldest_record_ended_at',
                    file_created_at('metadata_filename'),
                    'second'
                ) }}
            ) as bigint
        ) as longest_delivery_lag_seconds,
        {{ load_time_literal(scope.loaded_through) }} as loaded_through
    from files
    group by started_date, flow_log_id, interface_id, action

)

select * from aggregated
{{ order_by_days() }}
