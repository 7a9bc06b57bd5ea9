{# One row a rank: the talkers of one kind with the most accepted bytes in the window.
   `talker_type` is destination, source or interface; `key` names the column. #}
{% macro top_talkers(talker_type, key) %}
with

talkers as (

    select * from {{ ref('int_traffic__talkers_aggregated_to_days') }}
    where
        talker_type = '{{ talker_type }}'
        and {{ in_window('started_date') }}

),

totals as (

    select
        talker as {{ key }},
        cast(sum(bytes) as bigint) as total_bytes,
        cast(sum(packets) as bigint) as total_packets,
        cast(sum(records) as bigint) as records
    from talkers
    group by all

),

ranked as (

    select
        cast(
            row_number() over (order by total_bytes desc, {{ key }}) as bigint
        ) as rank,
        {{ key }},
        total_bytes,
        total_packets,
        records
    from totals

)

select * from ranked
where rank <= {{ var('top_n') }}
{% endmacro %}
