{# The days after: what lies in the bucket, and whether Snowflake can read it. #}


{# `dbt run-operation list_stage`: the files below a path of the stage. A bucket holds
   many: name a day, such as AWSLogs/123456789012/vpcflowlogs/eu-west-1/2026/01/31/. #}
{% macro list_stage(path='', limit=100) %}
    {% do start_operation('list_stage', loader_role()) %}
    {% set stage = flow_logs_stage() %}
    {% do require_object('stages', stage, 'dbt run-operation setup_stage') %}
    {% set files = rows_of('list ' ~ stage_location(path)) %}
    {% for file in files[:limit] %}
        {% do print(file.name ~ '  ' ~ file.size ~ ' bytes  ' ~ file.last_modified) %}
    {% endfor %}
    {% do print('files: ' ~ files | length) %}
{% endmacro %}


{# `dbt run-operation preview_stage`: the first records of the files below a path, as
   they are, without loading anything. #}
{% macro preview_stage(path='', limit=5) %}
    {% do start_operation('preview_stage', loader_role()) %}
    {% set stage = flow_logs_stage() %}
    {% do require_object('stages', stage, 'dbt run-operation setup_stage') %}
    {% set sql %}
        select
            metadata$filename as file,
            metadata$file_row_number as record,
            to_json($1) as fields
        from {{ stage_location(path) }}
        limit {{ limit | int }}
    {% endset %}
    {% for row in rows_of(sql) %}
        {% do print(row.file ~ ' ' ~ row.record ~ ' ' ~ row.fields) %}
    {% else %}
        {% do print('no records below ' ~ stage_location(path)) %}
    {% endfor %}
{% endmacro %}


{# `dbt run-operation validate_integration`: whether Snowflake can list the location,
   and read `file`, a path below it, if one is named. Writing is not asked: the role may
   not. #}
{% macro validate_integration(file=none) %}
    {% do start_operation('validate_integration', 'setup_role or ' ~ loader_role()) %}
    {% set stage = flow_logs_stage() %}
    {% do require_object('stages', stage, 'dbt run-operation setup_stage') %}
    {% set location = find_object('stages', stage, ' in account').url %}
    {% set failures = [] %}
    {% for action in ['list', 'read'] if action == 'list' or file %}
        {# The function, unlike every statement, takes the name by its letters' case. #}
        {% set arguments = [
            text_literal(storage_integration() | upper),
            text_literal(location),
            text_literal(file or 'no-such-file'),
            text_literal(action),
        ] %}
        {% set answer = fromjson(rows_of(
            'select system$validate_storage_integration(\n    '
            ~ arguments | join(',\n    ') ~ '\n) as answer'
        )[0].answer) %}
        {% do print(action ~ ' ' ~ location ~ (file if action == 'read' else '') ~ ': '
            ~ answer.status) %}
        {% if answer.status != 'success' %}
            {% do failures.append(tojson(answer)) %}
        {% endif %}
    {% endfor %}
    {% if failures %}
        {% do exceptions.raise_compiler_error(
            'Snowflake cannot read the bucket through ' ~ storage_integration() ~ ': '
            ~ failures | join(', ') ~ ". Look at the role's trust and policy; a change"
            ~ ' there can take an hour to be seen.'
        ) %}
    {% endif %}
{% endmacro %}


{# `dbt run-operation trial_copy`: loads the files below a path into a temporary table,
   as the pipe would load them, and says how many records that gave. Nothing is left,
   and no load history that counts learns of it. #}
{% macro trial_copy(path) %}
    {% do start_operation('trial_copy', loader_role()) %}
    {% set node = graph.sources['source.vpc_flow_logs.vpc_flow.flow_logs'] %}
    {% set trial = node.relation_name ~ '_trial' %}
    {% do run_query(
        'create or replace temporary table ' ~ trial ~ ' like ' ~ node.relation_name
    ) %}
    {% do run_query(copy_into_landing_sql(node, trial, path)) %}
    {% for row in rows_of(
        'select metadata_filename as file, count(*) as records from ' ~ trial
        ~ ' group by metadata_filename order by metadata_filename'
    ) %}
        {% do print(row.file ~ ': ' ~ row.records ~ ' records') %}
    {% else %}
        {% do print('no records below ' ~ path) %}
    {% endfor %}
    {% do run_query('drop table ' ~ trial) %}
{% endmacro %}


{# A path of the stage, quoted if it has characters that need it. #}
{% macro stage_location(path) %}
    {% set location = '@' ~ flow_logs_stage() ~ '/' ~ (path or '').lstrip('/') %}
    {% if modules.re.fullmatch('[@A-Za-z0-9_$./-]+', location) %}
        {% do return(location) %}
    {% endif %}
    {% do return(text_literal(location)) %}
{% endmacro %}
