{# The ledger of files: one row per file of landing, with what its records are and
   whether they count. The other models take the new files from it. #}

{{ config(unique_key='metadata_filename', meta={'grows': 'records'}) }}

{# int_formats__unknown_fields_by_file reads on from this model's watermark. This ref
   makes dbt build it first, while the watermark is still that of the last run. #}
{% if not execute %}
    {% do ref('vpc_flow_logs', 'int_formats__unknown_fields_by_file') %}
{% endif %}
{% set since = none %}
{% if is_incremental() %}
    {% set since = vpc_flow_logs.watermark(this, 'loaded_through_at') %}
{% endif %}
{% set repeated = vpc_flow_logs.repeated_loads(since) %}

with

unread as (

    {{ vpc_flow_logs.unread_records(since, repeated) }}

),

records as (

    select
        metadata_filename,
        started_at,
        ended_at,
        log_status,
        loaded_at,
        fault,
        is_flow_log,
        {{ vpc_flow_logs.is_plausible_time('started_at', 'loaded_at') }}
            as has_plausible_time,
        {{ vpc_flow_logs.is_plausible_count('bytes') }}
        and {{ vpc_flow_logs.is_plausible_count('packets') }} as has_plausible_counts
    from unread
    {{- vpc_flow_logs.qualify_first_load(repeated) }}

),

aggregated as (

    select
        metadata_filename,
        cast(count(*) as bigint) as records,
        cast(count(case when log_status = 'NODATA' then 1 end) as bigint)
            as nodata_records,
        cast(count(case when log_status = 'SKIPDATA' then 1 end) as bigint)
            as skipdata_records,
        cast(count(case when started_at is null then 1 end) as bigint)
            as records_without_time,
        cast(
            count(
                case when started_at is not null and not has_plausible_time then 1 end
            ) as bigint
        ) as records_with_implausible_time,
        cast(count(case when not has_plausible_counts then 1 end) as bigint)
            as records_with_implausible_counts,
        max(case when has_plausible_time then ended_at end) as newest_record_ended_at,
        min(loaded_at) as loaded_at,
        max(loaded_at) as loaded_through_at,
        {{ vpc_flow_logs.faults_of_records() }}
    from records
    group by metadata_filename

),

{{ vpc_flow_logs.with_copies('aggregated') }},

named as (

    select
        metadata_filename,
        records,
        nodata_records,
        skipdata_records,
        records_without_time,
        records_with_implausible_time,
        records_with_implausible_counts,
        newest_record_ended_at,
        loaded_at,
        {{ vpc_flow_logs.file_name_columns() }},
        fault,
        loaded_through_at
    from judged
    {% if since is not none and not var('row_timestamps') %}
        {# A pipe may load a file again. The earlier row stays, because this run has
           read only the new copy. #}
        where
            metadata_filename not in (
                select earlier.metadata_filename
                from {{ this }} as earlier
                where earlier.loaded_at <= {{ vpc_flow_logs.load_time_literal(since) }}
            )
    {% endif %}

)

select * from named
