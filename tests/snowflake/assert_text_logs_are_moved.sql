{# Fails if lines of text logs have waited for `stopped_after_hours`. The build does not
   move them: `dbt run-operation stage_external_sources` does, as the loader. #}
{{ config(tags=['health']) }}

select
    count(*) as lines_that_wait,
    min(_dbt_copied_at) as waiting_since
from {{ source('vpc_flow', 'text_logs') }}
where
    metadata_file_row_number > 1
    and _dbt_copied_at
        < dateadd('hour', -{{ var('stopped_after_hours') }}, current_timestamp())
having count(*) > 0
