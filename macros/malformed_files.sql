{# The files whose records count nowhere, one row each: they cannot be read as flow
   logs, or they are copies of other files. #}
{% macro malformed_files() -%}
    {{ return(adapter.dispatch('malformed_files', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader has not loaded them. #}
{% macro duckdb__malformed_files() -%}
    select
        metadata_filename,
        error as reason,
        loaded_at as found_at
    from {{ source('vpc_flow', 'load_history') }}
    where status in ('quarantined', 'copy')
{%- endmacro %}

{# Snowpipe has loaded them, and the ledger of files says what is wrong with each; or it
   could not read them. #}
{% macro snowflake__malformed_files() -%}
    select
        metadata_filename,
        fault as reason,
        loaded_at as found_at
    from {{ ref('vpc_flow_logs', 'int_health__landed_files') }}
    where fault is not null
    union all
    select
        metadata_filename,
        min(reason) as reason,
        min(loaded_at) as found_at
    from {{ ref('vpc_flow_logs', 'int_health__loads') }}
    where
        metadata_filename not in (
            select landed.metadata_filename
            from {{ ref('vpc_flow_logs', 'int_health__landed_files') }} as landed
        )
    group by metadata_filename
    having
        count(case when status = 'loaded' then 1 end) = 0
        and count(case when {{ vpc_flow_logs.is_unreadable('reason') }} then 1 end) > 0
{%- endmacro %}


{# Why Snowflake did not load a file, from the message in its load history, in the words
   of the loader on DuckDB. #}
{% macro load_fault(message) -%}
    case
        when {{ message }} ilike '%invalid utf8%' then 'not text in UTF-8'
        when {{ message }} ilike '%decompress%'
            then 'cannot be decompressed: ' || {{ message }}
        when {{ message }} ilike '%parsing the parquet%'
            then 'not readable Parquet: ' || {{ message }}
        when {{ message }} ilike '%duplicate field key%'
            then {{ vpc_flow_logs.two_columns(
                'split_part(' ~ message ~ ', chr(39), 2)'
            ) }}
        else {{ message }}
    end
{%- endmacro %}


{# Whether such a reason says that the file is damaged, so that no other try helps. #}
{% macro is_unreadable(reason) -%}
    (
        {{ reason }} like 'not %'
        or {{ reason }} like 'cannot be decompressed: %'
        or {{ reason }} like 'two columns are named %'
    )
{%- endmacro %}


{# What is wrong with a record: a value that does not have its field's type. Null for a
   good record. #}
{% macro record_fault() -%}
    {{ return(adapter.dispatch('record_fault', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader loads no file with such a record. #}
{% macro duckdb__record_fault() -%}
    cast(null as varchar)
{%- endmacro %}

{% macro snowflake__record_fault() -%}
    {%- set twice = vpc_flow_logs.two_of_one_name(
        "array_to_string(object_keys(as_object(value)), '|')", '|'
    ) -%}
    case
        when as_varchar(value) is not null
            then coalesce(
                case
                    when metadata_file_row_number = 0
                        then {{ vpc_flow_logs.header_fault('as_varchar(value)') }}
                end,
                {#- Last in the alphabet: a file has another fault if it can. #}
                'without a field for each name in the first line: '
                    || left(as_varchar(value), 200)
            )
        when {{ twice }} is not null then {{ twice }}
        {%- for field in vpc_flow_logs.flow_log_fields() %}
        when not {{ vpc_flow_logs.has_right_type(field) }}
            then '{{ field.name }} holds '
                || left({{ field.name }}_text, 200)
                || ', which is no '
                || '{{ 'text' if field.type == 'varchar' else 'integer' }}'
        {%- endfor %}
    end
{%- endmacro %}


{# Whether a record has a field that only flow logs have. #}
{% macro is_flow_log() -%}
    {{ return(adapter.dispatch('is_flow_log', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader loads no other file. #}
{% macro duckdb__is_flow_log() -%}
    true
{%- endmacro %}

{% macro snowflake__is_flow_log() -%}
    {%- set generic = vpc_flow_logs.generic_fields() -%}
    coalesce(
        {%- for field in vpc_flow_logs.flow_log_fields() if field.name not in generic %}
        {{ field.name }}_element{{ ',' if not loop.last }}
        {%- endfor %}
    ) is not null
{%- endmacro %}


{# The columns of a file from which with_copies says what is wrong with it. #}
{% macro faults_of_records() -%}
    {{ return(adapter.dispatch('faults_of_records', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader loads no file with a fault. #}
{% macro duckdb__faults_of_records() -%}
    cast(null as varchar) as fault
{%- endmacro %}

{% macro snowflake__faults_of_records() -%}
    min(fault) as record_fault,
    count(case when is_flow_log then 1 end) as records_of_flow_logs
{%- endmacro %}


{# The CTEs that give the rows of `files` a `fault`: that of a record, or that no record
   is one of a flow log, or that the file is a copy. The last CTE is `judged`. #}
{% macro with_copies(files) -%}
    {{ return(adapter.dispatch('with_copies', 'vpc_flow_logs')(files)) }}
{%- endmacro %}

{# The loader loads no copy. #}
{% macro duckdb__with_copies(files) -%}
    judged as (

        select * from {{ files }}

    )
{%- endmacro %}

{# By what AWS's name says of a file: the first that can be read is the one that
   counts. One that an earlier run has counted stays the one, also if another was loaded
   before it and committed later. #}
{% macro snowflake__with_copies(files) -%}
    examined as (

        select
            *,
            case
                when record_fault is not null then record_fault
                when records_of_flow_logs = 0 then {{ vpc_flow_logs.no_flow_log() }}
            end as own_fault
        from {{ files }}

    ),

    originals as (

        select
            metadata_filename,
            {{ vpc_flow_logs.delivery('metadata_filename') }} as delivery,
            loaded_at,
            false as is_counted
        from examined
        where own_fault is null
        {%- if is_incremental() %}
        union all
        select
            metadata_filename,
            {{ vpc_flow_logs.delivery('metadata_filename') }} as delivery,
            loaded_at,
            true as is_counted
        from {{ this }}
        where fault is null
        {%- endif %}

    ),

    first_files as (

        select
            delivery,
            metadata_filename
        from originals
        where delivery is not null
        qualify
            row_number() over (
                partition by delivery
                order by is_counted desc, loaded_at, metadata_filename
            ) = 1

    ),

    judged as (

        select
            examined.*,
            case
                when examined.own_fault is not null then examined.own_fault
                when first_files.metadata_filename != examined.metadata_filename
                    then 'copy of ' || first_files.metadata_filename
            end as fault
        from examined
        left join first_files
            on
                {{ vpc_flow_logs.delivery('examined.metadata_filename') }}
                = first_files.delivery

    )
{%- endmacro %}


{# What AWS's own name says of a file: account, region, flow log, time and hash. Two
   files with the same one are copies. Null for other names. #}
{% macro delivery(metadata_filename) -%}
    {%- set name = "split_part(" ~ metadata_filename ~ ", '/', -1)" -%}
    case
        when split_part({{ name }}, '_', 4) like 'fl-%'
            then split_part({{ name }}, '.', 1)
    end
{%- endmacro %}


{# Whether the element of a record's VARIANT has the type of its field, or is missing.
   All values of a text log are text. #}
{% macro has_right_type(field) -%}
    {%- set value = field.name ~ '_element' -%}
    {%- set text = field.name ~ '_text' -%}
    coalesce(
        {%- if field.type == 'varchar' %}
        typeof({{ value }}) in ('VARCHAR', 'NULL_VALUE')
            {%- if field.name.endswith('account_id') %}
        or (
            typeof({{ value }}) = 'INTEGER'
            and try_cast({{ text }} as bigint) between 0 and 999999999999
        )
            {%- endif %},
        {%- else %}
        typeof({{ value }}) = 'NULL_VALUE'
        or (
            typeof({{ value }}) in ('DECIMAL', 'DOUBLE')
            and mod(try_cast({{ text }} as double), 1) = 0
        )
        or (
            (
                typeof({{ value }}) = 'INTEGER'
                or {{ vpc_flow_logs.is_text_log('metadata_filename') }}
            )
            and ({{ text }} = '-' or {{ vpc_flow_logs.is_bigint(text) }})
        ),
        {%- endif %}
        true
    )
{%- endmacro %}


{# Whether a text is an integer of 64 bits; null for null. TRY_CAST would round a
   fraction, and is null for more than 38 digits. #}
{% macro is_bigint(text) -%}
    {{ vpc_flow_logs.regexp_matches_all_of(text, '-?[0-9]+') }}
    and coalesce(
        try_cast({{ text }} as bigint)
        between -9223372036854775808 and 9223372036854775807,
        {{ text }} is null
    )
{%- endmacro %}


{# Whether the file of a record is well formed, and no copy. False for a record that was
   loaded later than all records of the ledger of files, which has not judged it yet. #}
{% macro is_well_formed() -%}
    {{ return(adapter.dispatch('is_well_formed', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader does not load other files. #}
{% macro duckdb__is_well_formed() -%}
    true
{%- endmacro %}

{# Snowpipe loads them. #}
{% macro snowflake__is_well_formed() -%}
    {%- set ledger = ref('vpc_flow_logs', 'int_health__landed_files') -%}
    {%- set judged_at = none -%}
    {%- if execute and load_relation(ledger) is not none -%}
        {%- set judged_at = vpc_flow_logs.newest_load(ledger, 'loaded_through_at') -%}
    {%- endif -%}
    loaded_at <= {{ vpc_flow_logs.load_time_literal(judged_at) }}
    and metadata_filename not in (
        select judged.metadata_filename
        from {{ ledger }} as judged
        where judged.fault is not null
    )
{%- endmacro %}
