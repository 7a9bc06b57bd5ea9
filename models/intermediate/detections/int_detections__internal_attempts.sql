{# One row per UTC day, client, server, port and action, for TCP between hosts of ours:
   what reaches or tries an administrative port, and what fails. The rest between the two
   hosts is one row without port and action. #}

{% set flows = ref('vpc_flow_logs', 'int_detections__flows') %}
{% set version = vpc_flow_logs.code_version() %}
{% set in_history = vpc_flow_logs.in_history() %}
{% set days = vpc_flow_logs.stale_days(this, version, in_history) %}

with

{{ vpc_flow_logs.loaded_days(in_history) }},

classified as (

    select
        *,
        {{ vpc_flow_logs.is_scan() }} as has_failed,
        action = 'ACCEPT' and not {{ vpc_flow_logs.is_probe() }} as is_exchange,
        {{ vpc_flow_logs.is_scan() }}
        or server_port in (22, 135, 139, 445, 3389, 5985, 5986) as is_attempt
    from {{ flows }}
    where
        protocol = 6
        and server_port is not null
        and is_own_client
        and is_own_server
        and {{ in_history }}
        and {{ vpc_flow_logs.on_days(days) }}

),

attempts as (

    select
        started_date,
        client_addr,
        server_addr,
        case when is_attempt then server_port end as server_port,
        case when is_attempt then action end as action,
        has_failed,
        case when is_attempt then is_exchange end as is_exchange,
        {{ vpc_flow_logs.flow_measures() }}
    from classified
    group by all

),

{{ vpc_flow_logs.every_day('attempts', days, version, [
    'client_addr', 'server_addr', 'server_port', 'action', 'has_failed', 'is_exchange',
    'records', 'bytes', 'first_seen_at', 'last_seen_at', 'has_tcp_flags',
    'has_flow_direction',
]) }}

select * from every_day
order by started_date
