{# One row per UTC day, flow log, network interface and action: how many records and
   bytes each flow log has of an interface, and how late they came. The health marts and
   overlapping_flow_logs read these rows. #}

{% set flow_records = ref('vpc_flow_logs', 'flow_records') %}
{% set changed = vpc_flow_logs.changed_days(flow_records, 'loaded_through_at') %}
{% set adds = vpc_flow_logs.adds_up(changed, counts_once=false) %}

with

{# Grouped by file first: the flow log's id comes from the file name, and parsing it for
   every record would be slow. #}
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
        sum(
            case
                when log_status = 'SKIPDATA'
                    then
                        ceil(
                            {{ dbt.datediff('started_at', 'ended_at', 'second') }}
                            / 60.0
                        )
            end
        ) as skipdata_minutes,
        min(case when log_status = 'SKIPDATA' then started_at end)
            as first_skipdata_at,
        max(case when log_status = 'SKIPDATA' then started_at end) as last_skipdata_at,
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
    from {{ flow_records }}
    where {{ vpc_flow_logs.is_to_count(changed, adds) }}
    group by started_date, metadata_filename, interface_id, action

),

aggregated as (

    select
        started_date,
        {{ vpc_flow_logs.flow_log_id('metadata_filename') }} as flow_log_id,
        interface_id,
        action,
        max(account_id) as account_id,
        cast(sum(bytes) as bigint) as bytes,
        cast(sum(records) as bigint) as records,
        cast(sum(nodata_records) as bigint) as nodata_records,
        cast(sum(skipdata_records) as bigint) as skipdata_records,
        cast(sum(skipdata_minutes) as bigint) as skipdata_minutes,
        min(first_skipdata_at) as first_skipdata_at,
        max(last_skipdata_at) as last_skipdata_at,
        cast(sum(records_without_ports) as bigint) as records_without_ports,
        max(newest_record_ended_at) as newest_record_ended_at,
        max({{ vpc_flow_logs.file_created_at('metadata_filename') }})
            as newest_file_created_at,
        cast(
            max(
                {{ dbt.datediff(
                    'oldest_record_ended_at',
                    vpc_flow_logs.file_created_at('metadata_filename'),
                    'second'
                ) }}
            ) as bigint
        ) as longest_delivery_lag_seconds
    from files
    group by started_date, flow_log_id, interface_id, action

),

counted as (

    {{ vpc_flow_logs.with_counted(
        'aggregated', changed, adds,
        keys=['started_date', 'flow_log_id', 'interface_id', 'action'],
        measures={
            'account_id': 'max',
            'bytes': 'sum',
            'records': 'sum',
            'nodata_records': 'sum',
            'skipdata_records': 'sum',
            'skipdata_minutes': 'sum',
            'first_skipdata_at': 'min',
            'last_skipdata_at': 'max',
            'records_without_ports': 'sum',
            'newest_record_ended_at': 'max',
            'newest_file_created_at': 'max',
            'longest_delivery_lag_seconds': 'max',
        }
    ) }}

),

marked as (

    select
        *,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
            as loaded_through_at
    from counted

)

select * from marked
order by started_date
