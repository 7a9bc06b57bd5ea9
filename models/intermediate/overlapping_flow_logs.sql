{# One row per UTC day, interface, action and flow log, where several flow logs record
   the same traffic. The other models count only the records of the primary one: the
   flow log with the most bytes. #}

with

ranked as (

    select
        started_date,
        interface_id,
        action,
        flow_log_id,
        bytes,
        records,
        row_number() over (
            partition by started_date, interface_id, action
            order by coalesce(bytes, 0) desc, flow_log_id
        ) = 1 as is_primary,
        count(*) over (
            partition by started_date, interface_id, action
        ) as flow_logs
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_interfaces') }}
    where
        interface_id is not null
        and action is not null
        and flow_log_id is not null

),

overlapping as (

    select
        started_date,
        interface_id,
        action,
        flow_log_id,
        bytes,
        records,
        is_primary
    from ranked
    where flow_logs > 1

)

select * from overlapping
