{# The files that cannot be read as flow logs, one row each. #}
{% macro malformed_files() -%}
    {{ return(adapter.dispatch('malformed_files', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader has quarantined them. #}
{% macro duckdb__malformed_files() -%}
    select
        metadata_filename,
        error as reason,
        loaded_at as found_at
    from {{ source('vpc_flow', 'load_history') }}
    where status = 'quarantined'
{%- endmacro %}

{# Snowpipe has loaded them. Each run checks the records that flow_records has not read
   yet, so the newest record there is the watermark of both models. #}
{% macro snowflake__malformed_files() -%}
    {%- set records = this.incorporate(path={'identifier': 'flow_records'}) -%}
    {%- set since = none -%}
    {%- if execute and is_incremental() and load_relation(records) is not none -%}
        {%- set since = vpc_flow_logs.watermark(records, 'loaded_at') -%}
    {%- endif -%}
    with

    judged as (

        select
            metadata_filename,
            min(
                case
                    {%- for field in vpc_flow_logs.flow_log_fields()
                        if field.type != 'varchar' %}
                    {%- set value = "value['" ~ field.name ~ "']" %}
                    when not {{ vpc_flow_logs.is_integer_or_missing(value) }}
                        then '{{ field.name }} holds ' || cast({{ value }} as varchar)
                            || ', which is no integer'
                    {%- endfor %}
                    when
                        {%- for field in vpc_flow_logs.flow_log_fields() %}
                        {{ 'and ' if not loop.first }}value['{{ field.name }}'] is null
                        {%- endfor %}
                        then 'not a flow log: no column is a field of the format'
                end
            ) as reason,
            min({{ vpc_flow_logs.landing_load_time() }}) as found_at
        from {{ source('vpc_flow', 'flow_logs') }}
        where {{ vpc_flow_logs.is_loaded_after(
            since, vpc_flow_logs.landing_load_time()
        ) }}
        group by metadata_filename

    )

    select * from judged
    where reason is not null
{%- endmacro %}


{# Whether an element of a VARIANT is an integer or missing. #}
{% macro is_integer_or_missing(value) -%}
    coalesce(
        typeof({{ value }}) in ('INTEGER', 'NULL_VALUE')
        or (
            typeof({{ value }}) in ('DECIMAL', 'DOUBLE')
            and mod(try_cast(cast({{ value }} as varchar) as double), 1) = 0
        ),
        true
    )
{%- endmacro %}


{# Whether the file of a record is well formed. #}
{% macro is_well_formed() -%}
    {{ return(adapter.dispatch('is_well_formed', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader does not load malformed files. #}
{% macro duckdb__is_well_formed() -%}
    true
{%- endmacro %}

{# Snowpipe loads them. #}
{% macro snowflake__is_well_formed() -%}
    metadata_filename not in (
        select metadata_filename from {{ ref('vpc_flow_logs', 'malformed_files') }}
    )
{%- endmacro %}
