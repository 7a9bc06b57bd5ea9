{# Descriptions as comments in Snowflake. dbt sends three statements for them after each
   model of each run. Here a mart or view gets its comments in the statement that
   creates it, and an incremental model only when a description has changed. These
   macros replace dbt's own of the same names. #}


{# Replaces dbt's statements; see above. #}
{% macro persist_docs(relation, model, for_relation=true, for_columns=true) %}
    {% if target.type != 'snowflake' %}
        {% do dbt.persist_docs(relation, model, for_relation, for_columns) %}
    {% endif %}
{% endmacro %}


{# The columns of a table with a contract, with comments; then the table's comment. #}
{% macro get_table_columns_and_constraints() %}
    {% if target.type != 'snowflake' %}
        {{ dbt.get_table_columns_and_constraints() }}
    {% else %}
        {% set definitions = adapter.render_raw_columns_constraints(
            raw_columns=model.columns
        ) %}
        (
            {%- for column in model.columns.values() %}
            {{ definitions[loop.index0] }}
                comment {{ vpc_flow_logs.comment_literal(column) }}
                {{- ',' if not loop.last }}
            {%- endfor %}
        )
        comment = {{ vpc_flow_logs.comment_literal(model) }}
    {% endif %}
{% endmacro %}


{# The columns of a view on Snowflake, with comments; then the view's comment. #}
{% macro get_persist_docs_column_list(model_columns, query_columns) %}
    {{ dbt.get_persist_docs_column_list(model_columns, query_columns) }}
    comment = {{ vpc_flow_logs.comment_literal(model) }}
{% endmacro %}


{# The description of a model or column as a literal. #}
{% macro comment_literal(described) %}
    {{- vpc_flow_logs.text_literal(described.description | trim) -}}
{% endmacro %}


{# Runs after each command (on-run-end). It compares the comments of the incremental
   models that were built with their descriptions, and writes those that differ. #}
{% macro persist_changed_descriptions(results) %}
    {% if execute and target.type == 'snowflake' and flags.WHICH in ('build', 'run') %}
        {% set nodes = [] %}
        {% for result in results if result.status == 'success'
            and result.node.package_name == 'vpc_flow_logs'
            and result.node.config.materialized == 'incremental'
            and result.node.config.persist_docs.get('columns') %}
            {% do nodes.append(result.node) %}
        {% endfor %}
        {% for schema, built in nodes | groupby('schema') %}
            {% set held = vpc_flow_logs.comments_in(built[0].database, schema) %}
            {% for node in built
                if held[node.alias | lower] != vpc_flow_logs.comments_of(node) %}
                {% set relation = adapter.get_relation(
                    node.database, node.schema, node.alias
                ) %}
                {% do run_query(alter_relation_comment(relation, node.description)) %}
                {% do run_query(alter_column_comment(relation, node.columns)) %}
            {% endfor %}
        {% endfor %}
    {% endif %}
    {{ vpc_flow_logs.no_sql() }}
{% endmacro %}


{# The comments in a schema: for each table, those of its columns by name, and its own
   under an empty name. #}
{% macro comments_in(database, schema) %}
    {% set sql %}
        select
            lower(table_name) as table_name,
            '' as column_name,
            comment
        from {{ database }}.information_schema.tables
        where lower(table_schema) = lower('{{ schema }}')
        union all
        select
            lower(table_name) as table_name,
            lower(column_name) as column_name,
            comment
        from {{ database }}.information_schema.columns
        where lower(table_schema) = lower('{{ schema }}')
    {% endset %}
    {% set held = {} %}
    {% for row in vpc_flow_logs.rows_of(sql) %}
        {% do held.setdefault(row.table_name, {}).update({
            row.column_name: (row.comment or '') | trim
        }) %}
    {% endfor %}
    {% do return(held) %}
{% endmacro %}


{# The comments that a model should have, in the form of comments_in. #}
{% macro comments_of(node) %}
    {% set comments = {'': node.description} %}
    {% for column in node.columns.values() %}
        {% do comments.update({column.name | lower: column.description}) %}
    {% endfor %}
    {% set escaped = {} %}
    {% for name, text in comments.items() %}
        {# dbt writes a dollar sign in brackets. #}
        {% do escaped.update({name: text | replace('$', '[$]') | trim}) %}
    {% endfor %}
    {% do return(escaped) %}
{% endmacro %}
