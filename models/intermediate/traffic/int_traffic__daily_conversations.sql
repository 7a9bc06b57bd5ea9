{% set sightings = ref('vpc_flow_logs', 'int_traffic__daily_sightings') %}
{% set changed = vpc_flow_logs.changed_days_from(sightings) %}

with

{# Read here and again below: a CTE that is read twice is kept in memory as a whole. #}
sightings as (

    select
        *,
        coalesce(pkt_srcaddr, srcaddr) as real_srcaddr,
        coalesce(pkt_dstaddr, dstaddr) as real_dstaddr
    from {{ sightings }}
    where bytes is not null and {{ vpc_flow_logs.on_days(changed.days) }}

),

with_both_ports as (

    select
        *,
        coalesce(pkt_srcaddr, srcaddr) as real_srcaddr,
        coalesce(pkt_dstaddr, dstaddr) as real_dstaddr
    from {{ sightings }}
    where {{ vpc_flow_logs.has_both_ports() }} and {{ vpc_flow_logs.on_days(changed.days) }}

),

{# An interface that stands in for an address, as a NAT gateway does for a server: what
   it exchanges with that address itself is the other side of the same traffic. #}
hops as (

    {% for end in ['src', 'dst'] %}
        select
            started_date,
            interface_id,
            least({{ end }}addr, pkt_{{ end }}addr) as lower_address,
            greatest({{ end }}addr, pkt_{{ end }}addr) as upper_address
        from {{ sightings }}
        where pkt_{{ end }}addr is not null and {{ vpc_flow_logs.on_days(changed.days) }}
        {{ 'union distinct' if not loop.last }}
    {% endfor %}

),

{# 1: the sender's interface, 2: the receiver's, 3: one in between. #}
seen_from as (

    select
        sightings.*,
        case
            when
                sightings.pkt_srcaddr is not null or sightings.pkt_dstaddr is not null
                then 'hop'
            when own.address is not null then 'sender'
            else 'receiver'
        end as vantage
    from sightings
    left join hops
        on
            sightings.started_date = hops.started_date
            and sightings.interface_id is not distinct from hops.interface_id
            and least(sightings.srcaddr, sightings.dstaddr) = hops.lower_address
            and greatest(sightings.srcaddr, sightings.dstaddr) = hops.upper_address
    left join {{ ref('vpc_flow_logs', 'int_traffic__interface_addresses') }} as own
        on
            sightings.started_date = own.started_date
            and sightings.interface_id = own.interface_id
            and sightings.srcaddr = own.address
    where
        hops.lower_address is null
        or sightings.pkt_srcaddr is not null
        or sightings.pkt_dstaddr is not null

),

{# The same traffic counts where it was sent; else where it was received; else once. #}
counted_once as (

    select
        *,
        case when client_end is null then {{ vpc_flow_logs.flow_end('src') }} end as src_end,
        case when client_end is null then {{ vpc_flow_logs.flow_end('dst') }} end as dst_end
    from seen_from
    qualify
        rank() over (
            partition by started_date, real_srcaddr, real_dstaddr
            order by
                case vantage when 'sender' then 1 when 'receiver' then 2 else 3 end,
                case when vantage = 'hop' then interface_id end
        ) = 1

),

{# All that was seen between two ends whose ports do not tell who opened the flow. #}
undecided as (

    select
        started_date,
        protocol,
        client_end,
        first_seen_at,
        {{ vpc_flow_logs.flow_end('src') }} as src_end,
        {{ vpc_flow_logs.flow_end('dst') }} as dst_end,
        case
            when {{ vpc_flow_logs.ipv4_is_internal('srcaddr') }} = {{ vpc_flow_logs.ipv4_is_internal('dstaddr') }}
                then null
            when flow_direction = 'egress' and {{ vpc_flow_logs.ipv4_is_internal('srcaddr') }}
                then {{ vpc_flow_logs.flow_end('src') }}
            when flow_direction = 'ingress' and {{ vpc_flow_logs.ipv4_is_internal('dstaddr') }}
                then {{ vpc_flow_logs.flow_end('dst') }}
        end as own_end
    from with_both_ports

),

pairs as (

    select
        started_date,
        protocol,
        least(src_end, dst_end) as lower_end,
        greatest(src_end, dst_end) as upper_end,
        max(
            case client_end when 'src' then src_end when 'dst' then dst_end end
        ) as flagged_end,
        min(case when src_end <= dst_end then first_seen_at end) as lower_sent_at,
        min(case when src_end >= dst_end then first_seen_at end) as upper_sent_at,
        max(own_end) as own_end
    from undecided
    group by all

),

{# Of two that sent, the first opened the flow; if both did in the same second, a host
   of ours is taken for the client of a public one. One direction alone may be the
   answer to what is not logged. #}
openings as (

    select
        started_date,
        protocol,
        lower_end,
        upper_end,
        case
            when flagged_end is not null then flagged_end
            when lower_sent_at < upper_sent_at then lower_end
            when upper_sent_at < lower_sent_at then upper_end
            when lower_sent_at = upper_sent_at and protocol in (6, 17) then own_end
        end as client_flow_end,
        flagged_end is not null as is_by_flags,
        lower_sent_at = upper_sent_at as is_by_direction
    from pairs

),

oriented as (

    select
        counted_once.started_date,
        counted_once.protocol,
        counted_once.real_srcaddr,
        counted_once.real_dstaddr,
        counted_once.srcport,
        counted_once.dstport,
        counted_once.bytes,
        counted_once.packets,
        counted_once.records,
        counted_once.first_seen_at,
        counted_once.last_seen_at,
        counted_once.dedup_basis,
        case
            when counted_once.client_end is not null then counted_once.client_end
            when openings.client_flow_end = counted_once.src_end then 'src'
            when openings.client_flow_end is not null then 'dst'
        end as client_end,
        case
            when counted_once.is_oriented_by_flags then 'tcp_flags'
            when counted_once.client_end is not null then 'ports'
            when openings.client_flow_end is null then 'unknown'
            when openings.is_by_flags then 'tcp_flags'
            when openings.is_by_direction then 'flow_direction'
            else 'pair'
        end as orientation_method
    from counted_once
    left join openings
        on
            counted_once.started_date = openings.started_date
            and counted_once.protocol is not distinct from openings.protocol
            and least(counted_once.src_end, counted_once.dst_end) = openings.lower_end
            and greatest(counted_once.src_end, counted_once.dst_end)
            = openings.upper_end

),

{# Where nobody knows who opened it, the lower address stands for the client. #}
conversations as (

    select
        *,
        coalesce(
            client_end = 'src',
            real_srcaddr <= real_dstaddr,
            false
        ) as is_sent_by_client,
        case
            when protocol not in (6, 17, 132) then null
            when client_end = 'src' then dstport
            when client_end = 'dst' then srcport
        end as server_port
    from oriented

),

aggregated as (

    select
        started_date,
        case when is_sent_by_client then real_srcaddr else real_dstaddr end
            as client_addr,
        case when is_sent_by_client then real_dstaddr else real_srcaddr end
            as server_addr,
        protocol,
        server_port,
        {{ vpc_flow_logs.strongest_orientation() }} as orientation_method,
        cast(sum(case when is_sent_by_client then bytes else 0 end) as bigint)
            as client_bytes,
        cast(sum(case when is_sent_by_client then 0 else bytes end) as bigint)
            as server_bytes,
        cast(sum(case when is_sent_by_client then packets else 0 end) as bigint)
            as client_packets,
        cast(sum(case when is_sent_by_client then 0 else packets end) as bigint)
            as server_packets,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        {{ vpc_flow_logs.dedup_basis() }} as dedup_basis,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }} as loaded_through_at
    from conversations
    group by
        started_date,
        client_addr,
        server_addr,
        protocol,
        server_port

)

select * from aggregated
{{ vpc_flow_logs.order_by_days() }}
