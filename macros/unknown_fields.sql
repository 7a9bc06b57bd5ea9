{# The names of a record's fields that flow_log_fields() does not list, as an array. #}
{% macro unknown_fields() -%}
    {{ return(adapter.dispatch('unknown_fields', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader stores them in a MAP column. #}
{% macro duckdb__unknown_fields() -%}
    map_keys(unknown_fields)
{%- endmacro %}

{# A record is a VARIANT with all fields of its file that are not null. The records of a
   file have the same fields, so dbt looks at the first hundred. A line that fits no
   names is text. #}
{% macro snowflake__unknown_fields() -%}
    {%- set known = vpc_flow_logs.flow_log_fields() | map(attribute='name') -%}
    case
        when metadata_file_row_number <= 100
            then
                filter(
                    object_keys(as_object(value)),
                    name ->
                    lower(iff(contains(name, '_'), name, replace(name, '-', '_')))
                    not in ('{{ known | join("', '") }}')
                )
    end
{%- endmacro %}


{# The names in the arrays `unknown_fields` of a relation, one row each. #}
{% macro unnest_unknown_fields(relation) -%}
    {{ return(adapter.dispatch('unnest_unknown_fields', 'vpc_flow_logs')(relation)) }}
{%- endmacro %}

{% macro duckdb__unnest_unknown_fields(relation) -%}
    select
        unnest(unknown_fields) as name,
        metadata_filename,
        loaded_at
    from {{ relation }}
    where unknown_fields is not null
{%- endmacro %}

{% macro snowflake__unnest_unknown_fields(relation) -%}
    select
        cast(names.value as varchar) as name,
        records.metadata_filename,
        records.loaded_at
    from {{ relation }} as records
    inner join lateral flatten(input => records.unknown_fields) as names
{%- endmacro %}
