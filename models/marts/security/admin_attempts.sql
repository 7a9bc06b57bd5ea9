{# One row per internal address, public address, administrative port and protocol:
   rejected requests in the window. The CTE `flows` comes from admin_contacts: the daily
   flows of the window. Only those with `is_counted` are summed, so that nothing counts
   twice. #}

{% set newest_first = vpc_flow_logs.newest_contact_first() %}
{% set whole_group = 'rows between unbounded preceding and unbounded following' %}

with

{{ vpc_flow_logs.admin_contacts('REJECT') }},

{# A large set: one window sort instead of group, rank and join. The newest row keeps
   its interface, and gets the sums of its group. #}
attempts as (

    select
        internal_addr,
        external_addr,
        port,
        protocol,
        hop_addr,
        interface_id,
        instance_id,
        vpc_id,
        account_id,
        last_seen_at,
        sum(case when is_counted then records end)
            over ({{ newest_first }} {{ whole_group }}) as records,
        sum(case when is_counted then bytes end)
            over ({{ newest_first }} {{ whole_group }}) as bytes,
        min(first_seen_at) over ({{ newest_first }} {{ whole_group }}) as first_seen_at
    from flows
    qualify row_number() over ({{ newest_first }}) = 1

),

{{ vpc_flow_logs.parse_addresses('attempts', {'internal_addr': 'internal'}) }},

described as (

    select
        internal_addr,
        external_addr,
        port,
        protocol,
        first_seen_at,
        last_seen_at,
        cast(records as bigint) as records,
        cast(bytes as bigint) as bytes,
        {{ vpc_flow_logs.internal_network('name', 'internal_hex', 'internal_ipv4') }}
            as internal_network,
        {{ vpc_flow_logs.internal_network('owner', 'internal_hex', 'internal_ipv4') }}
            as internal_owner,
        hop_addr,
        interface_id,
        instance_id,
        vpc_id,
        account_id
    from parsed

)

select * from described
