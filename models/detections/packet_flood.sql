{# A host of ours sends a public address very many packets, of whatever protocol, which
   are hardly answered and, by TCP, carry no data. Without ports the client is the lower
   address, so the host may be the server. #}

with

sent as (

    select
        flows.*,
        case when flows.is_own_client then flows.client_addr else flows.server_addr end
            as host_addr,
        case when flows.is_own_client then flows.server_addr else flows.client_addr end
            as peer_addr,
        case
            when flows.is_own_client then flows.client_packets
            else flows.server_packets
        end / {{ vpc_flow_logs.hours_in('flows.active_hours') }} as packets_an_hour
    from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
    where
        flows.action = 'ACCEPT'
        and flows.client_packets + flows.server_packets
        >= {{ vpc_flow_logs.threshold('packet_flood') }}
        {# Floods of TCP have no data. #}
        and (
            flows.protocol != 6
            or flows.client_bytes + flows.server_bytes
            <= 100 * (flows.client_packets + flows.server_packets)
        )
        and 200 * least(flows.client_packets, flows.server_packets)
        <= greatest(flows.client_packets, flows.server_packets)
        and (
            (
                {{ vpc_flow_logs.is_own_end('client') }}
                and {{ vpc_flow_logs.is_outside_end('server') }}
            )
            or (
                flows.server_port is null
                and {{ vpc_flow_logs.is_own_end('server') }}
                and {{ vpc_flow_logs.is_outside_end('client') }}
            )
        )

)

select
    started_date,
    host_addr as entity,
    peer_addr as peer,
    server_port as port,
    protocol,
    cast(floor(max(packets_an_hour)) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from sent
group by started_date, host_addr, peer_addr, server_port, protocol
having max(packets_an_hour) >= {{ vpc_flow_logs.threshold('packet_flood') }}
