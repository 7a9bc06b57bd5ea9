{# Which records of landing may be there twice. After 14 days a pipe may load a file
   again, and what COPY has loaded a pipe may load as well. Returns `any`, whether a
   model that reads what was loaded after `since` has to compare records, and `files`,
   the files among them of which it has read records before; none for a very long list.

   int_health__files is the ledger of files. A file that is in it, or has more records
   than row numbers, is compared record by record. All others are read as they are. #}
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
        this.incorporate(path={'identifier': 'int_health__files'})
    ) if since is not none else none %}
    {% set loaded_at = vpc_flow_logs.landing_load_time() %}
    {% set sql %}
        with

        loaded as (

            select
                metadata_filename,
                count(*) as records,
                max(metadata_file_row_number) - min(metadata_file_row_number) + 1
                    as row_numbers
            from {{ source('vpc_flow', 'flow_logs') }}
            where {{ vpc_flow_logs.is_loaded_after(since, loaded_at) }}
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


{# The condition that a record was loaded after `since`, or is of a file that is
   compared with what was loaded before. #}
{% macro is_loaded_after_or_repeated(since, repeated) -%}
    {%- if repeated.files is none -%}
        true
    {%- elif not repeated.files -%}
        {{ vpc_flow_logs.is_loaded_after(since) }}
    {%- else -%}
        (
            {{ vpc_flow_logs.is_loaded_after(since) }}
            or metadata_filename in (
                {%- for file in repeated.files %}
                {{ vpc_flow_logs.text_literal(file) }}{{ ',' if not loop.last }}
                {%- endfor %}
            )
        )
    {%- endif -%}
{%- endmacro %}


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
