{# Whether all of the text matches a regular expression. Null for null. #}
{% macro regexp_matches_all_of(text, pattern) -%}
    {{ return(adapter.dispatch('regexp_matches_all_of', 'vpc_flow_logs')(
        text, pattern
    )) }}
{%- endmacro %}

{% macro duckdb__regexp_matches_all_of(text, pattern) -%}
    regexp_full_match({{ text }}, '{{ pattern }}')
{%- endmacro %}

{% macro snowflake__regexp_matches_all_of(text, pattern) -%}
    regexp_like({{ text }}, '{{ pattern }}')
{%- endmacro %}
