{# A host of ours sends public addresses much more in a day than on its days before. #}

with

measured as (

    select
        started_date,
        host_addr as entity,
        cast(sum(sent_bytes) as bigint) as observed,
        {{ vpc_flow_logs.sums_of_flow_measures() }}
    from {{ ref('vpc_flow_logs', 'int_detections__daily_networks') }}
    where host_addr is not null and {{ vpc_flow_logs.in_history() }}
    group by started_date, host_addr

),

{{ vpc_flow_logs.above_baseline('upload_above_baseline') }}
