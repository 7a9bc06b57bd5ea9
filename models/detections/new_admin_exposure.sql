{# A public address reaches an administrative port of ours that no public address
   reached in the window before. #}

with

contacts as (

    select
        flows.started_date,
        flows.server_addr,
        flows.server_port,
        flows.protocol,
        cast(count(distinct flows.client_addr) as bigint) as observed,
        {{ vpc_flow_logs.flow_measures() }}
    from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
    where
        {{ vpc_flow_logs.is_admin_port('flows.server_port', 'flows.protocol') }}
        and flows.action = 'ACCEPT'
        {# An answer alone, from a high port, may come from a client's own port. #}
        and (
            flows.server_port < 1024
            or flows.client_packets > 0
            or flows.server_packets = 0
        )
        and {{ vpc_flow_logs.in_history('flows.started_date') }}
        and {{ vpc_flow_logs.is_outside_end('client') }}
        and {{ vpc_flow_logs.is_own_end('server') }}
    group by flows.started_date, flows.server_addr, flows.server_port, flows.protocol

),

dated as (

    select
        *,
        lag(started_date) over (
            partition by server_addr, server_port, protocol order by started_date
        ) as previous_date
    from contacts

)

select
    started_date,
    server_addr as entity,
    cast(null as varchar) as peer,
    server_port as port,
    protocol,
    observed,
    records,
    bytes,
    first_seen_at,
    last_seen_at,
    has_tcp_flags,
    has_flow_direction
from dated
where
    observed >= {{ vpc_flow_logs.threshold('new_admin_exposure') }}
    and {{ vpc_flow_logs.is_new_since('previous_date') }}
    and {{ vpc_flow_logs.has_history() }}
