{# A date as a literal. Neither engine reads it by an input format of the account. #}
{% macro date_literal(day) -%}
    {{ return(adapter.dispatch('date_literal', 'vpc_flow_logs')(day)) }}
{%- endmacro %}

{% macro duckdb__date_literal(day) -%}
    cast('{{ day }}' as date)
{%- endmacro %}

{% macro snowflake__date_literal(day) -%}
    to_date('{{ day }}', 'YYYY-MM-DD')
{%- endmacro %}


{# A time without zone as a literal, from a date or a Python datetime. #}
{% macro time_literal(time) -%}
    {{ return(adapter.dispatch('time_literal', 'vpc_flow_logs')(time)) }}
{%- endmacro %}

{% macro duckdb__time_literal(time) -%}
    cast('{{ time }}' as datetime)
{%- endmacro %}

{% macro snowflake__time_literal(time) -%}
    {%- set text = (time ~ ' 00:00:00')[:19] -%}
    to_timestamp_ntz('{{ text }}', 'YYYY-MM-DD HH24:MI:SS')
{%- endmacro %}


{# Text such as 20260131T2355Z as a time without zone; null for any other text. #}
{% macro minute_from_text(text) -%}
    {{ return(adapter.dispatch('minute_from_text', 'vpc_flow_logs')(text)) }}
{%- endmacro %}

{% macro duckdb__minute_from_text(text) -%}
    try_strptime({{ text }}, '%Y%m%dT%H%MZ')
{%- endmacro %}

{% macro snowflake__minute_from_text(text) -%}
    try_to_timestamp_ntz({{ text }}, 'YYYYMMDD"T"HH24MI"Z"')
{%- endmacro %}


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


{# Hexadecimal digits of an integer: so many, the lowest of them from the bit `shift`
   on. On Snowflake a division of integers rounds to six decimal places, so it would be
   wrong just below a power of two. #}
{% macro hex_digits(number, digits, shift=0) -%}
    {{ return(adapter.dispatch('hex_digits', 'vpc_flow_logs')(number, digits, shift)) }}
{%- endmacro %}

{% macro duckdb__hex_digits(number, digits, shift) -%}
    printf('%0{{ digits }}x', ({{ number }} >> {{ shift }}) & {{ 16 ** digits - 1 }})
{%- endmacro %}

{% macro snowflake__hex_digits(number, digits, shift) -%}
    {%- for digit in range(digits - 1, -1, -1) -%}
    {{ '|| ' if not loop.first -}}
    substr(
        '0123456789abcdef',
        cast(
            bitand(bitshiftright({{ number }}, {{ shift + 4 * digit }}), 15) as bigint
        ) + 1,
        1
    )
    {%- endfor -%}
{%- endmacro %}


{# Eight hexadecimal digits of `hex`, from `position` on, as an integer. #}
{% macro hex_to_integer(hex, position) -%}
    {{ return(adapter.dispatch('hex_to_integer', 'vpc_flow_logs')(hex, position)) }}
{%- endmacro %}

{% macro duckdb__hex_to_integer(hex, position) -%}
    try_cast('0x' || substr({{ hex }}, {{ position }}, 8) as bigint)
{%- endmacro %}

{# The value of a digit is its position among all digits. #}
{% macro snowflake__hex_to_integer(hex, position) -%}
    {% for place in range(8) -%}
    {{ '+ ' if not loop.first }}length(
        split_part('0123456789abcdef', substr({{ hex }}, {{ position + place }}, 1), 1)
    ) * {{ 16 ** (7 - place) }}
    {% endfor -%}
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


{# Text that is one of a few values. DuckDB stores it as a number, because it takes long
   to find out how to compress text. Queries compare it with text all the same. #}
{% macro category(text, values) -%}
    {{ return(adapter.dispatch('category', 'vpc_flow_logs')(text, values)) }}
{%- endmacro %}

{% macro duckdb__category(text, values) -%}
    cast({{ text }} as enum ('{{ values | join("', '") }}'))
{%- endmacro %}

{% macro snowflake__category(text, values) -%}
    {{ text }}
{%- endmacro %}
