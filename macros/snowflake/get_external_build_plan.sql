{# The statements that `dbt run-operation stage_external_sources` runs on Snowflake:
   those that are still missing until a pipe loads new files. After a failure, the next
   run continues at the step that failed. It replaces nothing that has data.

   The comment of the landing table says whether the earlier files of the bucket are
   loaded. COPY loads them only if they are not and there is no pipe yet: COPY and
   Snowpipe have separate histories, so a later COPY would load the pipe's files
   again. #}
{% macro snowflake__get_external_build_plan(source_node) %}
    {% set other = vpc_flow_logs.other_build_plan(
        source_node, dbt_external_tables.snowflake__get_external_build_plan
    ) %}
    {% if other is not none %}
        {% do return(other) %}
    {% endif %}
    {% if source_node.meta.location_variable %}
        {% do return(vpc_flow_logs.lines_plan(source_node)) %}
    {% endif %}
    {% do vpc_flow_logs.refuse_destructive_staging(source_node) %}
    {% set landing = source_node.relation_name %}
    {% set state = vpc_flow_logs.landing_state(source_node) %}
    {% set plan = [] %}

    {% if var('ext_full_refresh') %}
        {% do vpc_flow_logs.pause_pipe_before_refresh(landing) if state.pipe %}
        {% do return(
            [vpc_flow_logs.create_landing_sql(source_node, replace=true)]
            + vpc_flow_logs.backfill(source_node)
            + [
                vpc_flow_logs.create_pipe_sql(source_node, 'create or replace pipe'),
                vpc_flow_logs.comment_on_landing_sql(landing, 'loaded'),
            ]
        ) %}
    {% endif %}

    {# Set-up creates the schema: the loader role may not. #}
    {% if not state.schema %}
        {% do plan.append(
            'create schema if not exists ' ~ source_node.database ~ '.'
            ~ source_node.schema
        ) %}
    {% endif %}
    {% if not state.table %}
        {% do plan.append(vpc_flow_logs.create_landing_sql(source_node)) %}
    {% endif %}
    {% if not state.pipe %}
        {% if not state.backfilled %}
            {% do plan.extend(vpc_flow_logs.backfill(source_node)) %}
        {% endif %}
        {% do plan.append(
            vpc_flow_logs.create_pipe_sql(source_node, 'create pipe if not exists')
        ) %}
    {% elif not state.backfilled and not state.pipe_runs %}
        {# A full refresh paused the pipe, replaced the table and failed. #}
        {% do plan.extend(vpc_flow_logs.backfill(source_node)) %}
        {% do plan.append(
            vpc_flow_logs.create_pipe_sql(source_node, 'create or replace pipe')
        ) %}
    {% elif state.needs_refresh and state.events_flow %}
        {# Loads the files that came between that COPY and the first event. #}
        {% do plan.append('alter pipe ' ~ landing ~ ' refresh') %}
        {% do plan.append(
            'alter pipe ' ~ landing ~ ' set comment = '
            ~ vpc_flow_logs.text_literal(vpc_flow_logs.pipe_comment('complete'))
        ) %}
    {% endif %}
    {% if not state.backfilled %}
        {% do plan.append(vpc_flow_logs.comment_on_landing_sql(landing, 'loaded')) %}
    {% endif %}
    {% do return(plan) %}
{% endmacro %}


{# The COPYs of the files that are in the bucket before there is a pipe, the newest day
   first. One COPY of a large bucket would run into the time limit for statements, load
   nothing, and start over at the next run. So there is one for each day, or for each
   folder of a day above `backfill_gigabytes`. COPY skips the files that an earlier run
   has loaded, so the next run continues where one stopped.

   A path covers all that is below it: parents come after their subfolders. #}
{% macro backfill(source_node) %}
    {% set stage = source_node.external.location %}
    {% set url = vpc_flow_logs.find_object(
        'stages', stage[1:].rstrip('/'), vpc_flow_logs.in_schema_of(source_node)
    ).url %}
    {# The list stays on the server: a bucket may hold millions of files. #}
    {% call statement('list_bucket') %}list {{ stage }}{% endcall %}
    {% set sql %}
        with

        files as (

            select
                coalesce(
                    regexp_substr(
                        substr("name", {{ url | length + 1 }}), '^.*/'
                    ),
                    ''
                ) as folder,
                "size" as bytes
            from table(result_scan(last_query_id()))
            where regexp_like("name", '{{ source_node.external.pattern }}')

        ),

        sized as (

            select
                folder,
                coalesce(
                    regexp_substr(
                        folder, '^.*/([0-9]{4}/[0-9]{2}|month=[0-9]{2}/day=)[0-9]{2}/'
                    ),
                    folder
                ) as day_folder,
                sum(bytes) over (partition by day_folder) as bytes_of_day
            from files

        )

        select
            case
                when bytes_of_day > {{ var('backfill_gigabytes') * 1000 ** 3 }}
                    then folder
                else day_folder
            end as path,
            count(*) as files
        from sized
        group by path
        order by path desc
    {% endset %}
    {% set copies = [] %}
    {% set folders = vpc_flow_logs.rows_of(sql) %}
    {% for found in folders %}
        {% do copies.append(
            '/* ' ~ loop.index ~ ' of ' ~ folders | length ~ ', ' ~ found.files
            ~ ' files: ' ~ found.path.split('/')[-4:] | join('/') ~ ' */\n'
            ~ vpc_flow_logs.copy_into_landing_sql(source_node, path=found.path)
        ) %}
    {% endfor %}
    {% do return(copies) %}
{% endmacro %}


{# Which of `schema`, `table` and `pipe` exist, and whether the table is `backfilled`,
   `pipe_runs`, the pipe `needs_refresh`, and `events_flow` to it. #}
{% macro landing_state(source_node) %}
    {% set state = {
        'schema': false, 'table': false, 'pipe': false, 'backfilled': false,
        'pipe_runs': false, 'needs_refresh': false, 'events_flow': false,
    } %}
    {% if not adapter.check_schema_exists(source_node.database, source_node.schema) %}
        {% do return(state) %}
    {% endif %}
    {% do state.update({'schema': true}) %}

    {% set landing = source_node.relation_name %}
    {% set where = vpc_flow_logs.in_schema_of(source_node) %}
    {% set table = vpc_flow_logs.find_object('tables', landing, where) %}
    {% if table is not none %}
        {% do state.update({
            'table': true,
            'backfilled': table.comment != vpc_flow_logs.landing_comment('pending'),
        }) %}
    {% endif %}
    {% set pipe = vpc_flow_logs.find_object('pipes', landing, where) %}
    {% if pipe is not none %}
        {% set status = vpc_flow_logs.pipe_state(landing) %}
        {% set last_event_at = status.get('lastReceivedMessageTimestamp') %}
        {% do state.update({
            'pipe': true,
            'pipe_runs': status.get('executionState') == 'RUNNING',
            'needs_refresh': pipe.comment == vpc_flow_logs.pipe_comment('pending'),
            'events_flow': last_event_at is not none,
        }) %}
    {% endif %}
    {% do return(state) %}
{% endmacro %}


{# A clause of SHOW: in the schema of a source. #}
{% macro in_schema_of(source_node) -%}
    {{ ' in schema ' ~ source_node.database ~ '.' ~ source_node.schema }}
{%- endmacro %}


{# The comment of the landing table: are the earlier files loaded? #}
{% macro landing_comment(state) -%}
    {{ {
        'pending': 'VPC Flow Logs; the earlier files of the bucket are not loaded yet',
        'loaded': 'VPC Flow Logs; the earlier files of the bucket are loaded',
    }[state] }}
{%- endmacro %}


{# The comment of the pipe: does it still need a refresh? #}
{% macro pipe_comment(state) -%}
    {{ {
        'pending': 'Loads VPC Flow Logs; to be refreshed once events arrive',
        'complete': 'Loads VPC Flow Logs',
    }[state] }}
{%- endmacro %}


{# The statement that sets the comment of the landing table. #}
{% macro comment_on_landing_sql(landing, state) -%}
    alter table {{ landing }} set comment = '{{ vpc_flow_logs.landing_comment(state) }}'
{%- endmacro %}


{# The landing table. After S3's lifecycle has deleted the files it is the only copy, so
   it is permanent and has Time Travel. Lines of text logs are there until the next
   staging run only. Load times have a zone, because the time zone of a pipe is not
   documented. #}
{% macro create_landing_sql(source_node, replace=false) -%}
    {%- set waits = source_node.name == 'text_logs' -%}
    create {{ 'or replace ' if replace }}{{ 'transient ' if waits }}table
    {{- ' if not exists' if not replace }} {{ source_node.relation_name }} (
        value {{ source_node.columns['value'].data_type }},
        metadata_filename varchar,
        metadata_file_row_number bigint,
        metadata_file_last_modified timestamp_ntz,
        _dbt_copied_at timestamp_ltz
    )
    data_retention_time_in_days = {{ 0 if waits else var('landing_time_travel_days') }}
    {{- '\n    row_timestamp = true' if waits or var('row_timestamps') }}
    comment = '{{ vpc_flow_logs.landing_comment('pending') }}'
{%- endmacro %}


{# The COPY into landing. With `path` it reads the files below it. With `file` it reads
   that file and fails on an error instead of skipping it: COPY takes names or a
   pattern. #}
{% macro copy_into_landing_sql(source_node, table=none, path='', file=none) -%}
    {%- set external = source_node.external -%}
    copy into {{ table or source_node.relation_name }} from (
        select
            $1::{{ source_node.columns['value'].data_type }} as value,
            metadata$filename::varchar as metadata_filename,
            metadata$file_row_number::bigint as metadata_file_row_number,
            metadata$file_last_modified::timestamp_ntz as metadata_file_last_modified,
            metadata$start_scan_time::timestamp_ltz as _dbt_copied_at
        from {{ vpc_flow_logs.quoted_location(external.location ~ path) }}
    )
    file_format = {{ external.file_format }}
    {%- if file %}
    files = ({{ vpc_flow_logs.text_literal(file) }})
    {%- else %}
    pattern = '{{ external.pattern }}'
    {{ external.snowpipe.copy_options }}
    {%- endif %}
{%- endmacro %}


{# The pipe. It has the name of the landing table, and the COPY that loaded the earlier
   files. #}
{% macro create_pipe_sql(source_node, create) -%}
    {{ create }} {{ source_node.relation_name }}
    auto_ingest = {{ 'true' if var('snowpipe_auto_ingest') else 'false' }}
    {%- if var('snowpipe_sns_topic') %}
    aws_sns_topic = '{{ var('snowpipe_sns_topic') }}'
    {%- endif %}
    {%- if var('snowpipe_error_integration') %}
    error_integration = {{ var('snowpipe_error_integration') }}
    {%- endif %}
    comment = '{{ vpc_flow_logs.pipe_comment('pending') }}'
    as {{ vpc_flow_logs.copy_into_landing_sql(source_node) }}
{%- endmacro %}


{# Pauses the pipe, and stops while it has pending files: replacing a pipe deletes its
   history. #}
{% macro pause_pipe_before_refresh(landing) %}
    {% do run_query('alter pipe ' ~ landing ~ ' set pipe_execution_paused = true') %}
    {% set status = vpc_flow_logs.pipe_state(landing) %}
    {% if status.get('pendingFileCount', 0) | int > 0 %}
        {% do exceptions.raise_compiler_error(
            'The pipe ' ~ landing ~ ' is paused now and has '
            ~ status.pendingFileCount ~ ' files in hand. Run this again when'
            ~ ' they are loaded.'
        ) %}
    {% endif %}
{% endmacro %}
