{# One row per address of accepted traffic and what has it: a range of a rule, a prefix
   list, a subnet, or a security group through one of its interfaces. #}

{{ config(pre_hook='{{ vpc_flow_logs.prepare_asof_join() }}') }}

with

rules as (

    select * from {{ ref('vpc_flow_logs', 'int_security_groups__rules') }}

),

prefix_list_entries as (

    select distinct
        prefix_list_id,
        cidr,
        region,
        owner_id
    from {{ ref('vpc_flow_logs', 'stg_inventory__prefix_lists') }}
    qualify snapshot_at = max(snapshot_at) over (partition by prefix_list_id)

),

prefix_lists as (

    select distinct
        prefix_list_id,
        region,
        owner_id
    from prefix_list_entries

),

networks as (

    select
        'cidr' as kind,
        peer as name,
        peer as network
    from rules
    where peer_type = 'cidr'
    union distinct
    select
        'prefix_list' as kind,
        prefix_list_id as name,
        cidr as network
    from prefix_list_entries
    {% for cidr in ['cidr', 'ipv6_cidr'] %}
        union distinct
        select
            'subnet' as kind,
            subnet_id as name,
            {{ cidr }} as network
        from {{ ref('vpc_flow_logs', 'stg_inventory__subnets') }}
        where {{ cidr }} is not null
    {% endfor %}
    {# Security groups see private addresses, not the public ones of the internet
       gateway. A delegated prefix is a range. #}
    union distinct
    select
        'interface' as kind,
        interface_id as name,
        address as network
    from {{ ref('vpc_flow_logs', 'stg_inventory__interfaces') }}
    where address_type != 'public'
    {% for end in ['client', 'server'] %}
        union distinct
        select
            'address' as kind,
            cast(null as varchar) as name,
            {{ end }}_addr as network
        from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
        where {{ vpc_flow_logs.counts_for_security_groups() }}
    {% endfor %}

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
        kind,
        name,
        network,
        {{ vpc_flow_logs.address_digits('first_hex', 'first_ipv4') }} as digits,
        coalesce(
            try_cast(bits_text as bigint)
            + case when first_ipv4 is null then 0 else 96 end,
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
        bits,
        {{ vpc_flow_logs.edge_of_cidr('digits', 'bits', false) }} as range_start,
        {{ vpc_flow_logs.edge_of_cidr('digits', 'bits', true) }} as range_end
    from numbered
    where kind != 'address'

),

{# The addresses at which other ranges count than before. #}
edges as (

    select range_start as edge
    from ranges
    union distinct
    select {{ vpc_flow_logs.next_address('range_end') }} as edge
    from ranges
    where range_end != repeat('f', 32)

),

covered as (

    select
        ranges.*,
        edges.edge
    from edges
    inner join ranges
        on
            edges.edge >= ranges.range_start
            and edges.edge <= ranges.range_end

),

addresses as (

    select
        network as address,
        digits
    from numbered
    where kind = 'address'

),

located as (

    select
        addresses.address,
        addresses.digits,
        edges.edge
    from addresses
    {{ vpc_flow_logs.asof_left_join('edges', 'addresses.digits >= edges.edge') }}

),

held as (

    select
        located.address,
        located.digits,
        covered.kind,
        covered.name,
        covered.network,
        covered.range_start,
        covered.range_end,
        covered.bits
    from located
    inner join covered
        on
            located.edge = covered.edge
            {# All IPv4 addresses are inside ::/0 by their digits, but not for AWS. #}
            and (located.address like '%:%') = (covered.network like '%:%')

)

select
    held.address,
    held.digits,
    interfaces.interface_id,
    prefix_lists.region,
    prefix_lists.owner_id,
    held.network,
    held.range_start,
    held.range_end,
    held.bits,
    case when held.kind = 'interface' then 'security_group' else held.kind end as kind,
    coalesce(interfaces.security_group_id, held.name) as name
from held
left join {{ ref('vpc_flow_logs', 'int_security_groups__interfaces') }} as interfaces
    on
        held.kind = 'interface'
        and held.name = interfaces.interface_id
left join prefix_lists
    on
        held.kind = 'prefix_list'
        and held.name = prefix_lists.prefix_list_id
where held.kind != 'interface' or interfaces.interface_id is not null
