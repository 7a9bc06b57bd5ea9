{# One row per UTC day and destination, source or network interface: bytes of accepted
   records as observed, so traffic that two interfaces see counts at each. #}
{% set flow_records = ref('vpc_flow_logs', 'flow_records') %}
{% set changed = vpc_flow_logs.changed_days(flow_records, 'loaded_through_at') %}
{% set adds = vpc_flow_logs.adds_up(changed) %}

with

aggregated as (

    {% for talker_type, key in {
        'destination': 'dstaddr', 'source': 'srcaddr', 'interface': 'interface_id',
    }.items() %}
        select
            cast(started_at as date) as started_date,
            '{{ talker_type }}' as talker_type,
            {{ key }} as talker,
            cast(sum(bytes) as bigint) as bytes,
            cast(sum(packets) as bigint) as packets,
            cast(count(*) as bigint) as records
        from {{ flow_records }}
        where
            action = 'ACCEPT'
            and {{ key }} is not null
            and bytes is not null
            and {{ vpc_flow_logs.is_to_count(changed, adds) }}
            and {{ vpc_flow_logs.is_primary_flow_log(changed.days) }}
        group by started_date, {{ key }}
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

counted as (

    {{ vpc_flow_logs.with_counted(
        'aggregated', changed, adds,
        keys=['started_date', 'talker_type', 'talker'],
        measures={'bytes': 'sum', 'packets': 'sum', 'records': 'sum'}
    ) }}

),

marked as (

    select
        *,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
            as loaded_through_at
    from counted

)

select * from marked
order by started_date
