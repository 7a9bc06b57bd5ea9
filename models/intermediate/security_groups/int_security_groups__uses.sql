{# One row per rule, set of groups that interfaces have, address at the other end,
   protocol and port: the accepted traffic that the rule admits. Security groups are
   stateful, so what counts is who opened the flow: ingress rules of the server and
   egress rules of the client. #}

{% set addresses = ref('vpc_flow_logs', 'int_security_groups__addresses') %}
{% set networks = ref('vpc_flow_logs', 'int_security_groups__networks') %}

with

{# The groups of an interface together. Many interfaces have the same ones. #}
interfaces as (

    select
        addresses.address,
        networks.interface_id,
        {{ vpc_flow_logs.distinct_texts('networks.name') }} as group_set
    from {{ networks }} as networks
    inner join {{ addresses }} as addresses
        on networks.segment = addresses.segment
    where networks.kind = 'security_group'
    group by addresses.address, networks.interface_id

),

group_sets as (

    select
        group_set,
        row_number() over (order by group_set) as set_number
    from interfaces
    group by group_set

),

members as (

    select distinct
        group_sets.set_number,
        networks.name as security_group_id
    from interfaces
    inner join group_sets
        on interfaces.group_set = group_sets.group_set
    inner join {{ networks }} as networks
        on interfaces.interface_id = networks.interface_id

),

{# An interface holds its addresses on the days on which it is logged: later the address
   may be another's. #}
holders as (

    select distinct
        daily.started_date,
        interfaces.address,
        group_sets.set_number
    from interfaces
    inner join group_sets
        on interfaces.group_set = group_sets.group_set
    inner join {{ ref('vpc_flow_logs', 'int_traffic__daily_interfaces') }} as daily
        on interfaces.interface_id = daily.interface_id
    where {{ vpc_flow_logs.in_window('daily.started_date', var('unused_rule_days')) }}

),

{# Where it is unknown which end opened a flow, each may have. #}
directions as (

    {% for own_end, direction, is_usual in [
        ('server', 'ingress', 'true'),
        ('client', 'egress', 'true'),
        ('client', 'ingress', 'false'),
        ('server', 'egress', 'false'),
    ] %}
        select
            '{{ own_end }}' as own_end,
            '{{ direction }}' as direction,
            {{ is_usual }} as is_usual
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

{# A flow at each of its ends, from one scan. #}
flows as (

    select
        daily.started_date,
        directions.direction,
        daily.protocol,
        daily.records,
        daily.first_seen_at,
        daily.last_seen_at,
        daily.orientation_method = 'unknown' as is_unclear,
        daily.client_bytes + daily.server_bytes as bytes,
        case when daily.protocol in (6, 17) then daily.server_port end as port,
        case directions.own_end
            when 'client' then daily.client_addr
            else daily.server_addr
        end as own_addr,
        case directions.own_end
            when 'client' then daily.server_addr
            else daily.client_addr
        end as peer_addr
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }} as daily
    cross join directions
    where
        daily.action = 'ACCEPT'
        and {{ vpc_flow_logs.counts_for_security_groups('daily.started_date') }}
        and (directions.is_usual or daily.orientation_method = 'unknown')

),

totals as (

    select
        holders.set_number,
        flows.direction,
        flows.peer_addr,
        flows.protocol,
        flows.port,
        flows.is_unclear,
        sum(flows.records) as records,
        sum(flows.bytes) as bytes,
        min(flows.first_seen_at) as first_seen_at,
        max(flows.last_seen_at) as last_seen_at
    from flows
    inner join holders
        on
            flows.started_date = holders.started_date
            and flows.own_addr = holders.address
    group by
        holders.set_number,
        flows.direction,
        flows.peer_addr,
        flows.protocol,
        flows.port,
        flows.is_unclear

),

located as (

    select
        totals.*,
        addresses.segment as peer_segment
    from totals
    inner join {{ addresses }} as addresses
        on totals.peer_addr = addresses.address

),

{# What rules see of a flow. Many peers are in one segment. #}
kinds as (

    select distinct
        set_number,
        direction,
        peer_segment,
        protocol,
        port
    from located

),

{# Logs do not have the type of ICMP. #}
admitted as (

    select distinct
        kinds.*,
        rules.rule_id
    from kinds
    inner join members
        on kinds.set_number = members.set_number
    inner join {{ ref('vpc_flow_logs', 'int_security_groups__rules') }} as rules
        on
            members.security_group_id = rules.security_group_id
            and kinds.direction = rules.direction
    inner join {{ networks }} as networks
        on
            kinds.peer_segment = networks.segment
            and networks.kind != 'subnet'
            and rules.peer = networks.name
    where
        (rules.protocol_number is null or kinds.protocol = rules.protocol_number)
        and (
            rules.from_port is null
            or rules.protocol_number not in (6, 17)
            or kinds.port is null
            or kinds.port between rules.from_port and rules.to_port
        )

),

counted as (

    select
        *,
        count(*) over (
            partition by set_number, direction, peer_segment, protocol, port
        ) as rules_that_admit
    from admitted

)

select
    counted.rule_id,
    located.set_number,
    located.peer_addr,
    located.peer_segment,
    located.protocol,
    located.port,
    located.is_unclear,
    cast(located.records as bigint) as records,
    cast(located.bytes as bigint) as bytes,
    cast(
        case when counted.rules_that_admit = 1 then located.records else 0 end as bigint
    ) as records_admitted_alone,
    located.first_seen_at,
    located.last_seen_at
from located
inner join counted
    on
        located.set_number = counted.set_number
        and located.direction = counted.direction
        and located.peer_segment = counted.peer_segment
        and located.protocol is not distinct from counted.protocol
        and located.port is not distinct from counted.port
