{# Runs the build plan of every source table that has `external:`, one statement after
   another. `select`: a source, or source.table; several separated by spaces. #}
{% macro stage_external_sources(select=none) %}
    {% set wanted = select.split(' ') if select else [] %}
    {% set nodes = [] %}
    {% for node in graph.sources.values() if node.external %}
        {% set qualified = node.source_name ~ '.' ~ node.name %}
        {% if not wanted or node.source_name in wanted or qualified in wanted %}
            {% do nodes.append(node) %}
        {% endif %}
    {% endfor %}

    {% do log('No external sources selected', info=true) if not nodes %}

    {% for node in nodes %}
        {% set label = loop.index ~ ' of ' ~ loop.length %}
        {% set table = node.schema ~ '.' ~ node.identifier %}
        {% do log(label ~ ' START external source ' ~ table, info=true) %}
        {% set plan = dbt_external_tables.get_external_build_plan(node) %}
        {% do log(label ~ ' SKIP', info=true) if not plan %}

        {% for statement_sql in plan %}
            {% set step = label ~ ' (' ~ loop.index ~ ') ' %}
            {% set shown = statement_sql | replace('\n', '') | trim %}
            {% do log(step ~ shown[:flags.PRINTER_WIDTH], info=true) %}
            {% call statement('staging', fetch_result=true, auto_begin=false) %}
                {{ statement_sql }}
            {% endcall %}
            {% do log(step ~ load_result('staging')['response'], info=true) %}
        {% endfor %}
    {% endfor %}
{% endmacro %}


{# The list of statements that stage one source table; the project implements it. #}
{% macro get_external_build_plan(source_node) %}
    {{ return(
        adapter.dispatch('get_external_build_plan', 'dbt_external_tables')(source_node)
    ) }}
{% endmacro %}


{% macro default__get_external_build_plan(source_node) %}
    {% do exceptions.raise_compiler_error(
        'Staging external sources is not implemented for ' ~ target.type
    ) %}
{% endmacro %}


{# The package has a plan for Snowflake's external tables; this project needs none. #}
{% macro snowflake__get_external_build_plan(source_node) %}
    {{ return(dbt_external_tables.default__get_external_build_plan(source_node)) }}
{% endmacro %}
