{# `dbt run-operation teardown_snowflake --args '{confirm: DATABASE}'`: takes back what
   set-up created, the pipe first. The landing table stays, with its database, unless
   `drop_landing_table` is true: once the bucket's files expire it is the only copy. #}
{% macro teardown_snowflake(confirm=none, drop_landing_table=false) %}
    {% do vpc_flow_logs.start_setup('teardown_snowflake') %}
    {% set database = vpc_flow_logs.flow_logs_database() %}
    {% if (confirm or '') | string | lower != database %}
        {% do exceptions.raise_compiler_error(
            'teardown_snowflake takes down ' ~ database ~ ' and what feeds it. If that'
            ~ " is what you want: --args '{confirm: " ~ database ~ "}'"
        ) %}
    {% endif %}
    {% do vpc_flow_logs.apply_changes(vpc_flow_logs.teardown_changes(drop_landing_table)) %}
{% endmacro %}


{# `dbt --quiet run-operation describe_teardown`: one line of JSON with what teardown
   would drop now, and the `confirm` that it asks for. #}
{% macro describe_teardown(drop_landing_table=false) %}
    {% do vpc_flow_logs.start_setup('describe_teardown') %}
    {% do print(tojson({
        'confirm': vpc_flow_logs.flow_logs_database(),
        'drops': vpc_flow_logs.teardown_changes(drop_landing_table) | map(attribute='what') | list,
    })) %}
{% endmacro %}


{# What teardown drops, in order, as changes. #}
{% macro teardown_changes(drop_landing_table) %}
    {% set drops = [] %}
    {% do drops.append(vpc_flow_logs.drop_if_found('pipe', 'pipes', vpc_flow_logs.flow_logs_pipe(), false)) %}
    {% do drops.append(vpc_flow_logs.drop_if_found('stage', 'stages', vpc_flow_logs.flow_logs_stage(), true)) %}
    {% do drops.append(vpc_flow_logs.drop_if_found(
        'storage integration', 'storage integrations', vpc_flow_logs.storage_integration(), true
    )) %}
    {% do drops.append(vpc_flow_logs.drop_if_found(
        'function', 'user functions', vpc_flow_logs.ipv4_is_internal_function(), false
    )) %}
    {% do drops.append(vpc_flow_logs.drop_if_found('user', 'users', vpc_flow_logs.service_user(), true)) %}
    {% do drops.append(vpc_flow_logs.drop_if_found(
        'network policy', 'network policies', vpc_flow_logs.service_network_policy(), true
    )) %}
    {% if drop_landing_table %}
        {% do drops.extend(vpc_flow_logs.database_drops()) %}
    {% else %}
        {% do log('  kept: ' ~ vpc_flow_logs.landing_table() ~ ' and its database', info=true) %}
    {% endif %}
    {% for role in [vpc_flow_logs.analyst_role(), vpc_flow_logs.transformer_role(), vpc_flow_logs.loader_role()] %}
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


{# What drops the landing table, and each schema and the database that set-up created;
   the database only if it holds no other schema. #}
{% macro database_drops() %}
    {% set database = vpc_flow_logs.flow_logs_database() %}
    {% set ours = [vpc_flow_logs.landing_schema(), vpc_flow_logs.models_schema()] | unique | list %}
    {% set drops = [
        vpc_flow_logs.drop_if_found('table', 'tables', vpc_flow_logs.landing_table(), false)
    ] %}
    {% for schema in ours %}
        {% do drops.append(vpc_flow_logs.drop_if_found('schema', 'schemas', schema, true)) %}
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
        {% do drops.append(vpc_flow_logs.drop_if_found('database', 'databases', database, true)) %}
    {% endif %}
    {% do return(drops) %}
{% endmacro %}
