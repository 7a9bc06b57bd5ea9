{# Creates a table, as dbt does. On DuckDB it fills a model that calls in_part in parts:
   a range of days by each statement, in the order of the days. So memory does not grow
   with the number of records. All parts are in one transaction. #}
{% macro create_table_as(temporary, relation, compiled_code) %}
    {% set create %}
        {{ dbt.create_table_as(
            temporary, relation, compiled_code, *varargs, **kwargs
        ) }}
    {% endset %}
    {% set has_parts = "getvariable('part_start')" in compiled_code %}
    {# A unit test has few records, which are in its statement. #}
    {% if not has_parts or model.resource_type == 'unit_test' %}
        {{ return(create) }}
    {% endif %}
    {% set table = relation.include(database=not temporary, schema=not temporary) %}
    {% for part in vpc_flow_logs.parts_of_days() %}
        set variable part_start = timestamp '{{ part[0] }}';
        set variable part_end = timestamp '{{ part[1] }}';
        {% if loop.first %}
            {{ create }};
        {% else %}
            insert into {{ table }} {{ compiled_code }};
        {% endif %}
    {% endfor %}
    reset variable part_start;
    reset variable part_end;
{% endmacro %}


{# The condition that a record belongs to the part that a statement reads. #}
{% macro in_part(started_at='started_at') -%}
    {{ return(adapter.dispatch('in_part', 'vpc_flow_logs')(started_at)) }}
{%- endmacro %}

{# One statement reads all. #}
{% macro snowflake__in_part(started_at) -%}
    true
{%- endmacro %}

{% macro duckdb__in_part(started_at) -%}
    {{ started_at }}
    >= coalesce(getvariable('part_start'), cast('-infinity' as timestamp))
    and {{ started_at }}
    < coalesce(getvariable('part_end'), cast('infinity' as timestamp))
{%- endmacro %}


{# The start and the end of each part: as many of the changed days as have about
   `records_per_statement` records, and at least one day. The first part has no start,
   and the last one has no end. #}
{% macro parts_of_days() %}
    {% set flow_records = ref('vpc_flow_logs', 'flow_records') %}
    {% set days = vpc_flow_logs.kept()[this.identifier].days %}
    {% set starts %}
        with

        days as (

            select
                cast(started_at as date) as started_date,
                count(*) as records
            from {{ flow_records }}
            where has_plausible_time and {{ vpc_flow_logs.in_days(days) }}
            group by all

        ),

        numbered as (

            select
                started_date,
                sum(records) over (order by started_date)
                // {{ var('records_per_statement') }} as part
            from days

        )

        select min(started_date) from numbered
        group by part
        order by part
    {% endset %}
    {% set starts = run_query(starts).columns[0].values() | list %}
    {% set bounds = ['-infinity'] + starts[1:] + ['infinity'] %}
    {% do return(zip(bounds[:-1], bounds[1:]) | list) %}
{% endmacro %}
