{# One row per rule, address at the other end, protocol and port: the accepted traffic
   that the rule admits. Security groups are stateful, so what counts is who opened the
   flow: ingress rules of the server and egress rules of the client. #}

{% set known = ref('vpc_flow_logs', 'int_security_groups__addresses') %}

with

{# The groups of an interface together. Many interfaces have the same ones. #}
interfaces as (

    select
        address,
        interface_id,
        {{ vpc_flow_logs.distinct_texts('name') }} as group_set
    from {{ known }}
    where kind = 'security_group'
    group by address, interface_id

),

group_sets as (

    select distinct
        interfaces.group_set,
        known.name as security_group_id
    from interfaces
    inner join {{ known }} as known
        on
            interfaces.address = known.address
            and interfaces.interface_id = known.interface_id
    where known.kind = 'security_group'

),

{# An interface holds its addresses on the days on which it is logged: later the address
   may be another's. #}
holders as (

    select distinct
        daily.started_date,
        interfaces.address,
        interfaces.group_set
    from interfaces
    inner join {{ ref('vpc_flow_logs', 'int_traffic__daily_interfaces') }} as daily
        on interfaces.interface_id = daily.interface_id
    where {{ vpc_flow_logs.in_window('daily.started_date', var('unused_rule_days')) }}

),

flows as (

    select
        started_date,
        client_addr,
        server_addr,
        protocol,
        server_port,
        records,
        first_seen_at,
        last_seen_at,
        orientation_method = 'unknown' as is_unclear,
        client_bytes + server_bytes as bytes
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
    where {{ vpc_flow_logs.counts_for_security_groups() }}

),

{# Where it is unknown which end opened a flow, each may have. #}
flows_at_interfaces as (

    {% for direction, own, other, condition in [
        ('ingress', 'server', 'client', 'true'),
        ('egress', 'client', 'server', 'true'),
        ('ingress', 'client', 'server', 'flows.is_unclear'),
        ('egress', 'server', 'client', 'flows.is_unclear'),
    ] %}
        select
            holders.group_set,
            '{{ direction }}' as direction,
            flows.{{ other }}_addr as peer_addr,
            flows.protocol,
            flows.server_port,
            flows.is_unclear,
            flows.records,
            flows.bytes,
            flows.first_seen_at,
            flows.last_seen_at
        from flows
        inner join holders
            on
                flows.started_date = holders.started_date
                and flows.{{ own }}_addr = holders.address
        where {{ condition }}
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

totals as (

    select
        group_set,
        direction,
        peer_addr,
        protocol,
        server_port,
        is_unclear,
        sum(records) as records,
        sum(bytes) as bytes,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from flows_at_interfaces
    group by group_set, direction, peer_addr, protocol, server_port, is_unclear

),

peers as (

    select distinct
        address,
        name
    from {{ known }}
    where kind != 'subnet'

),

rules as (

    select
        rules.*,
        group_sets.group_set
    from group_sets
    inner join {{ ref('vpc_flow_logs', 'int_security_groups__rules') }} as rules
        on group_sets.security_group_id = rules.security_group_id

),

{# Logs do not have the type of ICMP. #}
admitted as (

    select
        totals.*,
        rules.rule_id,
        count(*) over (
            partition by
                totals.group_set,
                totals.direction,
                totals.peer_addr,
                totals.protocol,
                totals.server_port,
                totals.is_unclear
        ) as rules_that_admit
    from totals
    inner join peers
        on totals.peer_addr = peers.address
    inner join rules
        on
            totals.group_set = rules.group_set
            and totals.direction = rules.direction
            and peers.name = rules.peer
    where
        (rules.protocol_number is null or totals.protocol = rules.protocol_number)
        and (
            rules.from_port is null
            or rules.protocol_number not in (6, 17)
            or totals.server_port is null
            or totals.server_port between rules.from_port and rules.to_port
        )

)

select
    rule_id,
    peer_addr,
    protocol,
    is_unclear,
    cast(sum(records) as bigint) as records,
    cast(sum(bytes) as bigint) as bytes,
    cast(sum(case when rules_that_admit = 1 then records else 0 end) as bigint)
        as records_admitted_alone,
    case when protocol in (6, 17) then server_port end as port,
    min(first_seen_at) as first_seen_at,
    max(last_seen_at) as last_seen_at
from admitted
group by all
