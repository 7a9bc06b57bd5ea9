{# A host of ours that keeps to its networks outside reaches a new one. #}

with

seen as (

    select
        started_date,
        host_addr as entity,
        network as thing,
        min(exchanging_server_addr) as peer,
        cast(null as bigint) as port,
        min(protocol) as protocol,
        {{ vpc_flow_logs.sums_of_flow_measures() }}
    from {{ ref('vpc_flow_logs', 'int_detections__daily_networks') }}
    where exchanging_server_addr is not null and {{ vpc_flow_logs.in_history() }}
    group by started_date, host_addr, network

),

{{ vpc_flow_logs.first_seen('new_destination') }}
