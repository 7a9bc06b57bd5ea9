{# One row per UTC day, client, server, protocol, server port and action: the central
   rollup, which most marts read. dbt builds it in one pass over the records. Small
   joined tables give each record its client and decide whether it counts. #}

{% set flow_records = ref('vpc_flow_logs', 'flow_records') %}
{% set changed = vpc_flow_logs.changed_days(flow_records, 'loaded_through_at') %}
{# The real ends are the packet's own addresses. At a hop, such as a NAT gateway,
   another address takes the place of one of them. #}
{% set all_records %}
    select
        interface_id,
        account_id,
        srcaddr,
        dstaddr,
        srcport,
        dstport,
        protocol,
        tcp_flags,
        flow_direction,
        action,
        bytes,
        packets,
        started_at,
        cast(started_at as date) as started_date,
        {{ vpc_flow_logs.hour_bit('started_at') }} as hour_bit,
        coalesce(pkt_srcaddr, srcaddr) as real_srcaddr,
        coalesce(pkt_dstaddr, dstaddr) as real_dstaddr,
        {# Without packet addresses DuckDB need not look for hops. #}
        (pkt_srcaddr is not null or pkt_dstaddr is not null)
        and coalesce(pkt_srcaddr != srcaddr or pkt_dstaddr != dstaddr, false)
            as is_at_hop,
        pkt_srcaddr is not null and pkt_dstaddr is not null as has_packet_addresses,
        {{ vpc_flow_logs.client_end_by_flags() }} as client_by_flags,
        {{ vpc_flow_logs.client_end_by_ports() }} as client_by_ports
    from {{ flow_records }}
    where
        action in ('ACCEPT', 'REJECT')
        and has_plausible_time
        and {{ vpc_flow_logs.in_days(changed.days) }}
        and {{ vpc_flow_logs.in_part() }}
        and {{ vpc_flow_logs.is_primary_flow_log(changed.days) }}
{% endset %}

with

all_records as (

    {{ all_records }}

),

{# DuckDB stores a CTE that is read twice as a whole, so each of these is read once. The
   key of a join is null for records that have nothing to look up. #}
records as (

    select
        *,
        case when is_at_hop then real_dstaddr end as hop_dstaddr
    from all_records

),

records_of_hops as (

    {{ vpc_flow_logs.again('all_records', all_records) }}

),

records_of_openings as (

    {{ vpc_flow_logs.again('all_records', all_records) }}

),

{{ vpc_flow_logs.connection_clients('records_of_openings') }},

hops as (

    select distinct
        started_date,
        interface_id,
        srcaddr,
        dstaddr,
        real_srcaddr,
        real_dstaddr
    from records_of_hops
    where is_at_hop

),

{# A hop exchanges the same traffic with the real end: this is the other side of it, in
   both directions. #}
other_sides as (

    {% for one, other in [
        ('srcaddr', 'real_srcaddr'),
        ('real_srcaddr', 'srcaddr'),
        ('dstaddr', 'real_dstaddr'),
        ('real_dstaddr', 'dstaddr'),
    ] %}
        select
            started_date,
            interface_id,
            {{ one }} as srcaddr,
            {{ other }} as dstaddr
        from hops
        where {{ one }} != {{ other }}
        {{ 'union distinct' if not loop.last }}
    {% endfor %}

),

first_hops as (

    select
        started_date,
        real_srcaddr,
        real_dstaddr,
        min(interface_id) as interface_id
    from hops
    group by started_date, real_srcaddr, real_dstaddr

),

own_addresses as (

    select * from {{ ref('vpc_flow_logs', 'int_traffic__interface_addresses') }}
    where
        {{ vpc_flow_logs.on_days(changed.days) }}
        and {{ vpc_flow_logs.in_part('started_date') }}

),

{# The hours in which an interface of its own logs an address, by account. #}
logged_in_account as (

    select
        started_date,
        address,
        account_id,
        {{ vpc_flow_logs.bit_or_agg('active_hours') }} as active_hours
    from own_addresses
    where only_peer is null
    group by started_date, address, account_id

),

{# If networks overlap and several accounts use an address, `active_hours` is null
   and the account of the record decides. #}
logged as (

    select
        started_date,
        address,
        case when count(*) = 1 then max(active_hours) end as active_hours,
        case when count(*) > 1 then address end as shared_address
    from logged_in_account
    group by started_date, address

),

{# An inferred address of an interface with a single peer counts for this peer alone. #}
logged_for_peer as (

    select
        started_date,
        address,
        only_peer,
        {{ vpc_flow_logs.bit_or_agg('active_hours') }} as active_hours
    from own_addresses
    where only_peer is not null
    group by started_date, address, only_peer

),

seen as (

    select
        records.*,
        own.address is not null as is_sender,
        {{ vpc_flow_logs.has_hour_bit(
            'coalesce(senders.active_hours, account_senders.active_hours,'
            ~ ' peer_senders.active_hours)',
            'records.hour_bit'
        ) }} as is_sender_logged,
        {{ vpc_flow_logs.has_hour_bit(
            'receivers.active_hours', 'records.hour_bit'
        ) }} as is_receiver_logged,
        other_sides.interface_id is not null as is_other_side,
        coalesce(records.interface_id = first_hops.interface_id, false) as is_first_hop,
        clients.client_end as client_by_connection,
        clients.orientation_rank as connection_rank
    from records
    left join own_addresses as own
        on
            records.started_date = own.started_date
            and records.interface_id = own.interface_id
            and records.srcaddr = own.address
    left join logged as senders
        on
            records.started_date = senders.started_date
            and records.real_srcaddr = senders.address
    left join logged_in_account as account_senders
        on
            records.started_date = account_senders.started_date
            and senders.shared_address = account_senders.address
            and records.account_id = account_senders.account_id
    left join logged_for_peer as peer_senders
        on
            records.started_date = peer_senders.started_date
            and records.real_srcaddr = peer_senders.address
            and records.real_dstaddr = peer_senders.only_peer
    left join logged as receivers
        on
            records.started_date = receivers.started_date
            and records.hop_dstaddr = receivers.address
    left join other_sides
        on
            records.started_date = other_sides.started_date
            and records.interface_id = other_sides.interface_id
            and records.srcaddr = other_sides.srcaddr
            and records.dstaddr = other_sides.dstaddr
    left join first_hops
        on
            records.started_date = first_hops.started_date
            and records.real_srcaddr = first_hops.real_srcaddr
            and records.hop_dstaddr = first_hops.real_dstaddr
    left join connection_clients as clients
        on
            records.started_date = clients.started_date
            and records.protocol = clients.protocol
            and records.real_srcaddr = clients.srcaddr
            and records.real_dstaddr = clients.dstaddr
            and records.srcport is not distinct from clients.srcport
            and records.dstport is not distinct from clients.dstport

),

{# The sender's record counts. If no interface of the sender is logged at that hour,
   the receiver's counts. If neither is, the record of one hop counts. Every
   rejection counts, because traffic is rejected only once. #}
counted as (

    select
        *,
        case
            when is_at_hop
                then
                    is_first_hop
                    and (
                        action = 'REJECT'
                        or not (is_sender_logged or is_receiver_logged)
                    )
            when action = 'REJECT' then true
            when is_other_side then false
            else is_sender or not is_sender_logged
        end as is_counted,
        coalesce(client_by_connection, client_by_flags, client_by_ports) as client_end,
        case
            when client_by_connection is not null then connection_rank
            when client_by_flags is not null
                then {{ vpc_flow_logs.orientation_rank('tcp_flags') }}
            when client_by_ports is not null
                then {{ vpc_flow_logs.orientation_rank('ports') }}
            else {{ vpc_flow_logs.orientation_rank('unknown') }}
        end as orientation_rank
    from seen

),

{# If the client is unknown, the lower address takes its place. #}
oriented as (

    select
        *,
        coalesce(
            client_end = 'src',
            real_srcaddr <= real_dstaddr,
            real_srcaddr is not null
        ) as is_from_client
    from counted

),

aggregated as (

    select
        started_date,
        case when is_from_client then real_srcaddr else real_dstaddr end as client_addr,
        case when is_from_client then real_dstaddr else real_srcaddr end as server_addr,
        protocol,
        case
            when protocol not in (6, 17, 132) then null
            when client_end = 'src' then dstport
            when client_end = 'dst' then srcport
        end as server_port,
        action,
        min(orientation_rank) as orientation_rank,
        count(case when is_counted and has_packet_addresses then 1 end)
            as records_with_packet_addresses,
        {% for measure in ['bytes', 'packets'] %}
            cast(
                coalesce(
                    sum(case when is_counted and is_from_client then {{ measure }} end),
                    0
                ) as bigint
            ) as client_{{ measure }},
            cast(
                coalesce(
                    sum(
                        case
                            when is_counted and not is_from_client then {{ measure }}
                        end
                    ),
                    0
                ) as bigint
            ) as server_{{ measure }},
        {% endfor %}
        cast(count(case when is_counted then 1 end) as bigint) as records,
        cast(count(case when is_counted then bytes end) as bigint)
            as records_with_bytes,
        cast(count(*) as bigint) as observed_records,
        cast(count(case when flow_direction is null or is_at_hop then 1 end) as bigint)
            as observed_records_without_side,
        cast(
            count(
                case
                    when
                        is_counted
                        and {{ vpc_flow_logs.has_tcp_flags('tcp_flags', 2) }}
                        and not {{ vpc_flow_logs.has_tcp_flags('tcp_flags', 16) }}
                        then 1
                end
            ) as bigint
        ) as syn_only_records,
        {{ vpc_flow_logs.bit_or_agg('hour_bit') }} as active_hours,
        min(case when is_counted then started_at end) as first_seen_at,
        max(case when is_counted then started_at end) as last_seen_at
    from oriented
    group by
        started_date,
        client_addr,
        server_addr,
        protocol,
        server_port,
        action

),

{{ vpc_flow_logs.with_address_scopes('aggregated', {
    'client_addr': 'client_scope',
    'server_addr': 'server_scope',
}) }},

flows as (

    select
        started_date,
        client_addr,
        server_addr,
        {% for end in ['client', 'server'] %}
            {{ vpc_flow_logs.category(
                end ~ '_scope', vpc_flow_logs.address_scopes()
            ) }} as {{ end }}_scope,
        {% endfor %}
        {{ vpc_flow_logs.category('action', ['ACCEPT', 'REJECT']) }} as action,
        {{ vpc_flow_logs.category(
            vpc_flow_logs.orientation_of_rank('orientation_rank'),
            vpc_flow_logs.orientation_methods()
        ) }} as orientation_method,
        {{ vpc_flow_logs.category(
            "case records_with_packet_addresses when 0 then 'addresses'"
            ~ " when records then 'packet_addresses' else 'mixed' end",
            ['addresses', 'packet_addresses', 'mixed']
        ) }} as dedup_basis,
        protocol,
        server_port,
        client_bytes,
        server_bytes,
        client_packets,
        server_packets,
        records,
        records_with_bytes,
        observed_records,
        observed_records_without_side,
        syn_only_records,
        active_hours,
        first_seen_at,
        last_seen_at,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
            as loaded_through_at
    from scoped
    {# Without traffic that other flows count, such as a NAT gateway's public side. #}
    where records > 0

)

select * from flows
order by started_date
