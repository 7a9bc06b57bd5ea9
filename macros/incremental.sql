{# What an incremental rollup has to read. Returns a mapping:
   `loaded_through`: every record loaded up to here is counted after this run;
   `days`: the UTC days that records loaded since the last run touch, however old, as
   text; none on a first or full build, which reads every day.
   Both are read before the model runs and rendered as literals, because Snowflake
   prunes on literals and not on subqueries. #}
{% macro rollup_scope(records) %}
    {% if not execute or load_relation(records) is none %}
        {% do return({'loaded_through': none, 'days': none}) %}
    {% endif %}

    {% set loaded_through = run_query(
        'select max(loaded_at) from ' ~ records
    ).columns[0].values()[0] %}
    {% if not is_incremental() %}
        {% do return({'loaded_through': loaded_through, 'days': none}) %}
    {% endif %}

    {% set counted_through = run_query(
        'select max(loaded_through) from ' ~ this
    ).columns[0].values()[0] %}
    {% set touched %}
        select distinct cast(started_at as date) as started_date
        from {{ records }}
        where
            has_plausible_time
            {% if counted_through is not none -%}
            and loaded_at > {{ timestamp_literal(counted_through) }}
            {%- endif %}
        order by started_date
    {% endset %}
    {% set days = [] %}
    {% for day in run_query(touched).columns[0].values() %}
        {% do days.append(day | string) %}
    {% endfor %}
    {% do log(this.identifier ~ ': days touched: ' ~ (days | join(', ') or 'none')) %}
    {% do return({'loaded_through': loaded_through, 'days': days}) %}
{% endmacro %}


{# The records a rollup reads: those of the touched days, or all. The range of the days
   stands first because the engines skip storage by it. #}
{% macro in_days(days) -%}
    {%- if days is none -%}
        true
    {%- elif not days -%}
        false
    {%- else -%}
        started_at >= cast('{{ days | first }}' as timestamp)
        and started_at < {{ dbt.dateadd('day', 1, "cast('" ~ days | last ~ "' as timestamp)") }}
        and cast(started_at as date) in (
            {%- for day in days %}
            cast('{{ day }}' as date){{ ',' if not loop.last }}
            {%- endfor %}
        )
    {%- endif -%}
{%- endmacro %}


{% macro timestamp_literal(value) -%}
    {%- if value is none -%}
        cast(null as timestamp)
    {%- else -%}
        cast('{{ value }}' as timestamp)
    {%- endif -%}
{%- endmacro %}
