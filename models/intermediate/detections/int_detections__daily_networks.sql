{# One row per UTC day, host of ours, network outside and protocol: the accepted traffic
   of the host as a client there. #}

{% set flows = ref('vpc_flow_logs', 'int_detections__flows') %}
{% set version = vpc_flow_logs.code_version() %}
{% set in_history = vpc_flow_logs.in_history() %}
{% set days = vpc_flow_logs.stale_days(this, version, in_history) %}

with

{{ vpc_flow_logs.loaded_days(in_history) }},

outbound as (

    select
        flows.*,
        {{ vpc_flow_logs.wide_network('flows.server_addr') }} as network,
        {# The servers of DNS and NTP change. #}
        flows.protocol in (6, 17)
        and flows.server_port not in (53, 123)
        and not {{ vpc_flow_logs.is_probe() }} as is_exchange
    from {{ flows }} as flows
    where
        flows.action = 'ACCEPT'
        and {{ vpc_flow_logs.is_own_end('client') }}
        and {{ vpc_flow_logs.is_outside_end('server') }}
        and {{ vpc_flow_logs.in_history('flows.started_date') }}
        and {{ vpc_flow_logs.on_days(days, 'flows.started_date') }}

),

networks as (

    select
        started_date,
        client_addr as host_addr,
        network,
        protocol,
        min(server_addr) as server_addr,
        min(case when is_exchange then server_addr end) as exchanging_server_addr,
        cast(sum(client_bytes) as bigint) as sent_bytes,
        {{ vpc_flow_logs.flow_measures() }}
    from outbound
    group by started_date, client_addr, network, protocol

),

{{ vpc_flow_logs.every_day('networks', days, version, [
    'host_addr', 'network', 'protocol', 'server_addr', 'exchanging_server_addr',
    'sent_bytes', 'records', 'bytes', 'first_seen_at', 'last_seen_at', 'has_tcp_flags',
    'has_flow_direction',
]) }}

select * from every_day
order by started_date
