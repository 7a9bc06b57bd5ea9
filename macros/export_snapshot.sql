{# Runs after each command (on-run-end). On DuckDB, after a build of marts, it exports
   what the page in app/ reads: all marts that were built, and the rollup of flows. An
   export that fails is a warning. On Snowflake the page reads the tables. #}
{% macro export_snapshot(results) %}
    {% if execute and var('export_snapshot') and flags.WHICH in ('build', 'run') %}
        {% set marts = [] %}
        {% for result in results if result.status == 'success'
            and result.node.package_name == 'vpc_flow_logs'
            and result.node.path.startswith('marts/') %}
            {% do marts.append(result.node) %}
        {% endfor %}
        {% if marts %}
            {% do vpc_flow_logs.write_snapshot(marts) %}
        {% endif %}
    {% endif %}
    {{ vpc_flow_logs.no_sql() }}
{% endmacro %}


{# Writes the snapshot, from the nodes of the marts that were built. #}
{% macro write_snapshot(marts) %}
    {{ return(adapter.dispatch('write_snapshot', 'vpc_flow_logs')(marts)) }}
{% endmacro %}

{% macro duckdb__write_snapshot(marts) %}
    {% set in_window = vpc_flow_logs.in_window('started_date') %}
    {% set tables = {
        'addresses':
            'select distinct started_date, interface_id, address, account_id from '
            ~ vpc_flow_logs.model_relation('int_traffic__interface_addresses')
            ~ ' where ' ~ in_window,
        'address_owners':
            'select * from ' ~ vpc_flow_logs.model_relation('address_owners'),
    } %}
    {% for node in marts %}
        {% do tables.update({node.name: 'select * from ' ~ node.relation_name}) %}
    {% endfor %}
    {% set export = tojson({
        'tables': tables,
        'flows': vpc_flow_logs.model_relation('int_traffic__daily_flows'),
        'columns': vpc_flow_logs.snapshot_columns() | join(', '),
        'days': in_window,
        'is_full': flags.FULL_REFRESH,
    }) %}
    {% set known = run_query(
        "select 1 from duckdb_functions() where function_name = 'write_snapshot'"
    ) %}
    {% if not known.rows %}
        {% do exceptions.warn(
            'No snapshot for the page: the profile has no plugin flow_log_loader.'
        ) %}
        {% do return(none) %}
    {% endif %}
    {% set written = run_query(
        'select write_snapshot('
        ~ dbt.string_literal(dbt.escape_single_quotes(export)) ~ ')'
    ).columns[0].values()[0] %}
    {% if written.startswith('error: ') %}
        {% do exceptions.warn('No new snapshot for the page: ' ~ written[7:]) %}
    {% else %}
        {% do log('Snapshot: ' ~ written, info=true) %}
    {% endif %}
{% endmacro %}

{% macro snowflake__write_snapshot(marts) %}
{% endmacro %}


{# The columns of the rollup of flows that the page reads. #}
{% macro snapshot_columns() %}
    {% do return([
        'started_date',
        'client_addr',
        'server_addr',
        'client_scope',
        'server_scope',
        'action',
        'protocol',
        'server_port',
        'client_bytes',
        'server_bytes',
        'records',
        'first_seen_at',
        'last_seen_at',
    ]) %}
{% endmacro %}


{# The full name of the table or view of one of this package's models. #}
{% macro model_relation(name) %}
    {% do return(graph.nodes['model.vpc_flow_logs.' ~ name].relation_name) %}
{% endmacro %}
