with

records as (

    select * from {{ ref('stg_vpc_flow__flow_logs') }}
    where {{ is_transit_gateway_record() }}

)

select * from records
