{# One row per UTC day, host of ours, role, port and protocol: the accepted TCP and UDP
   traffic of the host as a client or a server. Most rules on ports, and those on what
   is new to a host, read these rows. #}

{% set flows = ref('vpc_flow_logs', 'int_detections__flows') %}
{% set version = vpc_flow_logs.code_version() %}
{% set in_history = vpc_flow_logs.in_history() %}
{% set days = vpc_flow_logs.stale_days(this, version, in_history) %}

with

{{ vpc_flow_logs.loaded_days(in_history) }},

roles as (

    {% for role, other in {'client': 'server', 'server': 'client'}.items() %}
        select
            flows.started_date,
            flows.{{ role }}_addr as host_addr,
            '{{ role }}' as host_role,
            {{ vpc_flow_logs.is_outside_end(other) }} as is_outside,
            flows.server_port as port,
            flows.protocol,
            flows.server_port < 1024 or flows.orientation_method = 'tcp_flags'
                as is_clear,
            count(*) as peers,
            count(case when not {{ vpc_flow_logs.is_probe() }} then 1 end)
                as exchanging_peers,
            {{ vpc_flow_logs.flow_measures() }}
        from {{ flows }} as flows
        where
            flows.action = 'ACCEPT'
            and flows.protocol in (6, 17)
            and flows.server_port is not null
            and {{ vpc_flow_logs.is_own_end(role) }}
            {% if role == 'client' %}
                and flows.client_packets > 0
            {% else %}
                {# An answer alone, from a high port, may come from a client's own
                   port. #}
                and (flows.server_port < 1024 or flows.client_packets > 0)
                and not {{ vpc_flow_logs.is_unanswered() }}
            {% endif %}
            and {{ vpc_flow_logs.in_history('flows.started_date') }}
            and {{ vpc_flow_logs.on_days(days, 'flows.started_date') }}
        group by
            flows.started_date,
            flows.{{ role }}_addr,
            {{ vpc_flow_logs.is_outside_end(other) }},
            flows.server_port,
            flows.protocol,
            flows.server_port < 1024 or flows.orientation_method = 'tcp_flags'
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

counted as (

    select
        *,
        case
            when is_outside and not {{ vpc_flow_logs.is_service_port('port') }}
                then peers
            else 0
        end as unclear_peers
    from roles

),

{# Without flags, a port from 1024 on may be that of a client: NAT gateways take theirs
   from there. A host that exchanges data in the other role, with many addresses outside
   on ports of no known service, has so many such ports that they say nothing. #}
clear_ones as (

    select * from counted
    qualify
        is_clear
        or not is_outside
        or sum(unclear_peers) over (partition by started_date, host_addr)
        - sum(unclear_peers) over (partition by started_date, host_addr, host_role) < 20

),

ports as (

    select
        started_date,
        host_addr,
        host_role,
        is_outside,
        port,
        protocol,
        cast(sum(peers) as bigint) as peers,
        cast(sum(exchanging_peers) as bigint) as exchanging_peers,
        {{ vpc_flow_logs.sums_of_flow_measures() }}
    from clear_ones
    group by started_date, host_addr, host_role, is_outside, port, protocol

),

{{ vpc_flow_logs.every_day('ports', days, version, [
    'host_addr', 'host_role', 'is_outside', 'port', 'protocol', 'peers',
    'exchanging_peers', 'records', 'bytes', 'first_seen_at', 'last_seen_at',
    'has_tcp_flags', 'has_flow_direction',
]) }}

select * from every_day
order by started_date
