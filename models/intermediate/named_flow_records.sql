{# The columns of flow_records that analysts read most, with names for numbers and the
   community id. The engines compute only the columns that a query reads. #}

with

vpcs as (

    select
        interface_id as vpc_interface_id,
        max(vpc_id) as interface_vpc_id
    from {{ ref('vpc_flow_logs', 'interfaces_over_time') }}
    group by interface_id

),

records as (

    select
        records.*,
        coalesce(records.vpc_id, vpcs.interface_vpc_id) as vpc_of_interface
    from {{ ref('vpc_flow_logs', 'flow_records') }} as records
    left join vpcs on records.interface_id = vpcs.vpc_interface_id

),

{{ vpc_flow_logs.with_community_id('records') }},

named as (

    select
        named.metadata_filename,
        named.metadata_file_row_number,
        named.account_id,
        named.region,
        named.vpc_id,
        named.instance_id,
        named.interface_id,
        named.flow_log_id,
        named.started_at,
        named.ended_at,
        named.srcaddr,
        named.src_scope,
        named.srcport,
        {{ vpc_flow_logs.owner_columns('src', 'named.srcaddr', in_vpc=true) }},
        named.dstaddr,
        named.dst_scope,
        named.dstport,
        {{ vpc_flow_logs.owner_columns('dst', 'named.dstaddr', in_vpc=true) }},
        named.protocol,
        {{ vpc_flow_logs.protocol_name('named.protocol') }} as protocol_name,
        named.tcp_flags,
        {{ vpc_flow_logs.tcp_flag_names('named.tcp_flags') }} as tcp_flag_names,
        named.flow_direction,
        named.action,
        named.packets,
        named.bytes,
        named.community_id
    from with_community_ids as named
    {% for end in ['src', 'dst'] %}
        {{ vpc_flow_logs.left_join_owners(
            end,
            'named.' ~ end ~ 'addr',
            'named.started_at',
            'named.vpc_of_interface'
        ) }}
    {% endfor %}

)

select * from named
