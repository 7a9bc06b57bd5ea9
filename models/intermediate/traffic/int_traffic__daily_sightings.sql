{% set changed = vpc_flow_logs.changed_days(ref('vpc_flow_logs', 'flow_records'), 'loaded_through_at') %}

with

records as (

    select
        interface_id,
        srcaddr,
        dstaddr,
        protocol,
        flow_direction,
        bytes,
        packets,
        started_at,
        srcport,
        dstport,
        {{ vpc_flow_logs.client_end_by_flags() }} as client_by_flags,
        {{ vpc_flow_logs.client_end_by_ports() }} as client_by_ports,
        case
            when pkt_srcaddr is not null and pkt_dstaddr is not null
                then 'packet_addresses'
            else 'addresses'
        end as dedup_basis,
        nullif(pkt_srcaddr, srcaddr) as pkt_srcaddr,
        nullif(pkt_dstaddr, dstaddr) as pkt_dstaddr,
        cast(started_at as date) as started_date
    from {{ ref('vpc_flow_logs', 'flow_records') }}
    where
        action = 'ACCEPT'
        and has_plausible_time
        and {{ vpc_flow_logs.in_days(changed.days) }}
        and {{ vpc_flow_logs.is_primary_flow_log(changed.days) }}

),

{# A client's port is of no interest once the ports tell who it is. #}
oriented as (

    select
        started_date,
        interface_id,
        srcaddr,
        dstaddr,
        pkt_srcaddr,
        pkt_dstaddr,
        flow_direction,
        protocol,
        bytes,
        packets,
        started_at,
        client_by_flags,
        dedup_basis,
        coalesce(client_by_flags, client_by_ports) as client_end,
        case
            when
                client_by_ports is null
                or coalesce(client_by_flags, client_by_ports) = 'dst'
                then srcport
        end as srcport,
        case
            when
                client_by_ports is null
                or coalesce(client_by_flags, client_by_ports) = 'src'
                then dstport
        end as dstport
    from records

),

aggregated as (

    select
        started_date,
        interface_id,
        srcaddr,
        dstaddr,
        pkt_srcaddr,
        pkt_dstaddr,
        flow_direction,
        protocol,
        srcport,
        dstport,
        client_end,
        cast(sum(bytes) as bigint) as bytes,
        cast(sum(packets) as bigint) as packets,
        cast(count(bytes) as bigint) as records,
        cast(count(*) - count(bytes) as bigint) as records_without_bytes,
        min(started_at) as first_seen_at,
        max(started_at) as last_seen_at,
        count(client_by_flags) > 0 as is_oriented_by_flags,
        {{ vpc_flow_logs.dedup_basis() }} as dedup_basis,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }} as loaded_through_at
    from oriented
    group by all

)

select * from aggregated
{{ vpc_flow_logs.order_by_days() }}
