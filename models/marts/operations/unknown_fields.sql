{# One row per field of the files that isn't in flow_log_fields: AWS has added it to the
   format. #}

with

files as (

    select
        name,
        metadata_filename,
        {{ vpc_flow_logs.load_time_in_utc('first_loaded_at') }} as loaded_at
    from {{ ref('vpc_flow_logs', 'int_formats__unknown_fields_by_file') }}
    where
        metadata_filename not in (
            select malformed_files.metadata_filename
            from {{ ref('vpc_flow_logs', 'malformed_files') }} as malformed_files
        )

),

fields as (

    select
        name,
        cast(count(*) as bigint) as files,
        min(loaded_at) as first_loaded_at
    from files
    group by name

)

select * from fields
