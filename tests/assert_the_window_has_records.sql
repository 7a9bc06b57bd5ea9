{# Fails if no record starts within the window of the marts, which then have no rows.
   dbt prints the day of the newest record and the reference date to set. #}
{{ config(tags=['health']) }}

{# No model reads this one, so no model is skipped if the test fails. #}
{% do ref('vpc_flow_logs', 'account_health') %}
{% set records = ref('vpc_flow_logs', 'int_traffic__daily_interfaces') %}
{% if execute and flags.WHICH in ('build', 'test') %}
    {% set newest = vpc_flow_logs.max_of(records, 'started_date') %}
    {% set in_window = run_query(
        'select count(*) from ' ~ records ~ ' where '
        ~ vpc_flow_logs.in_window('started_date')
    ).columns[0].values()[0] %}
    {% if newest is none %}
        {% do log(
            'No record of a network interface has a plausible time, so the marts are'
            ~ ' empty. flow_log_health counts the records that have none, and'
            ~ ' failed_files names the files that do not count', info=true
        ) %}
    {% elif not in_window %}
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
