{# A host of ours sends much to a network outside that no host of ours reached in the
   window before. #}

with

reached as (

    select * from {{ ref('vpc_flow_logs', 'int_detections__daily_networks') }}
    where host_addr is not null and {{ vpc_flow_logs.in_history() }}

),

networks as (

    select
        started_date,
        network,
        lag(started_date) over (partition by network order by started_date)
            as previous_date
    from reached
    group by started_date, network

),

new_networks as (

    select * from networks
    where
        {{ vpc_flow_logs.is_new_since('previous_date') }}
        and {{ vpc_flow_logs.has_history() }}

),

uploads as (

    select reached.*
    from reached
    inner join new_networks
        on
            reached.started_date = new_networks.started_date
            and reached.network = new_networks.network

)

select
    started_date,
    host_addr as entity,
    cast(null as varchar) as peer,
    cast(null as bigint) as port,
    cast(null as bigint) as protocol,
    cast(sum(sent_bytes) as bigint) as observed,
    {{ vpc_flow_logs.sums_of_flow_measures() }}
from uploads
group by started_date, host_addr
having sum(sent_bytes) >= {{ vpc_flow_logs.threshold('upload_to_new_network') }}
