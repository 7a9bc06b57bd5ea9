{# Every field of every version of the format, with its type. The loader, the staging
   view and the landing table are made from this list. Numbers are bigint, because files
   have them as INT32 or INT64. `start` and `end` are seconds since 1970, UTC.
   https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html #}
{% macro flow_log_fields() %}
    {% set versions = {
        2: {
            'version': 'bigint', 'account_id': 'varchar', 'interface_id': 'varchar',
            'srcaddr': 'varchar', 'dstaddr': 'varchar', 'srcport': 'bigint',
            'dstport': 'bigint', 'protocol': 'bigint', 'packets': 'bigint',
            'bytes': 'bigint', 'start': 'timestamp', 'end': 'timestamp',
            'action': 'varchar', 'log_status': 'varchar',
        },
        3: {
            'vpc_id': 'varchar', 'subnet_id': 'varchar', 'instance_id': 'varchar',
            'tcp_flags': 'bigint', 'type': 'varchar', 'pkt_srcaddr': 'varchar',
            'pkt_dstaddr': 'varchar',
        },
        4: {
            'region': 'varchar', 'az_id': 'varchar', 'sublocation_type': 'varchar',
            'sublocation_id': 'varchar',
        },
        5: {
            'pkt_src_aws_service': 'varchar', 'pkt_dst_aws_service': 'varchar',
            'flow_direction': 'varchar', 'traffic_path': 'bigint',
        },
        6: {
            'resource_type': 'varchar', 'tgw_id': 'varchar',
            'tgw_attachment_id': 'varchar', 'tgw_pair_attachment_id': 'varchar',
            'tgw_src_vpc_account_id': 'varchar', 'tgw_dst_vpc_account_id': 'varchar',
            'tgw_src_vpc_id': 'varchar', 'tgw_dst_vpc_id': 'varchar',
            'tgw_src_subnet_id': 'varchar', 'tgw_dst_subnet_id': 'varchar',
            'tgw_src_eni': 'varchar', 'tgw_dst_eni': 'varchar',
            'tgw_src_az_id': 'varchar', 'tgw_dst_az_id': 'varchar',
            'packets_lost_no_route': 'bigint', 'packets_lost_blackhole': 'bigint',
            'packets_lost_mtu_exceeded': 'bigint',
            'packets_lost_ttl_expired': 'bigint',
        },
        7: {
            'ecs_cluster_arn': 'varchar', 'ecs_cluster_name': 'varchar',
            'ecs_container_instance_arn': 'varchar',
            'ecs_container_instance_id': 'varchar', 'ecs_container_id': 'varchar',
            'ecs_second_container_id': 'varchar', 'ecs_service_name': 'varchar',
            'ecs_task_definition_arn': 'varchar', 'ecs_task_arn': 'varchar',
            'ecs_task_id': 'varchar',
        },
        8: {'reject_reason': 'varchar'},
        9: {'resource_id': 'varchar'},
        10: {'encryption_status': 'bigint'},
        11: {
            'instance_tag': 'varchar', 'instance_tag_2': 'varchar',
            'interface_tag': 'varchar', 'interface_tag_2': 'varchar',
            'asg_tag': 'varchar', 'asg_tag_2': 'varchar', 'interface_type': 'varchar',
            'next_hop_interface_id': 'varchar', 'next_hop_subnet_id': 'varchar',
            'next_hop_az_id': 'varchar', 'next_hop_vpc_id': 'varchar',
            'next_hop_interface_type': 'varchar',
        },
    } %}

    {% set fields = [] %}
    {% for version, types in versions.items() %}
        {% for name, type in types.items() %}
            {% do fields.append({
                'name': name,
                'column': name ~ 'ed_at' if type == 'timestamp' else name,
                'type': type,
                'version': version,
            }) %}
        {% endfor %}
    {% endfor %}
    {% do return(fields) %}
{% endmacro %}


{# The fields that other kinds of files have as well. A file with none but these is not
   a flow log. #}
{% macro generic_fields() %}
    {% do return([
        'version', 'account_id', 'srcport', 'dstport', 'protocol', 'packets', 'bytes',
        'start', 'end', 'action', 'vpc_id', 'subnet_id', 'instance_id', 'type',
        'region', 'az_id', 'resource_type', 'resource_id',
    ]) %}
{% endmacro %}


{# The value of one field, typed. Null if the file has no such column, for the text `-`,
   and for the account id `unknown`. `landed` lists the fields of the landing table: on
   DuckDB it gets a column when a file with that field is loaded. Snowflake reads the
   columns of landed_elements or, in place of the second one, `text`. #}
{% macro flow_log_field(field, landed, text=none) -%}
    {%- set value = adapter.dispatch('flow_log_field', 'vpc_flow_logs')(
        field, landed, text or field.name ~ '_text'
    ) -%}
    {{ "nullif(" ~ value ~ ", 'unknown')" if field.name == 'account_id' else value }}
{%- endmacro %}

{% macro duckdb__flow_log_field(field, landed, text) -%}
    {%- if field.name not in landed -%}
        cast(null as {{ field.type }})
    {%- elif field.type == 'varchar' -%}
        nullif("{{ field.name }}", '-')
    {%- else -%}
        "{{ field.name }}"
    {%- endif -%}
{%- endmacro %}

{% macro snowflake__flow_log_field(field, landed, text) -%}
    {%- if field.name.endswith('account_id') -%}
        {#- A number has lost the zeros in front. -#}
        case
            when typeof({{ field.name }}_element) = 'INTEGER'
                then lpad({{ text }}, 12, '0')
            else nullif({{ text }}, '-')
        end
    {%- elif field.type == 'varchar' -%}
        nullif({{ text }}, '-')
    {%- elif field.type == 'bigint' -%}
        try_cast({{ text }} as bigint)
    {%- else -%}
        {#- A plain cast of a number would depend on the session's time zone. -#}
        case
            when try_cast({{ text }} as bigint) between -62135596800 and 9000000000000
                then to_timestamp_ntz(try_cast({{ text }} as bigint))
        end
    {%- endif -%}
{%- endmacro %}


{# The columns of the landing table. On Snowflake also two for each field: the element
   of a record's VARIANT that holds it, and its text. #}
{% macro landed_elements() -%}
    {{ return(adapter.dispatch('landed_elements', 'vpc_flow_logs')()) }}
{%- endmacro %}

{% macro duckdb__landed_elements() -%}
    *
{%- endmacro %}

{% macro snowflake__landed_elements() -%}
    value,
    metadata_filename,
    metadata_file_row_number
    {%- for field in vpc_flow_logs.flow_log_fields() %},
    {{ vpc_flow_logs.landed_element(field.name) }} as {{ field.name }}_element,
    {{ vpc_flow_logs.landed_element(field.name, true) }} as {{ field.name }}_text
    {%- endfor %}
{%- endmacro %}


{# The element of a record's VARIANT that holds a field, or its text. The documentation
   of AWS has `account-id` for `account_id`, and letters may be of either case. #}
{% macro landed_element(name, as_text=false) -%}
    {%- set elements = [] -%}
    {%- for spelling in [name, name | replace('_', '-')] | unique -%}
        {%- set element = "get_ignore_case(value, '" ~ spelling ~ "')" -%}
        {%- do elements.append(
            'cast(' ~ element ~ ' as varchar)' if as_text else element
        ) -%}
    {%- endfor -%}
    {{ elements[0] if elements | length == 1
        else 'coalesce(' ~ elements | join(', ') ~ ')' }}
{%- endmacro %}


{# The names of the fields of the landing table. A build without that table stops
   here. #}
{% macro landed_fields(landing) -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- do vpc_flow_logs.refuse_before_staging() -%}
    {%- endif -%}
    {{ return(adapter.dispatch('landed_fields', 'vpc_flow_logs')(landing)) }}
{%- endmacro %}

{% macro duckdb__landed_fields(landing) %}
    {% if not execute or load_relation(landing) is none %}
        {% do return([]) %}
    {% endif %}
    {% do return(
        adapter.get_columns_in_relation(landing) | map(attribute='name') | list
    ) %}
{% endmacro %}

{# One VARIANT column has all delivered fields. #}
{% macro snowflake__landed_fields(landing) %}
    {% do return(vpc_flow_logs.flow_log_fields() | map(attribute='name') | list) %}
{% endmacro %}
