{# One row per public address of the window, and what the enrichment files say of it.
   Without such files it has no rows. #}

{{ config(pre_hook='{{ vpc_flow_logs.prepare_asof_join() }}') }}

with

addresses as (

    select
        address,
        digits
    from {{ ref('vpc_flow_logs', 'int_enrichment__addresses') }}
    where
        {# Without such files nothing is read. #}
        {{ 'true' if vpc_flow_logs.kinds_of_ranges() else 'false' }}
        and scope = 'public'

),

{{ vpc_flow_logs.with_address_context('addresses') }}

select
    address,
    'public' as scope,
    asn,
    as_organization,
    country,
    aws_service,
    aws_region,
    lists,
    list_kinds
from in_context
