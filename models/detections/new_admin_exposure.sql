{# A public address reaches an administrative port of ours that no public address
   reached in the window before. #}

with

{{ vpc_flow_logs.reached_flows(
    'client',
    'server',
    vpc_flow_logs.is_admin_port('flows.server_port', 'flows.protocol')
    ~ ' and ' ~ vpc_flow_logs.in_history('flows.started_date'),
) }},

contacts as (

    select
        started_date,
        server_addr,
        server_port,
        protocol,
        cast(count(distinct client_addr) as bigint) as observed,
        {{ vpc_flow_logs.flow_measures() }}
    from reached
    group by started_date, server_addr, server_port, protocol

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
