{# Creates a view, as dbt does. On DuckDB its SQL leaves out the database, which has the
   name of the file: the view also works after the file is renamed, or attached under
   another name. #}
{% macro get_create_view_as_sql(relation, sql) %}
    {% if target.type == 'duckdb' %}
        {% set sql = sql | replace(adapter.quote(relation.database) ~ '.', '') %}
    {% endif %}
    {{ dbt.get_create_view_as_sql(relation, sql) }}
{% endmacro %}
