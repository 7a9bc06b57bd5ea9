{# One row per segment of all addresses, and network that contains it: a range of a
   rule, an entry of a prefix list, a subnet, or the address of an interface with a
   security group. All addresses of a segment are in the same networks. #}

with

prefix_list_entries as (

    select
        prefix_list_id,
        cidr,
        region,
        owner_id
    from {{ ref('vpc_flow_logs', 'stg_inventory__prefix_lists') }}
    qualify snapshot_at = max(snapshot_at) over (partition by prefix_list_id)

),

networks as (

    select
        'cidr' as kind,
        peer as name,
        peer as network,
        cast(null as varchar) as interface_id,
        cast(null as varchar) as region,
        cast(null as varchar) as owner_id
    from {{ ref('vpc_flow_logs', 'int_security_groups__rules') }}
    where peer_type = 'cidr'
    union distinct
    select
        'prefix_list' as kind,
        prefix_list_id as name,
        cidr as network,
        null as interface_id,
        region,
        owner_id
    from prefix_list_entries
    {% for cidr in ['cidr', 'ipv6_cidr'] %}
        union distinct
        select
            'subnet' as kind,
            subnet_id as name,
            {{ cidr }} as network,
            null as interface_id,
            null as region,
            null as owner_id
        from {{ ref('vpc_flow_logs', 'stg_inventory__subnets') }}
        where {{ cidr }} is not null
    {% endfor %}
    {# Security groups see private addresses, not the public ones of the internet
       gateway. A delegated prefix is a range. #}
    union distinct
    select
        'security_group' as kind,
        held.security_group_id as name,
        interfaces.address as network,
        interfaces.interface_id,
        null as region,
        null as owner_id
    from {{ ref('vpc_flow_logs', 'stg_inventory__interfaces') }} as interfaces
    inner join {{ ref('vpc_flow_logs', 'int_security_groups__interfaces') }} as held
        on interfaces.interface_id = held.interface_id
    where interfaces.address_type != 'public'

),

split as (

    select
        *,
        split_part(network, '/', 1) as first_address,
        nullif(split_part(network, '/', 2), '') as bits_text
    from networks

),

{{ vpc_flow_logs.parse_addresses('split', {'first_address': 'first'}) }},

numbered as (

    select
        *,
        {{ vpc_flow_logs.address_digits('first_hex', 'first_ipv4') }} as digits,
        coalesce(
            try_cast(bits_text as bigint)
            + case when network like '%:%' then 0 else 96 end,
            128
        ) as bits
    from parsed
    where first_hex is not null or first_ipv4 is not null

),

ranges as (

    select
        kind,
        name,
        network,
        interface_id,
        region,
        owner_id,
        bits,
        {{ vpc_flow_logs.edge_of_cidr('digits', 'bits', false) }} as range_start,
        {{ vpc_flow_logs.edge_of_cidr('digits', 'bits', true) }} as range_end
    from numbered

),

{# The addresses at which other ranges count than before. By their digits IPv4 addresses
   are inside ::/0, but not for AWS: they have segments of their own. #}
edges as (

    select range_start as edge
    from ranges
    union distinct
    select {{ vpc_flow_logs.next_address('range_end') }} as edge
    from ranges
    where range_end != repeat('f', 32)
    union distinct
    select '00000000000000000000ffff00000000' as edge
    union distinct
    select '00000000000000000001000000000000' as edge

),

numbered_edges as (

    select
        edge,
        row_number() over (order by edge) as segment,
        lead(edge) over (order by edge) as next_edge
    from edges

),

segments as (

    select
        segment,
        edge as segment_start,
        coalesce(
            {{ vpc_flow_logs.next_address('next_edge', -1) }}, repeat('f', 32)
        ) as segment_end
    from numbered_edges

)

select
    segments.segment,
    segments.segment_start,
    segments.segment_end,
    ranges.kind,
    ranges.name,
    ranges.network,
    ranges.interface_id,
    ranges.region,
    ranges.owner_id,
    ranges.range_start,
    ranges.range_end,
    ranges.bits
from segments
inner join ranges
    on
        segments.segment_start >= ranges.range_start
        and segments.segment_start <= ranges.range_end
        and (segments.segment_start like '00000000000000000000ffff%')
        = (ranges.network not like '%:%')
