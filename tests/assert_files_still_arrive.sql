{# Fails if nothing has been loaded for `stopped_after_hours`: no event comes, no job
   runs, or the bucket gets no files. #}
{{ config(tags=['health']) }}

with

newest as (

    select max(newest_file_loaded_at) as loaded_at
    from {{ ref('flow_log_health') }}

)

select * from newest
where
    loaded_at < {{ dbt.dateadd(
        'hour', -1 * var('stopped_after_hours'), as_of_time()
    ) }}
