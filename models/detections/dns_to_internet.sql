{# A host of ours asks a few public DNS servers that are no known resolvers. A host that
   asks many is a resolver itself. #}

with

asked as (

    select
        flows.*,
        {{ vpc_flow_logs.is_own_end('client') }}
        and {{ vpc_flow_logs.is_outside_end('server') }} as is_to_outside
    from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
    where
        flows.server_port in (53, 853, 5353)
        and flows.action = 'ACCEPT'
        {# What comes from port 53 without a question is noise of the internet. #}
        and flows.client_packets > 0
        and flows.server_addr not in (
            '1.0.0.1', '1.1.1.1', '8.8.4.4', '8.8.8.8', '9.9.9.9', '149.112.112.112',
            '208.67.220.220', '208.67.222.222', '2001:4860:4860::8844',
            '2001:4860:4860::8888', '2606:4700:4700::1001', '2606:4700:4700::1111',
            '2620:fe::9', '2620:fe::fe'
        )

),

servers as (

    select
        started_date,
        client_addr,
        server_addr,
        server_port,
        protocol,
        {{ vpc_flow_logs.flow_measures() }}
    from asked
    where is_to_outside
    group by started_date, client_addr, server_addr, server_port, protocol

),

counted as (

    select
        *,
        count(*) over (partition by started_date, client_addr) as servers
    from servers

)

select
    started_date,
    client_addr as entity,
    server_addr as peer,
    server_port as port,
    protocol,
    records as observed,
    records,
    bytes,
    first_seen_at,
    last_seen_at,
    has_tcp_flags,
    has_flow_direction
from counted
where servers <= 20 and records >= {{ vpc_flow_logs.threshold('dns_to_internet') }}
