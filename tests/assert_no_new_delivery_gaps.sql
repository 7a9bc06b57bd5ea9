{# Warns of files that were missing on the day of `as_of` or the day before. #}
{{ config(severity='warn', tags=['health']) }}

select * from {{ ref('vpc_flow_logs', 'delivery_gaps') }}
where gap_ended_at >= {{ dbt.dateadd('day', -2, vpc_flow_logs.as_of_time()) }}
