{# Enrichment files and the inventory on Snowflake: lines of text, and rows of Parquet
   as JSON, as the loader on DuckDB lands them. #}


{# The statements that land the files of the stage. Enrichment files are mirrored: all
   land again if one has changed. The inventory is history: new files are added. The
   table's comment has a checksum of the files that it has seen, so a run without news
   only lists them, which needs no warehouse. Without an environment variable that names
   a location there is none. #}
{% macro lines_plan(source_node) %}
    {% set landing = source_node.relation_name %}
    {% set location = source_node.external.location %}
    {% set keeps_files = source_node.meta.keeps_files %}
    {% set table = vpc_flow_logs.find_object(
        'tables', landing, vpc_flow_logs.in_schema_of(source_node)
    ) %}
    {% set create = [vpc_flow_logs.create_lines_sql(source_node)] %}
    {% if not location %}
        {% do return([] if table else create) %}
    {% endif %}

    {% set url = vpc_flow_logs.find_object(
        'stages', location[1:].rstrip('/'), vpc_flow_logs.in_schema_of(source_node)
    ).url %}
    {% set names, seen = [], [] %}
    {% for file in vpc_flow_logs.rows_of('list ' ~ location) %}
        {% set name = file.name[url | length:] %}
        {% if file.size | int > 0
            and modules.re.fullmatch(source_node.external.pattern, name) %}
            {% do names.append(name) %}
            {% do seen.append([name, file.size, file.last_modified | string]) %}
        {% endif %}
    {% endfor %}
    {% if not seen %}
        {% do exceptions.raise_compiler_error(
            'No file is in ' ~ url ~ '. Check '
            ~ source_node.meta.location_variable ~ '.'
        ) %}
    {% endif %}
    {% set comment = 'Files ' ~ local_md5(tojson(seen | sort)) %}
    {% if table and table.comment == comment %}
        {% do return([]) %}
    {% endif %}

    {% set known = [] %}
    {% if keeps_files and table %}
        {% set create = ['delete from ' ~ landing ~ ' where fault is not null'] %}
        {% set known = run_query(
            'select distinct metadata_filename from ' ~ landing
            ~ ' where fault is null'
        ).columns[0].values() | list %}
    {% endif %}
    {% set copies = [] %}
    {% for file_format, is_parquet in [
        (vpc_flow_logs.text_logs_node().external.file_format, false),
        (vpc_flow_logs.landing_node().external.file_format, true),
    ] %}
        {% set new = [] %}
        {% for name in names if name not in known
            and name.lower().endswith('.parquet') == is_parquet %}
            {% do new.append(name) %}
        {% endfor %}
        {# COPY takes up to 1,000 names. #}
        {% for some in new | batch(1000) %}
            {% do copies.append(
                vpc_flow_logs.copy_lines_sql(source_node, file_format, some, url)
            ) %}
        {% endfor %}
    {% endfor %}
    {% do return(
        create + copies + [
            vpc_flow_logs.line_faults_sql(source_node),
            'alter table ' ~ landing ~ " set comment = '" ~ comment ~ "'",
        ]
    ) %}
{% endmacro %}


{# The empty landing table. A new table has no load history, so COPY loads all files. #}
{% macro create_lines_sql(source_node) -%}
    {%- set keeps_files = source_node.meta.keeps_files -%}
    create {{ '' if keeps_files else 'or replace transient ' }}table
    {{- ' if not exists' if keeps_files }} {{ source_node.relation_name }} (
        value varchar,
        fault varchar,
        metadata_filename varchar,
        metadata_file_row_number bigint,
        metadata_file_last_modified timestamp_ntz,
        _dbt_copied_at timestamp_ltz
    )
    data_retention_time_in_days =
        {{- ' ' ~ (var('landing_time_travel_days') if keeps_files else 0) }}
{%- endmacro %}


{# The COPY of files of one format. Names count from the URL of the stage. #}
{% macro copy_lines_sql(source_node, file_format, names, url) -%}
    {%- set path = url.split('/')[3:] | join('/') -%}
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
{% macro line_faults_sql(source_node) -%}
    insert into {{ source_node.relation_name }}
    select
        null as value,
        'cannot be read: ' || first_error_message as fault,
        file_name as metadata_filename,
        0 as metadata_file_row_number,
        null as metadata_file_last_modified,
        last_load_time as _dbt_copied_at
    from {{ vpc_flow_logs.copy_history(source_node.relation_name, 1) }}
    where
        status = 'Load failed'
        and file_name not in (
            select landed.metadata_filename
            from {{ source_node.relation_name }} as landed
        )
    qualify
        row_number() over (partition by file_name order by last_load_time desc) = 1
{%- endmacro %}
