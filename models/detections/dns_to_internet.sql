{# A host of ours asks public DNS servers that are no known resolvers. #}

select
    flows.started_date,
    flows.client_addr as entity,
    flows.server_addr as peer,
    flows.server_port as port,
    flows.protocol,
    cast(sum(flows.records) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
where
    flows.server_port in (53, 853, 5353)
    and flows.action = 'ACCEPT'
    and flows.server_addr not in (
        '1.0.0.1', '1.1.1.1', '8.8.4.4', '8.8.8.8', '9.9.9.9', '149.112.112.112',
        '208.67.220.220', '208.67.222.222', '2001:4860:4860::8844',
        '2001:4860:4860::8888', '2606:4700:4700::1001', '2606:4700:4700::1111',
        '2620:fe::9', '2620:fe::fe'
    )
    and {{ vpc_flow_logs.is_own_end('client') }}
    and {{ vpc_flow_logs.is_outside_end('server') }}
group by
    flows.started_date,
    flows.client_addr,
    flows.server_addr,
    flows.server_port,
    flows.protocol
having sum(flows.records) >= {{ vpc_flow_logs.threshold('dns_to_internet') }}
