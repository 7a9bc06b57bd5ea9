{# One row per enrichment file, kind and IP version: what it is, and whether it is in
   use. The newest file of a kind is; of lists, the newest one of a name. A file with a
   line that has no range is in no use. #}

{% set found = ref('vpc_flow_logs', 'stg_enrichment__ranges') %}
{% set lines = source('vpc_flow', 'enrichment_lines') %}
{% set is_new = vpc_flow_logs.has_new_lines(lines) %}

with

files as (

    select
        metadata_filename,
        format,
        list_name,
        last_modified_at,
        loaded_at,
        min_by(fault, case when fault is not null then metadata_file_row_number end)
            as fault
    from {{ found }}
    where kind is null and {{ is_new }}
    group by metadata_filename, format, list_name, last_modified_at, loaded_at

),

kinds as (

    select
        metadata_filename,
        kind,
        ip_version,
        cast(count(*) as bigint) as ranges
    from {{ found }}
    where kind is not null and {{ is_new }}
    group by metadata_filename, kind, ip_version

),

described as (

    select
        files.metadata_filename,
        files.format,
        kinds.kind,
        kinds.ip_version,
        files.last_modified_at,
        files.loaded_at,
        case when kinds.kind = 'list' then files.list_name end as list_name,
        coalesce(kinds.ranges, 0) as ranges,
        case
            when files.fault is not null then files.fault
            when
                kinds.kind is null
                and files.format not in ('list', 'geolite2_locations')
                then 'it has no range'
        end as fault
    from files
    left join kinds on files.metadata_filename = kinds.metadata_filename

),

ranked as (

    select
        *,
        row_number() over (
            partition by kind, ip_version, list_name
            order by
                case when fault is null then 0 else 1 end asc,
                last_modified_at desc,
                metadata_filename asc
        ) as place
    from described

)

select
    metadata_filename,
    format,
    kind,
    ip_version,
    list_name,
    ranges,
    fault,
    last_modified_at,
    loaded_at,
    fault is null and (kind is null or place = 1) as is_used
from ranked
