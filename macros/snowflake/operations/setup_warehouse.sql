{# `dbt run-operation setup_warehouse`: the warehouse of the profile. It leaves one that
   somebody else created unchanged. #}
{% macro setup_warehouse() %}
    {% do vpc_flow_logs.start_setup('setup_warehouse') %}
    {% set warehouse = vpc_flow_logs.flow_logs_warehouse() %}
    {% set size = var('warehouse_size') | lower %}
    {% set mark = vpc_flow_logs.text_literal(vpc_flow_logs.creation_mark()) %}
    {% set wanted = {
        'auto_suspend': var('warehouse_auto_suspend') | int,
        'statement_timeout_in_seconds': var('warehouse_statement_timeout') | int,
    } %}
    {% set sizes = [
        'x-small', 'small', 'medium', 'large', 'x-large', '2x-large', '3x-large',
        '4x-large', '5x-large', '6x-large'
    ] %}
    {% if size not in sizes %}
        {% do exceptions.raise_compiler_error(
            "warehouse_size is '" ~ size ~ "'; it is one of " ~ sizes | join(', ')
        ) %}
    {% endif %}
    {% if wanted.values() | min < 1 %}
        {% do exceptions.raise_compiler_error(
            'warehouse_auto_suspend and warehouse_statement_timeout are seconds, 1 or'
            ~ ' more: 0 would mean never'
        ) %}
    {% endif %}

    {% set found = vpc_flow_logs.find_object('warehouses', warehouse) %}
    {% set changes = [] %}
    {% if found is none %}
        {% set sql -%}
            create warehouse if not exists {{ warehouse }}
                warehouse_size = '{{ size }}'
                generation = '{{ var('warehouse_generation') }}'
                auto_suspend = {{ wanted.auto_suspend }}
                auto_resume = true
                initially_suspended = true
                statement_timeout_in_seconds = {{ wanted.statement_timeout_in_seconds }}
                comment = {{ mark }}
        {%- endset %}
        {% do changes.append({
            'what': 'create warehouse ' ~ warehouse ~ ', size ' ~ size, 'sql': sql
        }) %}
    {% elif not vpc_flow_logs.is_ours(found) %}
        {% do vpc_flow_logs.leave_alone('warehouse ' ~ warehouse) %}
    {% else %}
        {% set timeout = vpc_flow_logs.rows_of(
            "show parameters like 'statement_timeout_in_seconds' in warehouse "
            ~ warehouse
        )[0].value %}
        {% set settings = [] %}
        {% if found.size | lower != size %}
            {% do settings.append("warehouse_size = '" ~ size ~ "'") %}
        {% endif %}
        {% if found.auto_suspend | int != wanted.auto_suspend %}
            {% do settings.append('auto_suspend = ' ~ wanted.auto_suspend) %}
        {% endif %}
        {% if timeout | int != wanted.statement_timeout_in_seconds %}
            {% do settings.append(
                'statement_timeout_in_seconds = ' ~ wanted.statement_timeout_in_seconds
            ) %}
        {% endif %}
        {% if settings %}
            {% set setting = settings | join(' ') %}
            {% do changes.append({
                'what': 'alter warehouse ' ~ warehouse ~ ': ' ~ setting,
                'sql': 'alter warehouse ' ~ warehouse ~ ' set ' ~ setting,
            }) %}
        {% endif %}
    {% endif %}
    {% do return(vpc_flow_logs.apply_changes(changes)) %}
{% endmacro %}


{# `dbt run-operation setup_resource_monitor`: a monitor that suspends the warehouse
   when a month's credits are used. Only ACCOUNTADMIN may create one. #}
{% macro setup_resource_monitor() %}
    {% do vpc_flow_logs.start_setup('setup_resource_monitor') %}
    {% do log(
        '  note: a resource monitor cannot cap Snowpipe, which is billed by the GB: see'
        ~ ' pipe_usage', info=true
    ) %}
    {% set changes = [] %}
    {% set warehouse = vpc_flow_logs.flow_logs_warehouse() %}
    {% set monitor = vpc_flow_logs.resource_monitor() %}
    {% set quota = var('warehouse_credit_quota') %}
    {% set found = vpc_flow_logs.find_object('warehouses', warehouse) %}
    {% if quota is none %}
        {% do log('  no monitor: warehouse_credit_quota is null', info=true) %}
    {% elif found is none %}
        {% do exceptions.raise_compiler_error(
            'there is no warehouse ' ~ warehouse ~ ' yet. Run setup_warehouse first.'
        ) %}
    {% elif not vpc_flow_logs.is_ours(found) %}
        {% do vpc_flow_logs.leave_alone('warehouse ' ~ warehouse) %}
    {% else %}
        {% set known = vpc_flow_logs.find_object('resource monitors', monitor) %}
        {% if known is none %}
            {% set sql -%}
                create resource monitor if not exists {{ monitor }} with
                    credit_quota = {{ quota | int }}
                    frequency = monthly
                    start_timestamp = immediately
                    triggers on 80 percent do notify on 100 percent do suspend
            {%- endset %}
            {% do changes.append({
                'what': 'create resource monitor ' ~ monitor ~ ', ' ~ quota
                    ~ ' credits a month',
                'sql': sql,
            }) %}
        {% elif known.credit_quota | float != quota | float %}
            {% do changes.append({
                'what': 'alter resource monitor ' ~ monitor ~ ': ' ~ quota
                    ~ ' credits a month',
                'sql': 'alter resource monitor ' ~ monitor ~ ' set credit_quota = '
                    ~ quota | int,
            }) %}
        {% endif %}
        {% if (found.resource_monitor or '') | upper != monitor | upper %}
            {% do changes.append({
                'what': 'put warehouse ' ~ warehouse ~ ' under ' ~ monitor,
                'sql': 'alter warehouse ' ~ warehouse ~ ' set resource_monitor = '
                    ~ monitor,
            }) %}
        {% endif %}
    {% endif %}
    {% do return(vpc_flow_logs.apply_changes(changes)) %}
{% endmacro %}
