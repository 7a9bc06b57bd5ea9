{# Fields that flow_log_fields() does not list, of the records loaded after `since`. One
   row for each record and field: name, metadata_filename, loaded_at. #}
{% macro unknown_fields(since) -%}
    {{ return(adapter.dispatch('unknown_fields', 'vpc_flow_logs')(since)) }}
{%- endmacro %}

{# The loader stores them in a MAP column. #}
{% macro duckdb__unknown_fields(since) -%}
    select
        unnest(map_keys(unknown_fields)) as name,
        metadata_filename,
        _dbt_copied_at as loaded_at
    from {{ source('vpc_flow', 'flow_logs') }}
    where
        unknown_fields is not null
        and {{ vpc_flow_logs.is_loaded_after(since, '_dbt_copied_at') }}
{%- endmacro %}

{# A record is a VARIANT with all fields of its file that are not null; a line that fits
   no names is text. #}
{% macro snowflake__unknown_fields(since) -%}
    {%- set known = vpc_flow_logs.flow_log_fields() | map(attribute='name') -%}
    {%- set loaded_at = 'landing.' ~ vpc_flow_logs.landing_load_time() -%}
    select
        fields.key as name,
        landing.metadata_filename,
        {{ loaded_at }} as loaded_at
    from {{ source('vpc_flow', 'flow_logs') }} as landing
    inner join lateral flatten(
        input => as_object(landing.value)
    ) as fields
    where
        lower(replace(fields.key, '-', '_')) not in ('{{ known | join("', '") }}')
        and {{ vpc_flow_logs.is_loaded_after(since, loaded_at) }}
{%- endmacro %}
