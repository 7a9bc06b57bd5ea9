{# The names of all objects on Snowflake. They are plain identifiers, which need no
   quotes; Snowflake stores them in upper case. #}


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


{# The database that the profile names. #}
{% macro flow_logs_database() %}
    {% do return(vpc_flow_logs.plain_identifier(
        target.database, 'the database of the profile'
    )) %}
{% endmacro %}


{# The schema of landing table, stage and pipe, with its database. #}
{% macro landing_schema() %}
    {% set schema = vpc_flow_logs.plain_identifier(
        var('landing_schema'), 'landing_schema'
    ) %}
    {% do return(vpc_flow_logs.flow_logs_database() ~ '.' ~ schema) %}
{% endmacro %}


{# The schema of the models, with its database. #}
{% macro models_schema() %}
    {% set node = graph.nodes['model.vpc_flow_logs.flow_records'] %}
    {% set schema = vpc_flow_logs.plain_identifier(
        node.schema, 'the schema of the models'
    ) %}
    {% do return(vpc_flow_logs.flow_logs_database() ~ '.' ~ schema) %}
{% endmacro %}


{# Both schemas, or the one that is both. #}
{% macro own_schemas() %}
    {% do return([
        vpc_flow_logs.landing_schema(), vpc_flow_logs.models_schema()
    ] | unique | list) %}
{% endmacro %}


{# The landing table, with its schema. #}
{% macro landing_table() %}
    {% do return(vpc_flow_logs.landing_schema() ~ '.flow_logs') %}
{% endmacro %}


{# The tables that pipes load, with their schema: the landing table, and the lines of
   text logs. Each pipe has the name of its table. #}
{% macro loaded_tables() %}
    {% do return([
        vpc_flow_logs.landing_table(), vpc_flow_logs.landing_schema() ~ '.text_logs'
    ]) %}
{% endmacro %}


{# The pipe of the landing table, with its schema. #}
{% macro flow_logs_pipe() %}
    {% do return(vpc_flow_logs.landing_table()) %}
{% endmacro %}


{# The external stage over the bucket, with its schema. #}
{% macro flow_logs_stage() %}
    {% do return(vpc_flow_logs.landing_schema() ~ '.flow_logs_stage') %}
{% endmacro %}


{# The UDF for worksheets, with its schema. #}
{% macro ipv4_is_internal_function() %}
    {% do return(vpc_flow_logs.models_schema() ~ '.ipv4_is_internal') %}
{% endmacro %}


{# The warehouse that the profile names. #}
{% macro flow_logs_warehouse() %}
    {% do return(vpc_flow_logs.plain_identifier(
        target.warehouse, 'the warehouse of the profile'
    )) %}
{% endmacro %}


{# The resource monitor of the warehouse. #}
{% macro resource_monitor() %}
    {% do return(vpc_flow_logs.flow_logs_warehouse() ~ '_monitor') %}
{% endmacro %}


{# The storage integration. #}
{% macro storage_integration() %}
    {% do return(vpc_flow_logs.plain_identifier(
        var('storage_integration'), 'storage_integration'
    )) %}
{% endmacro %}


{# The role that stages files. #}
{% macro loader_role() %}
    {% do return(vpc_flow_logs.plain_identifier(var('loader_role'), 'loader_role')) %}
{% endmacro %}


{# The role that builds the models. #}
{% macro transformer_role() %}
    {% do return(vpc_flow_logs.plain_identifier(
        var('transformer_role'), 'transformer_role'
    )) %}
{% endmacro %}


{# The role that reads the models. #}
{% macro analyst_role() %}
    {% do return(vpc_flow_logs.plain_identifier(var('analyst_role'), 'analyst_role')) %}
{% endmacro %}


{# The three roles. #}
{% macro own_roles() %}
    {% do return([
        vpc_flow_logs.loader_role(),
        vpc_flow_logs.transformer_role(),
        vpc_flow_logs.analyst_role(),
    ]) %}
{% endmacro %}


{# The user of scheduled runs. #}
{% macro service_user() %}
    {% do return(vpc_flow_logs.plain_identifier(var('service_user'), 'service_user')) %}
{% endmacro %}


{# The network policy of the service user: the addresses from which it may log in. #}
{% macro service_network_policy() %}
    {% do return(vpc_flow_logs.service_user() ~ '_network') %}
{% endmacro %}
