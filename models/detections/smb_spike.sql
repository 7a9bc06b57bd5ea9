{# A host of ours reaches or tries many more internal hosts on the ports of Windows file
   sharing in a day than on its days before. #}

with

{# Few hosts try so many. #}
busy_days as (

    select
        flows.started_date,
        flows.client_addr
    from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
    where
        flows.server_port in (139, 445)
        and flows.protocol = 6
        and {{ vpc_flow_logs.is_own_end('client') }}
        and {{ vpc_flow_logs.in_history('flows.started_date') }}
    group by flows.started_date, flows.client_addr
    having
        count(distinct flows.server_addr)
        >= {{ vpc_flow_logs.threshold('smb_spike') }}

),

clients as (

    select distinct client_addr
    from busy_days

),

flows_of_clients as (

    select flows.*
    from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
    inner join clients on flows.client_addr = clients.client_addr
    where {{ vpc_flow_logs.in_history('flows.started_date') }}

),

{# A day without such traffic counts as zero. #}
measured as (

    select
        started_date,
        client_addr as entity,
        cast(
            count(
                distinct case
                    when server_port in (139, 445) and protocol = 6 and is_own_server
                        then server_addr
                end
            ) as bigint
        ) as observed,
        {{ vpc_flow_logs.flow_measures() }}
    from flows_of_clients
    group by started_date, client_addr

),

{{ vpc_flow_logs.above_baseline('smb_spike') }}
