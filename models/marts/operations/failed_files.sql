{# One row per file of the window whose records count nowhere: loading failed, or the
   file is malformed. #}

with

{# Leaves out a file that failed at first and was loaded later. #}
never_loaded as (

    select
        metadata_filename,
        min(reason) as reason,
        min({{ vpc_flow_logs.load_time_in_utc('loaded_at') }}) as found_at
    from {{ ref('vpc_flow_logs', 'int_health__loads') }}
    group by metadata_filename
    having count(case when status = 'loaded' then 1 end) = 0

),

failures as (

    select
        metadata_filename,
        reason,
        found_at
    from never_loaded
    union all
    select
        metadata_filename,
        reason,
        {{ vpc_flow_logs.load_time_in_utc('found_at') }} as found_at
    from {{ ref('vpc_flow_logs', 'malformed_files') }}
    where reason not like 'copy of %'

),

files as (

    select
        metadata_filename,
        min(reason) as reason,
        min(found_at) as found_at
    from failures
    group by metadata_filename

),

named as (

    select
        *,
        {{ vpc_flow_logs.file_name_columns() }}
    from files

)

select * from named
where {{ vpc_flow_logs.in_window('cast(coalesce(created_at, found_at) as date)') }}
