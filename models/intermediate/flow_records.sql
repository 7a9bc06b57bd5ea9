{{ config(cluster_by=var('flow_records_cluster_by')) }}

{% set since = read_since(this, 'loaded_at') if is_incremental() else none %}

with

records as (

    select * from {{ ref('stg_vpc_flow__flow_logs') }}
    where
        {{ is_loaded_after(since) }}
        and not ({{ is_transit_gateway_record() }})
        and {{ is_of_a_readable_file() }}

),

{{ with_address_scopes('records', {'srcaddr': 'src_scope', 'dstaddr': 'dst_scope'}) }},

identified as (

    select
        metadata_filename,
        metadata_file_row_number,
        {% for field in flow_log_fields() if field.version != 6 %}
            {{ field.column }},
        {% endfor %}
        {{ flow_log_id('metadata_filename') }} as flow_log_id,
        src_scope,
        dst_scope,
        {{ is_plausible_time('started_at', 'loaded_at') }} as has_plausible_time,
        loaded_at
    from scoped

),

each_once as (

    select * from identified
    {{ first_of_each_record() }}

)

select * from each_once
