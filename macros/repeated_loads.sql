{# Which records of landing may be there twice. After 14 days a pipe may load a file
   again, and what COPY has loaded a pipe may load as well. Returns `any`, whether a
   model that reads what was loaded after `since` has to compare records, and `files`,
   the files among them of which it has read records before; none for a very long list.

   int_health__landed_files is the ledger of files. A file that is in it, or has more
   records than row numbers, is compared record by record. All others are read as they
   are. #}
{% macro repeated_loads(since) %}
    {{ return(adapter.dispatch('repeated_loads', 'vpc_flow_logs')(since)) }}
{% endmacro %}

{# The loader loads no file twice. #}
{% macro duckdb__repeated_loads(since) %}
    {% do return({'any': false, 'files': []}) %}
{% endmacro %}

{% macro snowflake__repeated_loads(since) %}
    {% if not execute or not var('row_timestamps') %}
        {% do return({'any': true, 'files': []}) %}
    {% endif %}
    {% set ledger = load_relation(
        this.incorporate(path={'identifier': 'int_health__landed_files'})
    ) if since is not none else none %}
    {% set sql %}
        with

        unread as (

            {{ vpc_flow_logs.unread_records(since) }}

        ),

        loaded as (

            select
                metadata_filename,
                count(*) as records,
                max(metadata_file_row_number) - min(metadata_file_row_number) + 1
                    as row_numbers
            from unread
            group by metadata_filename

        )

        select
            loaded.metadata_filename,
            {{ 'ledger.metadata_filename is not null' if ledger else 'false' }}
                as is_known
        from loaded
        {% if ledger %}
        left join {{ ledger }} as ledger
            on
                loaded.metadata_filename = ledger.metadata_filename
                and ledger.loaded_at <= {{ vpc_flow_logs.load_time_literal(since) }}
        {% endif %}
        where
            loaded.records > loaded.row_numbers
            {{ 'or ledger.metadata_filename is not null' if ledger }}
    {% endset %}
    {% set repeated = vpc_flow_logs.rows_of(sql) %}
    {% set files = repeated | selectattr('is_known')
        | map(attribute='metadata_filename') | list %}
    {% do return({
        'any': repeated | length > 0,
        'files': files if files | length <= 1000 else none,
    }) %}
{% endmacro %}


{# The clause that keeps a record once if it was loaded again. #}
{% macro qualify_first_load(repeated) -%}
    {%- if repeated.any %}
    qualify
        row_number() over (
            partition by metadata_filename, {{ vpc_flow_logs.record_identity() }}
            order by loaded_at
        ) = 1
    {%- endif %}
{%- endmacro %}


{# The records loaded after `since`, as a query: all of landing without `since`. With
   them come the earlier records of the files that `repeated` names. #}
{% macro unread_records(since, repeated=none) -%}
    {{ return(adapter.dispatch('unread_records', 'vpc_flow_logs')(since, repeated)) }}
{%- endmacro %}

{# Landing holds the records typed, and no file was loaded twice. #}
{% macro duckdb__unread_records(since, repeated) -%}
    select * from {{ ref('vpc_flow_logs', 'stg_vpc_flow__flow_logs') }}
    where {{ vpc_flow_logs.is_loaded_after(since) }}
{%- endmacro %}

{# Landing was read once, by int_records__unread. #}
{% macro snowflake__unread_records(since, repeated) -%}
    {%- set landed = ref('vpc_flow_logs', 'stg_vpc_flow__flow_logs') -%}
    {%- set unread = ref('vpc_flow_logs', 'int_records__unread') -%}
    {%- set files = repeated.files if repeated else [] -%}
    select * from {{ landed if since is none else unread }}
    where {{ vpc_flow_logs.is_loaded_after(since) }}
    {%- if since is not none and files != [] %}
    union all
    select * from {{ landed }}
    where
        loaded_at <= {{ vpc_flow_logs.load_time_literal(since) }}
        {%- if files is not none %}
        and metadata_filename in (
            {%- for file in files %}
            {{ vpc_flow_logs.text_literal(file) }}{{ ',' if not loop.last }}
            {%- endfor %}
        )
        {%- endif %}
    {%- endif %}
{%- endmacro %}


{# The load time after which a model has not read the records of landing: the earlier
   one of flow_records and the ledger of files. None before the first build. #}
{% macro unread_since() %}
    {% set read = [] %}
    {% for model, column in {
        'int_health__landed_files': 'loaded_through_at', 'flow_records': 'loaded_at',
    }.items() if execute %}
        {% set relation = load_relation(this.incorporate(path={'identifier': model})) %}
        {% if relation %}
            {% do read.append(vpc_flow_logs.watermark(relation, column)) %}
        {% endif %}
    {% endfor %}
    {% do return(read | reject('none') | min | default(none)) %}
{% endmacro %}


{# The load time after which the tests of each build read records. #}
{% macro tested_since() %}
    {{ return(adapter.dispatch('tested_since', 'vpc_flow_logs')()) }}
{% endmacro %}

{% macro duckdb__tested_since() %}
    {% do return(run_started_at - modules.datetime.timedelta(days=2)) %}
{% endmacro %}

{# The first load of what the last run has read. #}
{% macro snowflake__tested_since() %}
    {% set unread = ref('vpc_flow_logs', 'int_records__unread') %}
    {% if not execute or load_relation(unread) is none %}
        {% do return(run_started_at) %}
    {% endif %}
    {% set first = run_query(
        "select date_part('epoch_nanosecond', min(loaded_at)) from " ~ unread
    ).columns[0].values()[0] %}
    {% do return(first | int - 1 if first is not none else run_started_at) %}
{% endmacro %}
