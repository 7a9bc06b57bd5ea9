{# A public address reaches an administrative port of ours that no public address
   reached in the window before. #}

with

contacts as (

    select * from {{ ref('vpc_flow_logs', 'int_detections__daily_ports') }}
    where
        host_role = 'server'
        and is_outside
        and {{ vpc_flow_logs.is_admin_port('port', 'protocol') }}
        and {{ vpc_flow_logs.in_history() }}

),

dated as (

    select
        *,
        lag(started_date) over (
            partition by host_addr, port, protocol order by started_date
        ) as previous_date
    from contacts

)

select
    started_date,
    host_addr as entity,
    cast(null as varchar) as peer,
    port,
    protocol,
    peers as observed,
    records,
    bytes,
    first_seen_at,
    last_seen_at,
    has_tcp_flags,
    has_flow_direction
from dated
where
    peers >= {{ vpc_flow_logs.threshold('new_admin_exposure') }}
    and {{ vpc_flow_logs.is_new_since('previous_date') }}
    and {{ vpc_flow_logs.has_history() }}
