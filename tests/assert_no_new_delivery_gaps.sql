{# Warns of files that were missing on the day of `as_of` or the day before. #}
{{ config(severity='warn', tags=['health']) }}

select * from {{ ref('delivery_gaps') }}
where gap_ended_at >= {{ dbt.dateadd('day', -2, as_of_time()) }}
