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

{# Snowpipe has loaded them. Each run checks the records that flow_records has not read
   yet, so the newest record there is the watermark of both models. int_health__files,
   which is built after this model, has the files that count. #}
{% macro snowflake__malformed_files() -%}
    {%- set records = this.incorporate(path={'identifier': 'flow_records'}) -%}
    {%- set counted = this.incorporate(path={'identifier': 'int_health__files'}) -%}
    {%- set since = none -%}
    {%- if execute and is_incremental() and load_relation(records) is not none -%}
        {%- set since = vpc_flow_logs.watermark(records, 'loaded_at') -%}
    {%- endif -%}
    {%- set fields = vpc_flow_logs.flow_log_fields() -%}
    {%- set generic = vpc_flow_logs.generic_fields() -%}
    {%- set loaded_at = vpc_flow_logs.landing_load_time() -%}
    with

    records as (

        select
            metadata_filename,
            metadata_file_row_number,
            {{ loaded_at }} as loaded_at,
            {{ vpc_flow_logs.is_text_log('metadata_filename') }} as is_text_log,
            as_varchar(value) as line,
            {{ vpc_flow_logs.two_of_one_name(vpc_flow_logs.field_names(
                "array_to_string(object_keys(as_object(value)), ' ')"
            )) }} as two_of_one_name
            {%- for field in fields %},
            {{ vpc_flow_logs.landed_value(field.name, as_text=true) }}
                as {{ field.name }}_text,
            typeof({{ vpc_flow_logs.landed_value(field.name) }})
                as {{ field.name }}_type
            {%- endfor %}
        from {{ source('vpc_flow', 'flow_logs') }}
        where {{ vpc_flow_logs.is_loaded_after(since, loaded_at) }}

    ),

    files as (

        select
            metadata_filename,
            {{ vpc_flow_logs.delivery('metadata_filename') }} as delivery,
            min(
                case
                    when metadata_file_row_number = 0
                        then {{ vpc_flow_logs.header_fault('line') }}
                end
            ) as wrong_header,
            min(
                case
                    when line is not null
                        then 'a line does not fit the names in the first line: '
                            || left(line, 200)
                    when two_of_one_name is not null then two_of_one_name
                    {%- for field in fields %}
                    when not {{ vpc_flow_logs.has_right_type(field) }}
                        then '{{ field.name }} holds ' || {{ field.name }}_text
                            || ', which is no '
                            || '{{ 'text' if field.type == 'varchar' else 'integer' }}'
                    {%- endfor %}
                end
            ) as wrong_value,
            count(
                coalesce(
                    {%- for field in fields if field.name not in generic %}
                    {{ field.name }}_type{{ ',' if not loop.last }}
                    {%- endfor %}
                )
            ) as records_of_flow_logs,
            min(loaded_at) as found_at
        from records
        group by metadata_filename

    ),

    judged as (

        select
            metadata_filename,
            delivery,
            found_at,
            case
                when wrong_header is not null then wrong_header
                when wrong_value is not null then wrong_value
                when records_of_flow_logs = 0 then {{ vpc_flow_logs.no_flow_log() }}
            end as reason
        from files

    ),

    {# By what AWS's name says of a file: the first that can be read is the one that
       counts. #}
    originals as (

        select
            metadata_filename,
            delivery,
            found_at
        from judged
        where reason is null
        {%- if execute and is_incremental() and load_relation(counted) is not none %}
        union all
        select
            metadata_filename,
            {{ vpc_flow_logs.delivery('metadata_filename') }} as delivery,
            loaded_at as found_at
        from {{ counted }}
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
                order by found_at, metadata_filename
            ) = 1

    ),

    named as (

        select
            judged.metadata_filename,
            case
                when judged.reason is not null then judged.reason
                when first_files.metadata_filename != judged.metadata_filename
                    then 'copy of ' || first_files.metadata_filename
            end as reason,
            judged.found_at
        from judged
        left join first_files on judged.delivery = first_files.delivery

    )

    select * from named
    where reason is not null
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


{# Whether a record's value has the type of its field, or is missing. All values of a
   text log are text. #}
{% macro has_right_type(field) -%}
    {%- set text = field.name ~ '_text' -%}
    {%- set type = field.name ~ '_type' -%}
    coalesce(
        {%- if field.type == 'varchar' %}
        {{ type }} in ('VARCHAR', 'NULL_VALUE')
            {%- if field.name.endswith('account_id') %}
        or (
            {{ type }} = 'INTEGER'
            and try_cast({{ text }} as bigint) between 0 and 999999999999
        )
            {%- endif %},
        {%- else %}
        {{ type }} in ('INTEGER', 'NULL_VALUE')
        or (
            {{ type }} in ('DECIMAL', 'DOUBLE')
            and mod(try_cast({{ text }} as double), 1) = 0
        )
        or (
            is_text_log
            and ({{ text }} = '-' or {{ vpc_flow_logs.is_bigint(text) }})
        ),
        {%- endif %}
        true
    )
{%- endmacro %}


{# Whether a text is an integer of 64 bits. TRY_CAST would round a fraction. #}
{% macro is_bigint(text) -%}
    {{ vpc_flow_logs.regexp_matches_all_of(text, '-?[0-9]+') }}
    and try_cast({{ text }} as bigint)
        between -9223372036854775808 and 9223372036854775807
{%- endmacro %}


{# Whether the file of a record is well formed, and no copy. #}
{% macro is_well_formed() -%}
    {{ return(adapter.dispatch('is_well_formed', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader does not load other files. #}
{% macro duckdb__is_well_formed() -%}
    true
{%- endmacro %}

{# Snowpipe loads them. #}
{% macro snowflake__is_well_formed() -%}
    metadata_filename not in (
        select metadata_filename from {{ ref('vpc_flow_logs', 'malformed_files') }}
    )
{%- endmacro %}
