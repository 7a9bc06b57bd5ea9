{# The inventory: what AWS says of interfaces, rules and networks at the time of a
   snapshot. `python -m bootstrap inventory` writes it. #}


{# The columns of the inventory by kind, with their types, as bootstrap/inventory.py
   writes them. #}
{% macro inventory_columns() %}
    {% set kinds = {
        'instances': 'instance_id instance_type state launched_at:timestamp vpc_id'
            ~ ' subnet_id name tags',
        'interfaces': 'interface_id address address_type private_address'
            ~ ' is_primary:boolean interface_type status description requester_id'
            ~ ' owner_id vpc_id subnet_id az_id availability_zone instance_id'
            ~ ' attached_at:timestamp security_group_ids name tags',
        'load_balancers': 'load_balancer_id type scheme dns_name vpc_id'
            ~ ' created_at:timestamp name tags',
        'prefix_lists': 'prefix_list_id name owner_id address_family cidr description'
            ~ ' tags',
        'route_tables': 'route_table_id vpc_id is_main:boolean kind name tags',
        'security_group_attachments': 'interface_id security_group_id',
        'security_group_rules': 'security_group_id rule_id direction protocol'
            ~ ' from_port:integer to_port:integer peer_type peer description tags',
        'security_groups': 'security_group_id vpc_id description name tags',
        'snapshots': 'kind rows:bigint is_complete:boolean error',
        'subnets': 'subnet_id vpc_id cidr ipv6_cidr az_id availability_zone'
            ~ ' route_table_id route_kind name tags',
        'vpc_endpoints': 'endpoint_id endpoint_type service_name state vpc_id'
            ~ ' route_table_id name tags',
        'vpcs': 'vpc_id cidr is_default:boolean name tags',
    } %}
    {% set columns = {} %}
    {% for kind, words in kinds.items() %}
        {% set types = {} %}
        {% for word in ('snapshot_at:timestamp account_id region ' ~ words).split() %}
            {% set name, type = (word ~ ':varchar').split(':')[:2] %}
            {% do types.update({name: type}) %}
        {% endfor %}
        {% do columns.update({kind: types}) %}
    {% endfor %}
    {% do return(columns) %}
{% endmacro %}


{# The query of a staging view: the rows of one kind, from all snapshots. The folder of
   a file is the kind. Some kinds are in snapshots of AWS Config as well. #}
{% macro inventory_rows(kind) -%}
{%- set columns = vpc_flow_logs.inventory_columns()[kind] -%}
with

items as (

    select {{ vpc_flow_logs.parsed_json('value', columns) }} as item
    from {{ source('vpc_flow', 'inventory_rows') }}
    where
        value is not null
        and split_part('/' || metadata_filename, '/', -2) = '{{ kind }}'

),

{% set from_config = kind == 'snapshots' or kind in vpc_flow_logs.config_kinds() -%}
{%- if from_config -%}
{{ vpc_flow_logs.with_config_rows(kind, columns) }},

{% endif -%}

found as (

    select
        {%- for column in columns %}
        cast(item['{{ column }}'] as varchar)
            as {{ 'row_count' if column == 'rows' else column }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from items
    {%- if from_config %}
    union all
    select * from config_rows
    {%- endif %}

)

select
    {%- for column, type in columns.items() %}
    {%- set text = 'row_count' if column == 'rows' else column %}
    {{ vpc_flow_logs.time_from_json(text) if type == 'timestamp'
        else text if type == 'varchar'
        else 'cast(' ~ text ~ ' as ' ~ type ~ ')' }}
        as {{ text -}}
    {{ ',' if not loop.last }}
    {%- endfor %}
from found
{%- endmacro %}


{# The value of the tag that names an owner, from the tags as JSON. #}
{% macro owner_tag(tags) -%}
    {%- set tag = var('owner_tag') | replace("'", "''") -%}
    cast({{ vpc_flow_logs.parsed_json(tags, [tag]) }}['{{ tag }}'] as varchar)
{%- endmacro %}


{# The joins of the owner of an address at a time, for owner_columns with the same
   `end`: the owner that no other VPC contradicts and, with `vpc_id`, the one in that
   VPC. A join that compares columns alone is fast. #}
{% macro left_join_owners(end, address, time, vpc_id=none) -%}
    {%- for place in ['in_vpc', 'anywhere'] if vpc_id or place == 'anywhere' -%}
    {%- set owners = end ~ '_' ~ place %}
    left join {{ ref('vpc_flow_logs', 'address_owners') }} as {{ owners }}
        on
            {{ address }} = {{ owners }}.address
            and {{ time }} >= {{ owners }}.owned_from
            and {{ time }} < coalesce(
                {{ owners }}.owned_until, {{ vpc_flow_logs.time_literal('9999-12-31') }}
            )
            {%- if place == 'in_vpc' %}
            and {{ vpc_id }} = {{ owners }}.vpc_id
            {%- else %}
            and {{ owners }}.is_only_owner
            {%- endif %}
    {%- endfor %}
{%- endmacro %}


{# The columns `<end>_name` and `<end>_owner` of an address: `unknown` if nobody knows,
   null without an address. `in_vpc` if left_join_owners has a VPC. #}
{% macro owner_columns(end, address, in_vpc=false) -%}
    {%- for column in ['name', 'owner'] -%}
    case
        when {{ address }} is not null
            then coalesce(
                {%- if in_vpc %}{{ end }}_in_vpc.{{ column }}, {% endif -%}
                {{ end }}_anywhere.{{ column }}, 'unknown'
            )
    end as {{ end }}_{{ column }}{{ ',' if not loop.last }}
    {% endfor -%}
{%- endmacro %}


{# Whether a table is built and has no rows. The input of a unit test is no table. #}
{% macro is_empty(relation) %}
    {% do return(
        execute
        and not relation.is_cte
        and load_relation(relation) is not none
        and not run_query('select 1 from ' ~ relation ~ ' limit 1').rows
    ) %}
{% endmacro %}


{# A JSON object, whose fields are `object['name']`. #}
{% macro parsed_json(text, names) -%}
    {{ return(adapter.dispatch('parsed_json', 'vpc_flow_logs')(text, names)) }}
{%- endmacro %}

{# DuckDB parses the text once for all fields. #}
{% macro duckdb__parsed_json(text, names) -%}
    from_json({{ text }}, '{
        {%- for name in names -%}
        "{{ name }}": "VARCHAR"{{ ', ' if not loop.last }}
        {%- endfor -%}
    }')
{%- endmacro %}

{% macro snowflake__parsed_json(text, names) -%}
    parse_json({{ text }})
{%- endmacro %}


{# The time in a JSON field, to the second: text such as 2026-01-31 23:55:00. On
   Snowflake a column of Parquet may be microseconds since 1970. #}
{% macro time_from_json(text) -%}
    {{ return(adapter.dispatch('time_from_json', 'vpc_flow_logs')(text)) }}
{%- endmacro %}

{% macro duckdb__time_from_json(text) -%}
    cast(left({{ text }}, 19) as timestamp)
{%- endmacro %}

{% macro snowflake__time_from_json(text) -%}
    coalesce(
        to_timestamp_ntz(floor(try_cast({{ text }} as bigint) / 1000000)),
        try_to_timestamp_ntz(
            left(replace({{ text }}, 'T', ' '), 19), 'YYYY-MM-DD HH24:MI:SS'
        )
    )
{%- endmacro %}
