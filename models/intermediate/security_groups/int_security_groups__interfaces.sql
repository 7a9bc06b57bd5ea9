{# One row per network interface and security group: those of the newest snapshot that
   has the interface. #}

with

{{ vpc_flow_logs.complete_snapshots('security_group_attachments') }},

attachments as (

    select distinct
        account_id,
        region,
        snapshot_at,
        interface_id,
        security_group_id
    from {{ ref('vpc_flow_logs', 'stg_inventory__security_group_attachments') }}
    qualify snapshot_at = max(snapshot_at) over (partition by interface_id)

),

interfaces as (

    select
        interface_id,
        status,
        attached_at
    from {{ ref('vpc_flow_logs', 'stg_inventory__interfaces') }}
    qualify
        row_number() over (
            partition by interface_id order by snapshot_at desc, address asc
        ) = 1

)

select
    attachments.interface_id,
    attachments.security_group_id,
    interfaces.attached_at,
    complete_snapshots.newest_at is not null as is_attached,
    coalesce(interfaces.status = 'in-use', false) as is_in_use
from attachments
left join complete_snapshots
    on
        attachments.account_id = complete_snapshots.account_id
        and attachments.region = complete_snapshots.region
        and attachments.snapshot_at = complete_snapshots.newest_at
left join interfaces
    on attachments.interface_id = interfaces.interface_id
