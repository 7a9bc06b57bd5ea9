{# Which network interfaces carried most? It reads all records. The mart
   `top_talkers_by_interface` reads the last `lookback_days` days. #}
{{ config(enabled=project_name == 'vpc_flow_logs') }}

with

records as (

    select
        interface_id,
        bytes,
        packets
    from {{ ref('vpc_flow_logs', 'stg_vpc_flow__flow_logs') }}
    where action = 'ACCEPT' and interface_id is not null and bytes is not null

),

totals as (

    select
        interface_id,
        sum(bytes) as total_bytes,
        sum(packets) as total_packets,
        count(*) as records
    from records
    group by all

)

select * from totals
order by total_bytes desc, interface_id asc
limit 10
