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
    {% do run_query(vpc_flow_logs.move_text_logs_sql()) %}
    {% do log(
        'Moved lines of text logs to ' ~ vpc_flow_logs.landing_table(), info=true
    ) %}
{% endmacro %}


{# `dbt --quiet run-operation text_logs_task`: prints the statements that let Snowflake
   move the lines each hour, without dbt. #}
{% macro text_logs_task(schedule='using cron 7 * * * * UTC') %}
    {% set names = vpc_flow_logs.start_operation(
        'text_logs_task', var('loader_role')
    ) %}
    {% set task = names.landing_schema ~ '.move_text_logs' %}
    {% set script %}
-- Moves the lines of text logs, before each build. Serverless, so that an hour without
-- lines costs seconds. Run it as an administrator who has the role of the loader.
grant execute managed task on account to role {{ names.loader_role }};
grant create task on schema {{ names.landing_schema }} to role {{ names.loader_role }};
use role {{ names.loader_role }};
create or replace task {{ task }}
    schedule = {{ vpc_flow_logs.text_literal(schedule) }}
    target_completion_interval = '10 minutes'
    suspend_task_after_num_failures = 0
    comment = '{{ vpc_flow_logs.creation_mark() }}'
as
{{ vpc_flow_logs.move_text_logs_sql().rstrip() }};
alter task {{ task }} resume;
    {% endset %}
    {% do print(vpc_flow_logs.tidy(script)) %}
{% endmacro %}


{# The transaction. Lines that are committed after `newest`, a time in nanoseconds, stay
   for the next run: the DELETE must see the lines that the INSERT has seen.

   A file may be loaded in several transactions. So a line waits for the first line of
   its file, and a first line stays for a day. #}
{% macro move_text_logs_sql() %}
    {% set texts = vpc_flow_logs.landing_table('text_logs') %}
    {% set landing = api.Relation.create(
        database=vpc_flow_logs.landing_node().database,
        schema=vpc_flow_logs.landing_node().schema,
        identifier=vpc_flow_logs.landing_node().identifier
    ) %}
    {% set committed_at = 'metadata$row_last_commit_time' %}
    {% set day_ago = "dateadd('day', -1, current_timestamp())" %}
    {% set fault = vpc_flow_logs.header_fault('value') %}
    {% set newest %}
        let newest integer := (
            select date_part('epoch_nanosecond', max({{ committed_at }}))
            from {{ texts }}
        );
    {% endset %}
    {% set known = committed_at ~ ' <= to_timestamp_ltz(:newest, 9)' %}
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
    {% call vpc_flow_logs.ordered_transaction(landing, newest) %}
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
    {%- set names = "replace(lower(trim(" ~ header ~ ")), '-', '_')" -%}
    {%- set fields = vpc_flow_logs.field_names('trim(' ~ header ~ ')', ' ') -%}
    {%- set name = '[a-z][a-z0-9_]*' -%}
    {%- set twice -%}
        array_except(split({{ names }}, ' '), array_distinct(split({{ names }}, ' ')))
    {%- endset -%}
    {%- set listed = "array_to_string(" ~ twice ~ ", ', ')" -%}
    case
        when {{ vpc_flow_logs.regexp_matches_all_of(
            'trim(' ~ header ~ ')', '[0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+Z .*'
        ) }}
            then 'an export of CloudWatch Logs: no line names its fields. Let the flow'
                || ' log deliver to S3'
        when left(trim({{ header }}), 1) in ('{', '[')
            then 'records inside JSON, as CloudWatch Logs sends them. Let the flow log'
                || ' deliver to S3'
        when not {{ vpc_flow_logs.regexp_matches_all_of(
            names, name ~ '( ' ~ name ~ ')*'
        ) }}
            then {{ vpc_flow_logs.no_names() }}
        when array_size({{ twice }}) > 0 then {{ vpc_flow_logs.two_columns(listed) }}
        when not {{ vpc_flow_logs.regexp_matches_all_of(
            "' ' || " ~ fields ~ " || ' '", '.* (' ~ specific | join('|') ~ ') .*'
        ) }}
            then {{ vpc_flow_logs.no_flow_log() }}
    end
{%- endmacro %}


{# The reason of a text log without a line of names. #}
{% macro no_names() -%}
    'not a flow log: its first line names no fields'
{%- endmacro %}


{# Names of columns, between separators, as names of fields. AWS's documentation has
   hyphens, its Parquet underscores, and no field has both. #}
{% macro field_names(names, separator) -%}
    {%- set part = '[^' ~ separator ~ ']*' -%}
    {%- set mixed = part ~ '(-' ~ part ~ '_|_' ~ part ~ '-)' ~ part -%}
    replace(regexp_replace(lower({{ names }}), '{{ mixed }}', 'no_field'), '-', '_')
{%- endmacro %}


{# Says which field has two columns; null if none has. An array keeps what occurs once
   more than in the array that is taken from it. #}
{% macro two_of_one_name(names, separator) -%}
    {%- set fields = vpc_flow_logs.flow_log_fields() | map(attribute='name')
        | join(separator) -%}
    {%- set found -%}
        split({{ vpc_flow_logs.field_names(names, separator) }}, '{{ separator }}')
    {%- endset -%}
    {%- set known = "split('" ~ fields ~ "', '" ~ separator ~ "')" -%}
    {%- set twice -%}
        array_intersection(array_except({{ found }}, {{ known }}), {{ known }})
    {%- endset -%}
    {%- set listed = "array_to_string(" ~ twice ~ ", ', ')" -%}
    case
        when array_size({{ twice }}) > 0 then {{ vpc_flow_logs.two_columns(listed) }}
    end
{%- endmacro %}


{# The reason of a file with two columns of one name, which is an expression. #}
{% macro two_columns(name) -%}
    'two columns are named ' || {{ name }} || ', but for case or hyphens'
{%- endmacro %}


{# The reason of a file without a field that only flow logs have. #}
{% macro no_flow_log() -%}
    'not a flow log: it has no value of a field that only flow logs have'
{%- endmacro %}


{# Whether a file is a text log, by its name. #}
{% macro is_text_log(metadata_filename) -%}
    lower({{ metadata_filename }}) not like '%.parquet'
{%- endmacro %}
