{{ config(unique_key='started_date') }}

{% set scope = load_scope(ref('flow_records'), 'loaded_through') %}
{% set keys = {
    'destination': 'dstaddr',
    'source': 'srcaddr',
    'interface': 'interface_id',
} %}

with

{# Each kind reads the records itself: DuckDB would keep a common CTE in memory, which
   costs more than reading three narrow sets of columns. #}
aggregated as (

    {% for talker_type, key in keys.items() %}
        select
            '{{ talker_type }}' as talker_type,
            {{ key }} as talker,
            cast(sum(bytes) as bigint) as bytes,
            cast(sum(packets) as bigint) as packets,
            cast(count(*) as bigint) as records,
            cast(started_at as date) as started_date,
            {{ load_time_literal(scope.loaded_through) }} as loaded_through
        from {{ ref('flow_records') }}
        where
            action = 'ACCEPT'
            and bytes is not null
            and {{ key }} is not null
            and has_plausible_time
            and {{ in_days(scope.days) }}
        group by all
        {{ 'union all' if not loop.last }}
    {% endfor %}

)

select * from aggregated
