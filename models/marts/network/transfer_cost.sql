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

directions as (

    select 'client' as sender
    union all
    select 'server' as sender

),

{# Both directions of each flow, from one scan. #}
both_directions as (

    select
        {% for name, client, server in [
            ('source', 'client_addr', 'server_addr'),
            ('source_scope', 'client_scope', 'server_scope'),
            ('destination', 'server_addr', 'client_addr'),
            ('destination_scope', 'server_scope', 'client_scope'),
        ] %}
            case directions.sender
                when 'client' then flows.{{ client }}
                else flows.{{ server }}
            end as {{ name }},
        {% endfor %}
        case directions.sender
            when 'client' then flows.client_bytes
            else flows.server_bytes
        end as bytes
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }} as flows
    cross join directions
    where
        {{ is_read }}
        and flows.action = 'ACCEPT'
        and {{ vpc_flow_logs.in_window('flows.started_date') }}

),

sent as (

    select * from both_directions
    where bytes > 0

),

{# The place of the sender, or of the receiver if only that is known. If the packets'
   own addresses are not logged, a NAT gateway's interface logs its clients' bytes once
   more: they are left out. #}
placed as (

    select
        sent.source,
        sent.destination,
        senders.address is null as is_received,
        case when senders.address is null then sent.source else sent.destination end
            as other_address,
        case
            when senders.address is null then sent.source_scope
            when receivers.address is null then sent.destination_scope
            else 'own'
        end as other_scope,
        {% for column in columns %}
            coalesce(senders.{{ column }}, receivers.{{ column }}) as {{ column }},
            receivers.{{ column }} as other_{{ column }},
        {% endfor %}
        sent.bytes
    from sent
    left join {{ places }} as senders on sent.source = senders.address
    left join {{ places }} as receivers on sent.destination = receivers.address
    where
        coalesce(senders.address, receivers.address) is not null
        and coalesce(senders.interface_type, '') != 'nat_gateway'
        and coalesce(receivers.interface_type, '') != 'nat_gateway'

),

described as (

    select
        placed.*,
        context.aws_service,
        context.aws_region,
        coalesce(context.aws_region = placed.region, false) as is_aws_of_region,
        case
            when placed.other_scope = 'public'
                then
                    coalesce(
                        context.aws_service || ' ' || context.aws_region,
                        context.as_organization,
                        'internet'
                    )
            else placed.other_address
        end as other_name
    from placed
    left join {{ ref('vpc_flow_logs', 'address_context') }} as context
        on placed.other_address = context.address

),

{# A zone's id begins with its region, such as `use1-az2`. A NAT gateway has no IPv6. #}
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
            when route_kind = 'nat' and other_address not like '%:%' then 'nat_gateway'
            when route_kind in ('nat', 'public', 'egress_only') then 'internet'
            when route_kind = 'transit' then 'transit_gateway'
        end as path
    from described

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

{# A gigabyte of a bill is 2^30 bytes. #}
priced as (

    select
        charged.account_id,
        charged.region,
        charged.bytes,
        charged.path is not null as is_known,
        charged.endpoint_charge is not null as has_saving,
        coalesce(charged.path, 'unknown') as path,
        {% for charge in ['path', 'outside', 'endpoint'] %}
            case
                when charged.{{ charge }}_charge is null then 0
                else
                    charged.bytes
                    / cast(1073741824 as double)
                    * {{ charge }}_prices.usd_per_gb
            end as {{ charge }}_usd,
        {% endfor %}
        case when charged.is_received then charged.other_name else charged.source end
            as sender,
        case
            when charged.is_received then charged.destination
            else charged.other_name
        end as receiver
    from with_charges as charged
    {% for charge in ['path', 'outside', 'endpoint'] %}
        left join prices as {{ charge }}_prices
            on
                {{ charge }}_prices.region is not distinct from charged.region
                and {{ charge }}_prices.charge = charged.{{ charge }}_charge
    {% endfor %}

)

select
    path,
    account_id,
    region,
    sender as source,
    receiver as destination,
    cast(sum(bytes) as bigint) as bytes,
    round(sum(case when is_known then path_usd + outside_usd end), 9) as cost_usd,
    round(sum(case when has_saving then path_usd - endpoint_usd else 0 end), 9)
        as saving_usd
from priced
group by path, account_id, region, sender, receiver
