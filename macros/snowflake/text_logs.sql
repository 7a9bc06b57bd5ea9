{# Text logs on Snowflake. A pipe adds each line of a file to `text_logs`, because no
   COPY can look at the first line of the file while it reads another. Staging gives
   the lines their names and moves them to `flow_logs`, in one transaction. So all
   models read one table. #}


{# Moves the lines that wait. SHOW TABLES counts them without a warehouse, so none
   starts if there are no text logs. #}
{% macro move_text_logs() %}
    {% set texts = vpc_flow_logs.text_logs_node() %}
    {% set found = vpc_flow_logs.find_object(
        'tables', texts.relation_name, vpc_flow_logs.in_schema_of(texts)
    ) %}
    {% if not found or not found.rows %}
        {% do return(none) %}
    {% endif %}
    {% set newest = vpc_flow_logs.newest_load(
        texts.relation_name, 'metadata$row_last_commit_time'
    ) %}
    {% set landing = api.Relation.create(
        database=texts.database,
        schema=texts.schema,
        identifier=vpc_flow_logs.landing_node().identifier
    ) %}
    {% set sql = vpc_flow_logs.move_text_logs_sql(
        landing, texts.relation_name, newest
    ) %}
    {% do run_query(sql) %}
    {% do log('Moved lines of text logs to ' ~ landing, info=true) %}
{% endmacro %}


{# The transaction. Lines that are committed after `newest`, a time in nanoseconds, stay
   for the next run.

   A file may be loaded in several transactions. So a line waits for the first line of
   its file, and a first line stays for a day. #}
{% macro move_text_logs_sql(landing, texts, newest) %}
    {% set committed_at = 'metadata$row_last_commit_time' %}
    {% set day_ago = vpc_flow_logs.load_time_literal(
        run_started_at - modules.datetime.timedelta(days=1)
    ) %}
    {% set fault = vpc_flow_logs.header_fault('value') %}
    {% set known %}
        {{ committed_at }} <= {{ vpc_flow_logs.load_time_literal(newest) }}
    {% endset %}
    {% set moves %}
        {{ known }}
        and case
            when metadata_file_row_number = 1 then {{ fault }} is not null
            else
                {{ committed_at }} < {{ day_ago }}
                or metadata_filename in (
                    select metadata_filename from {{ texts }}
                    where metadata_file_row_number = 1 and {{ known }}
                )
        end
    {% endset %}
    {% call vpc_flow_logs.ordered_transaction(landing) %}
    insert into {{ landing }} (
        value,
        metadata_filename,
        metadata_file_row_number,
        metadata_file_last_modified,
        _dbt_copied_at
    )
    with

    headers as (

        select
            metadata_filename,
            split(trim(value), ' ') as names
        from {{ texts }}
        where metadata_file_row_number = 1 and {{ known }} and {{ fault }} is null
        qualify
            row_number() over (
                partition by metadata_filename order by _dbt_copied_at desc
            ) = 1

    ),

    text_lines as (

        select
            *,
            split(value, ' ') as texts
        from {{ texts }}
        where {{ moves }}

    )

    select
        case
            when array_size(text_lines.texts) = array_size(headers.names)
                then to_variant(arrays_to_object(headers.names, text_lines.texts))
            else to_variant(text_lines.value)
        end as value,
        text_lines.metadata_filename,
        text_lines.metadata_file_row_number - 1 as metadata_file_row_number,
        text_lines.metadata_file_last_modified,
        current_timestamp() as _dbt_copied_at
    from text_lines
    left join headers on text_lines.metadata_filename = headers.metadata_filename;
    delete from {{ texts }}
    where
        {{ moves }}
        or (metadata_file_row_number = 1 and {{ committed_at }} < {{ day_ago }});
    {% endcall %}
{% endmacro %}


{# Why a first line names no fields of a flow log; null if it does. The loader on DuckDB
   says the same. #}
{% macro header_fault(header) -%}
    {%- set specific = [] -%}
    {%- for field in vpc_flow_logs.flow_log_fields()
        if field.name not in vpc_flow_logs.generic_fields() -%}
        {%- do specific.append(field.name) -%}
    {%- endfor -%}
    {%- set names = vpc_flow_logs.field_names(header) -%}
    {%- set name = '[a-z][a-z0-9_]*' -%}
    case
        when {{ vpc_flow_logs.regexp_matches_all_of(
            header, '[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+Z .*'
        ) }}
            then 'an export of CloudWatch Logs: no line names its fields. Let the flow'
                || ' log deliver to S3'
        when left({{ header }}, 1) in ('{', '[')
            then 'records inside JSON, as CloudWatch Logs sends them. Let the flow log'
                || ' deliver to S3'
        when not {{ vpc_flow_logs.regexp_matches_all_of(
            names, name ~ '( ' ~ name ~ ')*'
        ) }}
            then 'not a flow log: its first line names no fields'
        when not {{ vpc_flow_logs.regexp_matches_all_of(
            "' ' || " ~ names ~ " || ' '", '.* (' ~ specific | join('|') ~ ') .*'
        ) }}
            then {{ vpc_flow_logs.no_flow_log() }}
        else {{ vpc_flow_logs.two_of_one_name(names) }}
    end
{%- endmacro %}


{# Names of columns, between spaces, as names of fields. #}
{% macro field_names(names) -%}
    replace(lower(trim({{ names }})), '-', '_')
{%- endmacro %}


{# Says which field has two columns; null if none has. An array keeps what occurs once
   more than in the array that is taken from it. #}
{% macro two_of_one_name(names) -%}
    {%- set fields = vpc_flow_logs.flow_log_fields() | map(attribute='name')
        | join(' ') -%}
    {%- set twice -%}
        array_intersection(
            array_except(split({{ names }}, ' '), split('{{ fields }}', ' ')),
            split('{{ fields }}', ' ')
        )
    {%- endset -%}
    case
        when array_size({{ twice }}) > 0
            then 'two columns are named ' || array_to_string({{ twice }}, ', ')
                || ', but for case or hyphens'
    end
{%- endmacro %}


{# The reason of a file without a field that only flow logs have. #}
{% macro no_flow_log() -%}
    'not a flow log: no column is one that only flow logs have'
{%- endmacro %}


{# Whether a file is a text log, by its name. #}
{% macro is_text_log(metadata_filename) -%}
    lower({{ metadata_filename }}) not like '%.parquet'
{%- endmacro %}
