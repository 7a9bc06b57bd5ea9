{# Creates all objects that staging and the models need, in order: dbt run-operation
   setup_snowflake --vars 'setup_role: NAME' --args '{role_arn: …, locations:
   ["s3://bucket/prefix/"]}'. It changes nothing that is already as wanted. #}
{% macro setup_snowflake(
    role_arn, locations, stage_url=none, public_key=none, public_key_2=none
) %}
    {% set done = [
        vpc_flow_logs.setup_warehouse(),
        vpc_flow_logs.setup_database(),
        vpc_flow_logs.setup_integration(role_arn, locations),
        vpc_flow_logs.setup_stage(locations, stage_url),
        vpc_flow_logs.setup_roles(),
        vpc_flow_logs.setup_functions(),
        vpc_flow_logs.setup_user(public_key, public_key_2),
    ] %}
    {% if var('setup_role') | upper == 'ACCOUNTADMIN' %}
        {% do done.append(vpc_flow_logs.setup_resource_monitor()) %}
    {% else %}
        {% do log(
            'setup_resource_monitor was left out, since only ACCOUNTADMIN may create'
            ~ " one: dbt run-operation setup_resource_monitor --vars 'setup_role:"
            ~ " ACCOUNTADMIN'", info=true
        ) %}
    {% endif %}
    {% do log(
        'setup_snowflake: ' ~ (done | sum ~ ' changes' if done | sum else 'no change'),
        info=true
    ) %}
{% endmacro %}
