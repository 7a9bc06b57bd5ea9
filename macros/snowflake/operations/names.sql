{# The names of objects on Snowflake. They are plain identifiers, which need no quotes;
   Snowflake stores them in upper case. #}


{# The names of all objects that set-up creates or that operations use, by the variable
   that sets each; objects in a schema with database and schema. #}
{% macro account_names() %}
    {% set names = {
        'database': target.database,
        'warehouse': target.warehouse,
        'landing_schema': var('landing_schema'),
        'models_schema': graph.nodes['model.vpc_flow_logs.flow_records'].schema,
        'storage_integration': var('storage_integration'),
        'loader_role': var('loader_role'),
        'transformer_role': var('transformer_role'),
        'analyst_role': var('analyst_role'),
        'service_user': var('service_user'),
    } %}
    {% for origin in names %}
        {% do names.update(
            {origin: vpc_flow_logs.plain_identifier(names[origin], origin)}
        ) %}
    {% endfor %}
    {% set landing = names.database ~ '.' ~ names.landing_schema %}
    {% set models = names.database ~ '.' ~ names.models_schema %}
    {% do names.update({
        'landing_schema': landing,
        'models_schema': models,
        'schemas': [landing, models] | unique | list,
        'table': landing ~ '.flow_logs',
        'pipe': landing ~ '.flow_logs',
        'text_logs': landing ~ '.text_logs',
        'pipes': [landing ~ '.flow_logs', landing ~ '.text_logs'],
        'stage': landing ~ '.flow_logs_stage',
        'enrichment_stage': landing ~ '.enrichment_stage',
        'inventory_stage': landing ~ '.inventory_stage',
        'function': models ~ '.ipv4_is_internal',
        'monitor': names.warehouse ~ '_monitor',
        'network_policy': names.service_user ~ '_network',
        'roles': [names.loader_role, names.transformer_role, names.analyst_role],
    }) %}
    {% do return(names) %}
{% endmacro %}


{# Returns a name in lower case, or stops with a message if it needs quotes. `origin`
   says where the name is set. #}
{% macro plain_identifier(name, origin) %}
    {% if not modules.re.fullmatch('[A-Za-z_][A-Za-z0-9_$]*', name or '') %}
        {% do exceptions.raise_compiler_error(
            origin ~ " is '" ~ (name or '') ~ "', which is no plain name: use letters,"
            ~ ' digits and underscores, and no digit first'
        ) %}
    {% endif %}
    {% do return(name | lower) %}
{% endmacro %}


{# The database of the profile. Models ask for it while dbt parses. #}
{% macro flow_logs_database() %}
    {% do return(vpc_flow_logs.plain_identifier(target.database, 'database')) %}
{% endmacro %}


{# The landing table or, by its name, another one beside it. Models ask for them while
   dbt parses. #}
{% macro landing_table(name='flow_logs') %}
    {% set schema = vpc_flow_logs.plain_identifier(
        var('landing_schema'), 'landing_schema'
    ) %}
    {% do return(vpc_flow_logs.flow_logs_database() ~ '.' ~ schema ~ '.' ~ name) %}
{% endmacro %}
