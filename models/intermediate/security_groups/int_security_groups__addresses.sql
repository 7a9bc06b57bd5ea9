{# One row per address of accepted traffic, and its segment of
   int_security_groups__networks. #}

{{ config(pre_hook='{{ vpc_flow_logs.prepare_asof_join() }}') }}

with

addresses as (

    select
        address,
        digits
    from {{ ref('vpc_flow_logs', 'int_enrichment__addresses') }}
    where {{ vpc_flow_logs.counts_for_security_groups('last_accepted_date') }}

),

segments as (

    select distinct
        segment,
        segment_start,
        segment_end
    from {{ ref('vpc_flow_logs', 'int_security_groups__networks') }}

)

select
    addresses.address,
    segments.segment
from addresses
{{ vpc_flow_logs.asof_left_join(
    'segments', 'addresses.digits', 'segments.segment_start'
) }}
where addresses.digits <= segments.segment_end
