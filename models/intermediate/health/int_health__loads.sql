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
