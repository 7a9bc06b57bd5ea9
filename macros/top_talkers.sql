{# The SQL of a mart of top talkers: one row for each rank, by accepted bytes within the
   window. `talker_type` is destination, source or interface, and `key` names the column
   of the talker. Addresses also have their bytes with each flow
   counted once. #}
{% macro top_talkers(talker_type, key) %}
with

talkers as (

    select * from {{ ref('vpc_flow_logs', 'int_traffic__daily_endpoint_bytes') }}
    where
        talker_type = '{{ talker_type }}'
        and {{ vpc_flow_logs.in_window('started_date') }}

),

{# Not ranked by a window: it would sort all talkers. #}
leaders as (

    select
        talker as {{ key }},
        cast(sum(bytes) as bigint) as total_bytes,
        cast(sum(packets) as bigint) as total_packets,
        cast(sum(records) as bigint) as records
    from talkers
    group by talker
    order by total_bytes desc, talker asc
    limit {{ var('top_n') }}

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
    from leaders

)

{%- if talker_type == 'interface' %}

select * from ranked
{%- else %},

{# What a client sends, its server receives. #}
counted_once as (

    {% for end, bytes in {
        'client': 'client_bytes' if talker_type == 'source' else 'server_bytes',
        'server': 'server_bytes' if talker_type == 'source' else 'client_bytes',
    }.items() %}
        select
            {{ end }}_addr as {{ key }},
            {{ bytes }} as bytes,
            dedup_basis
        from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
        where
            action = 'ACCEPT'
            and records_with_bytes > 0
            and {{ end }}_addr in (select leaders.{{ key }} from leaders)
            and {{ vpc_flow_logs.in_window('started_date') }}
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

deduplicated as (

    select
        {{ key }},
        cast(sum(bytes) as bigint) as total_bytes_deduplicated,
        {{ vpc_flow_logs.dedup_basis() }} as dedup_basis
    from counted_once
    group by {{ key }}

)

select
    ranked.*,
    coalesce(deduplicated.total_bytes_deduplicated, 0) as total_bytes_deduplicated,
    {# An address without a flow of its own is a hop, which packet addresses show. #}
    coalesce(deduplicated.dedup_basis, 'packet_addresses') as dedup_basis,
    context.as_organization as organization,
    context.country,
    context.aws_service
from ranked
left join deduplicated on ranked.{{ key }} = deduplicated.{{ key }}
left join {{ ref('vpc_flow_logs', 'address_context') }} as context
    on ranked.{{ key }} = context.address
{%- endif %}
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
