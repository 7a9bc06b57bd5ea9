{# Operations on the stage: which files it has and whether Snowflake can read them. #}


{# `dbt run-operation list_stage`: the files below a path of the stage. A bucket has
   many files, so name a day: AWSLogs/123456789012/vpcflowlogs/eu-west-1/2026/01/31/. #}
{% macro list_stage(path='', limit=100) %}
    {% set names = vpc_flow_logs.start_operation('list_stage', var('loader_role')) %}
    {% do vpc_flow_logs.require_object('stages', names.stage, 'setup_stage') %}
    {% set location = vpc_flow_logs.stage_location(path) %}
    {% set files = vpc_flow_logs.rows_of('list ' ~ location) %}
    {% for file in files[:limit] %}
        {% do print(file.name ~ '  ' ~ file.size ~ ' bytes  ' ~ file.last_modified) %}
    {% endfor %}
    {% do print('files: ' ~ files | length) %}
{% endmacro %}


{# `dbt run-operation preview_stage`: the first records of the Parquet files below a
   path. It loads nothing. #}
{% macro preview_stage(path='', limit=5) %}
    {% set names = vpc_flow_logs.start_operation('preview_stage', var('loader_role')) %}
    {% do vpc_flow_logs.require_object('stages', names.stage, 'setup_stage') %}
    {% set sql %}
        select
            metadata$filename as file,
            metadata$file_row_number as record,
            to_json($1) as fields
        from {{ vpc_flow_logs.stage_location(path) }}
        limit {{ limit | int }}
    {% endset %}
    {% for row in vpc_flow_logs.rows_of(sql) %}
        {% do print(row.file ~ ' ' ~ row.record ~ ' ' ~ row.fields) %}
    {% else %}
        {% do print('no records below ' ~ vpc_flow_logs.stage_location(path)) %}
    {% endfor %}
{% endmacro %}


{# `dbt run-operation validate_integration`: whether Snowflake can list the location
   and, with `file`, read that path below it. It does not try to write: the role may
   not. #}
{% macro validate_integration(file=none) %}
    {% set names = vpc_flow_logs.start_operation(
        'validate_integration', 'setup_role or ' ~ var('loader_role')
    ) %}
    {% do vpc_flow_logs.require_object('stages', names.stage, 'setup_stage') %}
    {% set stage = vpc_flow_logs.find_object('stages', names.stage, ' in account') %}
    {% set failures = [] %}
    {% for action in ['list', 'read'] if action == 'list' or file %}
        {# This function needs the name in upper case, unlike a statement. #}
        {% set arguments = [
            vpc_flow_logs.text_literal(names.storage_integration | upper),
            vpc_flow_logs.text_literal(stage.url),
            vpc_flow_logs.text_literal(file or 'no-such-file'),
            vpc_flow_logs.text_literal(action),
        ] %}
        {% set answer = fromjson(vpc_flow_logs.rows_of(
            'select system$validate_storage_integration(\n    '
            ~ arguments | join(',\n    ') ~ '\n) as answer'
        )[0].answer) %}
        {% do print(action ~ ' ' ~ stage.url ~ (file if action == 'read' else '') ~ ': '
            ~ answer.status) %}
        {% if answer.status != 'success' %}
            {% do failures.append(tojson(answer)) %}
        {% endif %}
    {% endfor %}
    {% if failures %}
        {% do exceptions.raise_compiler_error(
            'Snowflake cannot read the bucket through '
            ~ names.storage_integration ~ ': ' ~ failures | join(', ')
            ~ ". Check the role's trust and policy; a change there can take an hour."
        ) %}
    {% endif %}
{% endmacro %}


{# `dbt run-operation trial_copy`: loads the files below a path into temporary tables,
   as the pipes would, and prints the number of rows of each: records, and the lines of
   text logs with the line of names. It drops the tables again and adds nothing to the
   load history of landing. #}
{% macro trial_copy(path) %}
    {% do vpc_flow_logs.start_operation('trial_copy', var('loader_role')) %}
    {% set found = [] %}
    {% for node in (vpc_flow_logs.landing_node(), vpc_flow_logs.text_logs_node()) %}
        {% set trial = node.relation_name ~ '_trial' %}
        {% do run_query(
            'create or replace temporary table ' ~ trial ~ ' like '
            ~ node.relation_name
        ) %}
        {% do run_query(vpc_flow_logs.copy_into_landing_sql(node, trial, path)) %}
        {% do found.extend(vpc_flow_logs.rows_of(
            'select metadata_filename as file, count(*) as found from ' ~ trial
            ~ ' group by metadata_filename order by metadata_filename'
        )) %}
        {% do run_query('drop table ' ~ trial) %}
    {% endfor %}
    {% for row in found %}
        {% set is_text = not row.file.lower().endswith('.parquet') %}
        {% do print(
            row.file ~ ': ' ~ row.found ~ (' lines' if is_text else ' records')
        ) %}
    {% else %}
        {% do print('no records below ' ~ path) %}
    {% endfor %}
{% endmacro %}


{# A path of the stage. #}
{% macro stage_location(path) %}
    {% do return(vpc_flow_logs.quoted_location(
        '@' ~ vpc_flow_logs.account_names().stage ~ '/' ~ (path or '').lstrip('/')
    )) %}
{% endmacro %}


{# A location, in quotes if its characters need them. #}
{% macro quoted_location(location) %}
    {% if modules.re.fullmatch('[@A-Za-z0-9_$./-]+', location) %}
        {% do return(location) %}
    {% endif %}
    {% do return(vpc_flow_logs.text_literal(location)) %}
{% endmacro %}
