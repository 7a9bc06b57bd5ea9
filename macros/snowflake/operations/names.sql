{# The names of everything on Snowflake's side, in one place. All are plain identifiers,
   so that they need no quotes; Snowflake stores them in upper case. #}


{# Gives a name back if it needs no quotes; stops with a message if it does. #}
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
    {% do return(vpc_flow_logs.plain_identifier(target.database, 'the database of the profile')) %}
{% endmacro %}


{# The schema of landing table, stage and pipe, with its database. #}
{% macro landing_schema() %}
    {% set schema = vpc_flow_logs.plain_identifier(var('landing_schema'), 'landing_schema') %}
    {% do return(vpc_flow_logs.flow_logs_database() ~ '.' ~ schema) %}
{% endmacro %}


{# The schema of the models, with its database: the one that the profile names. #}
{% macro models_schema() %}
    {% set schema = vpc_flow_logs.plain_identifier(target.schema, 'the schema of the profile') %}
    {% do return(vpc_flow_logs.flow_logs_database() ~ '.' ~ schema) %}
{% endmacro %}


{# The landing table, with its schema. #}
{% macro landing_table() %}
    {% do return(vpc_flow_logs.landing_schema() ~ '.flow_logs') %}
{% endmacro %}


{# The pipe, with its schema: it has the name of the landing table. #}
{% macro flow_logs_pipe() %}
    {% do return(vpc_flow_logs.landing_table()) %}
{% endmacro %}


{# The external stage over the bucket, with its schema. #}
{% macro flow_logs_stage() %}
    {% do return(vpc_flow_logs.landing_schema() ~ '.flow_logs_stage') %}
{% endmacro %}


{# The UDF for people's worksheets, with its schema. #}
{% macro ipv4_is_internal_function() %}
    {% do return(vpc_flow_logs.models_schema() ~ '.ipv4_is_internal') %}
{% endmacro %}


{# The warehouse that the profile names. #}
{% macro flow_logs_warehouse() %}
    {% do return(vpc_flow_logs.plain_identifier(target.warehouse, 'the warehouse of the profile')) %}
{% endmacro %}


{# The monitor over the warehouse's credits. #}
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
    {% do return(vpc_flow_logs.plain_identifier(
        var('loader_role'), 'loader_role'
    )) %}
{% endmacro %}


{# The role that builds the models. #}
{% macro transformer_role() %}
    {% do return(vpc_flow_logs.plain_identifier(
        var('transformer_role'), 'transformer_role'
    )) %}
{% endmacro %}


{# The role that reads the models. #}
{% macro analyst_role() %}
    {% do return(vpc_flow_logs.plain_identifier(
        var('analyst_role'), 'analyst_role'
    )) %}
{% endmacro %}


{# The user that scheduled runs log in as. #}
{% macro service_user() %}
    {% do return(vpc_flow_logs.plain_identifier(
        var('service_user'), 'service_user'
    )) %}
{% endmacro %}


{# The policy that says from where the service user may log in. #}
{% macro service_network_policy() %}
    {% do return(vpc_flow_logs.service_user() ~ '_network') %}
{% endmacro %}
