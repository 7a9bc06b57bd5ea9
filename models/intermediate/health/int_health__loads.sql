{{ config(unique_key=['metadata_filename', 'loaded_at']) }}

with

attempts as (

    {{ load_attempts() }}

),

named as (

    select
        *,
        {{ file_name_columns() }}
    from attempts

)

select * from named
