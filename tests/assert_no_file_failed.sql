{# Warns of files whose records count nowhere, until they leave the window. #}
{{ config(severity='warn', tags=['health']) }}

select * from {{ ref('failed_files') }}
