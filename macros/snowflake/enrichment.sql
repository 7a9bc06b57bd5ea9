{# Enrichment files on Snowflake: lines of text, and rows of Parquet as JSON, as the
   loader on DuckDB lands them. #}


{# The statements that let the landing table mirror the stage. Its comment has a
   checksum of the files that it holds, so a run without news only lists them, which
   needs no warehouse. Without VPC_FLOW_ENRICHMENT_LOCATION there is no location. #}
{% macro enrichment_plan(source_node) %}
    {% set landing = source_node.relation_name %}
    {% set location = source_node.external.location %}
    {% set table = vpc_flow_logs.find_object(
        'tables', landing, vpc_flow_logs.in_schema_of(source_node)
    ) %}
    {% set create = vpc_flow_logs.create_enrichment_sql(source_node) %}
    {% if not location %}
        {% do return([] if table else [create]) %}
    {% endif %}

    {% set texts, parquet, seen = [], [], [] %}
    {% set url = vpc_flow_logs.find_object(
        'stages', location[1:].rstrip('/'), vpc_flow_logs.in_schema_of(source_node)
    ).url %}
    {% for file in vpc_flow_logs.rows_of('list ' ~ location) %}
        {% set name = file.name[url | length:] %}
        {# Names that begin with `_` or `.` are no data. #}
        {% if file.size | int > 0 and not modules.re.search('(^|/)[_.]', name) %}
            {% set is_parquet = name.lower().endswith('.parquet') %}
            {% do (parquet if is_parquet else texts).append(name) %}
            {% do seen.append([name, file.size, file.last_modified | string]) %}
        {% endif %}
    {% endfor %}
    {% if not seen %}
        {% do exceptions.raise_compiler_error(
            'No enrichment file is in ' ~ url ~ '. Check VPC_FLOW_ENRICHMENT_LOCATION.'
        ) %}
    {% endif %}
    {% set comment = 'Enrichment files ' ~ local_md5(tojson(seen | sort)) %}
    {% if table and table.comment == comment %}
        {% do return([]) %}
    {% endif %}
    {% set copies = [] %}
    {% for kind, names in [('text', texts), ('parquet', parquet)] if names %}
        {% do copies.append(
            vpc_flow_logs.copy_enrichment_sql(source_node, kind, names, url)
        ) %}
    {% endfor %}
    {% do return(
        [create] + copies + [
            vpc_flow_logs.enrichment_faults_sql(source_node),
            'alter table ' ~ landing ~ " set comment = '" ~ comment ~ "'",
        ]
    ) %}
{% endmacro %}


{# The empty landing table. A new table has no load history, so COPY loads all files. #}
{% macro create_enrichment_sql(source_node) -%}
    create or replace transient table {{ source_node.relation_name }} (
        value varchar,
        fault varchar,
        metadata_filename varchar,
        metadata_file_row_number bigint,
        metadata_file_last_modified timestamp_ntz,
        _dbt_copied_at timestamp_ltz
    )
    data_retention_time_in_days = 0
{%- endmacro %}


{# The COPY of the files of a kind, text or parquet. Names count from the URL of the
   stage. #}
{% macro copy_enrichment_sql(source_node, kind, names, url) -%}
    {%- set path = url.split('/')[3:] | join('/') -%}
    {%- set file_format = {
        'text': vpc_flow_logs.text_logs_node().external.file_format,
        'parquet': vpc_flow_logs.landing_node().external.file_format,
    }[kind] -%}
    copy into {{ source_node.relation_name }} from (
        select
            $1::varchar as value,
            null::varchar as fault,
            substr(metadata$filename, {{ path | length + 1 }})::varchar
                as metadata_filename,
            metadata$file_row_number::bigint as metadata_file_row_number,
            metadata$file_last_modified::timestamp_ntz
                as metadata_file_last_modified,
            metadata$start_scan_time::timestamp_ltz as _dbt_copied_at
        from {{ source_node.external.location }}
    )
    file_format = {{ file_format }}
    files = (
        {%- for name in names %}
        {{ vpc_flow_logs.text_literal(name) }}{{ ',' if not loop.last }}
        {%- endfor %}
    )
    on_error = skip_file
{%- endmacro %}


{# Adds a row 0 with the fault of each file that COPY could not read. #}
{% macro enrichment_faults_sql(source_node) -%}
    insert into {{ source_node.relation_name }}
    select
        null as value,
        'cannot be read: ' || first_error_message as fault,
        file_name as metadata_filename,
        0 as metadata_file_row_number,
        null as metadata_file_last_modified,
        last_load_time as _dbt_copied_at
    from {{ vpc_flow_logs.copy_history(source_node.relation_name, 1) }}
    where status = 'Load failed'
{%- endmacro %}
