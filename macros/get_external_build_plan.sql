{# The statement that `dbt run-operation stage_external_sources` runs on DuckDB. It
   calls the loader in plugins/flow_log_loader, which loads every file that is not
   loaded yet. #}
{% macro duckdb__get_external_build_plan(source_node) %}
    {% set other = vpc_flow_logs.other_build_plan(
        source_node, dbt_external_tables.default__get_external_build_plan
    ) %}
    {% if other is not none %}
        {% do return(other) %}
    {% endif %}
    {% if source_node.meta.location_variable %}
        {% do return([vpc_flow_logs.call_of_loader('stage_line_files', {
            'location': source_node.external.location,
            'landing': '"' ~ source_node.schema ~ '"."' ~ source_node.identifier ~ '"',
            'variable': source_node.meta.location_variable,
            'pattern': source_node.external.pattern,
            'keeps_files': source_node.meta.keeps_files,
            's3_requester_pays': var('s3_requester_pays'),
        })]) %}
    {% endif %}
    {% do vpc_flow_logs.refuse_destructive_staging(source_node) %}
    {% set fields = {} %}
    {% for field in vpc_flow_logs.flow_log_fields() %}
        {% do fields.update({field.name: field.type}) %}
    {% endfor %}

    {% set settings = {
        'location': source_node.external.location,
        'landing_schema': source_node.schema,
        'landing_table': source_node.identifier,
        'history_table': source_node.meta.load_history,
        'fields': fields,
        'initial_fields': vpc_flow_logs.flow_log_fields()
            | selectattr('version', 'equalto', 2) | map(attribute='name') | list,
        'generic_fields': vpc_flow_logs.generic_fields(),
        'retry_quarantined': var('retry_quarantined'),
        'allow_another_location': var('allow_another_location'),
        's3_requester_pays': var('s3_requester_pays'),
        'full_refresh': var('ext_full_refresh'),
    } %}

    {% do return([vpc_flow_logs.call_of_loader('stage_flow_logs', settings)]) %}
{% endmacro %}


{# The statement that calls a function of the plugin. The function returns its error: if
   it raised it, dbt would print a traceback. #}
{% macro call_of_loader(function, settings) %}
    {% set escaped = tojson(settings) | replace("'", "''") %}
    {% do return(
        "/* load every file that is not loaded yet */"
        ~ "\nwith staged as materialized (select " ~ function ~ "('" ~ escaped
        ~ "') as outcome)"
        ~ "\nselect case when starts_with(outcome, 'error: ')"
        ~ " then error(substr(outcome, 8)) else outcome end as outcome from staged"
    ) %}
{% endmacro %}


{# Stops `ext_full_refresh` unless `allow_destructive_refresh` is set. #}
{% macro refuse_destructive_staging(source_node) %}
    {% if var('ext_full_refresh') and not var('allow_destructive_refresh') %}
        {% do exceptions.raise_compiler_error(
            'ext_full_refresh would drop ' ~ source_node.relation_name ~ ' and its load'
            ~ ' history. Records whose files are no longer in the bucket would be lost.'
            ~ ' To do it anyway, add allow_destructive_refresh: true to --vars. See'
            ~ ' docs/upgrading.md.'
        ) %}
    {% endif %}
{% endmacro %}
