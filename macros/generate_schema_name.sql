{# The schema of a node. A project that installs this package gets the models in a
   schema `vpc_flow_logs`, so that their names don't collide with its own; its own
   generate_schema_name, or dbt's, decides what that schema is called. #}
{% macro generate_schema_name(custom_schema_name, node) %}
    {% set installed = project_name != 'vpc_flow_logs' %}
    {% if installed and custom_schema_name is none %}
        {% set custom_schema_name = 'vpc_flow_logs' %}
    {% endif %}
    {% set own = context.get(project_name, {}).get('generate_schema_name') %}
    {% if installed and own %}
        {% do return(own(custom_schema_name, node)) %}
    {% endif %}
    {% do return(dbt.generate_schema_name(custom_schema_name, node)) %}
{% endmacro %}
