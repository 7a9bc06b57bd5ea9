{# A host of ours sends public addresses much more in a day than on its days before. #}

with

measured as (

    select
        flows.started_date,
        flows.client_addr as entity,
        cast(sum(flows.client_bytes) as bigint) as observed,
        {{ vpc_flow_logs.flow_measures() }}
    from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
    where
        flows.action = 'ACCEPT'
        and {{ vpc_flow_logs.is_own_end('client') }}
        and {{ vpc_flow_logs.is_outside_end('server') }}
        and {{ vpc_flow_logs.in_history('flows.started_date') }}
    group by flows.started_date, flows.client_addr

),

{{ vpc_flow_logs.above_baseline('upload_above_baseline') }}
