{# One row per file and field of it that isn't in flow_log_fields; `unknown_fields`
   counts them. Most runs find none, so the rows here don't show how far it has read. It
   reads on from the watermark of int_health__landed_files, which is built after it. #}

{{ config(unique_key=['name', 'metadata_filename']) }}

{% set files = this.incorporate(path={'identifier': 'int_health__landed_files'}) %}
{% set since = none %}
{% if execute and is_incremental() and load_relation(files) is not none %}
    {% set since = vpc_flow_logs.watermark(files, 'loaded_through_at') %}
{% endif %}

with

unread as (

    {{ vpc_flow_logs.unread_records(since) }}

),

fields as (

    {{ vpc_flow_logs.unnest_unknown_fields('unread') }}

),

aggregated as (

    select
        name,
        metadata_filename,
        min(loaded_at) as first_loaded_at,
        max(loaded_at) as loaded_at
    from fields
    group by name, metadata_filename

)

select * from aggregated
