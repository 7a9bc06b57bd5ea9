{# A client has very many records with one port of a server, for a few hours of a day
   alone. A load balancer has as many in all hours. A day whose logs cover few more
   hours is not judged. #}

with

busy as (

    select
        *,
        {{ vpc_flow_logs.hours_in('active_hours') }} as hours
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
    where
        protocol = 6
        and action = 'ACCEPT'
        and records >= {{ vpc_flow_logs.threshold('connection_flood') }}
        and not {{ vpc_flow_logs.is_probe() }}

),

logged as (

    select
        started_date,
        {{ vpc_flow_logs.hours_in(vpc_flow_logs.bit_or_agg('active_hours')) }} as hours
    from {{ ref('vpc_flow_logs', 'int_traffic__interface_addresses') }}
    group by started_date

),

bursts as (

    select busy.*
    from busy
    inner join logged
        on busy.started_date = logged.started_date
    where busy.hours <= 3 and logged.hours >= busy.hours + 4

)

select
    started_date,
    server_addr as entity,
    client_addr as peer,
    server_port as port,
    protocol,
    cast(floor(max(records / hours)) as bigint) as observed,
    {{ vpc_flow_logs.flow_measures() }}
from bursts
group by started_date, server_addr, client_addr, server_port, protocol
having max(records / hours) >= {{ vpc_flow_logs.threshold('connection_flood') }}
