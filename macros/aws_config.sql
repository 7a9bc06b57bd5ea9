{# Configuration snapshots of AWS Config, as a second source of the inventory:
   https://docs.aws.amazon.com/config/latest/developerguide/example-s3-snapshot.html #}


{# Where the columns of a kind are in a configuration item: its type, and the paths of
   its columns. Columns without a path are null. #}
{% macro config_kinds() %}
    {% set tags = {'name': 'tags.Name', 'tags': 'tags'} %}
    {% set place = {
        'vpc_id': 'configuration.vpcId', 'subnet_id': 'configuration.subnetId',
    } %}
    {% do return({
        'instances': ('AWS::EC2::Instance', dict(
            place,
            instance_id='configuration.instanceId',
            instance_type='configuration.instanceType',
            state='configuration.state.name',
            launched_at='configuration.launchTime',
            **tags
        )),
        'interfaces': ('AWS::EC2::NetworkInterface', dict(
            place,
            interface_id='configuration.networkInterfaceId',
            interface_type='configuration.interfaceType',
            status='configuration.status',
            description='configuration.description',
            requester_id='configuration.requesterId',
            owner_id='configuration.ownerId',
            availability_zone='configuration.availabilityZone',
            instance_id='configuration.attachment.instanceId',
            attached_at='configuration.attachment.attachTime',
            **tags
        )),
        'security_groups': ('AWS::EC2::SecurityGroup', dict(
            vpc_id='configuration.vpcId',
            security_group_id='configuration.groupId',
            name='configuration.groupName',
            description='configuration.description',
            tags='tags'
        )),
        'subnets': ('AWS::EC2::Subnet', dict(
            place,
            cidr='configuration.cidrBlock',
            az_id='configuration.availabilityZoneId',
            availability_zone='configuration.availabilityZone',
            **tags
        )),
    }) %}
{% endmacro %}


{# CTEs of a kind; the last one is `config_rows`, with the columns of the kind as text.
   The file's name has the account, the region and the time of the snapshot. A file says
   nothing of kinds that it lacks, since AWS Config may not record them. #}
{% macro with_config_rows(kind, columns) -%}
{%- set kinds = vpc_flow_logs.config_kinds() -%}
{%- set type, paths = kinds.get(kind, (none, {})) -%}
{%- set name = "split_part(metadata_filename, '/', -1)" -%}
{%- set time = 'split_part(' ~ name ~ ", '_', 5)" -%}
{%- set parts = [] -%}
{%- for start, size, mark in [
    (1, 4, '-'), (5, 2, '-'), (7, 2, ' '), (10, 2, ':'), (12, 2, ':'), (14, 2, ''),
] -%}
{%- do parts.append(
    'substr(' ~ time ~ ', ' ~ start ~ ', ' ~ size ~ ") || '" ~ mark ~ "'"
) -%}
{%- endfor -%}
{%- set named = {
    'snapshot_at': parts | join(' || '),
    'account_id': 'split_part(' ~ name ~ ", '_', 1)",
    'region': 'split_part(' ~ name ~ ", '_', 3)",
} -%}
documents as (

    select
        metadata_filename,
        {{ dbt.listagg('value', "' '", 'order by metadata_file_row_number') }}
            as document
    from {{ source('vpc_flow', 'inventory_rows') }}
    where
        value is not null
        and split_part({{ name }}, '_', 4) = 'ConfigSnapshot'
    group by metadata_filename

),

config_items as (

    {{ vpc_flow_logs.json_elements('configurationItems') }}

),

{% if kind == 'snapshots' -%}
kinds_by_type as (

    {% for found, (type_of_kind, _) in kinds.items() %}
        select
            '{{ type_of_kind }}' as resource_type,
            '{{ found }}' as kind
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

config_elements as (

    select
        config_items.metadata_filename,
        cast(count(*) as varchar) as rows_found,
        kinds_by_type.kind
    from config_items
    inner join kinds_by_type
        on
            {{ vpc_flow_logs.json_text('config_items.element', 'resourceType') }}
            = kinds_by_type.resource_type
    group by config_items.metadata_filename, kinds_by_type.kind

),

{% else -%}
items_of_type as (

    select
        metadata_filename,
        element as item
    from config_items
    where {{ vpc_flow_logs.json_text('element', 'resourceType') }} = '{{ type }}'

),

config_elements as (

    {% if kind == 'interfaces' %}
        {{ vpc_flow_logs.json_elements(
            'configuration.privateIpAddresses', 'items_of_type', 'item'
        ) }}
        union all
        {{ vpc_flow_logs.json_elements(
            'configuration.ipv6Addresses', 'items_of_type', 'item'
        ) }}
    {% else %}
        select * from items_of_type
    {% endif %}

),

{% endif -%}

config_rows as (

    {% set variants = [{}] %}
    {% if kind == 'snapshots' %}
        {% set variants = [{
            'kind': 'kind', 'rows': 'rows_found', 'is_complete': "'true'"
        }] %}
    {% elif kind == 'interfaces' %}
        {% set private = vpc_flow_logs.json_text('element', 'privateIpAddress') %}
        {% set public = vpc_flow_logs.json_text('element', 'association.publicIp') %}
        {% set ipv6 = vpc_flow_logs.json_text('element', 'ipv6Address') %}
        {% set primary = vpc_flow_logs.json_text('element', 'primary') %}
        {% set variants = [
            {
                'address': 'coalesce(' ~ private ~ ', ' ~ ipv6 ~ ')',
                'address_type':
                    'case when ' ~ ipv6 ~ " is null then 'private' else 'ipv6' end",
                'is_primary': primary,
            },
            {
                'address': public, 'address_type': "'public'",
                'private_address': private, 'is_primary': primary,
            },
        ] %}
    {% endif %}
    {% for variant in variants %}
        select
            {% for column in columns %}
                {% if column in named %}
                    {{ named[column] }}
                {% elif column in variant %}
                    {{ variant[column] }}
                {% elif column in paths %}
                    {{ vpc_flow_logs.json_text('item', paths[column]) }}
                {% else %}
                    null
                {% endif %} as {{ 'row_count' if column == 'rows' else column }}
                {{- ',' if not loop.last }}
            {% endfor %}
        from config_elements
        {% if 'private_address' in variant %}
            where {{ variant.address }} is not null
        {% endif %}
        {{ 'union all' if not loop.last }}
    {% endfor %}

)
{%- endmacro %}
