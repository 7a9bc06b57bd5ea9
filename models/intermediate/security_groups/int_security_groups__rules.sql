{# One row per rule of a security group in the newest complete snapshot of its account
   and region. #}

with

{{ vpc_flow_logs.complete_snapshots('security_group_rules') }},

rules as (

    select
        *,
        min(snapshot_at) over (partition by rule_id) as first_seen_at
    from {{ ref('vpc_flow_logs', 'stg_inventory__security_group_rules') }}

),

newest_rules as (

    select
        rules.*,
        case
            when rules.first_seen_at > complete_snapshots.oldest_at
                then rules.first_seen_at
        end as added_at
    from rules
    inner join complete_snapshots
        on
            rules.account_id = complete_snapshots.account_id
            and rules.region = complete_snapshots.region
            and rules.snapshot_at = complete_snapshots.newest_at
    {# Accounts that share a group all have its rules. #}
    qualify
        row_number() over (
            partition by rules.rule_id
            order by rules.snapshot_at desc, rules.account_id asc
        ) = 1

),

security_groups as (

    select
        security_group_id,
        name,
        vpc_id
    from {{ ref('vpc_flow_logs', 'stg_inventory__security_groups') }}
    qualify
        row_number() over (
            partition by security_group_id order by snapshot_at desc, account_id asc
        ) = 1

)

select
    newest_rules.security_group_id,
    security_groups.name as security_group_name,
    newest_rules.rule_id,
    newest_rules.direction,
    newest_rules.protocol,
    case newest_rules.protocol
        when '-1' then null
        {% for name, number in vpc_flow_logs.security_group_protocols().items() %}
            when '{{ name }}' then {{ number }}
        {% endfor %}
        else try_cast(newest_rules.protocol as bigint)
    end as protocol_number,
    cast(newest_rules.from_port as bigint) as from_port,
    cast(newest_rules.to_port as bigint) as to_port,
    newest_rules.peer_type,
    newest_rules.peer,
    newest_rules.description,
    newest_rules.account_id,
    newest_rules.region,
    security_groups.vpc_id,
    newest_rules.added_at,
    newest_rules.snapshot_at
from newest_rules
left join security_groups
    on newest_rules.security_group_id = security_groups.security_group_id
