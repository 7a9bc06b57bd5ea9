{# A host of ours that keeps to its ports of public servers uses a new one. #}

with

seen as (

    select
        started_date,
        host_addr as entity,
        port as thing,
        cast(null as varchar) as peer,
        port,
        min(protocol) as protocol,
        {{ vpc_flow_logs.sums_of_flow_measures() }}
    from {{ ref('vpc_flow_logs', 'int_detections__daily_ports') }}
    where
        host_role = 'client'
        and is_outside
        and exchanging_peers > 0
        and port < 32768
        and {{ vpc_flow_logs.in_history() }}
    group by started_date, host_addr, port

),

{{ vpc_flow_logs.first_seen('new_outbound_port') }}
