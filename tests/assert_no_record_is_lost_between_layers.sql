{# Every staged record stands in flow_records or, if a transit gateway wrote it, in
   transit_gateway_records; only those of malformed files do not. Reads everything. #}
{{ config(tags=['audit']) }}

with

staged as (

    select
        metadata_filename,
        metadata_file_row_number
    from {{ ref('stg_vpc_flow__flow_logs') }}
    where {{ is_of_a_readable_file() }}

),

kept as (

    select
        metadata_filename,
        metadata_file_row_number
    from {{ ref('flow_records') }}
    union all
    select
        metadata_filename,
        metadata_file_row_number
    from {{ ref('transit_gateway_records') }}

),

lost as (

    select * from staged
    except
    select * from kept

)

select * from lost
