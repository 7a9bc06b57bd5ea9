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
    {%- set generic = vpc_flow_logs.generic_fields() -%}
    {%- set loaded_at = vpc_flow_logs.landing_load_time() -%}
    with

    files as (

        select
            metadata_filename,
            {{ vpc_flow_logs.delivery('metadata_filename') }} as delivery,
            min(
                case
                    {%- for field in vpc_flow_logs.flow_log_fields() %}
                    when not {{ vpc_flow_logs.has_right_type(field) }}
                        then '{{ field.name }} holds '
                            || {{ vpc_flow_logs.landed_value(field.name, true) }}
                            || ', which is no '
                            || '{{ 'text' if field.type == 'varchar' else 'integer' }}'
                    {%- endfor %}
                end
            ) as wrong_value,
            count(
                coalesce(
                    {%- for field in vpc_flow_logs.flow_log_fields()
                        if field.name not in generic %}
                    {{ vpc_flow_logs.landed_value(field.name) }}
                    {{- ',' if not loop.last }}
                    {%- endfor %}
                )
            ) as records_of_flow_logs,
            min({{ loaded_at }}) as found_at
        from {{ source('vpc_flow', 'flow_logs') }}
        where {{ vpc_flow_logs.is_loaded_after(since, loaded_at) }}
        group by metadata_filename

    ),

    judged as (

        select
            metadata_filename,
            delivery,
            found_at,
            case
                when wrong_value is not null then wrong_value
                when records_of_flow_logs = 0
                    then 'not a flow log: no column is one that only flow logs have'
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


{# Whether the element of a record's VARIANT has the type of its field, or is
   missing. #}
{% macro has_right_type(field) -%}
    {%- set value = vpc_flow_logs.landed_value(field.name) -%}
    {%- set text = vpc_flow_logs.landed_value(field.name, as_text=true) -%}
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
        typeof({{ value }}) in ('INTEGER', 'NULL_VALUE')
        or (
            typeof({{ value }}) in ('DECIMAL', 'DOUBLE')
            and mod(try_cast({{ text }} as double), 1) = 0
        ),
        {%- endif %}
        true
    )
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
