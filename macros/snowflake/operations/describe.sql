{# Operations for programs: `dbt --quiet run-operation NAME` prints one line of JSON and
   nothing else. `exists` is false for an object that does not exist or that the role
   may not see. #}


{# `dbt --quiet run-operation describe_integration`: the storage integration, with the
   user and the external id that the role in AWS must trust. #}
{% macro describe_integration() %}
    {% set names = vpc_flow_logs.start_operation(
        'describe_integration', 'setup_role or ' ~ var('loader_role')
    ) %}
    {% set integration = names.storage_integration %}
    {% set answer = {'name': integration | upper, 'exists': false} %}
    {% if vpc_flow_logs.find_object('storage integrations', integration) is not none %}
        {% set now = vpc_flow_logs.properties_of('desc integration ' ~ integration) %}
        {% set locations = now.get('STORAGE_ALLOWED_LOCATIONS') or '' %}
        {% do answer.update({
            'exists': true,
            'enabled': now.get('ENABLED') | string | lower == 'true',
            'storage_aws_role_arn': now.get('STORAGE_AWS_ROLE_ARN'),
            'storage_aws_iam_user_arn': now.get('STORAGE_AWS_IAM_USER_ARN'),
            'storage_aws_external_id': now.get('STORAGE_AWS_EXTERNAL_ID'),
            'storage_allowed_locations':
                locations.split(',') | map('trim') | select | list,
        }) %}
    {% endif %}
    {% do print(tojson(answer)) %}
{% endmacro %}


{# `dbt --quiet run-operation describe_pipe`: the pipe, with the queue to which S3 must
   send events. #}
{% macro describe_pipe() %}
    {% set names = vpc_flow_logs.start_operation(
        'describe_pipe', 'setup_role or ' ~ var('loader_role')
    ) %}
    {% set answer = {'name': names.pipe | upper, 'exists': false} %}
    {% set found = vpc_flow_logs.find_object('pipes', names.pipe, ' in account') %}
    {% if found is not none %}
        {% do answer.update({
            'exists': true,
            'notification_channel': found.notification_channel,
            'execution_state':
                vpc_flow_logs.pipe_state(names.pipe).get('executionState'),
            'definition': found.definition,
        }) %}
    {% endif %}
    {% do print(tojson(answer)) %}
{% endmacro %}


{# `dbt --quiet run-operation describe_load`: the file that was loaded last, Parquet or
   text, within the 14 days of COPY_HISTORY. #}
{% macro describe_load() %}
    {% set names = vpc_flow_logs.start_operation(
        'describe_load', 'setup_role or ' ~ var('loader_role')
    ) %}
    {% set answer = {'name': names.table | upper, 'exists': false} %}
    {% if vpc_flow_logs.find_object('tables', names.table, ' in account') is not none %}
        {% do answer.update(
            {'exists': true, 'newest_file': none, 'newest_loaded_at': none}
        ) %}
        {% set sql %}
            with

            loads as (

                {%- for table in names.pipes %}
                {{ 'union all' if not loop.first }}
                select * from {{ vpc_flow_logs.copy_history(table, 14) | indent(16) }}
                {%- endfor %}

            )

            select
                stage_location || file_name as newest_file,
                last_load_time as newest_loaded_at
            from loads
            where status = 'Loaded'
            order by last_load_time desc
            limit 1
        {% endset %}
        {% for row in vpc_flow_logs.rows_of(sql) %}
            {% do answer.update({
                'newest_file': row.newest_file,
                'newest_loaded_at': row.newest_loaded_at | string,
            }) %}
        {% endfor %}
    {% endif %}
    {% do print(tojson(answer)) %}
{% endmacro %}


{# `dbt --quiet run-operation describe_account_parameters`: the account's parameters on
   stages without an integration and on unloading. No operation sets them. #}
{% macro describe_account_parameters() %}
    {% do vpc_flow_logs.start_operation('describe_account_parameters', 'any role') %}
    {% set answer = {} %}
    {% for name in [
        'REQUIRE_STORAGE_INTEGRATION_FOR_STAGE_CREATION',
        'REQUIRE_STORAGE_INTEGRATION_FOR_STAGE_OPERATION',
        'PREVENT_UNLOAD_TO_INLINE_URL',
    ] %}
        {% set pattern = vpc_flow_logs.text_literal(name | lower) %}
        {% for row in vpc_flow_logs.rows_of(
            'show parameters like ' ~ pattern ~ ' in account'
        ) if row.key == name %}
            {% do answer.update({name: row.value}) %}
        {% endfor %}
    {% endfor %}
    {% do print(tojson(answer)) %}
{% endmacro %}
