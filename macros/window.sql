{# The condition that a UTC day lies within the window of the marts: from `days` before
   `as_of`, or `lookback_days`, to `as_of`. #}
{% macro in_window(started_date, days=none) -%}
    {%- set today = vpc_flow_logs.as_of() -%}
    {%- set days = var('lookback_days') if days is none else days -%}
    {%- set first = today - modules.datetime.timedelta(days=days) -%}
    {{ started_date }}
        between {{ vpc_flow_logs.date_literal(first) }}
        and {{ vpc_flow_logs.date_literal(today) }}
{%- endmacro %}


{# The reference date: the variable `as_of`, or the UTC date of the start of the run. #}
{% macro as_of() %}
    {% set day = var('as_of') or run_started_at.strftime('%Y-%m-%d') %}
    {% if not modules.re.fullmatch('[0-9]{4}-[0-9]{2}-[0-9]{2}', day | string) %}
        {% do exceptions.raise_compiler_error(
            "as_of is '" ~ day ~ "', which is not a date such as 2026-01-31"
        ) %}
    {% endif %}
    {% do return(modules.datetime.datetime.strptime(day | string, '%Y-%m-%d').date()) %}
{% endmacro %}
