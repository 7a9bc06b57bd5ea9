{# Whether a record comes from a transit gateway flow log: only those have the fields of
   version 6. They have a record for each hop through the gateway, so they must not be
   added to the records of network interfaces. #}
{% macro is_transit_gateway_record() -%}
    coalesce(
        {%- for field in vpc_flow_logs.flow_log_fields()
            if field.version == 6 and field.type == 'varchar' %}
        {{ field.column }}{{ ',' if not loop.last }}
        {%- endfor %}
    ) is not null
{%- endmacro %}


{# Whether the time of a record is plausible: VPC Flow Logs exist since 2015, and no
   record starts more than a day after it was loaded. False for null. #}
{% macro is_plausible_time(started_at, loaded_at) -%}
    coalesce(
        {{ started_at }} >= {{ vpc_flow_logs.time_literal('2013-01-01') }}
        and {{ started_at }}
            <= {{ dbt.dateadd('day', 1, vpc_flow_logs.load_time_in_utc(loaded_at)) }},
        false
    )
{%- endmacro %}


{# Whether a count of bytes or packets is possible. An interface of 400 Gbit/s carries
   30 TB in the 600 seconds of the longest record, so 100 TB is the bound. The sum of
   90,000 such records still fits 64 bits. True for null. #}
{% macro is_plausible_count(count) -%}
    coalesce({{ count }} between 0 and 100000000000000, true)
{%- endmacro %}


{# The load time as a timestamp without zone, to compare with the times of records. #}
{% macro load_time_in_utc(loaded_at) -%}
    {{ return(adapter.dispatch('load_time_in_utc', 'vpc_flow_logs')(loaded_at)) }}
{%- endmacro %}

{% macro duckdb__load_time_in_utc(loaded_at) -%}
    {{ loaded_at }}
{%- endmacro %}

{% macro snowflake__load_time_in_utc(loaded_at) -%}
    cast(convert_timezone('UTC', {{ loaded_at }}) as timestamp_ntz)
{%- endmacro %}


{# The id of the flow log that a file belongs to, from its name; null for other
   names. #}
{% macro flow_log_id(metadata_filename) -%}
    {%- set part -%}
        split_part(split_part({{ metadata_filename }}, '/', -1), '_', 4)
    {%- endset -%}
    case when {{ part }} like 'fl-%' then {{ part }} end
{%- endmacro %}


{# The region of a record: the field or, where the format lacks it, the part of the
   file's name; null for other names. #}
{% macro region_of(region, metadata_filename) -%}
    coalesce(
        {{ region }},
        case
            when {{ vpc_flow_logs.flow_log_id(metadata_filename) }} is not null
                then split_part(split_part({{ metadata_filename }}, '/', -1), '_', 3)
        end
    )
{%- endmacro %}


{# Whether a record belongs to the flow log that counts, where several describe the same
   interface, day and action. If none overlap on these days, the condition is `true`. #}
{% macro is_primary_flow_log(days) -%}
    {%- set once = var('count_overlapping_flow_logs_once') -%}
    {%- if once and vpc_flow_logs.flow_logs_overlap(days) -%}
        not exists (
            select 1
            from {{ ref('vpc_flow_logs', 'overlapping_flow_logs') }} as overlapping
            where
                not overlapping.is_primary
                and overlapping.started_date = cast(started_at as date)
                and overlapping.interface_id = flow_records.interface_id
                and overlapping.action = flow_records.action
                and overlapping.flow_log_id = flow_records.flow_log_id
        )
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}


{# Whether flow logs overlap on one of the days. #}
{% macro flow_logs_overlap(days) %}
    {% set overlapping = ref('vpc_flow_logs', 'overlapping_flow_logs') %}
    {% if not execute or load_relation(overlapping) is none %}
        {% do return(false) %}
    {% endif %}
    {% set found = run_query(
        'select count(*) from ' ~ overlapping ~ ' where ' ~ vpc_flow_logs.on_days(days)
    ).columns[0].values()[0] %}
    {% do return(found > 0) %}
{% endmacro %}
