{# An account whose logs cover the whole day has no record for hours. #}

with

days as (

    select
        started_date,
        account_id,
        {{ vpc_flow_logs.bit_or_agg('active_hours') }} as active_hours
    from {{ ref('vpc_flow_logs', 'int_traffic__interface_addresses') }}
    where {{ vpc_flow_logs.in_history('started_date') }}
    group by started_date, account_id

),

hours_of_a_day as (

    {% for hour in range(24) %}
        select
            {{ hour }} as hour_of_day,
            {{ 2 ** hour }} as hour_bit
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

{# `hour_number` counts from the first hour of the epoch. #}
hours as (

    select
        days.started_date,
        days.account_id,
        hours_of_a_day.hour_of_day
        + 24 * {{ dbt.datediff(
            vpc_flow_logs.date_literal('1970-01-01'), 'days.started_date', 'day'
        ) }} as hour_number,
        {{ dbt.dateadd(
            'hour', 'hours_of_a_day.hour_of_day', 'cast(days.started_date as datetime)'
        ) }} as hour_started_at
    from days
    cross join hours_of_a_day
    where
        {{ vpc_flow_logs.has_hour_bit(
            'days.active_hours', 'hours_of_a_day.hour_bit'
        ) }}

),

followed as (

    select
        *,
        lag(hour_started_at) over (
            partition by account_id order by hour_number
        ) as previous_hour_started_at,
        hour_number - lag(hour_number) over (
            partition by account_id order by hour_number
        ) - 1 as missing_hours
    from hours

),

gaps as (

    select * from followed
    where missing_hours >= {{ vpc_flow_logs.threshold('logs_interrupted') }}

),

{# Days of the window before with a record in nearly every hour. #}
full_days as (

    select
        gaps.account_id,
        gaps.hour_number,
        count(*) as full_days
    from gaps
    inner join days
        on
            gaps.account_id = days.account_id
            and gaps.started_date > days.started_date
            and {{ dbt.datediff('days.started_date', 'gaps.started_date', 'day') }}
            <= {{ var('lookback_days') }}
    where {{ vpc_flow_logs.hours_in('days.active_hours') }} >= 23
    group by gaps.account_id, gaps.hour_number

)

select
    gaps.started_date,
    gaps.account_id as entity,
    cast(null as varchar) as peer,
    cast(null as bigint) as port,
    cast(null as bigint) as protocol,
    cast(0 as bigint) as records,
    cast(0 as bigint) as bytes,
    cast(null as boolean) as has_tcp_flags,
    cast(null as boolean) as has_flow_direction,
    cast(max(gaps.missing_hours) as bigint) as observed,
    min(gaps.previous_hour_started_at) as first_seen_at,
    max(gaps.hour_started_at) as last_seen_at
from gaps
inner join full_days
    on
        gaps.account_id = full_days.account_id
        and gaps.hour_number = full_days.hour_number
where full_days.full_days >= 3
group by gaps.started_date, gaps.account_id
