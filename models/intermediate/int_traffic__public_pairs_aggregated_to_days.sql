{{ config(unique_key='started_date') }}

{% set sightings = ref('int_traffic__sightings_aggregated_to_days') %}
{% set scope = rollup_scope(sightings) %}

with

pairs as (

    select
        started_date,
        records,
        coalesce(pkt_srcaddr, srcaddr) as srcaddr,
        coalesce(pkt_dstaddr, dstaddr) as dstaddr
    from {{ sightings }}
    where
        flow_direction is null
        and not {{ ipv4_is_internal('srcaddr') }}
        and not {{ ipv4_is_internal('dstaddr') }}
        and {{ on_days(scope.days) }}

),

{{ with_address_scopes('pairs', {'srcaddr': 'src_scope', 'dstaddr': 'dst_scope'}) }},

aggregated as (

    select
        started_date,
        cast(sum(records) as bigint) as records,
        {{ load_time_literal(scope.loaded_through) }} as loaded_through
    from scoped
    where src_scope = 'public' and dst_scope = 'public'
    group by all

)

select * from aggregated
