{# One row per address of yours: its account, region, VPC, zone and route to the
   internet. The newest snapshots of the inventory say so; of an address that they lack,
   the records' own `az_id`. An address that two VPCs use has no row. #}

with

found_interfaces as (

    select * from {{ ref('vpc_flow_logs', 'stg_inventory__interfaces') }}
    where address_type in ('private', 'ipv6')
    qualify
        rank() over (
            partition by account_id, region, address order by snapshot_at desc
        ) = 1

),

gateway_endpoints as (

    select
        snapshot_at,
        account_id,
        region,
        route_table_id,
        {{ vpc_flow_logs.distinct_texts("upper(split_part(service_name, '.', -1))") }}
            as services
    from {{ ref('vpc_flow_logs', 'stg_inventory__vpc_endpoints') }}
    where endpoint_type = 'Gateway'
    group by snapshot_at, account_id, region, route_table_id

),

by_inventory as (

    select
        found.address,
        max(found.account_id) as account_id,
        max(found.region) as region,
        max(found.vpc_id) as vpc_id,
        max(coalesce(found.az_id, subnets.az_id)) as az_id,
        max(found.interface_type) as interface_type,
        max(subnets.route_kind) as route_kind,
        max(endpoints.services) as gateway_services
    from found_interfaces as found
    left join {{ ref('vpc_flow_logs', 'stg_inventory__subnets') }} as subnets
        on
            found.snapshot_at = subnets.snapshot_at
            and found.account_id = subnets.account_id
            and found.region = subnets.region
            and found.subnet_id = subnets.subnet_id
    left join gateway_endpoints as endpoints
        on
            found.snapshot_at = endpoints.snapshot_at
            and found.account_id = endpoints.account_id
            and found.region = endpoints.region
            and subnets.route_table_id = endpoints.route_table_id
    group by found.address
    having min(found.vpc_id) = max(found.vpc_id)

),

by_logs as (

    select
        address,
        max(account_id) as account_id,
        max(vpc_id) as vpc_id,
        max(az_id) as az_id
    from {{ ref('vpc_flow_logs', 'int_traffic__interface_addresses') }}
    where az_id is not null and {{ vpc_flow_logs.in_window('started_date') }}
    group by address
    having
        min(az_id) = max(az_id)
        and coalesce(min(vpc_id), '') = coalesce(max(vpc_id), '')

),

combined as (

    select
        listed.region,
        listed.interface_type,
        listed.route_kind,
        listed.gateway_services,
        coalesce(listed.address, seen.address) as address,
        coalesce(listed.account_id, seen.account_id) as account_id,
        coalesce(listed.vpc_id, seen.vpc_id) as vpc_id,
        coalesce(listed.az_id, seen.az_id) as az_id
    from by_inventory as listed
    full outer join by_logs as seen on listed.address = seen.address

)

select
    *,
    max(case when interface_type = 'transit_gateway' then 1 else 0 end) over (
        partition by vpc_id
    ) = 1 as is_in_transit_vpc
from combined
