{# The CTE `contacts` of the marts about administrative ports: what the window holds of
   one action. #}
{% macro admin_contacts(action) -%}
contacts as (

    select flows.*
    from {{ ref('int_traffic__admin_flows_aggregated_to_days') }} as flows
    where
        flows.action = '{{ action }}'
        and {{ in_window('flows.started_date') }}
        {# IPv6 inside the VPC: the public peer is one of our interfaces. #}
        and not exists (
            select 1
            from {{ ref('int_traffic__interface_addresses') }} as own
            where
                own.is_certain
                and own.address = flows.external_addr
                and {{ in_window('own.started_date') }}
        )

)
{%- endmacro %}
