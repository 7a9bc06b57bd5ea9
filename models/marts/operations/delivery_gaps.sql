{# One row per gap in the deliveries of a flow log: the time between two files, if it is
   longer than `gap_after_minutes`. #}

with

{# AWS may write several files in one minute. They count as one delivery. #}
deliveries as (

    select distinct
        flow_log_id,
        account_id,
        region,
        created_at
    from {{ ref('vpc_flow_logs', 'int_health__files') }}
    where
        created_at is not null
        and {{ vpc_flow_logs.in_window('cast(created_at as date)') }}

),

followed as (

    select
        *,
        lead(created_at) over (
            partition by flow_log_id
            order by created_at
        ) as next_created_at
    from deliveries

),

measured as (

    select
        flow_log_id,
        account_id,
        region,
        created_at as gap_started_at,
        next_created_at as gap_ended_at,
        cast(
            {{ dbt.datediff('created_at', 'next_created_at', 'minute') }}
            as bigint
        ) as gap_minutes
    from followed
    where next_created_at is not null

),

compared as (

    select
        *,
        cast(median(gap_minutes) over (partition by flow_log_id) as double)
            as usual_minutes
    from measured

)

select * from compared
where
    gap_minutes > {{ var('gap_after_minutes') }}
    {# A pause is normal for a flow log that seldom writes a file. #}
    and usual_minutes <= {{ var('gap_after_minutes') }} / 2.0
