{# One row per path, account, region, source and destination: the accepted bytes of the
   window, each counted once, and the list price of their transfer. It has the traffic of
   addresses whose place is known. #}

{% set places = ref('vpc_flow_logs', 'address_places') %}
{# Without places nothing is read. #}
{% set is_read = 'false' if vpc_flow_logs.is_empty(places) else 'true' %}
{% set prices = ref('vpc_flow_logs', 'transfer_prices') %}
{% set columns = [
    'account_id', 'region', 'vpc_id', 'az_id', 'interface_type', 'route_kind',
    'gateway_services', 'is_in_transit_vpc',
] %}

with

{# Which ends have a place, and the end outside: of two ends, the public one without a
   place. #}
flows as (

    select
        daily.client_addr,
        daily.server_addr,
        daily.client_scope,
        daily.server_scope,
        daily.client_bytes,
        daily.server_bytes,
        clients.address as client_place,
        servers.address as server_place,
        case
            when clients.address is null and daily.client_scope = 'public'
                then daily.client_addr
            when servers.address is null and daily.server_scope = 'public'
                then daily.server_addr
        end as public_address
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }} as daily
    left join {{ places }} as clients on daily.client_addr = clients.address
    left join {{ places }} as servers on daily.server_addr = servers.address
    where
        {{ is_read }}
        and daily.action = 'ACCEPT'
        and coalesce(clients.address, servers.address) is not null
        and {{ vpc_flow_logs.in_window('daily.started_date') }}

),

{# The end without a place by its name: of a public one, that of its network. #}
named as (

    select
        flows.client_scope,
        flows.server_scope,
        flows.client_place,
        flows.server_place,
        context.aws_service,
        context.aws_region,
        case
            when flows.public_address is not null
                then
                    coalesce(
                        context.aws_service || ' ' || context.aws_region,
                        context.as_organization,
                        'internet'
                    )
            when flows.client_place is null then flows.client_addr
            when flows.server_place is null then flows.server_addr
        end as other_name,
        flows.public_address like '%:%'
        and flows.public_address not like '64:ff9b::%' as is_ipv6,
        sum(flows.client_bytes) as client_bytes,
        sum(flows.server_bytes) as server_bytes
    from flows
    left join {{ ref('vpc_flow_logs', 'address_context') }} as context
        on flows.public_address = context.address
    group by all

),

directions as (

    select 'client' as sender
    union all
    select 'server' as sender

),

{# Both directions of the flows between two ends. #}
sent as (

    select
        {% for name, sender, receiver in [
            ('source_scope', 'client_scope', 'server_scope'),
            ('source_place', 'client_place', 'server_place'),
            ('destination_scope', 'server_scope', 'client_scope'),
            ('destination_place', 'server_place', 'client_place'),
            ('bytes', 'client_bytes', 'server_bytes'),
        ] %}
            case directions.sender
                when 'client' then named.{{ sender }}
                else named.{{ receiver }}
            end as {{ name }},
        {% endfor %}
        named.aws_service,
        named.aws_region,
        named.other_name,
        named.is_ipv6
    from named
    cross join directions

),

{# The place of the sender, or of the receiver if only that is known. If the packets'
   own addresses are not logged, a NAT gateway's interface logs its clients' bytes once
   more: they are left out. #}
placed as (

    select
        coalesce(sent.source_place, sent.other_name) as source,
        coalesce(sent.destination_place, sent.other_name) as destination,
        sent.bytes,
        sent.aws_service,
        sent.aws_region,
        sent.is_ipv6,
        senders.address is null as is_received,
        case
            when senders.address is null then sent.source_scope
            when receivers.address is null then sent.destination_scope
            else 'own'
        end as other_scope,
        {% for column in columns %}
            coalesce(senders.{{ column }}, receivers.{{ column }}) as {{ column }},
            receivers.{{ column }} as other_{{ column }},
        {% endfor %}
        coalesce(
            sent.aws_region = coalesce(senders.region, receivers.region), false
        ) as is_aws_of_region
    from sent
    left join {{ places }} as senders on sent.source_place = senders.address
    left join {{ places }} as receivers on sent.destination_place = receivers.address
    where
        sent.bytes > 0
        and coalesce(senders.interface_type, '') != 'nat_gateway'
        and coalesce(receivers.interface_type, '') != 'nat_gateway'

),

{# A zone's id begins with its region, such as `use1-az2`. A NAT gateway has no IPv6,
   but translates 64:ff9b::/96 to IPv4. #}
with_paths as (

    select
        *,
        case
            when other_scope = 'own'
                then
                    case
                        when
                            'vpc_endpoint' in (interface_type, other_interface_type)
                            then 'interface_endpoint'
                        when
                            split_part(az_id, '-', 1)
                            != split_part(other_az_id, '-', 1)
                            then 'across_regions'
                        when vpc_id != other_vpc_id
                            then
                                case
                                    when is_in_transit_vpc and other_is_in_transit_vpc
                                        then 'transit_gateway'
                                    else 'peering'
                                end
                        when az_id != other_az_id then 'across_zones'
                        when az_id = other_az_id then 'same_zone'
                    end
            when other_scope != 'public' then null
            when
                is_aws_of_region
                and ',' || gateway_services || ',' like '%,' || aws_service || ',%'
                then 'gateway_endpoint'
            when route_kind = 'nat' and not is_ipv6 then 'nat_gateway'
            when route_kind in ('nat', 'public', 'egress_only') then 'internet'
            when route_kind = 'transit' then 'transit_gateway'
        end as path
    from placed

),

{# A byte may have two charges: of its path, and of the place outside that it goes to.
   The third is what an endpoint would charge in place of a NAT gateway. #}
with_charges as (

    select
        *,
        case
            when path = 'peering' and az_id = other_az_id then 'same_zone'
            when path != 'internet' then path
        end as path_charge,
        case
            when other_scope != 'public' or path = 'gateway_endpoint' then null
            when is_aws_of_region and aws_service = 'EC2' then 'public_address'
            when is_aws_of_region or is_received or aws_service = 'CLOUDFRONT' then null
            when aws_region != 'GLOBAL' then 'across_regions'
            else 'internet'
        end as outside_charge,
        case
            when path != 'nat_gateway' or not is_aws_of_region then null
            when aws_service in ('S3', 'DYNAMODB') then 'gateway_endpoint'
            when aws_service not in ('EC2', 'CLOUDFRONT') then 'interface_endpoint'
        end as endpoint_charge
    from with_paths

),

{# `*` is any other region, and one that is not known. `dbt run` loads no seeds: without
   them there are no prices. #}
prices as (

    {% if execute and not prices.is_cte and load_relation(prices) is none %}
        select
            cast(null as varchar) as region,
            cast(null as varchar) as charge,
            cast(null as double) as usd_per_gb
        where false
    {% else %}
        select
            regions.region,
            found.charge,
            cast(found.usd_per_gb as double) as usd_per_gb
        from (select distinct places.region from {{ places }} as places) as regions
        inner join {{ prices }} as found
            on regions.region = found.region or found.region = '*'
        qualify
            row_number() over (
                partition by regions.region, found.charge order by found.region desc
            ) = 1
    {% endif %}

),

summed as (

    select
        account_id,
        region,
        path,
        path_charge,
        outside_charge,
        endpoint_charge,
        source,
        destination,
        cast(sum(bytes) as bigint) as bytes
    from with_charges
    group by
        path,
        account_id,
        region,
        source,
        destination,
        path_charge,
        outside_charge,
        endpoint_charge

),

{# A gigabyte of a bill is 2^30 bytes. #}
priced as (

    select
        {% for charge in ['path', 'outside', 'endpoint'] %}
            case
                when summed.{{ charge }}_charge is null then 0
                else
                    summed.bytes
                    / cast(1073741824 as double)
                    * {{ charge }}_prices.usd_per_gb
            end as {{ charge }}_usd,
        {% endfor %}
        summed.account_id,
        summed.region,
        summed.path,
        summed.source,
        summed.destination,
        summed.endpoint_charge,
        summed.bytes
    from summed
    {% for charge in ['path', 'outside', 'endpoint'] %}
        left join prices as {{ charge }}_prices
            on
                {{ charge }}_prices.region is not distinct from summed.region
                and {{ charge }}_prices.charge = summed.{{ charge }}_charge
    {% endfor %}

)

select
    account_id,
    region,
    source,
    destination,
    cast(sum(bytes) as bigint) as bytes,
    coalesce(path, 'unknown') as path,
    round(sum(case when path is not null then path_usd + outside_usd end), 9)
        as cost_usd,
    round(
        sum(case when endpoint_charge is null then 0 else path_usd - endpoint_usd end),
        9
    ) as saving_usd
from priced
group by path, account_id, region, source, destination
