{# One row per UTC day: accepted records for which we can't tell which side is internal.
   admin_exposure_coverage counts them, because admin_exposure leaves them out. #}

{% set sightings = ref('vpc_flow_logs', 'int_traffic__daily_sightings') %}
{% set changed = vpc_flow_logs.changed_days_from(sightings) %}
{% set real_srcaddr = 'coalesce(pkt_srcaddr, srcaddr)' %}
{% set real_dstaddr = 'coalesce(pkt_dstaddr, dstaddr)' %}

with

{# With flow_direction, the interface's own side is internal. This doesn't hold at a
   hop, because neither real end is its own. #}
pairs as (

    select
        started_date,
        records + records_without_bytes as records,
        {{ real_srcaddr }} as real_srcaddr,
        {{ real_dstaddr }} as real_dstaddr,
        flow_direction is null
        or pkt_srcaddr != srcaddr
        or pkt_dstaddr != dstaddr as has_unknown_side
    from {{ sightings }}
    where
        {{ vpc_flow_logs.on_days(changed.days) }}
        and (
            {{ real_srcaddr }} is null
            or {{ real_dstaddr }} is null
            or (
                not {{ vpc_flow_logs.ipv4_is_internal(real_srcaddr) }}
                and not {{ vpc_flow_logs.ipv4_is_internal(real_dstaddr) }}
            )
        )

),

{{ vpc_flow_logs.with_address_scopes('pairs', {
    'real_srcaddr': 'src_scope',
    'real_dstaddr': 'dst_scope',
}) }},

aggregated as (

    select
        started_date,
        cast(
            sum(
                case
                    when
                        src_scope = 'public'
                        and dst_scope = 'public'
                        and has_unknown_side
                        then records
                    else 0
                end
            ) as bigint
        ) as records,
        cast(
            sum(
                case
                    when src_scope = 'public' and dst_scope = 'cgnat' then records
                    when src_scope = 'cgnat' and dst_scope = 'public' then records
                    else 0
                end
            ) as bigint
        ) as records_between_public_and_cgnat,
        cast(
            sum(
                case
                    when src_scope = 'none' or dst_scope = 'none' then records
                    else 0
                end
            ) as bigint
        ) as records_without_addresses,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
            as loaded_through_at
    from scoped
    group by all

)

select * from aggregated
order by started_date
