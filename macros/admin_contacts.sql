{# CTEs that list the flows of one action to administrative ports within the window; the
   last one is `flows`. They prefer the server's own interface. On a day on which it
   recorded nothing they use intermediate hops and count one of them. #}
{% macro admin_contacts(action) -%}
{%- set same_traffic = [
    'started_date', 'internal_addr', 'external_addr', 'port', 'protocol', 'direction',
] -%}
{%- set contacts -%}
    select * from {{ ref('vpc_flow_logs', 'int_traffic__daily_admin_flows') }}
    where action = '{{ action }}' and {{ vpc_flow_logs.in_window('started_date') }}
{%- endset -%}
contacts as (

    {{ contacts }}

),

hops as (

    {{ vpc_flow_logs.again('contacts', contacts) }}

),

own_rows as (

    {{ vpc_flow_logs.again('contacts', contacts) }}

),

own_flows as (

    select
        *,
        true as is_counted
    from contacts
    where hop_addr is null

),

{# Small set: only these rows are ranked and compared. #}
hop_flows as (

    select
        hops.*,
        rank() over (
            partition by {{ same_traffic | join(', ') }} order by interface_id
        ) = 1 as is_counted
    from hops
    where
        hops.hop_addr is not null
        and not exists (
            select 1
            from own_rows
            where
                own_rows.hop_addr is null
                {% for key in same_traffic %}
                    and own_rows.{{ key }} = hops.{{ key }}
                {% endfor %}
        )

),

all_flows as (

    select * from own_flows
    union all
    select * from hop_flows

),

{# Leaves out IPv6 traffic inside the VPC, whose public peer is one of our
   interfaces. #}
flows as (

    select * from all_flows
    where not exists (
        select 1
        from {{ ref('vpc_flow_logs', 'int_traffic__interface_addresses') }} as own
        where
            own.is_certain
            and own.address = all_flows.external_addr
            and {{ vpc_flow_logs.in_window('own.started_date') }}
    )

)
{%- endmacro %}


{# A window over `flows`. Its first row is the newest contact of an internal address, a
   public address, a port and a protocol. #}
{% macro newest_contact_first() -%}
    partition by internal_addr, external_addr, port, protocol
    order by
        last_seen_at desc,
        interface_id asc,
        instance_id asc,
        vpc_id asc,
        account_id asc
{%- endmacro %}
