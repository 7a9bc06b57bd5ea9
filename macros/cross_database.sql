{# Whether the whole text matches a regular expression; null for null. #}
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


{# The text with every match replaced; `\1` in the replacement is the first group. #}
{% macro regexp_replace_all(text, pattern, replacement) -%}
    {{ return(adapter.dispatch('regexp_replace_all', 'vpc_flow_logs')(
        text, pattern, replacement
    )) }}
{%- endmacro %}

{% macro duckdb__regexp_replace_all(text, pattern, replacement) -%}
    regexp_replace({{ text }}, '{{ pattern }}', '{{ replacement }}', 'g')
{%- endmacro %}

{# In a Snowflake string a backslash is written twice. #}
{% macro snowflake__regexp_replace_all(text, pattern, replacement) -%}
    {%- set escaped = replacement | replace("\\", "\\\\") -%}
    regexp_replace({{ text }}, '{{ pattern }}', '{{ escaped }}')
{%- endmacro %}
