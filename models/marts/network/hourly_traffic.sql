{# One row per UTC hour, action and scopes of both ends: bytes and records of the
   window. The rollup has the hours of a flow, but not the bytes of each: they are
   spread evenly over its hours. #}

{% set midnight = 'cast(days.started_date as datetime)' %}

with

{# The flows of a day with the same hours, which share the spreading. #}
days as (

    select
        started_date,
        action,
        client_scope,
        server_scope,
        active_hours,
        cast(sum(client_bytes + server_bytes) as bigint) as bytes,
        cast(sum(records) as bigint) as records
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
    where {{ vpc_flow_logs.in_window('started_date') }}
    group by started_date, action, client_scope, server_scope, active_hours

),

hours as (

    {% for hour in range(24) %}
        select
            {{ hour }} as hour_of_day,
            {{ 2 ** hour }} as hour_bit
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

numbered as (

    select
        days.*,
        {{ dbt.dateadd('hour', 'hours.hour_of_day', midnight) }} as started_hour,
        count(*) over (
            partition by
                days.started_date,
                days.action,
                days.client_scope,
                days.server_scope,
                days.active_hours
        ) as hours_of_flow,
        row_number() over (
            partition by
                days.started_date,
                days.action,
                days.client_scope,
                days.server_scope,
                days.active_hours
            order by hours.hour_of_day
        ) as hour_number
    from days
    inner join hours
        on {{ vpc_flow_logs.has_hour_bit('days.active_hours', 'hours.hour_bit') }}

),

{# The first hours take what does not divide, so that the sums stay exact. #}
spread as (

    select
        started_hour,
        action,
        client_scope,
        server_scope,
        cast((bytes - mod(bytes, hours_of_flow)) / hours_of_flow as bigint)
        + case when hour_number <= mod(bytes, hours_of_flow) then 1 else 0 end
            as bytes,
        cast((records - mod(records, hours_of_flow)) / hours_of_flow as bigint)
        + case when hour_number <= mod(records, hours_of_flow) then 1 else 0 end
            as records
    from numbered

),

hourly as (

    select
        started_hour,
        cast(action as varchar) as action,
        cast(client_scope as varchar) as client_scope,
        cast(server_scope as varchar) as server_scope,
        cast(sum(bytes) as bigint) as bytes,
        cast(sum(records) as bigint) as records
    from spread
    group by started_hour, action, client_scope, server_scope

)

select * from hourly
