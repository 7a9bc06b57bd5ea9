{# A file whose records of the last run stand in flow_records more than once has more of
   them than its last row number. To look for equal keys among them would hold every one
   in memory: that is the test of flow_records tagged `audit`. #}
{% set two_days_ago = run_started_at - modules.datetime.timedelta(days=2) %}

with

recent as (

    select
        metadata_filename,
        metadata_file_row_number
    from {{ ref('vpc_flow_logs', 'flow_records') }}
    where {{ vpc_flow_logs.is_loaded_after(two_days_ago) }}

),

doubled as (

    select metadata_filename
    from recent
    group by metadata_filename
    having count(*) > max(metadata_file_row_number)

)

select * from doubled
