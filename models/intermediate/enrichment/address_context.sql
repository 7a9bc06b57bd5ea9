{# One row per public address of the window, and what the enrichment files say of it.
   Without such files it has no rows. #}

{% set flows = ref('vpc_flow_logs', 'int_traffic__daily_flows') %}

with

addresses as (

    {% if vpc_flow_logs.kinds_of_ranges() %}
        {% for end in ['client', 'server'] %}
            select {{ end }}_addr as address
            from {{ flows }}
            where
                {{ end }}_scope = 'public'
                and {{ vpc_flow_logs.in_window('started_date') }}
            {{ 'union distinct' if not loop.last }}
        {% endfor %}
    {% else %}
        select cast(null as varchar) as address
        where false
    {% endif %}

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
