{# The command of dbt_external_tables, and then a look at whether it worked: that the
   package has nothing to do proves nothing. #}
{% macro stage_external_sources(select=none) %}
    {% if target.type == 'snowflake' and var('setup_role') %}
        {# The loader must own table and pipe, whoever stages first. #}
        {% do run_query('use role ' ~ vpc_flow_logs.loader_role()) %}
    {% endif %}
    {% do dbt_external_tables.stage_external_sources(select) %}
    {% for node in graph.sources.values() if node.external %}
        {% do vpc_flow_logs.verify_staging(node) %}
    {% endfor %}
{% endmacro %}


{% macro verify_staging(source_node) %}
    {{ return(adapter.dispatch('verify_staging', 'vpc_flow_logs')(source_node)) }}
{% endmacro %}

{# The loader has raised whatever there was. #}
{% macro duckdb__verify_staging(source_node) %}
{% endmacro %}


{% macro snowflake__verify_staging(source_node) %}
    {% set pipe = vpc_flow_logs.find_object(
        'pipes', source_node.relation_name, vpc_flow_logs.in_schema_of(source_node)
    ) %}
    {% if pipe is none %}
        {% do exceptions.raise_compiler_error(
            'There is no pipe ' ~ source_node.relation_name ~ ' after staging.'
        ) %}
    {% endif %}
    {% set channel = pipe.notification_channel %}
    {% if var('snowpipe_auto_ingest') and not channel %}
        {% do exceptions.raise_compiler_error(
            'The pipe ' ~ source_node.relation_name ~ ' has no notification channel,'
            ~ ' so no event can reach it.'
        ) %}
    {% endif %}
    {% set state = vpc_flow_logs.pipe_state(source_node.relation_name).get('executionState') %}
    {% if state != 'RUNNING' %}
        {# Someone may want it so; or a full refresh stopped before its first step. #}
        {% do exceptions.warn(
            'The pipe ' ~ source_node.relation_name ~ ' is ' ~ state ~ ' and loads'
            ~ ' nothing. If it is to go on: alter pipe ' ~ source_node.relation_name
            ~ ' set pipe_execution_paused = false'
        ) %}
        {% do return(none) %}
    {% endif %}
    {% do log(
        'The pipe ' ~ source_node.relation_name ~ ' loads what '
        ~ (channel or 'the REST endpoint') ~ ' announces', info=true
    ) %}
{% endmacro %}
