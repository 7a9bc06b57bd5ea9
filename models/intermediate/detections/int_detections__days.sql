{# One row per UTC day, and up to which load all rollups count the day. The models that
   look for changed days read this, so that a run reads each rollup once for them. #}

with

loads as (

    {% for rollup in ['daily_flows', 'daily_interfaces', 'hourly_logins'] %}
        select
            started_date,
            max(loaded_through_at) as loaded_through_at
        from {{ ref('vpc_flow_logs', 'int_traffic__' ~ rollup) }}
        where {{ vpc_flow_logs.in_history() }}
        group by started_date
        {{ 'union all' if not loop.last }}
    {% endfor %}

)

select
    started_date,
    min(loaded_through_at) as loaded_through_at
from loads
group by started_date
