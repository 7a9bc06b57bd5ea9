{# One row per record of a transit gateway flow log. flow_records leaves these out,
   because the interfaces at both ends may have logged the same traffic. #}

with

records as (

    select * from {{ ref('vpc_flow_logs', 'stg_vpc_flow__flow_logs') }}
    where {{ vpc_flow_logs.is_transit_gateway_record() }}

)

select * from records
