{# One row per attempt to load a file. Snowflake keeps its load history for 14 days
   only, so this model stores it; on DuckDB it is a view of the loader's history. #}

{{ config(unique_key=['metadata_filename', 'loaded_at']) }}

with

attempts as (

    {{ vpc_flow_logs.load_attempts() }}

),

named as (

    select
        *,
        {{ vpc_flow_logs.file_name_columns() }}
    from attempts

)

select * from named
