{# One row per rule that could be removed, and per new rule that could take the place of
   a wider one. Together the new rules admit all traffic that used it. #}

{{ config(pre_hook='{{ vpc_flow_logs.prepare_asof_join() }}') }}

{% set most_targets, most_new_rules = 10, 20 %}
{% set networks = ref('vpc_flow_logs', 'int_security_groups__networks') %}
{% set uses = ref('vpc_flow_logs', 'int_security_groups__uses') %}

with

{# Where an interface is not logged, or the rule is younger than the logs, traffic shows
   too little. #}
rules as (

    select
        *,
        records = 0 and unclear_records = 0 as is_unused,
        {{ dbt.dateadd(
            'day', 'cast(floor(history_days * 0.75) as integer)', 'logged_since'
        ) }} as settled_date
    from {{ ref('vpc_flow_logs', 'security_group_rules') }}
    where
        history_days > 0
        and unlogged_interfaces = 0
        and (added_at is null or cast(added_at as date) <= logged_since)

),

ports as (

    select
        rule_id,
        protocol,
        port,
        min(first_seen_at) as port_seen_at
    from {{ uses }}
    where rule_id in (select rules.rule_id from rules)
    group by rule_id, protocol, port

),

{# Many ports are a range that programs choose from. So are ports that keep changing:
   one of them is new in the last quarter of the history. #}
protocols as (

    select
        ports.rule_id,
        ports.protocol,
        count(ports.port) <= {{ most_targets }}
        and max(case when ports.port is not null then ports.port_seen_at end)
        < max(rules.settled_date) as has_ports
    from ports
    inner join rules
        on ports.rule_id = rules.rule_id
    group by ports.rule_id, ports.protocol

),

rule_ranges as (

    select distinct
        name,
        range_start,
        range_end,
        bits
    from {{ networks }}
    where kind = 'cidr'

),

{# Their peers are in more networks than a rule is replaced by: no range below has
   several first octets, but subnets and prefix lists may. #}
wide_rules as (

    select rule_id
    from {{ uses }}
    where
        peer_segment not in (
            select found.segment
            from {{ networks }} as found
            where found.kind in ('subnet', 'prefix_list')
        )
    group by rule_id
    having
        count(
            distinct case
                when peer_addr like '%:%' then split_part(lower(peer_addr), ':', 1)
                else split_part(peer_addr, '.', 1)
            end
        ) > {{ most_targets }}

),

{# The peers of the other rules that have a range. #}
peers as (

    select
        uses.rule_id,
        uses.peer_addr as address,
        uses.peer_segment as segment,
        rules.account_id,
        rules.region,
        rules.settled_date,
        rule_ranges.range_start,
        rule_ranges.range_end,
        rule_ranges.bits,
        min(uses.first_seen_at) as peer_seen_at,
        max(uses.last_seen_at) as peer_last_seen_at
    from {{ uses }} as uses
    inner join rules
        on uses.rule_id = rules.rule_id
    inner join rule_ranges
        on rules.peer = rule_ranges.name
    where uses.rule_id not in (select wide_rules.rule_id from wide_rules)
    group by all

),

{# Of prefix lists those of the account and of AWS. #}
known_networks as (

    select
        peers.rule_id,
        peers.address,
        min(case when held.kind = 'subnet' then held.network end) as subnet,
        min(
            case
                when
                    held.bits > peers.bits
                    and held.region = peers.region
                    and held.owner_id in (peers.account_id, 'AWS')
                    then held.name
            end
        ) as prefix_list
    from peers
    inner join {{ networks }} as held
        on
            peers.segment = held.segment
            and held.kind in ('subnet', 'prefix_list')
    group by peers.rule_id, peers.address

),

asn_ranges as (

    select
        range_start,
        range_end,
        {{ vpc_flow_logs.address_key('range_start') }} as range_key
    from {{ ref('vpc_flow_logs', 'ip_ranges') }}
    where kind = 'asn' and {{ vpc_flow_logs.is_ipv4_by_digits('range_start') }}

),

{{ vpc_flow_logs.parse_addresses('peers', {'address': 'peer'}) }},

numbered as (

    select
        *,
        {{ vpc_flow_logs.address_digits('peer_hex', 'peer_ipv4') }} as digits
    from parsed

),

keyed as (

    select
        *,
        {{ vpc_flow_logs.address_key('digits') }} as address_key
    from numbered

),

located as (

    select
        keyed.*,
        case
            when
                keyed.digits <= asn_ranges.range_end
                and asn_ranges.range_start >= keyed.range_start
                and asn_ranges.range_end <= keyed.range_end
                then {{ vpc_flow_logs.ipv4_cidr_of_range(
                    'asn_ranges.range_start', 'asn_ranges.range_end'
                ) }}
        end as asn_range
    from keyed
    {{ vpc_flow_logs.asof_left_join(
        'asn_ranges', 'keyed.address_key', 'asn_ranges.range_key'
    ) }}

),

{# What could take the place of a range, the narrowest first. A subnet is as narrow as a
   range should be, and a prefix list has a purpose. #}
ranges as (

    {% for rank, ladder in [(1, none), (2, (24, 64)), (3, (16, 48))] %}
        select
            located.rule_id,
            located.address,
            located.segment,
            located.bits,
            located.settled_date,
            located.peer_seen_at,
            located.peer_last_seen_at,
            {{ rank }} as width,
            coalesce(
                known_networks.subnet,
                known_networks.prefix_list,
                {% if ladder %}
                    {{ 'located.asn_range,' if rank == 2 }}
                    {{ vpc_flow_logs.cidr_around(
                        'located.address', 'located.digits', *ladder
                    ) }}
                {% else %}
                    located.address || case
                        when located.address like '%:%' then '/128' else '/32'
                    end
                {% endif %}
            ) as new_peer,
            case
                when known_networks.subnet is not null then 'subnet'
                when known_networks.prefix_list is not null then 'prefix_list'
                {% if rank == 2 %}
                    when located.asn_range is not null then 'autonomous_system'
                {% endif %}
                else '{{ 'range' if ladder else 'address' }}'
            end as basis
        from located
        left join known_networks
            on
                located.rule_id = known_networks.rule_id
                and located.address = known_networks.address
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

sized as (

    select
        *,
        case
            when basis != 'prefix_list'
                then
                    cast(split_part(new_peer, '/', 2) as bigint)
                    + case when new_peer like '%:%' then 0 else 96 end
        end as new_bits
    from ranges

),

distinct_ranges as (

    select
        rule_id,
        width,
        bits,
        new_peer,
        new_bits,
        basis,
        settled_date,
        min(peer_seen_at) as first_seen_at,
        max(peer_last_seen_at) as last_seen_at
    from sized
    group by rule_id, width, bits, new_peer, new_bits, basis, settled_date

),

{# The first width with few ranges that are together narrower than the range. If one is
   new in the last quarter of the history, or came on one day alone, others will
   follow. #}
widths as (

    select
        rule_id,
        width
    from distinct_ranges
    group by rule_id, width
    having
        count(*) <= {{ most_targets }}
        and max(first_seen_at) < max(settled_date)
        and min(
            case
                when basis in ('subnet', 'prefix_list') then 1
                when cast(first_seen_at as date) < cast(last_seen_at as date) then 1
                else 0
            end
        ) = 1
        and coalesce(min(new_bits) > max(bits), true)
        and coalesce(sum(power(2, 128 - new_bits)) < power(2, 128 - max(bits)), true)
    qualify row_number() over (partition by rule_id order by width) = 1

),

group_sizes as (

    select
        interfaces.security_group_id,
        max(rules.vpc_id) as vpc_id,
        count(distinct interfaces.interface_id) as interfaces
    from {{ ref('vpc_flow_logs', 'int_security_groups__interfaces') }} as interfaces
    inner join {{ ref('vpc_flow_logs', 'int_security_groups__rules') }} as rules
        on interfaces.security_group_id = rules.security_group_id
    where interfaces.is_attached
    group by interfaces.security_group_id

),

chosen as (

    select
        sized.*,
        count(*) over (partition by sized.rule_id) as peers
    from sized
    inner join widths
        on
            sized.rule_id = widths.rule_id
            and sized.width = widths.width

),

{# A group of the same VPC that all peers have; of several, the one with the fewest
   interfaces. #}
shared_groups as (

    select
        chosen.rule_id,
        held.name as security_group_id
    from chosen
    inner join rules
        on chosen.rule_id = rules.rule_id
    inner join {{ networks }} as held
        on
            held.kind = 'security_group'
            and chosen.segment = held.segment
    inner join group_sizes
        on
            held.name = group_sizes.security_group_id
            and rules.vpc_id = group_sizes.vpc_id
    group by chosen.rule_id, held.name
    having count(distinct chosen.address) = max(chosen.peers)
    qualify
        row_number() over (
            partition by chosen.rule_id order by min(group_sizes.interfaces), held.name
        ) = 1

),

{# A rule that has no such ranges keeps its own. #}
targets as (

    select distinct
        uses.rule_id,
        uses.protocol,
        uses.port,
        chosen.new_peer,
        chosen.basis
    from {{ uses }} as uses
    inner join chosen
        on
            uses.rule_id = chosen.rule_id
            and uses.peer_addr = chosen.address
    union all
    select
        rule_id,
        protocol,
        port,
        cast(null as varchar) as new_peer,
        cast(null as varchar) as basis
    from ports
    where rule_id not in (select widths.rule_id from widths)

),

{# Without a port, it is unknown which end opened the flow. #}
found as (

    select distinct
        rules.rule_id,
        case
            when rules.protocol != '-1' then rules.protocol
            else {{ vpc_flow_logs.security_group_protocol('targets.protocol') }}
        end as new_protocol,
        case
            when targets.protocol not in (6, 17) then rules.from_port
            else
                coalesce(
                    case when protocols.has_ports then targets.port end,
                    rules.from_port,
                    0
                )
        end as new_from_port,
        case
            when targets.protocol not in (6, 17) then rules.to_port
            else
                coalesce(
                    case when protocols.has_ports then targets.port end,
                    rules.to_port,
                    65535
                )
        end as new_to_port,
        rules.peer,
        coalesce(shared_groups.security_group_id, targets.new_peer, rules.peer)
            as new_peer,
        case
            when shared_groups.security_group_id is not null then 'security_group'
            else coalesce(targets.basis, 'unchanged')
        end as basis
    from targets
    inner join rules
        on targets.rule_id = rules.rule_id
    inner join protocols
        on
            targets.rule_id = protocols.rule_id
            and targets.protocol = protocols.protocol
    left join shared_groups
        on targets.rule_id = shared_groups.rule_id

),

counted as (

    select
        *,
        count(*) over (partition by rule_id) > {{ most_new_rules }} as are_too_many
    from found

),

bounded as (

    select distinct
        rule_id,
        new_protocol,
        new_from_port,
        new_to_port,
        case when are_too_many then peer else new_peer end as new_peer,
        case when are_too_many then 'unchanged' else basis end as basis
    from counted

),

{# Ports that follow each other are one range. #}
ordered as (

    select
        *,
        max(new_to_port) over (
            partition by rule_id, new_protocol, new_peer
            order by new_from_port, new_to_port
            rows between unbounded preceding and 1 preceding
        ) as port_before
    from bounded

),

islands as (

    select
        *,
        sum(case when new_from_port <= port_before + 1 then 0 else 1 end) over (
            partition by rule_id, new_protocol, new_peer
            order by new_from_port, new_to_port
            rows unbounded preceding
        ) as island
    from ordered

),

new_rules as (

    select
        rule_id,
        new_protocol,
        new_peer,
        basis,
        min(new_from_port) as new_from_port,
        max(new_to_port) as new_to_port,
        count(*) over (partition by rule_id) as new_rules
    from islands
    group by rule_id, new_protocol, new_peer, basis, island

),

proposals as (

    select
        'remove' as proposal,
        rule_id,
        cast(null as varchar) as new_protocol,
        cast(null as bigint) as new_from_port,
        cast(null as bigint) as new_to_port,
        cast(null as varchar) as new_peer,
        cast(null as varchar) as new_peer_basis
    from rules
    where is_unused
    union all
    select
        'narrow' as proposal,
        new_rules.rule_id,
        new_rules.new_protocol,
        new_rules.new_from_port,
        new_rules.new_to_port,
        new_rules.new_peer,
        new_rules.basis as new_peer_basis
    from new_rules
    inner join rules
        on new_rules.rule_id = rules.rule_id
    where
        new_rules.new_rules > 1
        or new_rules.new_protocol != rules.protocol
        or new_rules.new_from_port is distinct from rules.from_port
        or new_rules.new_to_port is distinct from rules.to_port
        or new_rules.new_peer != rules.peer

)

select
    proposals.proposal,
    rules.security_group_id,
    rules.security_group_name,
    rules.rule_id,
    rules.direction,
    rules.protocol,
    rules.from_port,
    rules.to_port,
    rules.peer,
    proposals.new_protocol,
    proposals.new_from_port,
    proposals.new_to_port,
    proposals.new_peer,
    proposals.new_peer_basis,
    rules.description,
    rules.history_days,
    rules.last_used_at,
    rules.peers,
    rules.records,
    rules.interfaces,
    rules.account_id,
    rules.region,
    rules.vpc_id
from proposals
inner join rules
    on proposals.rule_id = rules.rule_id
