with

flow_logs as (

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
        ) as position,
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
        position = 1 as is_primary
    from flow_logs
    where flow_logs > 1

)

select * from overlapping
