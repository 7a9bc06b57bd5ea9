{# One row per UTC day, interface, both addresses, protocol, ports and client end. Such
   a row is called a sighting: what one interface saw of one direction of accepted
   traffic. Without the clients' ports it has far fewer rows than flow_records. #}

{% set flow_records = ref('vpc_flow_logs', 'flow_records') %}
{% set changed = vpc_flow_logs.changed_days(flow_records, 'loaded_through_at') %}

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
    from {{ flow_records }}
    where
        action = 'ACCEPT'
        and has_plausible_time
        and {{ vpc_flow_logs.in_days(changed.days) }}
        and {{ vpc_flow_logs.is_primary_flow_log(changed.days) }}

),

oriented as (

    select
        *,
        coalesce(client_by_flags, client_by_ports) as client_end
    from records

),

{# Drops the client's port where the ports show which end is the client. #}
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
        case when client_by_ports is null or client_end = 'dst' then srcport end
            as srcport,
        case when client_by_ports is null or client_end = 'src' then dstport end
            as dstport,
        client_end,
        cast(sum(bytes) as bigint) as bytes,
        cast(sum(packets) as bigint) as packets,
        cast(count(bytes) as bigint) as records,
        cast(count(*) - count(bytes) as bigint) as records_without_bytes,
        min(started_at) as first_seen_at,
        max(started_at) as last_seen_at,
        count(client_by_flags) > 0 as is_oriented_by_flags,
        {{ vpc_flow_logs.dedup_basis() }} as dedup_basis,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
            as loaded_through_at
    from oriented
    group by all

)

select * from aggregated
order by started_date
