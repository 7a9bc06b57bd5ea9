{# The reference time, UTC and without zone: the end of the day `as_of`, or the start of
   the run if that is earlier. #}
{% macro as_of_time() -%}
    {%- set day = vpc_flow_logs.as_of() + modules.datetime.timedelta(days=1) -%}
    {%- set end = modules.datetime.datetime(day.year, day.month, day.day) -%}
    {%- set started = run_started_at.astimezone(modules.pytz.utc) -%}
    {{ vpc_flow_logs.time_literal([end, started.replace(tzinfo=none)] | min) }}
{%- endmacro %}


{# The columns that dbt reads from a file's name. AWS's form is
   account_vpcflowlogs_region_flow-log-id_YYYYMMDDTHHmmZ_hash.log.parquet. All are null
   for a name of another form.
   https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-s3-path.html #}
{% macro file_name_columns() -%}
    {%- set parts = [] -%}
    {%- for number in range(1, 5) -%}
        {%- do parts.append(
            "split_part(split_part(metadata_filename, '/', -1), '_', " ~ number ~ ")"
        ) -%}
    {%- endfor -%}
    case when {{ parts[3] }} like 'fl-%' then {{ parts[3] }} end as flow_log_id,
    case
        when
            {{ parts[3] }} like 'fl-%'
            and {{ vpc_flow_logs.regexp_matches_all_of(parts[0], '[0-9]+') }}
            then {{ parts[0] }}
    end as account_id,
    case when {{ parts[3] }} like 'fl-%' then {{ parts[2] }} end as region,
    {{ vpc_flow_logs.file_created_at('metadata_filename') }} as created_at
{%- endmacro %}


{# When AWS created a file, from its name; null for a name of another form. #}
{% macro file_created_at(metadata_filename) -%}
    {%- set name = "split_part(" ~ metadata_filename ~ ", '/', -1)" -%}
    {%- set minute = "split_part(" ~ name ~ ", '_', 5)" -%}
    case
        when
            split_part({{ name }}, '_', 4) like 'fl-%'
            and {{ vpc_flow_logs.regexp_matches_all_of(minute, '[0-9]{8}T[0-9]{4}Z') }}
            then {{ vpc_flow_logs.minute_from_text(minute) }}
    end
{%- endmacro %}


{# The files of the window whose records count, with two lags in seconds: until AWS
   wrote the file to the bucket, and from there until it was loaded. #}
{% macro delivered_files() -%}
    {%- set landed_at = vpc_flow_logs.load_time_in_utc('loaded_at') -%}
    select
        *,
        {{ landed_at }} as landed_at,
        {{
            dbt.datediff('newest_record_ended_at', 'created_at', 'second')
        }} as delivery_lag,
        {{ dbt.datediff('created_at', landed_at, 'second') }} as load_lag
    from {{ ref('vpc_flow_logs', 'int_health__files') }}
    where
        {{ vpc_flow_logs.in_window(
            'cast(coalesce(created_at, ' ~ landed_at ~ ') as date)'
        ) }}
{%- endmacro %}


{# The columns <lag>_p50_seconds and <lag>_p95_seconds for each of the columns
   `lags`. #}
{% macro lag_percentiles(lags) -%}
    {%- set columns = [] -%}
    {%- for lag in lags -%}
        {%- for percent in (50, 95) -%}
            {%- do columns.append(
                'cast(round(percentile_cont(' ~ percent / 100
                ~ ') within group (order by ' ~ lag ~ ')) as bigint) as '
                ~ lag ~ '_p' ~ percent ~ '_seconds'
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ columns | join(',\n        ') }}
{%- endmacro %}


{# Every attempt to load a file, one row each. #}
{% macro load_attempts() -%}
    {{ return(adapter.dispatch('load_attempts', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader keeps the last attempt for each file. #}
{% macro duckdb__load_attempts() -%}
    select
        metadata_filename,
        loaded_at,
        case when status = 'loaded' then 'loaded' else 'failed' end as status,
        size_bytes,
        records,
        cast(null as bigint) as bytes_billed,
        case when status != 'loaded' then error end as reason
    from {{ source('vpc_flow', 'load_history') }}
    where status != 'copy'
{%- endmacro %}

{# COPY_HISTORY drops rows after 14 days; the model keeps them. A run reads what came
   since the last one, with the overlap. COPY_HISTORY has the URL
   of the stage before the name of a file; records have the key below the bucket. A
   malformed file was loaded, but none of its records counts: its status is `failed`. #}
{% macro snowflake__load_attempts() -%}
    {%- set since = none -%}
    {%- if is_incremental() -%}
        {%- set last = vpc_flow_logs.max_of(this, 'loaded_at') -%}
        {%- set overlap = modules.datetime.timedelta(
            seconds=vpc_flow_logs.load_overlap_seconds()
        ) -%}
        {%- set since = last - overlap if last is not none else none -%}
    {%- endif -%}
    with

    loads as (

        {%- for name in ('flow_logs', 'text_logs') %}
        {{ 'union all' if not loop.first }}
        select
            stage_location,
            file_name,
            last_load_time,
            status,
            file_size,
            bytes_billed,
            {%- if loop.first %}
            row_count,
            {{ vpc_flow_logs.load_fault('first_error_message') }} as load_fault
            {%- else %}
            {#- The first line of a text log is no record. #}
            row_count - 1 as row_count,
            case
                when status = 'Loaded' and row_count = 0
                    then {{ vpc_flow_logs.no_names() }}
                else {{ vpc_flow_logs.load_fault('first_error_message') }}
            end as load_fault
            {%- endif %}
        from {{ vpc_flow_logs.copy_history(
            vpc_flow_logs.landing_table(name), 14, since
        ) }}
        {%- endfor %}

    ),

    attempts as (

        select
            regexp_replace(stage_location || file_name, '^[a-z0-9]+://[^/]+/', '')
                as metadata_filename,
            last_load_time as loaded_at,
            status,
            file_size,
            row_count,
            bytes_billed,
            load_fault
        from loads
        where status != 'Load in progress'
        qualify
            row_number() over (
                partition by metadata_filename, loaded_at
                order by status
            ) = 1

    ),

    judged as (

        select
            attempts.*,
            coalesce(files.fault, attempts.load_fault) as reason,
            attempts.status = 'Loaded' and reason is null as is_loaded
        from attempts
        left join {{ ref('vpc_flow_logs', 'int_health__landed_files') }} as files
            on attempts.metadata_filename = files.metadata_filename
        where coalesce(files.fault, '') not like 'copy of %'

    )

    select
        metadata_filename,
        loaded_at,
        case when is_loaded then 'loaded' else 'failed' end as status,
        cast(file_size as bigint) as size_bytes,
        cast(case when is_loaded then row_count end as bigint) as records,
        cast(bytes_billed as bigint) as bytes_billed,
        reason
    from judged
{%- endmacro %}


{# What loading cost, in credits by UTC day. #}
{% macro load_credits() -%}
    {{ return(adapter.dispatch('load_credits', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# Loading costs no credits. #}
{% macro duckdb__load_credits() -%}
    select
        cast(null as date) as loaded_date,
        cast(null as double) as credits
    where false
{%- endmacro %}

{# PIPE_USAGE_HISTORY needs a privilege on the account, so a variable turns it on. #}
{% macro snowflake__load_credits() -%}
    {%- if var('read_pipe_usage') -%}
        select
            cast({{ vpc_flow_logs.load_time_in_utc('start_time') }} as date)
                as loaded_date,
            cast(sum(credits_used) as double) as credits
        from {{ vpc_flow_logs.pipe_usage_history(14) }}
        group by cast({{ vpc_flow_logs.load_time_in_utc('start_time') }} as date)
    {%- else -%}
        {{ vpc_flow_logs.duckdb__load_credits() }}
    {%- endif -%}
{%- endmacro %}
