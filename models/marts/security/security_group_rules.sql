{# One row per rule of a security group in the newest inventory, and what used it in the
   last `unused_rule_days` days. #}

with

{# The days on which an interface is logged, also without traffic. #}
logged as (

    select distinct
        started_date,
        interface_id
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_interfaces') }}
    where {{ vpc_flow_logs.in_window('started_date', var('unused_rule_days')) }}

),

all_days as (

    select
        count(distinct started_date) as history_days,
        min(started_date) as logged_since
    from logged

),

interfaces as (

    select
        interfaces.security_group_id,
        interfaces.interface_id,
        interfaces.is_attached,
        {# A new interface has no records yet. #}
        interfaces.is_attached
        and interfaces.is_in_use
        and coalesce(
            interfaces.attached_at
            < {{ vpc_flow_logs.time_literal(vpc_flow_logs.as_of()) }},
            true
        ) as has_to_be_logged,
        logged.started_date
    from {{ ref('vpc_flow_logs', 'int_security_groups__interfaces') }} as interfaces
    left join logged
        on interfaces.interface_id = logged.interface_id

),

security_groups as (

    select
        security_group_id,
        count(distinct case when is_attached then interface_id end) as interfaces,
        count(
            distinct case
                when has_to_be_logged and started_date is null then interface_id
            end
        ) as unlogged_interfaces,
        count(distinct started_date) as history_days,
        min(started_date) as logged_since
    from interfaces
    group by security_group_id

),

uses as (

    select
        rule_id,
        max(case when not is_unclear then last_seen_at end) as last_used_at,
        count(distinct case when not is_unclear then peer_addr end) as peers,
        sum(case when not is_unclear then records end) as records,
        sum(case when not is_unclear then bytes end) as bytes,
        sum(case when not is_unclear then records_admitted_alone end)
            as records_admitted_alone,
        sum(case when is_unclear then records end) as unclear_records
    from {{ ref('vpc_flow_logs', 'int_security_groups__uses') }}
    group by rule_id

)

select
    rules.security_group_id,
    rules.security_group_name,
    rules.rule_id,
    rules.direction,
    rules.protocol,
    rules.from_port,
    rules.to_port,
    rules.peer,
    rules.peer_type,
    rules.description,
    uses.last_used_at,
    cast(coalesce(uses.peers, 0) as bigint) as peers,
    cast(coalesce(uses.records, 0) as bigint) as records,
    cast(coalesce(uses.bytes, 0) as bigint) as bytes,
    cast(coalesce(uses.records_admitted_alone, 0) as bigint) as records_admitted_alone,
    cast(coalesce(uses.unclear_records, 0) as bigint) as unclear_records,
    cast(coalesce(security_groups.interfaces, 0) as bigint) as interfaces,
    cast(coalesce(security_groups.unlogged_interfaces, 0) as bigint)
        as unlogged_interfaces,
    {# Nothing can use a rule of a group without interfaces. #}
    cast(
        case
            when security_groups.security_group_id is null then all_days.history_days
            else security_groups.history_days
        end as bigint
    ) as history_days,
    case
        when security_groups.security_group_id is null then all_days.logged_since
        else security_groups.logged_since
    end as logged_since,
    rules.added_at,
    rules.snapshot_at,
    rules.account_id,
    rules.region,
    rules.vpc_id
from {{ ref('vpc_flow_logs', 'int_security_groups__rules') }} as rules
cross join all_days
left join security_groups
    on rules.security_group_id = security_groups.security_group_id
left join uses
    on rules.rule_id = uses.rule_id
