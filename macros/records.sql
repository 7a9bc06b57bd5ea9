{# Whether a record comes from a transit gateway flow log: only those fill the fields of
   version 6. Each hop through the gateway is a record of its own there, so they must
   not be added to what network interfaces saw. #}
{% macro is_transit_gateway_record() -%}
    coalesce(
        {%- for field in flow_log_fields()
            if field.version == 6 and field.type == 'varchar' %}
        {{ field.column }}{{ ',' if not loop.last }}
        {%- endfor %}
    ) is not null
{%- endmacro %}


{# Whether a record's time can be true: VPC Flow Logs began in 2015, and nothing starts
   more than a day after it was loaded. False for null. #}
{% macro is_plausible_time(started_at, loaded_at) -%}
    coalesce(
        {{ started_at }} >= cast('2013-01-01' as timestamp)
        and {{ started_at }}
            <= {{ dbt.dateadd('day', 1, load_time_in_utc(loaded_at)) }},
        false
    )
{%- endmacro %}


{# The load time as a timestamp without zone, to compare with what records hold. #}
{% macro load_time_in_utc(loaded_at) -%}
    {{ return(adapter.dispatch('load_time_in_utc', 'vpc_flow_logs')(loaded_at)) }}
{%- endmacro %}

{% macro duckdb__load_time_in_utc(loaded_at) -%}
    {{ loaded_at }}
{%- endmacro %}

{% macro snowflake__load_time_in_utc(loaded_at) -%}
    cast(convert_timezone('UTC', {{ loaded_at }}) as timestamp_ntz)
{%- endmacro %}
