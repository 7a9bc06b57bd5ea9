with

files as (

    select
        field,
        metadata_filename,
        {{ load_time_in_utc('first_loaded_at') }} as first_loaded_at
    from {{ ref('int_formats__unknown_fields_by_file') }}

),

fields as (

    select
        field,
        min(first_loaded_at) as first_seen_at,
        cast(count(*) as bigint) as files
    from files
    group by field

)

select * from fields
