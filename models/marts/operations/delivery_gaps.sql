with

{# A file that grew too large is followed by another of the same minute. #}
deliveries as (

    select distinct
        flow_log_id,
        account_id,
        region,
        created_at
    from {{ ref('vpc_flow_logs', 'int_health__files') }}
    where created_at is not null and {{ vpc_flow_logs.in_window('cast(created_at as date)') }}

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
    {# Missing files say nothing about a flow log that seldom writes one. #}
    and usual_minutes <= {{ var('gap_after_minutes') }} / 2.0
