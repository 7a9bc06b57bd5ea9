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


{# The hour of a time as a bit of 24: bit 0 is the hour from midnight. #}
{% macro hour_bit(time) -%}
    {{ return(adapter.dispatch('hour_bit', 'vpc_flow_logs')(time)) }}
{%- endmacro %}

{% macro duckdb__hour_bit(time) -%}
    (1 << cast(extract(hour from {{ time }}) as integer))
{%- endmacro %}

{% macro snowflake__hour_bit(time) -%}
    bitshiftleft(1, extract(hour from {{ time }}))
{%- endmacro %}


{# Whether a bit is set; false for null. #}
{% macro has_hour_bit(bits, hour_bit) -%}
    coalesce({{ vpc_flow_logs.has_tcp_flags(bits, hour_bit) }}, false)
{%- endmacro %}


{# The bits that are set in any row of a group. #}
{% macro bit_or_agg(bits) -%}
    {{ return(adapter.dispatch('bit_or_agg', 'vpc_flow_logs')(bits)) }}
{%- endmacro %}

{% macro duckdb__bit_or_agg(bits) -%}
    cast(bit_or({{ bits }}) as integer)
{%- endmacro %}

{% macro snowflake__bit_or_agg(bits) -%}
    cast(bitor_agg({{ bits }}) as integer)
{%- endmacro %}


{# Whether a number is one of a list; null for null. On DuckDB a CASE computes it for
   the rows of its branch alone. IN would join a long list to all rows. #}
{% macro is_one_of(number, numbers) -%}
    {{ return(adapter.dispatch('is_one_of', 'vpc_flow_logs')(number, numbers)) }}
{%- endmacro %}

{% macro duckdb__is_one_of(number, numbers) -%}
    list_contains([{{ numbers | join(', ') }}], {{ number }})
{%- endmacro %}

{% macro snowflake__is_one_of(number, numbers) -%}
    {{ number }} in ({{ numbers | join(', ') }})
{%- endmacro %}


{# Four bits of an integer, from the bit `shift` on, as a number from 0 to 15. On
   Snowflake a division of integers rounds to six decimal places, so it would be wrong
   just below a power of two. #}
{% macro hex_digit_value(number, shift) -%}
    {{ return(adapter.dispatch('hex_digit_value', 'vpc_flow_logs')(number, shift)) }}
{%- endmacro %}

{% macro duckdb__hex_digit_value(number, shift) -%}
    cast(({{ number }} >> {{ shift }}) & 15 as bigint)
{%- endmacro %}

{% macro snowflake__hex_digit_value(number, shift) -%}
    cast(bitand(bitshiftright({{ number }}, {{ shift }}), 15) as bigint)
{%- endmacro %}
