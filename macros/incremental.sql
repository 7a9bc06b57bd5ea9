{# What a rollup reads of `records`, as a mapping:
   - `since`: the load time of the newest record that the rollup counts, less the
     overlap;
   - `loaded_through_at`: the load time of the newest record; after the run, the rollup
     counts every record up to it;
   - `days`: the UTC days, as text, of all records loaded after `since`, however old,
     without the days that trim_history has trimmed.
   `since` and `days` are none on a first or full build, which reads everything.
   `counted` is the rollup's column of load times. dbt reads all of these before the
   model runs and renders them as literals, because Snowflake prunes on literals, not on
   subqueries.

   Why every record counts once: dbt deletes the days of a rollup and inserts them again
   in one transaction, on both engines. `loaded_through_at`, the watermark of the next
   run, is a column of the same rows. So a run that ends at any moment leaves the rollup
   and its watermark unchanged. Each rollup has its own watermark, so it does not matter
   which rollups a run has reached. On DuckDB only one process has the file open, so no
   record is loaded during a run. On Snowflake a record that is loaded during the run is
   later than `loaded_through_at`, or within the overlap, and the next run reads it. #}
{% macro changed_days(records, counted) %}
    {% set changed = {'since': none, 'loaded_through_at': none, 'days': none} %}
    {% if not execute or load_relation(records) is none %}
        {% do return(changed) %}
    {% endif %}

    {% do changed.update({
        'loaded_through_at': vpc_flow_logs.max_of(records, 'loaded_at'),
    }) %}
    {% if is_incremental() %}
        {% do changed.update({'since': vpc_flow_logs.watermark(this, counted)}) %}
        {% set days = vpc_flow_logs.days_of(records, changed.since) %}
        {% do changed.update({'days': vpc_flow_logs.without_trimmed(days)}) %}
        {% set days = changed.days | join(', ') or 'nothing' %}
        {% do log(this.identifier ~ ' reads ' ~ days) %}
    {% endif %}
    {% do return(changed) %}
{% endmacro %}


{# The days without trimmed ones. Landing holds only late records of trimmed days, so
   rollups leave those days unchanged. #}
{% macro without_trimmed(days) %}
    {% set kept_since = vpc_flow_logs.trimmed_before() or '' %}
    {% set late = days | select('lt', kept_since) | list %}
    {% if late %}
        {% do log(this.identifier ~ ' leaves trimmed days as they are: '
            ~ late | join(', '), info=true) %}
    {% endif %}
    {% do return(days | select('ge', kept_since) | list) %}
{% endmacro %}


{# The UTC days of the records loaded after a time, sorted, as text. #}
{% macro days_of(records, since) %}
    {% set touched %}
        select distinct cast(started_at as date) as started_date
        from {{ records }}
        where
            {{ vpc_flow_logs.is_plausible_time('started_at', 'loaded_at') }}
            and {{ vpc_flow_logs.is_loaded_after(since) }}
        order by started_date
    {% endset %}
    {% do return(run_query(touched).columns[0].values() | map('string') | list) %}
{% endmacro %}


{# The incremental strategy of flow_records: insert the rows that it does not have yet.
   Of the big table it reads only the days of the new records. #}
{% macro get_incremental_insert_only_sql(arg_dict) %}
    {% set days = vpc_flow_logs.days_of(arg_dict.temp_relation, none) %}
    {% set columns = arg_dict.dest_columns | map(attribute='quoted') | list %}
    {% call vpc_flow_logs.ordered_transaction(arg_dict.target_relation) %}
    merge into {{ arg_dict.target_relation }} as known
    using {{ arg_dict.temp_relation }} as loaded
        on
            known.metadata_filename = loaded.metadata_filename
            and {{ vpc_flow_logs.record_identity('known') }}
            = {{ vpc_flow_logs.record_identity('loaded') }}
            and (
                {{ vpc_flow_logs.in_days(days, 'known.started_at') }}
                or not known.has_plausible_time
            )
    when not matched then insert ({{ columns | join(', ') }})
    values (
        {%- for column in columns %}
        loaded.{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    );
    {% endcall %}
{% endmacro %}


{# The incremental strategy of the other models: delete the rows with the keys of the
   new rows, and insert those, in one transaction. #}
{% macro get_incremental_replace_sql(arg_dict) %}
    {{ return(adapter.dispatch('get_incremental_replace_sql', 'vpc_flow_logs')(
        arg_dict
    )) }}
{% endmacro %}

{% macro duckdb__get_incremental_replace_sql(arg_dict) %}
    {{ return(get_incremental_delete_insert_sql(arg_dict)) }}
{% endmacro %}

{# Where two runs overlap, the rows of a day that counts more records stay. The one that
   writes last may have read the records first. #}
{% macro snowflake__get_incremental_replace_sql(arg_dict) %}
    {% set target, new = arg_dict.target_relation, arg_dict.temp_relation %}
    {% set columns = arg_dict.dest_columns | map(attribute='name') | map('lower') %}
    {% call vpc_flow_logs.ordered_transaction(target) %}
    {% if 'loaded_through_at' in columns %}
    delete from {{ new }} as outdated
    using {{ target }} as known
    where
        outdated.started_date = known.started_date
        and outdated.loaded_through_at < known.loaded_through_at;
    {% endif %}
    {{ default__get_delete_insert_merge_sql(
        target, new, arg_dict.unique_key, arg_dict.dest_columns, none
    ) }};
    {% endcall %}
{% endmacro %}


{# Statements on Snowflake as one transaction, after any other such transaction on
   models of the same schema.

   One block, because dbt sends no ROLLBACK after a statement that fails: Snowflake
   would keep the transaction open, and the next DDL of the session would commit it.

   The UPDATE first, because a statement sees what was committed before it began, and it
   is not documented that one that has waited for a lock looks again. The statements
   after the UPDATE begin when the other transaction has ended.
   https://docs.snowflake.com/en/sql-reference/transactions #}
{% macro ordered_transaction(relation) %}
    {% set lock = relation.incorporate(path={'identifier': 'write_lock'}) %}
    {% do run_query(
        'create table if not exists ' ~ lock
        ~ " comment = 'Orders the writes of runs at the same time'"
        ~ ' as select current_timestamp() as taken_at'
    ) if load_relation(lock) is none %}
    execute immediate $$
    begin
        begin transaction;
        update {{ lock }} set taken_at = current_timestamp();
        {{ caller() }}
        commit;
    exception
        when other then
            rollback;
            raise;
    end;
    $$
{% endmacro %}


{# The load time from which a model reads: the maximum of `column` less the overlap;
   none if the model is empty. #}
{% macro watermark(relation, column) %}
    {% set last = vpc_flow_logs.max_of(relation, column) %}
    {% do return(last - vpc_flow_logs.load_overlap() if last is not none else none) %}
{% endmacro %}


{# The maximum of a column; none if the relation is empty. #}
{% macro max_of(relation, column) %}
    {% do return(run_query(
        'select max(' ~ column ~ ') from ' ~ relation
    ).columns[0].values()[0]) %}
{% endmacro %}


{# How far before its newest record an incremental model reads again. #}
{% macro load_overlap() %}
    {{ return(adapter.dispatch('load_overlap', 'vpc_flow_logs')()) }}
{% endmacro %}

{# The loader commits batches one after another, each with a later load time. #}
{% macro duckdb__load_overlap() %}
    {% do return(modules.datetime.timedelta(0)) %}
{% endmacro %}

{# A load commits after the scan time of its file, and loads commit in any order. #}
{% macro snowflake__load_overlap() %}
    {% do return(modules.datetime.timedelta(hours=var('load_overlap_hours'))) %}
{% endmacro %}


{# The condition that a row was loaded after a time; `true` without a time. #}
{% macro is_loaded_after(since, loaded_at='loaded_at') -%}
    {%- if since is none -%}
        true
    {%- else -%}
        {{ loaded_at }} > {{ vpc_flow_logs.load_time_literal(since) }}
    {%- endif -%}
{%- endmacro %}


{# The condition that a record starts on one of the days; `true` without days. It begins
   with the range of the days, by which the engines skip storage. #}
{% macro in_days(days, started_at='started_at') -%}
    {%- if not days -%}
        {{ vpc_flow_logs.on_days(days) }}
    {%- else -%}
        {%- set last = vpc_flow_logs.time_literal(days | last) -%}
        {{ started_at }} >= {{ vpc_flow_logs.time_literal(days | first) }}
        and {{ started_at }} < {{ dbt.dateadd('day', 1, last) }}
        and {{ vpc_flow_logs.on_days(days, 'cast(' ~ started_at ~ ' as date)') }}
    {%- endif -%}
{%- endmacro %}


{# The condition that a row is of one of the days; `true` without days. #}
{% macro on_days(days, started_date='started_date') -%}
    {%- if days is none -%}
        true
    {%- elif not days -%}
        false
    {%- else -%}
        {{ started_date }} in (
            {%- for day in days %}
            {{ vpc_flow_logs.date_literal(day) }}{{ ',' if not loop.last }}
            {%- endfor %}
        )
    {%- endif -%}
{%- endmacro %}


{# A load time as a literal: an instant, whatever zone the session is in. #}
{% macro load_time_literal(value) -%}
    {{ return(adapter.dispatch('load_time_literal', 'vpc_flow_logs')(value)) }}
{%- endmacro %}

{% macro duckdb__load_time_literal(value) -%}
    {{ "cast('" ~ value ~ "' as datetime)" if value is not none
        else 'cast(null as datetime)' }}
{%- endmacro %}

{% macro snowflake__load_time_literal(value) -%}
    {%- if value is none -%}
        cast(null as timestamp_ltz)
    {%- else -%}
        {%- set instant = value.astimezone(modules.pytz.utc) -%}
        to_timestamp_ltz(
            '{{ instant.strftime('%Y-%m-%d %H:%M:%S.%f %z') }}',
            'YYYY-MM-DD HH24:MI:SS.FF6 TZHTZM'
        )
    {%- endif -%}
{%- endmacro %}


{# The clause that keeps a record once if it was loaded again. #}
{% macro qualify_first_load() -%}
    {{ return(adapter.dispatch('qualify_first_load', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader loads no file twice. #}
{% macro duckdb__qualify_first_load() -%}
{%- endmacro %}

{# After 14 days a pipe may load a file again. #}
{% macro snowflake__qualify_first_load() -%}
    qualify
        row_number() over (
            partition by metadata_filename, {{ vpc_flow_logs.record_identity() }}
            order by loaded_at
        ) = 1
{%- endmacro %}


{# What makes a record one of its file. Snowflake does not document where the row
   numbers of a Parquet file start, or whether they start anew with each row group. So
   records with the same number are the same only if all of their fields are. #}
{% macro record_identity(relation=none) -%}
    {{ return(adapter.dispatch('record_identity', 'vpc_flow_logs')(relation)) }}
{%- endmacro %}

{# The loader numbers the rows of a file from 1. #}
{% macro duckdb__record_identity(relation) -%}
    metadata_file_row_number
{%- endmacro %}

{% macro snowflake__record_identity(relation) -%}
    {%- set prefix = relation ~ '.' if relation else '' -%}
    hash(
        {{ prefix }}metadata_file_row_number
        {#- flow_records has no fields of version 6. -#}
        {%- for field in vpc_flow_logs.flow_log_fields() if field.version != 6 %},
        {{ prefix }}{{ field.column }}
        {%- endfor %}
    )
{%- endmacro %}
