{# A host of ours that keeps to the ports that it serves serves a new one. Systems
   assign ports from 32768 on by themselves, so those don't count. #}

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
        host_role = 'server'
        and exchanging_peers > 0
        and port < 32768
        and {{ vpc_flow_logs.in_history() }}
    group by started_date, host_addr, port

),

{{ vpc_flow_logs.first_seen('new_service') }}
