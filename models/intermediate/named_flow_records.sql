{# The columns of flow_records that analysts read most, with names for numbers and the
   community id. The engines compute only the columns that a query reads. #}

with

records as (

    select * from {{ ref('vpc_flow_logs', 'flow_records') }}

),

{{ vpc_flow_logs.with_community_id('records') }},

named as (

    select
        metadata_filename,
        metadata_file_row_number,
        account_id,
        region,
        vpc_id,
        instance_id,
        interface_id,
        flow_log_id,
        started_at,
        ended_at,
        srcaddr,
        src_scope,
        srcport,
        dstaddr,
        dst_scope,
        dstport,
        protocol,
        {{ vpc_flow_logs.protocol_name('protocol') }} as protocol_name,
        tcp_flags,
        {{ vpc_flow_logs.tcp_flag_names('tcp_flags') }} as tcp_flag_names,
        flow_direction,
        action,
        packets,
        bytes,
        community_id
    from with_community_ids

)

select * from named
