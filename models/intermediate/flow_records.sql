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

colon_forms as (

    select
        *,
        {{ ipv6_colon_form('srcaddr') }} as src_colon_form,
        {{ ipv6_colon_form('dstaddr') }} as dst_colon_form
    from records

),

hexadecimal as (

    select
        *,
        {{ ipv6_to_hex('src_colon_form') }} as src_hex,
        {{ ipv6_to_hex('dst_colon_form') }} as dst_hex
    from colon_forms

),

numbered as (

    select
        *,
        {{ address_to_ipv4_integer('srcaddr', 'src_hex') }} as src_ipv4,
        {{ address_to_ipv4_integer('dstaddr', 'dst_hex') }} as dst_ipv4,
        split_part(split_part(metadata_filename, '/', -1), '_', 4) as file_name_part
    from hexadecimal

),

scoped as (

    select
        metadata_filename,
        metadata_file_row_number,
        {% for field in flow_log_fields() if field.version != 6 %}
            {{ field.column }},
        {% endfor %}
        case when file_name_part like 'fl-%' then file_name_part end as flow_log_id,
        {{ address_scope('srcaddr', 'src_hex', 'src_ipv4') }} as src_scope,
        {{ address_scope('dstaddr', 'dst_hex', 'dst_ipv4') }} as dst_scope,
        {{ is_plausible_time('started_at', 'loaded_at') }} as has_plausible_time,
        loaded_at
    from numbered

),

each_once as (

    select * from scoped
    {{ first_of_each_record() }}

)

select * from each_once
