{# One row per UTC day, internal address, public address, port, protocol, direction,
   action and interface: traffic to or from administrative ports. admin_exposure and
   admin_attempts read these rows. #}

{% set flow_records = ref('vpc_flow_logs', 'flow_records') %}
{% set changed = vpc_flow_logs.changed_days(flow_records, 'loaded_through_at') %}
{% set adds = vpc_flow_logs.adds_up(changed) %}

with

days as (

    {{ vpc_flow_logs.days_to_write(
        changed, flow_records,
        vpc_flow_logs.in_part('started_date' if changed.days else 'started_at')
    ) }}

),

{# The ends that the packet names. `hop_addr` is the address of a NAT gateway or another
   hop, if the record has it in place of one of the ends. #}
records as (

    select
        srcport,
        dstport,
        protocol,
        tcp_flags,
        flow_direction,
        action,
        bytes,
        account_id,
        vpc_id,
        instance_id,
        interface_id,
        started_at,
        coalesce(pkt_srcaddr, srcaddr) as real_srcaddr,
        coalesce(pkt_dstaddr, dstaddr) as real_dstaddr,
        case
            when pkt_dstaddr != dstaddr then dstaddr
            when pkt_srcaddr != srcaddr then srcaddr
        end as hop_addr
    from {{ flow_records }}
    where
        action in ('ACCEPT', 'REJECT')
        and {{ vpc_flow_logs.is_to_count(changed, adds) }}
        and (
            {{ vpc_flow_logs.is_admin_port('dstport', 'protocol') }}
            or {{ vpc_flow_logs.is_admin_port('srcport', 'protocol') }}
        )
        and {{ vpc_flow_logs.is_primary_flow_log(changed.days) }}

),

directions as (

    select 'request' as direction
    union all
    select 'reply' as direction

),

{# A record between two administrative ports is a request and a reply. This join streams
   the records; a union of two reads would keep them in memory. #}
flows as (

    select
        records.*,
        directions.direction,
        case
            when directions.direction = 'request' then records.real_dstaddr
            else records.real_srcaddr
        end as internal_addr,
        case
            when directions.direction = 'request' then records.real_srcaddr
            else records.real_dstaddr
        end as external_addr,
        case
            when directions.direction = 'request' then records.dstport
            else records.srcport
        end as port,
        records.hop_addr is null
        and records.flow_direction
        = case when directions.direction = 'request' then 'ingress' else 'egress' end
            as is_our_interface
    from records
    cross join directions
    where
        (
            directions.direction = 'request'
            and {{ vpc_flow_logs.is_admin_port('records.dstport', 'records.protocol') }}
            {# A NAT gateway may use 3389 as a client port. Then the source port is a
               server's, such as 443, or the record carries SYN-ACK (18). #}
            and (
                records.dstport < 1024
                or (
                    records.srcport >= 1024
                    and not coalesce(
                        {{ vpc_flow_logs.has_tcp_flags('records.tcp_flags', 18) }},
                        false
                    )
                )
            )
        )
        or (
            directions.direction = 'reply'
            and records.action = 'ACCEPT'
            and {{ vpc_flow_logs.is_admin_port('records.srcport', 'records.protocol') }}
        )

),

{{ vpc_flow_logs.with_address_scopes('flows', {
    'internal_addr': 'internal_scope',
    'external_addr': 'external_scope',
}) }},

aggregated as (

    select
        cast(started_at as date) as started_date,
        internal_addr,
        external_addr,
        port,
        protocol,
        direction,
        action,
        hop_addr,
        interface_id,
        instance_id,
        vpc_id,
        account_id,
        cast(count(*) as bigint) as records,
        cast(sum(bytes) as bigint) as bytes,
        min(started_at) as first_seen_at,
        max(started_at) as last_seen_at,
        {% for flag, bits in {'rst': 4, 'syn_ack': 18}.items() %}
            max(
                case
                    when {{ vpc_flow_logs.has_tcp_flags('tcp_flags', bits) }} then 1
                    else 0
                end
            ) = 1 as has_{{ flag }},
        {% endfor %}
        count(tcp_flags) > 0 as has_tcp_flags
    from scoped
    where
        external_scope = 'public'
        {# The IPv6 addresses of a VPC are public too. There, flow_direction shows which
           end is the interface's own. #}
        and (
            internal_scope = 'internal'
            or (internal_scope = 'public' and is_our_interface)
        )
    group by all

),

counted as (

    {{ vpc_flow_logs.with_counted(
        'aggregated', changed, adds,
        keys=[
            'started_date', 'internal_addr', 'external_addr', 'port', 'protocol',
            'direction', 'action', 'hop_addr', 'interface_id', 'instance_id', 'vpc_id',
            'account_id',
        ],
        measures={
            'records': 'sum',
            'bytes': 'sum',
            'first_seen_at': 'min',
            'last_seen_at': 'max',
            'has_tcp_flags': 'any',
            'has_rst': 'any',
            'has_syn_ack': 'any',
        }
    ) }}

),

{# A day without such traffic gets one row of nulls, with the settings and the watermark
   of the run that read it. #}
every_day as (

    select
        days.started_date,
        flows.internal_addr,
        flows.external_addr,
        flows.port,
        flows.protocol,
        flows.direction,
        flows.action,
        flows.hop_addr,
        flows.interface_id,
        flows.instance_id,
        flows.vpc_id,
        flows.account_id,
        flows.records,
        flows.bytes,
        flows.first_seen_at,
        flows.last_seen_at,
        flows.has_tcp_flags,
        flows.has_rst,
        flows.has_syn_ack,
        '{{ vpc_flow_logs.build_settings() }}' as build_settings,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
            as loaded_through_at
    from days
    left join counted as flows
        on
            days.started_date = flows.started_date
            {# The row of nulls that the day may have. #}
            and flows.records is not null

)

select * from every_day
order by started_date
