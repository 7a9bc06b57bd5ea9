{% set sightings = ref('int_traffic__sightings_aggregated_to_days') %}
{% set scope = rollup_scope(sightings) %}
{% set real_srcaddr = 'coalesce(pkt_srcaddr, srcaddr)' %}
{% set real_dstaddr = 'coalesce(pkt_dstaddr, dstaddr)' %}

with

{# With flow_direction, the interface's side is ours; not at a hop, which has an end of
   its own on that side. #}
pairs as (

    select
        started_date,
        records + records_without_bytes as records,
        {{ real_srcaddr }} as real_srcaddr,
        {{ real_dstaddr }} as real_dstaddr,
        flow_direction is null
        or pkt_srcaddr != srcaddr
        or pkt_dstaddr != dstaddr as is_untold
    from {{ sightings }}
    where
        {{ on_days(scope.days) }}
        and (
            {{ real_srcaddr }} is null
            or {{ real_dstaddr }} is null
            or (
                not {{ ipv4_is_internal(real_srcaddr) }}
                and not {{ ipv4_is_internal(real_dstaddr) }}
            )
        )

),

{{ with_address_scopes('pairs', {
    'real_srcaddr': 'src_scope',
    'real_dstaddr': 'dst_scope',
}) }},

aggregated as (

    select
        started_date,
        cast(
            sum(
                case
                    when src_scope = 'public' and dst_scope = 'public' and is_untold
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
        {{ load_time_literal(scope.loaded_through) }} as loaded_through
    from scoped
    group by all

)

select * from aggregated
{{ order_by_days() }}
