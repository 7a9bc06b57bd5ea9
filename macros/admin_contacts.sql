{# The CTEs `flows` and `latest` of the marts about administrative ports: what the window
   holds of one action, and for each internal address, public address, port and protocol
   the newest of it. The server's own interface tells best; on days on which it saw
   nothing the hops in between tell, and what one of them saw is counted. #}
{% macro admin_contacts(action) -%}
{%- set same_traffic = 'flows.started_date, flows.internal_addr, flows.external_addr,'
    ~ ' flows.port, flows.protocol, flows.direction' -%}
flows as (

    select
        flows.*,
        flows.hop_addr is null
        or rank() over (
            partition by {{ same_traffic }} order by flows.interface_id
        ) = 1 as is_counted
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
    qualify
        rank() over (
            partition by {{ same_traffic }}
            order by case when flows.hop_addr is null then 0 else 1 end
        ) = 1

),

latest as (

    select
        internal_addr,
        external_addr,
        port,
        protocol,
        hop_addr,
        interface_id,
        instance_id,
        vpc_id,
        account_id
    from flows
    qualify
        row_number() over (
            partition by internal_addr, external_addr, port, protocol
            order by last_seen_at desc, interface_id, instance_id, vpc_id, account_id
        ) = 1

)
{%- endmacro %}
