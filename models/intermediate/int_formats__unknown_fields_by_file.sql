{{ config(unique_key=['name', 'metadata_filename']) }}

{# Most runs find no field, so its own rows do not tell how far it has read. Those of
   int_health__files do, which is built after it. #}
{% set files = this.incorporate(path={'identifier': 'int_health__files'}) %}
{% set since = none %}
{% if execute and is_incremental() and load_relation(files) is not none %}
    {% set since = vpc_flow_logs.watermark(files, 'loaded_at') %}
{% endif %}

with

fields as (

    {{ vpc_flow_logs.unknown_fields(since) }}

),

aggregated as (

    select
        name,
        metadata_filename,
        min(loaded_at) as first_loaded_at,
        max(loaded_at) as loaded_at
    from fields
    where {{ vpc_flow_logs.is_well_formed() }}
    group by name, metadata_filename

)

select * from aggregated
