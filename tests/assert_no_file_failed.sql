{# Warns of failed files, whose records count nowhere, until they leave the window. #}
{{ config(severity='warn', tags=['health']) }}

select * from {{ ref('vpc_flow_logs', 'failed_files') }}
