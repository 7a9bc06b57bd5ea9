{% set changed = vpc_flow_logs.changed_days_from(ref('vpc_flow_logs', 'int_traffic__daily_sightings')) %}

with

{# The end of a sighting that may be the interface's own: where flow_direction is known,
   the sender of what leaves it and the receiver of what enters it. #}
ends as (

    {% for address, direction in {'srcaddr': 'egress', 'dstaddr': 'ingress'}.items() %}
        select
            started_date,
            interface_id,
            {{ address }} as address,
            max(case when flow_direction is null then 0 else 1 end) as is_certain,
            count(*) as sightings
        from {{ ref('vpc_flow_logs', 'int_traffic__daily_sightings') }}
        where
            interface_id is not null
            and {{ address }} is not null
            and coalesce(flow_direction, '{{ direction }}') = '{{ direction }}'
            and {{ vpc_flow_logs.on_days(changed.days) }}
        group by started_date, interface_id, {{ address }}
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

addresses as (

    select
        started_date,
        interface_id,
        address,
        address like '%:%' as is_ipv6,
        max(is_certain) as is_certain,
        sum(sightings) as sightings
    from ends
    group by all

),

{# An interface's own address is an end of everything it sees, so it is seen most. #}
seen_most as (

    select * from addresses
    qualify
        rank() over (
            partition by started_date, interface_id, is_ipv6
            order by
                is_certain desc,
                case when is_certain = 0 then sightings end desc
        ) = 1

),

candidates as (

    select
        *,
        is_certain = 1
        or count(*) over (partition by started_date, interface_id, is_ipv6) = 1
            as is_clear,
        min(address) over (
            partition by started_date, interface_id, is_ipv6
        ) as lower_address,
        max(address) over (
            partition by started_date, interface_id, is_ipv6
        ) as upper_address
    from seen_most

),

clear_ones as (

    select distinct
        started_date,
        address
    from candidates
    where is_clear

),

{# An interface with one peer alone: both addresses are seen as often. The internal one
   is its own, or the one that no other interface has, or they take turns. #}
turns as (

    select
        candidates.*,
        clear_ones.address is null as is_free,
        dense_rank() over (
            partition by
                candidates.started_date,
                candidates.lower_address,
                candidates.upper_address
            order by candidates.interface_id
        ) as turn
    from candidates
    left join clear_ones
        on
            candidates.started_date = clear_ones.started_date
            and candidates.address = clear_ones.address

),

own as (

    select
        started_date,
        interface_id,
        address,
        is_certain = 1 as is_certain,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }} as loaded_through_at
    from turns
    qualify
        is_clear
        or row_number() over (
            partition by started_date, interface_id, is_ipv6
            order by
                case when {{ vpc_flow_logs.ipv4_is_internal('address') }} then 0 else 1 end,
                case when is_free then 0 else 1 end,
                case
                    when mod(turn, 2) = 1 then address
                    when address = lower_address then upper_address
                    else lower_address
                end
        ) = 1

)

select * from own
{{ vpc_flow_logs.order_by_days() }}
