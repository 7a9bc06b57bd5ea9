{# Operations on the pipes: their state, their loads and the cost of these. #}


{# `dbt run-operation pipe_status`: whether each pipe runs, how many files it has
   pending, and when it received its last event. #}
{% macro pipe_status() %}
    {% set names = vpc_flow_logs.start_operation(
        'pipe_status',
        var('loader_role') ~ ' or ' ~ var('transformer_role')
    ) %}
    {% for pipe in names.pipes %}
        {% do vpc_flow_logs.require_object('pipes', pipe, 'stage_external_sources') %}
        {% do print(pipe) %}
        {% for name, value in vpc_flow_logs.pipe_state(pipe).items() %}
            {% do print('  ' ~ name ~ ': ' ~ value) %}
        {% endfor %}
    {% endfor %}
{% endmacro %}


{# `dbt run-operation refresh_pipe`: loads files of the last seven days for which no
   event arrived, through both pipes. Use it for gaps: Snowflake advises against a
   schedule. `prefix` is a path below the stage, `modified_after` a time such as
   2026-01-31T00:00:00Z. #}
{% macro refresh_pipe(prefix=none, modified_after=none) %}
    {% set names = vpc_flow_logs.start_operation('refresh_pipe', var('loader_role')) %}
    {% for pipe in names.pipes %}
        {% do vpc_flow_logs.require_object('pipes', pipe, 'stage_external_sources') %}
        {% set sql = 'alter pipe ' ~ pipe ~ ' refresh' %}
        {% if prefix %}
            {% set sql = sql ~ '\n    prefix = ' ~ vpc_flow_logs.text_literal(prefix) %}
        {% endif %}
        {% if modified_after %}
            {% set sql = sql ~ '\n    modified_after = '
                ~ vpc_flow_logs.text_literal(modified_after) %}
        {% endif %}
        {% set sent = vpc_flow_logs.rows_of(sql) | selectattr('file', 'defined')
            | list %}
        {% do print('files handed to ' ~ pipe ~ ': ' ~ sent | length) %}
    {% endfor %}
{% endmacro %}


{# `dbt run-operation load_errors`: the files that did not load, the reasons, and for
   each the COPY that loads it once it is mended. Neither an event nor a refresh loads
   it again; staging tries those that are not damaged. #}
{% macro load_errors(days=14) %}
    {% set names = vpc_flow_logs.start_operation(
        'load_errors',
        var('loader_role') ~ ' or ' ~ var('transformer_role')
    ) %}
    {% do vpc_flow_logs.require_object(
        'tables', names.table, 'stage_external_sources'
    ) %}
    {% set failed = vpc_flow_logs.print_load_errors(
        names.table, vpc_flow_logs.landing_node(), days
    ) %}
    {% if vpc_flow_logs.find_object('tables', names.text_logs, ' in account') %}
        {% do failed.extend(vpc_flow_logs.print_load_errors(
            names.text_logs, vpc_flow_logs.text_logs_node(), days
        )) %}
    {% endif %}
    {% if not failed %}
        {% do print('no file failed in the last ' ~ days ~ ' days') %}
    {% endif %}
{% endmacro %}


{# Prints the files that did not load into a table, and returns them. #}
{% macro print_load_errors(table, node, days) %}
    {% set failed = vpc_flow_logs.failed_loads(table, days) %}
    {% for load in failed %}
        {% do print(
            load.stage_location ~ load.file_name ~ ': ' ~ load.status ~ ' at '
            ~ load.last_load_time ~ ', ' ~ load.error_count ~ ' errors, first: '
            ~ load.first_error_message ~ '\nOnce it is mended:'
        ) %}
        {% set copy = vpc_flow_logs.copy_into_landing_sql(node, file=load.file_name) %}
        {% do print(copy ~ ';') %}
    {% endfor %}
    {% do return(failed) %}
{% endmacro %}


{# The files that did not load into a table, the newest first. With `tries`, so many of
   those that are not damaged, by chance. #}
{% macro failed_loads(table, days, tries=none) %}
    {% set sql %}
        select
            last_load_time,
            status,
            stage_location,
            file_name,
            error_count,
            first_error_message
        from {{ vpc_flow_logs.copy_history(table, days) | indent(8) }}
        qualify
            row_number() over (
                partition by stage_location, file_name order by last_load_time desc
            ) = 1
            and status != 'Loaded'
            {%- if tries %}
            and not {{ vpc_flow_logs.is_unreadable(
                '(' ~ vpc_flow_logs.load_fault('first_error_message') ~ ')'
            ) }}
        order by random()
        limit {{ tries }}
        {%- else %}
        order by last_load_time desc
        {%- endif %}
    {% endset %}
    {% do return(vpc_flow_logs.rows_of(sql)) %}
{% endmacro %}


{# Tries files of the last 14 days again that did not load, since Snowpipe does not: an
   object may have been archived or denied. Each has a statement of its own that
   returns an error instead of failing, so that one file never stops a run. Of many,
   each has its turn by chance. Where no file has come, no warehouse starts. #}
{% macro retry_failed_loads(node) %}
    {% set pipe = vpc_flow_logs.pipe_state(node.relation_name) %}
    {% if var('snowpipe_auto_ingest')
        and not pipe.get('lastForwardedMessageTimestamp') %}
        {% do return(none) %}
    {% endif %}
    {% for load in vpc_flow_logs.failed_loads(node.relation_name, 14, tries=50) %}
        {% set block -%}
begin
    {{ vpc_flow_logs.copy_into_landing_sql(node, file=load.file_name) | indent(4) }};
    return 'loaded';
exception
    when other then
        return sqlerrm;
end;
        {%- endset %}
        {% set outcome = run_query(
            'execute immediate ' ~ vpc_flow_logs.text_literal(block)
        ).columns[0].values()[0] %}
        {% do log(
            'Tried again: ' ~ load.stage_location ~ load.file_name ~ ': ' ~ outcome,
            info=true
        ) %}
    {% endfor %}
{% endmacro %}


{# `dbt run-operation pipe_usage`: files, bytes and credits of both pipes by UTC day. No
   resource monitor caps these credits. #}
{% macro pipe_usage(days=14) %}
    {% do vpc_flow_logs.start_operation(
        'pipe_usage', 'a role with the privilege MONITOR USAGE on the account'
    ) %}
    {% set sql %}
        select
            to_date({{ vpc_flow_logs.load_time_in_utc('start_time') }}) as day,
            sum(files_inserted) as files,
            sum(bytes_inserted) as bytes,
            sum(bytes_billed) as bytes_billed,
            sum(credits_used) as credits
        from {{ vpc_flow_logs.pipe_usage_history(days) | indent(4) }}
        group by day
        order by day
    {% endset %}
    {% for usage in vpc_flow_logs.rows_of(sql) %}
        {% do print(
            usage.day ~ ': ' ~ usage.files ~ ' files, ' ~ usage.bytes ~ ' bytes, '
            ~ usage.bytes_billed ~ ' of them billed, ' ~ usage.credits ~ ' credits'
        ) %}
    {% else %}
        {% do print(
            'no usage in the last ' ~ days ~ ' days, or none that this role may see'
        ) %}
    {% endfor %}
{% endmacro %}


{# The result of SYSTEM$PIPE_STATUS as a dictionary. #}
{% macro pipe_state(pipe) %}
    {% do return(fromjson(vpc_flow_logs.rows_of(
        'select system$pipe_status(' ~ vpc_flow_logs.text_literal(pipe) ~ ') as status'
    )[0].status)) %}
{% endmacro %}


{# The load history of a table, for a FROM clause: of the last days, or since a time if
   that is later. #}
{% macro copy_history(table, days, since=none) -%}
    table({{ vpc_flow_logs.flow_logs_database() }}.information_schema.copy_history(
        table_name => {{ vpc_flow_logs.text_literal(table) }},
        start_time =>
            {%- if since is none %} {{ vpc_flow_logs.days_ago(days) }}
            {%- else %} greatest(
                {{ vpc_flow_logs.load_time_literal(since) }},
                {{ vpc_flow_logs.days_ago(days) }}
            )
            {%- endif %}
    ))
{%- endmacro %}


{# The loads and credits of both pipes, for a FROM clause: of a number of UTC days with
   today. A row is for 5 minutes, an hour or 24 hours, by the length of the range, so
   the range begins at midnight. #}
{% macro pipe_usage_history(days) -%}
    {%- set midnight = run_started_at.replace(
        hour=0, minute=0, second=0, microsecond=0
    ) -%}
    {%- set earlier = modules.datetime.timedelta(days=[days | int, 14] | min - 1) -%}
    {%- set database = vpc_flow_logs.flow_logs_database() -%}
    (
        {%- for name in ('flow_logs', 'text_logs') %}
        {%- set pipe = vpc_flow_logs.landing_table(name) %}
        {{ 'union all' if not loop.first }}
        select * from table({{ database }}.information_schema.pipe_usage_history(
            date_range_start =>
                {{ vpc_flow_logs.load_time_literal(midnight - earlier) }},
            date_range_end => current_timestamp(),
            pipe_name => {{ vpc_flow_logs.text_literal(pipe) }}
        ))
        {%- endfor %}
    ) as pipe_usage
{%- endmacro %}


{# The time a number of days ago, at most 14, which is how long histories go back. #}
{% macro days_ago(days) -%}
    dateadd('day', -{{ [days | int, 14] | min }}, current_timestamp())
{%- endmacro %}


{# Stops if an object does not exist or the role may not see it, and names the operation
   that creates it. #}
{% macro require_object(kind, name, operation) %}
    {% if vpc_flow_logs.find_object(kind, name, ' in account') is none %}
        {% do exceptions.raise_compiler_error(
            name ~ ' is not among the ' ~ kind ~ ' that this role sees. It is created'
            ~ ' by: dbt run-operation ' ~ operation
        ) %}
    {% endif %}
{% endmacro %}
