{# One row per address of accepted traffic, and its segment of
   int_security_groups__networks. #}

{{ config(pre_hook='{{ vpc_flow_logs.prepare_asof_join() }}') }}

{% set recent = ref('vpc_flow_logs', 'int_enrichment__addresses') %}

with {{ vpc_flow_logs.addresses_of_flows(
    vpc_flow_logs.counts_for_security_groups('flows.started_date')
    ~ ' and not ' ~ vpc_flow_logs.in_window('flows.started_date')
    ~ " and flows.action = 'ACCEPT'"
) }},

addresses as (

    select
        address,
        digits
    from {{ recent }}
    where {{ vpc_flow_logs.counts_for_security_groups('last_accepted_date') }}
    union all
    select
        address,
        digits
    from addresses_of_flows
    where address not in (
        select known.address
        from {{ recent }} as known
        where {{ vpc_flow_logs.counts_for_security_groups('known.last_accepted_date') }}
    )

),

keyed as (

    select
        address,
        digits,
        {{ vpc_flow_logs.address_key('digits') }} as address_key
    from addresses

),

segments as (

    select distinct
        segment,
        segment_end,
        {{ vpc_flow_logs.address_key('segment_start') }} as segment_key
    from {{ ref('vpc_flow_logs', 'int_security_groups__networks') }}

)

select
    keyed.address,
    segments.segment
from keyed
{{ vpc_flow_logs.asof_left_join(
    'segments', 'keyed.address_key', 'segments.segment_key'
) }}
where keyed.digits <= segments.segment_end
