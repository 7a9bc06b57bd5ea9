{# Fails if nothing has been loaded for `stopped_after_hours`, or ever: no event comes,
   no job runs, or the bucket gets no files. It looks at all files, not at those of the
   window, which has none left when loading stopped long ago. #}
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
