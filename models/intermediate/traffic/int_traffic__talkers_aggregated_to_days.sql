{% set sightings = ref('int_traffic__sightings_aggregated_to_days') %}
{% set conversations = ref('int_traffic__conversations_aggregated_to_days') %}
{% set scope = rollup_scope(sightings) %}

with

{# As observed: each interface that saw the traffic counts. #}
observed as (

    {% for talker_type, key in {
        'destination': 'dstaddr', 'source': 'srcaddr', 'interface': 'interface_id',
    }.items() %}
        select
            started_date,
            '{{ talker_type }}' as talker_type,
            {{ key }} as talker,
            sum(bytes) as bytes,
            sum(packets) as packets,
            sum(records) as records,
            0 as bytes_deduplicated,
            {{ dedup_basis() }} as dedup_basis
        from {{ sightings }}
        where
            {{ key }} is not null
            and bytes is not null
            and {{ on_days(scope.days) }}
        group by all
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

{# Each conversation once: what a client sends, its server receives. #}
deduplicated as (

    {% for talker_type, key, sent in [
        ('destination', 'server_addr', 'client_bytes'),
        ('destination', 'client_addr', 'server_bytes'),
        ('source', 'client_addr', 'client_bytes'),
        ('source', 'server_addr', 'server_bytes'),
    ] %}
        select
            started_date,
            '{{ talker_type }}' as talker_type,
            {{ key }} as talker,
            0 as bytes,
            null as packets,
            0 as records,
            sum({{ sent }}) as bytes_deduplicated,
            {{ dedup_basis() }} as dedup_basis
        from {{ conversations }}
        where {{ key }} is not null and {{ on_days(scope.days) }}
        group by all
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

talkers as (

    select * from observed
    union all
    select * from deduplicated

),

aggregated as (

    select
        started_date,
        talker_type,
        talker,
        cast(sum(bytes) as bigint) as bytes,
        cast(sum(packets) as bigint) as packets,
        cast(sum(records) as bigint) as records,
        case
            when talker_type != 'interface'
                then cast(sum(bytes_deduplicated) as bigint)
        end as bytes_deduplicated,
        {{ dedup_basis() }} as dedup_basis,
        {{ load_time_literal(scope.loaded_through) }} as loaded_through
    from talkers
    group by started_date, talker_type, talker
    having sum(records) > 0 or sum(bytes_deduplicated) > 0

)

select * from aggregated
{{ order_by_days() }}
