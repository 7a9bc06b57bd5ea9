{# `dbt run-operation setup_database`: the database and the two schemas. #}
{% macro setup_database() %}
    {% do vpc_flow_logs.start_setup('setup_database') %}
    {% set changes = [] %}
    {% set database = vpc_flow_logs.flow_logs_database() %}
    {% set mark = vpc_flow_logs.text_literal(vpc_flow_logs.creation_mark()) %}
    {% if vpc_flow_logs.find_object('databases', database) is none %}
        {% do changes.append({
            'what': 'create database ' ~ database,
            'sql': 'create database if not exists ' ~ database ~ ' comment = ' ~ mark,
        }) %}
    {% endif %}
    {% for schema in vpc_flow_logs.own_schemas() %}
        {% if vpc_flow_logs.find_object('schemas', schema, ' in account') is none %}
            {% do changes.append({
                'what': 'create schema ' ~ schema,
                'sql': 'create schema if not exists ' ~ schema ~ ' comment = ' ~ mark,
            }) %}
        {% endif %}
    {% endfor %}
    {% do return(vpc_flow_logs.apply_changes(changes)) %}
{% endmacro %}
