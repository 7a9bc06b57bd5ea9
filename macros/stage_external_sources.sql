{# The command of dbt_external_tables. Afterwards it tries failed files again, moves
   text logs, and checks that the pipes run: a plan without a statement doesn't prove
   that. #}
{% macro stage_external_sources(select=none) %}
    {% do vpc_flow_logs.require_dispatch() %}
    {% if target.type == 'snowflake' and var('setup_role') %}
        {# The loader role must own the table and the pipe, whoever stages first. #}
        {% do run_query('use role ' ~ vpc_flow_logs.account_names().loader_role) %}
    {% endif %}
    {% do dbt_external_tables.stage_external_sources(select) %}
    {% if not select or modules.re.search('(^| )vpc_flow([. ]|$)', select) %}
        {% do vpc_flow_logs.finish_staging() %}
    {% endif %}
{% endmacro %}


{# The command of this project or, in a project that installs it, the command there. #}
{% macro staging_command() %}
    {% do return(
        'stage_external_sources' if project_name == 'vpc_flow_logs'
        else "vpc_flow_logs.stage_external_sources --args '{select: vpc_flow}'"
    ) %}
{% endmacro %}


{# The source table that all models read. #}
{% macro landing_node() %}
    {% do return(graph.sources['source.vpc_flow_logs.vpc_flow.flow_logs']) %}
{% endmacro %}


{# The source table of the lines of text logs, on Snowflake. #}
{% macro text_logs_node() %}
    {% do return(graph.sources['source.vpc_flow_logs.vpc_flow.text_logs']) %}
{% endmacro %}


{# Stops where dbt_external_tables would not find the plans of this package. #}
{% macro require_dispatch() %}
    {% set plan = adapter.dispatch('get_external_build_plan', 'dbt_external_tables') %}
    {% if plan.macro.package_name == 'dbt_external_tables' %}
        {% do exceptions.raise_compiler_error(
            'dbt_project.yml must name vpc_flow_logs under dispatch. See'
            ~ ' docs/install.md.'
        ) %}
    {% endif %}
{% endmacro %}


{# The plan for a source that the calling plan is not made for; none if it is. A source
   of the project that installs this package gets the plan of dbt_external_tables. Ours
   is skipped where the command of dbt_external_tables was called instead of this
   package's: the variables of this package are not defined there. #}
{% macro other_build_plan(source_node, package_plan) %}
    {% if source_node.package_name != 'vpc_flow_logs' %}
        {% do return(package_plan(source_node)) %}
    {% elif var('allow_destructive_refresh', none) is none %}
        {% do log(
            source_node.relation_name ~ ' is left out. Its command is: dbt'
            ~ ' run-operation ' ~ vpc_flow_logs.staging_command(), info=true
        ) %}
        {% do return([]) %}
    {% endif %}
    {% do return(none) %}
{% endmacro %}


{# What staging does after the plans. #}
{% macro finish_staging() %}
    {{ return(adapter.dispatch('finish_staging', 'vpc_flow_logs')()) }}
{% endmacro %}

{# The loader has loaded all, and reported every error. #}
{% macro duckdb__finish_staging() %}
{% endmacro %}

{% macro snowflake__finish_staging() %}
    {% set nodes = [vpc_flow_logs.landing_node(), vpc_flow_logs.text_logs_node()] %}
    {% for node in nodes %}
        {% do vpc_flow_logs.retry_failed_loads(node) %}
    {% endfor %}
    {% do vpc_flow_logs.move_text_logs() %}
    {% for node in nodes %}
        {% do vpc_flow_logs.verify_pipe(node) %}
    {% endfor %}
{% endmacro %}


{# Stops or warns if a source has no pipe that loads files. #}
{% macro verify_pipe(source_node) %}
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
    {% set state = vpc_flow_logs.pipe_state(source_node.relation_name).get(
        'executionState'
    ) %}
    {% if state != 'RUNNING' %}
        {# Somebody paused it, or a full refresh stopped before its first step. #}
        {% do exceptions.warn(
            'The pipe ' ~ source_node.relation_name ~ ' is ' ~ state ~ ' and loads'
            ~ ' nothing. To resume it: alter pipe ' ~ source_node.relation_name
            ~ ' set pipe_execution_paused = false'
        ) %}
        {% do return(none) %}
    {% endif %}
    {% do log(
        'The pipe ' ~ source_node.relation_name ~ ' loads the files that '
        ~ (channel or 'the REST endpoint') ~ ' announces', info=true
    ) %}
{% endmacro %}
