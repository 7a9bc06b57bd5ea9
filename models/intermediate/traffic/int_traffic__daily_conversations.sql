{# One row per UTC day, client, server, protocol and server port: accepted traffic of
   both directions. Several interfaces may log the same traffic; here each byte counts
   once. A sighting is what one interface saw of one direction; its `client_end` is
   `src` or `dst`. `flow_end` gives an end as text: the address in the packet, and the
   port. #}

{% set daily_sightings = ref('vpc_flow_logs', 'int_traffic__daily_sightings') %}
{% set changed = vpc_flow_logs.changed_days_from(daily_sightings) %}
{% set src_is_internal = vpc_flow_logs.ipv4_is_internal('srcaddr') %}
{% set dst_is_internal = vpc_flow_logs.ipv4_is_internal('dstaddr') %}

with

{# Two CTEs below read the table again: DuckDB would keep one CTE for all in memory. #}
sightings as (

    select
        *,
        coalesce(pkt_srcaddr, srcaddr) as real_srcaddr,
        coalesce(pkt_dstaddr, dstaddr) as real_dstaddr
    from {{ daily_sightings }}
    where bytes is not null and {{ vpc_flow_logs.on_days(changed.days) }}

),

{# These kept both ports: the ports don't show which end is the client. #}
with_both_ports as (

    select
        *,
        coalesce(pkt_srcaddr, srcaddr) as real_srcaddr,
        coalesce(pkt_dstaddr, dstaddr) as real_dstaddr
    from {{ daily_sightings }}
    where
        {{ vpc_flow_logs.has_both_ports() }}
        and {{ vpc_flow_logs.on_days(changed.days) }}

),

{# A hop is an interface in between whose address replaces an end, as a NAT gateway's
   does. What it exchanges with that end itself is the other leg of the same traffic. #}
hops as (

    {% for end in ['src', 'dst'] %}
        select
            started_date,
            interface_id,
            least({{ end }}addr, pkt_{{ end }}addr) as lower_address,
            greatest({{ end }}addr, pkt_{{ end }}addr) as upper_address
        from {{ daily_sightings }}
        where
            pkt_{{ end }}addr is not null
            and {{ vpc_flow_logs.on_days(changed.days) }}
        {{ 'union distinct' if not loop.last }}
    {% endfor %}

),

{# Drops the other leg at a hop. `vantage` is whose interface logged a sighting: the
   sender's, the receiver's or a hop's. #}
with_vantage as (

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

{# Between two addresses on a day, prefer the sender's interface, then the receiver's,
   then one hop. #}
counted_once as (

    select
        *,
        case when client_end is null then {{ vpc_flow_logs.flow_end('src') }} end
            as src_end,
        case when client_end is null then {{ vpc_flow_logs.flow_end('dst') }} end
            as dst_end
    from with_vantage
    qualify
        rank() over (
            partition by started_date, real_srcaddr, real_dstaddr
            order by
                case vantage when 'sender' then 1 when 'receiver' then 2 else 3 end,
                case when vantage = 'hop' then interface_id end
        ) = 1

),

{# `own_end` is the internal end, if the other end is external. #}
by_ends as (

    select
        started_date,
        protocol,
        client_end,
        first_seen_at,
        {{ vpc_flow_logs.flow_end('src') }} as src_end,
        {{ vpc_flow_logs.flow_end('dst') }} as dst_end,
        case
            when {{ src_is_internal }} = {{ dst_is_internal }} then null
            when flow_direction = 'egress' and {{ src_is_internal }}
                then {{ vpc_flow_logs.flow_end('src') }}
            when flow_direction = 'ingress' and {{ dst_is_internal }}
                then {{ vpc_flow_logs.flow_end('dst') }}
        end as own_end
    from with_both_ports

),

{# Both directions between two ends. #}
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
    from by_ends
    group by all

),

{# The client is the end that the flags name, else the end that sent first. If both sent
   first in the same second, our end is the client. If only one direction was logged, it
   may be a reply, so the client is unknown. #}
pair_clients as (

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
        end as client,
        flagged_end is not null as is_by_flags,
        lower_sent_at = upper_sent_at as is_by_direction
    from pairs

),

oriented as (

    select
        counted_once.*,
        case
            when counted_once.client_end is not null then counted_once.client_end
            when pair_clients.client = counted_once.src_end then 'src'
            when pair_clients.client is not null then 'dst'
        end as opened_by,
        case
            when counted_once.is_oriented_by_flags then 'tcp_flags'
            when counted_once.client_end is not null then 'ports'
            when pair_clients.client is null then 'unknown'
            when pair_clients.is_by_flags then 'tcp_flags'
            when pair_clients.is_by_direction then 'flow_direction'
            else 'pair'
        end as orientation_method
    from counted_once
    left join pair_clients
        on
            counted_once.started_date = pair_clients.started_date
            and counted_once.protocol is not distinct from pair_clients.protocol
            and least(counted_once.src_end, counted_once.dst_end)
            = pair_clients.lower_end
            and greatest(counted_once.src_end, counted_once.dst_end)
            = pair_clients.upper_end

),

{# If the client is unknown, the lower address takes its place. #}
conversations as (

    select
        *,
        coalesce(
            opened_by = 'src',
            real_srcaddr <= real_dstaddr,
            false
        ) as is_sent_by_client,
        case
            when protocol not in (6, 17, 132) then null
            when opened_by = 'src' then dstport
            when opened_by = 'dst' then srcport
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
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
            as loaded_through_at
    from conversations
    group by
        started_date,
        client_addr,
        server_addr,
        protocol,
        server_port

)

select * from aggregated
order by started_date
