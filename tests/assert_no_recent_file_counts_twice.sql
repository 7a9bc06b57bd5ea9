{# A file whose records are in flow_records twice has more rows there than records. This
   is cheaper than to compare all keys, which a test of flow_records tagged `audit`
   does. #}
{% set since = vpc_flow_logs.tested_since() %}

with

recent as (

    select
        metadata_filename,
        {{ vpc_flow_logs.record_identity() }} as record_identity
    from {{ ref('vpc_flow_logs', 'flow_records') }}
    where {{ vpc_flow_logs.is_loaded_after(since) }}

),

doubled as (

    select metadata_filename
    from recent
    group by metadata_filename
    having count(*) > count(distinct record_identity)

)

select * from doubled
