{# `dbt run-operation teardown_snowflake --args '{confirm: DATABASE}'`: drops what
   set-up created, the pipe first. It keeps the landing table and its database unless
   `drop_landing_table` is true: after the files in the bucket expire, it is the only
   copy. #}
{% macro teardown_snowflake(confirm=none, drop_landing_table=false) %}
    {% do vpc_flow_logs.start_setup('teardown_snowflake') %}
    {% set database = vpc_flow_logs.flow_logs_database() %}
    {% if (confirm or '') | string | lower != database %}
        {% do exceptions.raise_compiler_error(
            'teardown_snowflake drops the objects that load and build ' ~ database
            ~ ". To confirm, add --args '{confirm: " ~ database ~ "}'"
        ) %}
    {% endif %}
    {% set changes = vpc_flow_logs.teardown_changes(drop_landing_table) %}
    {% do vpc_flow_logs.apply_changes(changes) %}
{% endmacro %}


{# `dbt --quiet run-operation describe_teardown`: one line of JSON with what teardown
   would drop now, and the `confirm` that it needs. #}
{% macro describe_teardown(drop_landing_table=false) %}
    {% do vpc_flow_logs.start_setup('describe_teardown') %}
    {% set changes = vpc_flow_logs.teardown_changes(drop_landing_table) %}
    {% do print(tojson({
        'confirm': vpc_flow_logs.flow_logs_database(),
        'drops': changes | map(attribute='what') | list,
    })) %}
{% endmacro %}


{# What teardown drops, in order, as changes. #}
{% macro teardown_changes(drop_landing_table) %}
    {% set drops = [] %}
    {% for kind, shown, name, marked in [
        ('pipe', 'pipes', vpc_flow_logs.loaded_tables()[0], false),
        ('pipe', 'pipes', vpc_flow_logs.loaded_tables()[1], false),
        ('stage', 'stages', vpc_flow_logs.flow_logs_stage(), true),
        (
            'storage integration',
            'storage integrations',
            vpc_flow_logs.storage_integration(),
            true,
        ),
        (
            'function',
            'user functions',
            vpc_flow_logs.ipv4_is_internal_function(),
            false,
        ),
        ('user', 'users', vpc_flow_logs.service_user(), true),
        (
            'network policy',
            'network policies',
            vpc_flow_logs.service_network_policy(),
            true,
        ),
    ] %}
        {% do drops.append(vpc_flow_logs.drop_if_found(kind, shown, name, marked)) %}
    {% endfor %}
    {% if drop_landing_table %}
        {% do drops.extend(vpc_flow_logs.database_drops()) %}
    {% else %}
        {% set kept = vpc_flow_logs.landing_table() %}
        {% do log('  kept: ' ~ kept ~ ' and its database', info=true) %}
    {% endif %}
    {% for role in vpc_flow_logs.own_roles() | reverse %}
        {% do drops.append(vpc_flow_logs.drop_if_found('role', 'roles', role, true)) %}
    {% endfor %}
    {% do drops.append(vpc_flow_logs.drop_if_found(
        'warehouse', 'warehouses', vpc_flow_logs.flow_logs_warehouse(), true
    )) %}
    {% set monitor = vpc_flow_logs.drop_if_found(
        'resource monitor', 'resource monitors', vpc_flow_logs.resource_monitor(), false
    ) %}
    {% if monitor and var('setup_role') | upper != 'ACCOUNTADMIN' %}
        {% do log('  left for ACCOUNTADMIN: ' ~ monitor.sql, info=true) %}
    {% else %}
        {% do drops.append(monitor) %}
    {% endif %}
    {% do return(drops | select | list) %}
{% endmacro %}


{# The change that drops an object, or none if there is nothing to drop. `marked` says
   whether its comment must show that set-up created it. #}
{% macro drop_if_found(kind, shown, name, marked) %}
    {% set where = ' in account' if '.' in name else '' %}
    {% set found = vpc_flow_logs.find_object(shown, name, where) %}
    {% if found is none %}
        {% do return(none) %}
    {% elif marked and not vpc_flow_logs.is_ours(found) %}
        {% do vpc_flow_logs.leave_alone(kind ~ ' ' ~ name) %}
        {% do return(none) %}
    {% endif %}
    {% set arguments = '(varchar)' if kind == 'function' else '' %}
    {% do return({
        'what': 'drop ' ~ kind ~ ' ' ~ name,
        'sql': 'drop ' ~ kind ~ ' if exists ' ~ name ~ arguments,
    }) %}
{% endmacro %}


{# The changes that drop the landing table, and each schema and the database that set-up
   created; the database only if it has no other schema. #}
{% macro database_drops() %}
    {% set database = vpc_flow_logs.flow_logs_database() %}
    {% set ours = vpc_flow_logs.own_schemas() %}
    {% set drops = [] %}
    {% for table in vpc_flow_logs.loaded_tables() %}
        {% do drops.append(
            vpc_flow_logs.drop_if_found('table', 'tables', table, false)
        ) %}
    {% endfor %}
    {% for schema in ours %}
        {% do drops.append(
            vpc_flow_logs.drop_if_found('schema', 'schemas', schema, true)
        ) %}
    {% endfor %}
    {% set others = [] %}
    {% for row in vpc_flow_logs.rows_of('show schemas in account') %}
        {% set schema = (row.database_name ~ '.' ~ row.name) | lower %}
        {% if (row.database_name or '') | lower == database
            and schema not in ours
            and row.name not in ['PUBLIC', 'INFORMATION_SCHEMA'] %}
            {% do others.append(schema) %}
        {% endif %}
    {% endfor %}
    {% if others %}
        {% do log(
            '  kept: database ' ~ database ~ ', which also holds '
            ~ others | join(', '), info=true
        ) %}
    {% else %}
        {% do drops.append(
            vpc_flow_logs.drop_if_found('database', 'databases', database, true)
        ) %}
    {% endif %}
    {% do return(drops) %}
{% endmacro %}
