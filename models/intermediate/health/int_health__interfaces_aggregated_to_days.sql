{{ config(unique_key='started_date') }}

{% set scope = load_scope(ref('flow_records'), 'loaded_through') %}

with

aggregated as (

    select
        flow_log_id,
        interface_id,
        max(account_id) as account_id,
        cast(count(*) as bigint) as records,
        cast(count(case when log_status = 'NODATA' then 1 end) as bigint)
            as nodata_records,
        cast(count(case when log_status = 'SKIPDATA' then 1 end) as bigint)
            as skipdata_records,
        max(coalesce(ended_at, started_at)) as newest_record_ended_at,
        cast(started_at as date) as started_date,
        {{ load_time_literal(scope.loaded_through) }} as loaded_through
    from {{ ref('flow_records') }}
    where
        interface_id is not null
        and has_plausible_time
        and {{ in_days(scope.days) }}
    group by flow_log_id, interface_id, cast(started_at as date)

)

select * from aggregated
