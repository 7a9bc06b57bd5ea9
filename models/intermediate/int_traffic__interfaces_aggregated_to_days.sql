{{ config(unique_key='started_date') }}

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
        sum(bytes) as bytes,
        count(*) as records
    from {{ ref('flow_records') }}
    where has_plausible_time and {{ in_days(scope.days) }}
    group by all

),

aggregated as (

    select
        started_date,
        {{ flow_log_id('metadata_filename') }} as flow_log_id,
        interface_id,
        action,
        cast(sum(bytes) as bigint) as bytes,
        cast(sum(records) as bigint) as records,
        {{ load_time_literal(scope.loaded_through) }} as loaded_through
    from files
    group by all

)

select * from aggregated
