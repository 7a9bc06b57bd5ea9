{# A client opens very many connections to one port that nobody answers, or that is
   closed at once. Hosts of ours that try a dead server of ours again and again don't
   count. #}

with

unanswered as (

    select
        flows.*,
        case
            when flows.syn_only_records > 0 then flows.syn_only_records
            when flows.server_packets = 0 then flows.records
            {# The request and the reply have a record each. #}
            else flows.records / 2
        end as connections
    from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
    where
        flows.protocol = 6
        and flows.action = 'ACCEPT'
        and flows.records >= {{ vpc_flow_logs.threshold('syn_flood') }}
        and {{ vpc_flow_logs.is_probe() }}
        {# Without flags, the size of a SYN. #}
        and (
            flows.syn_only_records > 0
            or flows.client_bytes <= 80 * flows.client_packets
        )
        and not (
            {{ vpc_flow_logs.is_own_end('client') }}
            and {{ vpc_flow_logs.is_own_end('server') }}
        )

)

select
    started_date,
    server_addr as entity,
    client_addr as peer,
    server_port as port,
    protocol,
    cast(floor(sum(connections)) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from unanswered
group by started_date, server_addr, client_addr, server_port, protocol
having sum(connections) >= {{ vpc_flow_logs.threshold('syn_flood') }}
