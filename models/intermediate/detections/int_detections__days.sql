{# One row per UTC day and rollup that findings are made of, and up to which load the
   rollup counts the day. The models that look for changed days read this. A run reads
   the rows of a rollup that are as new as the newest ones here. #}

with

loads as (

    {% for rollup in ['daily_flows', 'daily_interfaces', 'hourly_logins'] %}
        {% set counted = 'int_traffic__' ~ rollup %}
        {% set known = '(select * from ' ~ this ~ " where rollup_name = '"
            ~ counted ~ "') as known" %}
        {% set since = vpc_flow_logs.watermark(known, 'loaded_through_at')
            if is_incremental() else none %}
        select
            started_date,
            '{{ counted }}' as rollup_name,
            max(loaded_through_at) as loaded_through_at
        from {{ ref('vpc_flow_logs', counted) }}
        where
            {{ vpc_flow_logs.in_history() }}
            {{ 'and loaded_through_at >= ' ~ vpc_flow_logs.load_time_literal(since)
                if since is not none }}
        group by started_date
        {{ 'union all' if not loop.last }}
    {% endfor %}

)

select * from loads
