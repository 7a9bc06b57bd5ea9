{# Fails if no record starts within the window of the marts, which then have no rows.
   dbt prints the day of the newest record and the reference date to set. #}
{{ config(tags=['health']) }}

{% set records = ref('vpc_flow_logs', 'int_traffic__daily_interfaces') %}
{% if execute and flags.WHICH in ('build', 'test') %}
    {% set newest = vpc_flow_logs.max_of(records, 'started_date') %}
    {% set in_window = run_query(
        'select count(*) from ' ~ records ~ ' where '
        ~ vpc_flow_logs.in_window('started_date')
    ).columns[0].values()[0] %}
    {% if not in_window and newest is not none %}
        {% do log(
            'No record starts in the ' ~ var('lookback_days') ~ ' days up to '
            ~ vpc_flow_logs.as_of() ~ ', so the marts are empty. The newest starts on '
            ~ newest ~ ": dbt build --vars '{as_of: " ~ newest ~ "}' shows its month",
            info=true
        ) %}
    {% endif %}
{% endif %}

with

in_window as (

    select count(*) as rows_in_window
    from {{ records }}
    where {{ vpc_flow_logs.in_window('started_date') }}

)

select * from in_window
where rows_in_window = 0
