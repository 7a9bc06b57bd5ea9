{# Teardown: plain SQL. `run_script` leaves out what does not exist and what is somebody
   else's. The pipes go first. #}
{% macro teardown_sql(drop_landing_table) %}
{% set names = vpc_flow_logs.account_names() %}
drop pipe if exists {{ names.pipe }};
drop pipe if exists {{ names.text_logs }};
drop stage if exists {{ names.stage }};
drop stage if exists {{ names.enrichment_stage }};
drop stage if exists {{ names.inventory_stage }};
drop storage integration if exists {{ names.storage_integration }};
drop function if exists {{ names.function }}(varchar);
drop user if exists {{ names.service_user }};
drop network policy if exists {{ names.network_policy }};
{% if drop_landing_table %}
drop table if exists {{ names.table }};
drop table if exists {{ names.text_logs }};
{% for schema in names.schemas %}
drop schema if exists {{ schema }};
{% endfor %}
{% if vpc_flow_logs.has_no_other_schemas(names) %}
drop database if exists {{ names.database }};
{% endif %}
{% endif %}
{% for role in names.roles | reverse %}
drop role if exists {{ role }};
{% endfor %}
drop warehouse if exists {{ names.warehouse }};
{% if var('setup_role') | lower == 'accountadmin' %}
drop resource monitor if exists {{ names.monitor }};
{% endif %}
{% endmacro %}


{# `dbt run-operation teardown_snowflake --args '{confirm: DATABASE}'`: drops what
   set-up created. It keeps the landing table and its database unless
   `drop_landing_table` is true: after the files in the bucket expire, it is the only
   copy. #}
{% macro teardown_snowflake(confirm=none, drop_landing_table=false) %}
    {% do vpc_flow_logs.start_setup('teardown_snowflake') %}
    {% set names = vpc_flow_logs.account_names() %}
    {% if (confirm or '') | string | lower != names.database %}
        {% do exceptions.raise_compiler_error(
            'teardown_snowflake drops the objects that load and build '
            ~ names.database ~ ". To confirm, add --args '{confirm: "
            ~ names.database ~ "}'"
        ) %}
    {% endif %}
    {% do vpc_flow_logs.run_script(vpc_flow_logs.teardown_sql(drop_landing_table)) %}
    {% if not drop_landing_table %}
        {% do log('  kept: ' ~ names.table ~ ' and its database', info=true) %}
    {% endif %}
    {% if var('setup_role') | lower != 'accountadmin'
        and vpc_flow_logs.find_object('resource monitors', names.monitor) %}
        {% do log(
            '  left for ACCOUNTADMIN: drop resource monitor ' ~ names.monitor, info=true
        ) %}
    {% endif %}
{% endmacro %}


{# `dbt --quiet run-operation describe_teardown`: one line of JSON with what teardown
   would drop now, and the `confirm` that it needs. #}
{% macro describe_teardown(drop_landing_table=false) %}
    {% do vpc_flow_logs.start_setup('describe_teardown') %}
    {% set drops = [] %}
    {% for sql in vpc_flow_logs.statements_of(
        vpc_flow_logs.teardown_sql(drop_landing_table)
    ) if vpc_flow_logs.is_needed(sql) %}
        {% do drops.append(sql) %}
    {% endfor %}
    {% do print(tojson({
        'confirm': vpc_flow_logs.account_names().database, 'drops': drops
    })) %}
{% endmacro %}


{# Whether the database has no schemas but ours and Snowflake's; logs the others. #}
{% macro has_no_other_schemas(names) %}
    {% set others = [] %}
    {% for row in vpc_flow_logs.rows_of('show schemas in account') %}
        {% set schema = (row.database_name ~ '.' ~ row.name) | lower %}
        {% if schema.startswith(names.database ~ '.')
            and schema not in names.schemas
            and row.name not in ('PUBLIC', 'INFORMATION_SCHEMA') %}
            {% do others.append(schema) %}
        {% endif %}
    {% endfor %}
    {% if others %}
        {% do log(
            '  kept: database ' ~ names.database ~ ', which also holds '
            ~ others | join(', '), info=true
        ) %}
    {% endif %}
    {% do return(not others) %}
{% endmacro %}
