{# A file whose records are in flow_records twice has more rows there than records. This
   is cheaper than to compare all keys, which a test of flow_records tagged `audit`
   does. #}
{% set since = vpc_flow_logs.tested_since() %}

with

recent as (

    select *
    from {{ ref('vpc_flow_logs', 'flow_records') }}
    where {{ vpc_flow_logs.is_loaded_after(since) }}

),

{# Usually none: then dbt compares no records. #}
suspects as (

    select metadata_filename
    from recent
    group by metadata_filename
    having
        count(*)
        > max(metadata_file_row_number) - min(metadata_file_row_number) + 1

),

doubled as (

    select metadata_filename
    from recent
    where metadata_filename in (select suspects.metadata_filename from suspects)
    group by metadata_filename
    having count(*) > count(distinct {{ vpc_flow_logs.record_identity() }})

)

select * from doubled
