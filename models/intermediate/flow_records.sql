{# One row per record of a network interface, each exactly once, with the scope of both
   addresses. On Snowflake each run adds the records loaded since the last one. On
   DuckDB this is a view, because landing already holds the records typed. #}

{{ config(cluster_by=var('flow_records_cluster_by')) }}

{% set since = none %}
{% if is_incremental() %}
    {% set since = vpc_flow_logs.watermark(this, 'loaded_at') %}
{% endif %}
{% set repeated = vpc_flow_logs.repeated_loads(since) %}

with

unread as (

    {{ vpc_flow_logs.unread_records(since, repeated) }}

),

records as (

    select * from unread
    where
        not ({{ vpc_flow_logs.is_transit_gateway_record() }})
        and {{ vpc_flow_logs.is_well_formed() }}

),

{{ vpc_flow_logs.with_address_scopes('records', {
    'srcaddr': 'src_scope',
    'dstaddr': 'dst_scope',
}) }},

identified as (

    select
        metadata_filename,
        metadata_file_row_number,
        {# Only transit gateways fill the fields of version 6. #}
        {% for field in vpc_flow_logs.flow_log_fields() if field.version != 6 %}
            {% if field.column == 'region' %}
                {{ vpc_flow_logs.region_of('region', 'metadata_filename') }} as region,
            {% elif field.name in ('bytes', 'packets') %}
                case
                    when {{ vpc_flow_logs.is_plausible_count(field.column) }}
                        then {{ field.column }}
                end as {{ field.column }},
            {% else %}
                {{ field.column }},
            {% endif %}
        {% endfor %}
        {{ vpc_flow_logs.flow_log_id('metadata_filename') }} as flow_log_id,
        src_scope,
        dst_scope,
        {{ vpc_flow_logs.is_plausible_time('started_at', 'loaded_at') }}
            as has_plausible_time,
        loaded_at
    from scoped

),

each_once as (

    select * from identified
    {{- vpc_flow_logs.qualify_first_load(repeated) }}

),

new_records as (

    select * from each_once
    where {{ vpc_flow_logs.is_loaded_after(since) }}

)

select * from new_records
