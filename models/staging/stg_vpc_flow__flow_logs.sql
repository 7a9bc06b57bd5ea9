{# One row per delivered record, with AWS's field names and types of our own. Landing on
   DuckDB has a column for each field that a file has brought so far (`landed`); the
   other fields are null. #}

{% set landing = source('vpc_flow', 'flow_logs') %}
{% set landed = vpc_flow_logs.landed_fields(landing) %}

with

delivered as (

    select
        {{ vpc_flow_logs.landed_elements() }},
        {{ vpc_flow_logs.landing_load_time() }} as loaded_at
    from {{ landing }}

),

typed as (

    select
        {% for field in vpc_flow_logs.flow_log_fields() %}
            {{ vpc_flow_logs.flow_log_field(field, landed) }} as {{ field.column }},
        {% endfor %}
        metadata_filename,
        metadata_file_row_number,
        loaded_at,
        {{ vpc_flow_logs.record_fault() }} as fault,
        {{ vpc_flow_logs.is_flow_log() }} as is_flow_log,
        {{ vpc_flow_logs.unknown_fields() }} as unknown_fields
    from delivered

)

select * from typed
