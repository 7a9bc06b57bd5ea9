{# Two addresses, one of them public, use an uncommon protocol. #}

select
    flows.started_date,
    flows.client_addr as entity,
    flows.server_addr as peer,
    cast(null as bigint) as port,
    flows.protocol,
    cast(sum(flows.client_packets + flows.server_packets) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
where
    flows.protocol not in (1, 6, 17, 58)
    and flows.action = 'ACCEPT'
    {# What our end does not answer is noise of the internet. #}
    and case
        when flows.is_own_client then flows.client_packets
        else flows.server_packets
    end > 0
    and (
        ({{ vpc_flow_logs.is_outside_end('client') }})
        or ({{ vpc_flow_logs.is_outside_end('server') }})
    )
group by flows.started_date, flows.client_addr, flows.server_addr, flows.protocol
having
    sum(flows.client_packets + flows.server_packets)
    >= {{ vpc_flow_logs.threshold('uncommon_protocol') }}
