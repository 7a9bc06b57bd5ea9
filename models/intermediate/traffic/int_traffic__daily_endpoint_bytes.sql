{# One row per UTC day, kind of talker (destination, source or interface) and talker:
   its accepted bytes. The top_talkers marts sum these rows over their window. #}

{% set sightings = ref('vpc_flow_logs', 'int_traffic__daily_sightings') %}
{% set conversations = ref('vpc_flow_logs', 'int_traffic__daily_conversations') %}
{% set changed = vpc_flow_logs.changed_days_from(sightings) %}

with

{# As observed: traffic that two interfaces logged counts twice. #}
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
            {{ vpc_flow_logs.dedup_basis() }} as dedup_basis
        from {{ sightings }}
        where
            {{ key }} is not null
            and bytes is not null
            and {{ vpc_flow_logs.on_days(changed.days) }}
        group by all
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

{# Each byte once: the server receives what its client sends, and the reverse. #}
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
            {{ vpc_flow_logs.dedup_basis() }} as dedup_basis
        from {{ conversations }}
        where {{ key }} is not null and {{ vpc_flow_logs.on_days(changed.days) }}
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
        {{ vpc_flow_logs.dedup_basis() }} as dedup_basis,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
            as loaded_through_at
    from talkers
    group by started_date, talker_type, talker
    having sum(records) > 0 or sum(bytes_deduplicated) > 0

)

select * from aggregated
order by started_date
