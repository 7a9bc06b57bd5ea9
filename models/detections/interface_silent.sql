{# An interface has no record any more, but others still exchange data with its address
   on the day after. #}

with

logged_days as (

    select distinct
        started_date,
        interface_id
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_interfaces') }}
    where {{ vpc_flow_logs.in_history('started_date') }}

),

interfaces as (

    select
        started_date,
        interface_id,
        max(started_date) over () as last_date,
        lead(started_date) over (
            partition by interface_id order by started_date
        ) as next_date
    from logged_days

),

silent as (

    select
        started_date as logged_date,
        interface_id,
        cast(
            {{ dbt.dateadd(
                'day', 1, 'started_date'
            ) }} as date
        ) as started_date
    from interfaces
    where
        started_date < last_date
        and (
            next_date is null
            or {{ dbt.datediff(
                'started_date', 'next_date', 'day'
            ) }} > 1
        )

),

own as (

    select
        started_date,
        interface_id,
        address
    from {{ ref('vpc_flow_logs', 'int_traffic__interface_addresses') }}
    where only_peer is null and {{ vpc_flow_logs.in_history('started_date') }}

),

{# Their addresses, if no other interface has them now. #}
addresses as (

    select
        silent.started_date,
        silent.interface_id,
        own.address
    from silent
    inner join own
        on
            silent.logged_date = own.started_date
            and silent.interface_id = own.interface_id
    left join own as taken_over
        on
            silent.started_date = taken_over.started_date
            and own.address = taken_over.address
    where taken_over.address is null

),

flows as (

    {% for end in ['client', 'server'] %}
        select
            flows.*,
            addresses.interface_id,
            addresses.address
        from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
        inner join addresses
            on
                flows.started_date = addresses.started_date
                and flows.{{ end }}_addr = addresses.address
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

exchanged as (

    select * from flows
    where
        action = 'ACCEPT'
        and client_bytes > 0
        and server_bytes > 0
        and not {{ vpc_flow_logs.is_probe() }}

),

silent_addresses as (

    select
        started_date,
        interface_id,
        address,
        {{ vpc_flow_logs.bit_or_agg('active_hours') }} as active_hours,
        {{ vpc_flow_logs.flow_measures() }}
    from exchanged
    group by started_date, interface_id, address

)

select
    started_date,
    interface_id as entity,
    address as peer,
    cast(null as bigint) as port,
    cast(null as bigint) as protocol,
    {{ vpc_flow_logs.hours_in('active_hours') }} as observed,
    records,
    bytes,
    first_seen_at,
    last_seen_at,
    has_tcp_flags,
    has_flow_direction
from silent_addresses
where
    {{ vpc_flow_logs.hours_in('active_hours') }}
    >= {{ vpc_flow_logs.threshold('interface_silent') }}
