{# One row per UTC day, interface and address of its own. `flow_direction` shows which
   address that is; without it, this model infers the address from what the interface
   saw. int_traffic__daily_conversations needs it to find the sender's interface. #}

{% set sightings = ref('vpc_flow_logs', 'int_traffic__daily_sightings') %}
{% set changed = vpc_flow_logs.changed_days_from(sightings) %}

with

{# The end of each sighting that may be the interface's own. With flow_direction it is
   certain: the source of egress traffic and the destination of ingress traffic. #}
ends as (

    {% for address, direction in {'srcaddr': 'egress', 'dstaddr': 'ingress'}.items() %}
        select
            started_date,
            interface_id,
            {{ address }} as address,
            max(case when flow_direction is null then 0 else 1 end) as is_certain,
            count(*) as sightings
        from {{ sightings }}
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

{# An interface's own address is one end of all its traffic, so the address with the
   most sightings is its own. #}
most_seen as (

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
    from most_seen

),

clear_addresses as (

    select distinct
        started_date,
        address
    from candidates
    where is_clear

),

{# An interface with a single peer has seen both addresses equally often. The numbers
   order the interfaces that saw the same two addresses. #}
numbered as (

    select
        candidates.*,
        clear_addresses.address is null as is_free,
        dense_rank() over (
            partition by
                candidates.started_date,
                candidates.lower_address,
                candidates.upper_address
            order by candidates.interface_id
        ) as interface_number
    from candidates
    left join clear_addresses
        on
            candidates.started_date = clear_addresses.started_date
            and candidates.address = clear_addresses.address

),

{# Of two equal candidates, prefer the internal address, then an address that no other
   interface has. Otherwise odd numbers get the lower address, even ones the upper. #}
own_addresses as (

    select
        started_date,
        interface_id,
        address,
        is_certain = 1 as is_certain,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
            as loaded_through_at
    from numbered
    qualify
        is_clear
        or row_number() over (
            partition by started_date, interface_id, is_ipv6
            order by
                case
                    when {{ vpc_flow_logs.ipv4_is_internal('address') }} then 0
                    else 1
                end,
                case when is_free then 0 else 1 end,
                case
                    when mod(interface_number, 2) = 1 then address
                    when address = lower_address then upper_address
                    else lower_address
                end
        ) = 1

)

select * from own_addresses
order by started_date
