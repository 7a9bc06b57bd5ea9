{# The SQL of a mart of top talkers: one row for each rank, by accepted bytes within the
   window. `talker_type` is destination, source or interface, and `key` names the column
   of the talker. Addresses also have their bytes with each conversation counted
   once. #}
{% macro top_talkers(talker_type, key) %}
{% set is_address = talker_type != 'interface' %}
with

talkers as (

    select * from {{ ref('vpc_flow_logs', 'int_traffic__daily_endpoint_bytes') }}
    where
        talker_type = '{{ talker_type }}'
        and {{ vpc_flow_logs.in_window('started_date') }}

),

totals as (

    select
        talker as {{ key }},
        cast(sum(bytes) as bigint) as total_bytes,
        cast(sum(packets) as bigint) as total_packets,
        cast(sum(records) as bigint) as records
        {%- if is_address %},
        cast(sum(bytes_deduplicated) as bigint) as total_bytes_deduplicated,
        {{ vpc_flow_logs.dedup_basis() }} as dedup_basis
        {%- endif %}
    from talkers
    group by talker
    having sum(records) > 0

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
        {%- if is_address %},
        total_bytes_deduplicated,
        dedup_basis
        {%- endif %}
    from totals

)

select * from ranked
where rank <= {{ var('top_n') }}
{% endmacro %}


{# The `dedup_basis` of a group of rows: the fields that their deduplicated bytes are
   based on. #}
{% macro dedup_basis() -%}
    case
        when count(case when dedup_basis != 'packet_addresses' then 1 end) = 0
            then 'packet_addresses'
        when count(case when dedup_basis != 'addresses' then 1 end) = 0
            then 'addresses'
        else 'mixed'
    end
{%- endmacro %}
