{# One row per address of a network interface and time in which the snapshots say the
   same of it: its instance, name and owner. Only complete snapshots count. #}

{% set rows = source('vpc_flow', 'inventory_rows') %}
{% set is_new = vpc_flow_logs.has_new_lines(rows) %}
{% set never = vpc_flow_logs.time_literal('9999-12-31') %}
{% set long_ago = vpc_flow_logs.time_literal('1970-01-01') %}
{% set place = ['account_id', 'region'] %}
{% set key = place + ['interface_id', 'address'] %}
{% set history = 'partition by ' ~ key | join(', ') ~ ' order by first_number' %}
{% set kept = [
    'address_type', 'is_primary', 'interface_type', 'vpc_id', 'subnet_id',
    'instance_id', 'name', 'owner',
] %}

with

complete_snapshots as (

    select distinct
        account_id,
        region,
        snapshot_at
    from {{ ref('vpc_flow_logs', 'stg_inventory__snapshots') }}
    where kind = 'interfaces' and is_complete and {{ is_new }}

),

snapshots as (

    select
        *,
        lag(snapshot_at) over (
            partition by account_id, region order by snapshot_at
        ) as snapshot_before_at,
        lead(snapshot_at) over (
            partition by account_id, region order by snapshot_at
        ) as snapshot_after_at,
        row_number() over (
            partition by account_id, region order by snapshot_at
        ) as number
    from complete_snapshots

),

{# A pod may have any address of a prefix that is delegated to its node. #}
places_in_prefix as (

    {% for number in range(16) %}
        select {{ number }} as place
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

interfaces as (

    select
        found.*,
        coalesce(
            split_part(found.address, '.', 1)
            || '.' || split_part(found.address, '.', 2)
            || '.' || split_part(found.address, '.', 3)
            || '.' || cast(
                try_cast(
                    split_part(split_part(found.address, '.', 4), '/', 1) as integer
                ) + places_in_prefix.place as varchar
            ),
            found.address
        ) as single_address
    from {{ ref('vpc_flow_logs', 'stg_inventory__interfaces') }} as found
    left join places_in_prefix
        on found.address_type = 'prefix' and found.address like '%.%/28'
    where {{ is_new }}

),

described as (

    select distinct
        interfaces.account_id,
        interfaces.region,
        interfaces.interface_id,
        interfaces.single_address as address,
        interfaces.address_type,
        interfaces.is_primary,
        interfaces.interface_type,
        interfaces.vpc_id,
        interfaces.subnet_id,
        interfaces.instance_id,
        interfaces.attached_at,
        coalesce(
            instances.name,
            interfaces.name,
            balancers.name,
            nullif(interfaces.description, '')
        ) as name,
        coalesce(
            {{ vpc_flow_logs.owner_tag('interfaces.tags') }},
            {{ vpc_flow_logs.owner_tag('instances.tags') }},
            {{ vpc_flow_logs.owner_tag('balancers.tags') }}
        ) as owner,
        snapshots.snapshot_at,
        snapshots.snapshot_before_at,
        snapshots.snapshot_after_at,
        snapshots.number
    from interfaces
    inner join snapshots
        on
            interfaces.account_id = snapshots.account_id
            and interfaces.region = snapshots.region
            and interfaces.snapshot_at = snapshots.snapshot_at
    left join {{ ref('vpc_flow_logs', 'stg_inventory__instances') }} as instances
        on
            interfaces.account_id = instances.account_id
            and interfaces.region = instances.region
            and interfaces.snapshot_at = instances.snapshot_at
            and interfaces.instance_id = instances.instance_id
    left join {{ ref('vpc_flow_logs', 'stg_inventory__load_balancers') }} as balancers
        on
            interfaces.account_id = balancers.account_id
            and interfaces.region = balancers.region
            and interfaces.snapshot_at = balancers.snapshot_at
            and interfaces.description = 'ELB ' || balancers.load_balancer_id

),

runs as (

    select
        *,
        number - row_number() over (
            partition by {{ (key + kept) | join(', ') }} order by number
        ) as run
    from described

),

pieces as (

    select
        {{ (key + kept) | join(',\n        ') }},
        min(number) as first_number,
        max(number) as last_number,
        min(snapshot_at) as first_snapshot_at,
        max(snapshot_at) as last_snapshot_at,
        max(attached_at) as attached_at,
        min(coalesce(snapshot_before_at, {{ long_ago }})) as snapshot_before_at,
        max(coalesce(snapshot_after_at, {{ never }})) as snapshot_after_at
    from runs
    group by {{ (key + kept) | join(', ') }}, run

),

in_order as (

    select
        *,
        lag(last_number) over ({{ history }}) as number_before,
        lead(first_number) over ({{ history }}) as number_after,
        coalesce(
            lag(coalesce(instance_id, '')) over ({{ history }})
            = coalesce(instance_id, ''),
            false
        ) as had_same_instance,
        coalesce(
            lead(coalesce(instance_id, '')) over ({{ history }})
            = coalesce(instance_id, ''),
            false
        ) as keeps_instance
    from pieces

),

{# If only a name has changed, the interface has held the address all the time between
   two snapshots. Else nothing is known of that time. But a primary address stays with
   its interface, so it was there since the interface was attached. #}
spans as (

    select
        *,
        case
            when number_before = first_number - 1 and had_same_instance
                then first_snapshot_at
            when
                is_primary
                and address_type = 'private'
                and attached_at > snapshot_before_at
                and attached_at < first_snapshot_at
                then attached_at
            else first_snapshot_at
        end as held_from,
        case
            when number_after = last_number + 1 and keeps_instance
                then snapshot_after_at
            when snapshot_after_at < {{ never }}
                then {{ dbt.dateadd('second', 1, 'last_snapshot_at') }}
        end as held_until,
        case
            when snapshot_after_at < {{ never }} and number_after is null
                then snapshot_after_at
            when number_after > last_number + 1 then snapshot_after_at
        end as gone_by_at
    from in_order

)

select
    interface_id,
    address,
    address_type,
    instance_id,
    name,
    owner,
    interface_type,
    subnet_id,
    vpc_id,
    account_id,
    region,
    attached_at,
    held_from,
    held_until,
    last_snapshot_at,
    gone_by_at,
    (select max(landed._dbt_copied_at) from {{ rows }} as landed) as loaded_at
from spans
