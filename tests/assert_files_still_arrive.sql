{# Fails if no file was loaded for `stopped_after_hours`, or ever: no event arrives, no
   job runs, or AWS delivers no files. It reads all files: if loading stopped long ago,
   the window has none. #}
{{ config(tags=['health']) }}

with

newest as (

    select max({{ vpc_flow_logs.load_time_in_utc('loaded_at') }}) as loaded_at
    from {{ ref('vpc_flow_logs', 'int_health__files') }}

)

select * from newest
where
    loaded_at is null
    or loaded_at < {{ dbt.dateadd(
        'hour', -1 * var('stopped_after_hours'), vpc_flow_logs.as_of_time()
    ) }}
