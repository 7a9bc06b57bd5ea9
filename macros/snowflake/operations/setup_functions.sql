{# `dbt run-operation setup_functions`: the UDF ipv4_is_internal, made from the macro of
   that name. Its comment has a checksum of its definition, so that a new version of the
   project replaces it. #}
{% macro setup_functions() %}
    {% do vpc_flow_logs.start_setup('setup_functions') %}
    {% set function = vpc_flow_logs.ipv4_is_internal_function() %}
    {% set body = vpc_flow_logs.ipv4_is_internal('ip') | trim %}
    {% set mark = vpc_flow_logs.creation_mark() ~ ', version ' ~ local_md5(body)[:8] %}
    {% set found = vpc_flow_logs.find_object(
        'user functions', function, ' in account'
    ) %}
    {% set description = (found or {}).get('description') or '' %}
    {% set sql -%}
        create {{ 'or replace ' if found }}function
        {{- ' if not exists' if not found }} {{ function }}(ip varchar)
        returns boolean
        language sql
        immutable
        comment = {{ vpc_flow_logs.text_literal(mark) }}
        as $$ {{ body }} $$
    {%- endset %}

    {% set changes = [] %}
    {% if found is none %}
        {% do changes.append({'what': 'create function ' ~ function, 'sql': sql}) %}
    {% elif not description.startswith(vpc_flow_logs.creation_mark()) %}
        {% do vpc_flow_logs.leave_alone('function ' ~ function) %}
    {% elif description != mark %}
        {% do changes.append({
            'what': 'replace function ' ~ function ~ ' by this version', 'sql': sql
        }) %}
    {% endif %}
    {% do return(vpc_flow_logs.apply_changes(changes)) %}
{% endmacro %}
