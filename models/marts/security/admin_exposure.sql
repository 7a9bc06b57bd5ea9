{# One row per internal address, public address, administrative port and protocol:
   accepted traffic in the window. The CTE `flows` comes from admin_contacts: the daily
   flows of the window. Only those with `is_counted` are summed, so that nothing counts
   twice. #}

{{ config(pre_hook='{{ vpc_flow_logs.prepare_asof_join() }}') }}

with

{{ vpc_flow_logs.admin_contacts('ACCEPT') }},

{# The interface that saw the traffic last. #}
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
        row_number() over ({{ vpc_flow_logs.newest_contact_first() }}) = 1

),

exposures as (

    select
        internal_addr,
        external_addr,
        port,
        protocol,
        cast(sum(case when is_counted then records end) as bigint) as records,
        cast(sum(case when is_counted then bytes end) as bigint) as bytes,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        case
            when count(distinct direction) = 2 then 'both'
            else min(direction)
        end as evidence,
        case
            when protocol = 6 and count(case when has_tcp_flags then 1 end) > 0
                then
                    count(case when direction = 'reply' and has_rst then 1 end) > 0
                    and count(
                        case when direction = 'reply' and has_syn_ack then 1 end
                    ) = 0
        end as is_refused
    from flows
    group by internal_addr, external_addr, port, protocol

),

{{ vpc_flow_logs.parse_addresses('exposures', {
    'internal_addr': 'internal', 'external_addr': 'external',
}) }},

{{ vpc_flow_logs.with_context_of_ends({'external_addr': 'external'}) }},

described as (

    select
        parsed.internal_addr,
        parsed.external_addr,
        parsed.port,
        parsed.protocol,
        parsed.evidence,
        parsed.is_refused,
        parsed.first_seen_at,
        parsed.last_seen_at,
        parsed.records,
        parsed.bytes,
        {{ vpc_flow_logs.internal_network('name', 'internal_hex', 'internal_ipv4') }}
            as internal_network,
        {{ vpc_flow_logs.internal_network('owner', 'internal_hex', 'internal_ipv4') }}
            as internal_owner,
        latest.hop_addr,
        latest.interface_id,
        latest.instance_id,
        latest.vpc_id,
        latest.account_id,
        context.as_organization as external_organization,
        context.country as external_country,
        context.lists as external_lists,
        {{ vpc_flow_logs.owner_columns(
            'internal_host', 'parsed.internal_addr', in_vpc=true
        ) }},
        {{ vpc_flow_logs.owner_columns('external_host', 'parsed.external_addr') }}
    from parsed
    inner join latest
        on
            parsed.internal_addr = latest.internal_addr
            and parsed.external_addr = latest.external_addr
            and parsed.port = latest.port
            and parsed.protocol = latest.protocol
    left join in_context as context
        on parsed.external_addr = context.address
    {{ vpc_flow_logs.left_join_owners(
        'internal_host', 'parsed.internal_addr', 'parsed.last_seen_at', 'latest.vpc_id'
    ) }}
    {{ vpc_flow_logs.left_join_owners(
        'external_host', 'parsed.external_addr', 'parsed.last_seen_at'
    ) }}
    {# Clients use ports from 1024 on too, so a reply alone from such a port is no
       proof. #}
    where parsed.evidence != 'reply' or parsed.port < 1024

)

select * from described
