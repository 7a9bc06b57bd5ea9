{# `dbt run-operation setup_database`: the database and the two schemas. #}
{% macro setup_database() %}
    {% do start_setup('setup_database') %}
    {% set changes = [] %}
    {% set database = flow_logs_database() %}
    {% set mark = text_literal(creation_mark()) %}
    {% if find_object('databases', database) is none %}
        {% do changes.append({
            'what': 'create database ' ~ database,
            'sql': 'create database if not exists ' ~ database ~ ' comment = ' ~ mark,
        }) %}
    {% endif %}
    {% for schema in [landing_schema(), models_schema()] | unique %}
        {% if find_object('schemas', schema, ' in account') is none %}
            {% do changes.append({
                'what': 'create schema ' ~ schema,
                'sql': 'create schema if not exists ' ~ schema ~ ' comment = ' ~ mark,
            }) %}
        {% endif %}
    {% endfor %}
    {% do return(apply_changes(changes)) %}
{% endmacro %}
