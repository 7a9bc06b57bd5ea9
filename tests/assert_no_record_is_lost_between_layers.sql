{# Every staged record is in flow_records or, if it is a transit gateway's, in
   transit_gateway_records, except those of malformed files. Reads all records. #}
{{ config(tags=['audit']) }}

with

staged as (

    select
        metadata_filename,
        metadata_file_row_number
    from {{ ref('vpc_flow_logs', 'stg_vpc_flow__flow_logs') }}
    where {{ vpc_flow_logs.is_well_formed() }}

),

kept as (

    select
        metadata_filename,
        metadata_file_row_number
    from {{ ref('vpc_flow_logs', 'flow_records') }}
    union all
    select
        metadata_filename,
        metadata_file_row_number
    from {{ ref('vpc_flow_logs', 'transit_gateway_records') }}

),

lost as (

    select * from staged
    except
    select * from kept

)

select * from lost
