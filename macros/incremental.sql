{# What a rollup reads of `records`, as a mapping:
   - `since`: the load time of the newest record that the rollup counts, less the
     overlap;
   - `loaded_through_at`: the load time of the newest record; after the run, the rollup
     counts every record up to it;
   - `days`: the UTC days, as text, of all records loaded after `since`, however old,
     without the days that trim_history has trimmed;
   - `hours`: the hours of these records, as text, without those of trimmed days.
   `since`, `days` and `hours` are none on a first or full build, which reads all.
   `counted` is the rollup's column of load times. dbt reads all of these before the
   model runs and renders them as literals, because Snowflake prunes on literals, not on
   subqueries.

   Why every record counts once: dbt replaces the days of a rollup in one transaction,
   on both engines. `loaded_through_at`, the watermark of the next run, is a column of
   the same rows. So a run that ends at any moment leaves the rollup and its watermark
   unchanged. Each rollup has its own watermark, so it does not matter which rollups a
   run has reached. On DuckDB only one process has the file open, so no record is loaded
   during a run. On Snowflake a record that is loaded during the run is later than
   `loaded_through_at`, or within the overlap, and the next run reads it. A rollup that
   adds (see adds_up) counts no record after `loaded_through_at`. #}
{% macro changed_days(records, counted) %}
    {% set changed = {
        'since': none, 'loaded_through_at': none, 'days': none, 'hours': none
    } %}
    {% if not execute or load_relation(records) is none %}
        {% do return(changed) %}
    {% endif %}

    {# For the strategy, which must replace exactly these days. #}
    {% do vpc_flow_logs.kept().update({this.identifier: changed}) %}
    {% do changed.update({
        'loaded_through_at': vpc_flow_logs.newest_load(records, 'loaded_at'),
    }) %}
    {% if is_incremental() %}
        {% do changed.update({'since': vpc_flow_logs.watermark(this, counted)}) %}
        {% set hours = vpc_flow_logs.without_trimmed(vpc_flow_logs.changed_hours(
            records, changed.since, changed.loaded_through_at
        )) %}
        {% set days = vpc_flow_logs.days_of_hours(hours) %}
        {% do changed.update({'days': days, 'hours': hours}) %}
        {% do log(this.identifier ~ ' reads ' ~ (days | join(', ') or 'nothing')) %}
    {% endif %}
    {% do return(changed) %}
{% endmacro %}


{# The hours without those of trimmed days. Landing holds only late records of trimmed
   days, so rollups leave those days unchanged. #}
{% macro without_trimmed(hours) %}
    {% set kept_since = vpc_flow_logs.trimmed_before() or '' %}
    {% set late = hours | select('lt', kept_since) | list %}
    {% if late %}
        {% do log(this.identifier ~ ' leaves trimmed days as they are: '
            ~ vpc_flow_logs.days_of_hours(late) | join(', '), info=true) %}
    {% endif %}
    {% do return(hours | select('ge', kept_since) | list) %}
{% endmacro %}


{# What dbt keeps until the end of the command, as a mapping that all models share. #}
{% macro kept() %}
    {% do return(graph.setdefault('vpc_flow_logs ' ~ invocation_id, {})) %}
{% endmacro %}


{# The hours of the records loaded after `since`. All rollups of a run ask for the same
   ones, so dbt reads them once. `loaded_through_at` was read before them: a rollup for
   which it is later asks anew. #}
{% macro changed_hours(records, since, loaded_through_at) %}
    {% set key = since ~ ' to ' ~ loaded_through_at %}
    {% if key not in vpc_flow_logs.kept() %}
        {% set hours = vpc_flow_logs.hours_of(records, since) %}
        {% do vpc_flow_logs.kept().update({key: hours}) %}
    {% endif %}
    {% do return(vpc_flow_logs.kept()[key]) %}
{% endmacro %}


{# The UTC hours of the records loaded after a time, sorted, as text. #}
{% macro hours_of(records, since) %}
    {% set touched %}
        select distinct date_trunc('hour', started_at) as started_hour
        from {{ records }}
        where
            {{ vpc_flow_logs.is_plausible_time('started_at', 'loaded_at') }}
            and {{ vpc_flow_logs.is_loaded_after(since) }}
        order by started_hour
    {% endset %}
    {% do return(run_query(touched).columns[0].values() | map('string') | list) %}
{% endmacro %}


{# The days of hours, both sorted and as text. #}
{% macro days_of_hours(hours) %}
    {% set days = [] %}
    {% for hour in hours if hour[:10] not in days %}
        {% do days.append(hour[:10]) %}
    {% endfor %}
    {% do return(days) %}
{% endmacro %}


{# The days for which a rollup has a row at least: the changed ones, or all that have
   records. `in_part` is none if the model is not filled in parts. #}
{% macro days_to_write(changed, records, in_part=none) -%}
    {%- if changed.days -%}
        select started_date
        from (
            {%- for day in changed.days %}
            select {{ vpc_flow_logs.date_literal(day) }} as started_date
            {{ 'union all' if not loop.last }}
            {%- endfor %}
        ) as changed_days
    {%- else -%}
        select distinct cast(started_at as date) as started_date
        from {{ records }}
        where has_plausible_time and {{ vpc_flow_logs.in_days(changed.days) }}
    {%- endif %}
    {{ 'where' if changed.days else 'and' }}
    {{ in_part or 'true' }}
{%- endmacro %}


{# Whether a rollup whose rows are sums adds the new records to the rows that it has. It
   reads only those then. Otherwise it sums the changed days anew: on a first build,
   where load times are not exact, and, if it leaves out what two flow logs record
   (`counts_once`), where flow logs overlap, because a new record may decide which one
   counts. #}
{% macro adds_up(changed, counts_once=true) %}
    {% do return(
        changed.since is not none
        and var('row_timestamps')
        and not (counts_once and vpc_flow_logs.flow_logs_overlap(changed.days))
    ) %}
{% endmacro %}


{# The condition on the records that a rollup reads: those of the changed days or, if it
   adds, those that its rows do not count yet. The subquery sees the same rows of the
   rollup as with_counted does, also if another run has replaced them meanwhile. #}
{% macro is_to_count(changed, adds) -%}
    has_plausible_time
    and {{ vpc_flow_logs.in_days(changed.days) }}
    and {{ vpc_flow_logs.in_part() }}
    {%- if adds %}
    and {{ vpc_flow_logs.is_loaded_after(changed.since) }}
    and loaded_at <= {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
    and loaded_at > (
        select max(counted.loaded_through_at) from {{ this }} as counted
    )
    {%- endif %}
{%- endmacro %}


{# A query of `sums`, the sums of the records that is_to_count selects; if the rollup
   adds, together with the rows that it has of the changed days. `measures` says for
   each column that is not in `keys` how it adds up: sum, min, max, or any for a
   boolean. #}
{% macro with_counted(sums, changed, adds, keys, measures) -%}
    {%- set columns = keys + measures | list -%}
    {%- if not adds -%}
        select * from {{ sums }}
    {%- else -%}
        select
            {%- for key in keys %}
            {{ key }},
            {%- endfor %}
            {%- for column, aggregate in measures.items() %}
            {%- if aggregate == 'sum' %}
            cast(sum({{ column }}) as bigint)
            {%- elif aggregate == 'any' %}
            max(case when {{ column }} then 1 else 0 end) = 1
            {%- else %}
            {{ aggregate }}({{ column }})
            {%- endif %}
            as {{ column }}{{ ',' if not loop.last }}
            {%- endfor %}
        from (
            select {{ columns | join(', ') }} from {{ sums }}
            union all
            select {{ columns | join(', ') }} from {{ this }}
            where
                {{ vpc_flow_logs.on_days(changed.days) }}
                and {{ vpc_flow_logs.in_part('started_date') }}
        ) as counted
        group by {{ keys | join(', ') }}
    {%- endif -%}
{%- endmacro %}


{# The condition on the records of a rollup by hours: those of the changed hours, or of
   the changed days. #}
{% macro in_changed(changed, by_hours) -%}
    {{ vpc_flow_logs.in_hours(changed.hours) if by_hours
        else vpc_flow_logs.in_days(changed.days) }}
{%- endmacro %}


{# A query of `sums`, the sums of the changed hours; if the rollup keeps the rows of the
   other hours (`adds`), together with those. #}
{% macro with_other_hours(sums, changed, adds, columns) -%}
    select {{ columns | join(', ') }} from {{ sums }}
    {%- if adds %}
    union all
    select {{ columns | join(', ') }} from {{ this }}
    where
        started_hour is not null
        and {{ vpc_flow_logs.on_days(changed.days) }}
        and not {{ vpc_flow_logs.on_hours(changed.hours) }}
    {%- endif %}
{%- endmacro %}


{# Again the rows of a CTE that another one reads. #}
{% macro again(cte, query) -%}
    {{ return(adapter.dispatch('again', 'vpc_flow_logs')(cte, query)) }}
{%- endmacro %}

{# DuckDB stores a CTE that is read twice as a whole, so it gets the query again. #}
{% macro duckdb__again(cte, query) -%}
    {{ query }}
{%- endmacro %}

{# Snowflake computes it once. #}
{% macro snowflake__again(cte, query) -%}
    select * from {{ cte }}
{%- endmacro %}


{# The incremental strategy of flow_records: insert the rows that it does not have yet.
   With row timestamps the new rows are those that were committed later, also than what
   another run has inserted meanwhile. Without, each is compared with the rows of the
   same days. #}
{% macro get_incremental_insert_only_sql(arg_dict) %}
    {% set target, new = arg_dict.target_relation, arg_dict.temp_relation %}
    {% set columns = arg_dict.dest_columns | map(attribute='quoted') | list %}
    {% if var('row_timestamps') %}
        {% call vpc_flow_logs.ordered_transaction(target) %}
    insert into {{ target }} ({{ columns | join(', ') }})
    select {{ columns | join(', ') }} from {{ new }} as loaded
    where
        not exists (
            select 1
            from (select max(loaded_at) as loaded_at from {{ target }}) as known
            where loaded.loaded_at <= known.loaded_at
        );
        {% endcall %}
    {% else %}
        {% set days = vpc_flow_logs.days_of_hours(vpc_flow_logs.hours_of(new, none)) %}
        {% call vpc_flow_logs.ordered_transaction(target) %}
    merge into {{ target }} as known
    using {{ new }} as loaded
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
    {% endif %}
{% endmacro %}


{# The incremental strategy of most other models: delete the rows with the keys of the
   new rows, and insert those, in one transaction. #}
{% macro get_incremental_replace_sql(arg_dict) %}
    {{ return(adapter.dispatch('get_incremental_replace_sql', 'vpc_flow_logs')(
        arg_dict
    )) }}
{% endmacro %}

{% macro duckdb__get_incremental_replace_sql(arg_dict) %}
    {{ return(get_incremental_delete_insert_sql(arg_dict)) }}
{% endmacro %}

{# Where two runs overlap, the one that writes last may have read first. A model's meta
   may name a column that `grows`: the row with the larger value stays. #}
{% macro snowflake__get_incremental_replace_sql(arg_dict) %}
    {% set target, new = arg_dict.target_relation, arg_dict.temp_relation %}
    {% set grows = config.get('meta', {}).get('grows') %}
    {% call vpc_flow_logs.ordered_transaction(target) %}
    {% if grows %}
    delete from {{ new }} as outdated
    using {{ target }} as known
    where
        outdated.{{ arg_dict.unique_key }} = known.{{ arg_dict.unique_key }}
        and outdated.{{ grows }} < known.{{ grows }};
    {% endif %}
    {{ default__get_delete_insert_merge_sql(
        target, new, arg_dict.unique_key, arg_dict.dest_columns, none
    ) }};
    {% endcall %}
{% endmacro %}


{# The incremental strategy of the daily rollups: the new rows replace those of the
   changed days. #}
{% macro get_incremental_replace_days_sql(arg_dict) %}
    {{ return(adapter.dispatch('get_incremental_replace_days_sql', 'vpc_flow_logs')(
        arg_dict
    )) }}
{% endmacro %}

{% macro duckdb__get_incremental_replace_days_sql(arg_dict) %}
    {{ return(get_incremental_delete_insert_sql(arg_dict)) }}
{% endmacro %}

{# The new rows are a view, so Snowflake writes them once. A rollup that adds reads the
   old rows, which are deleted after the insert: `loaded_through_at` is earlier there.
   Without row timestamps it may be equal, but then no rollup adds. Days that another
   run has counted as far meanwhile stay. #}
{% macro snowflake__get_incremental_replace_days_sql(arg_dict) %}
    {% set target, new = arg_dict.target_relation, arg_dict.temp_relation %}
    {% set columns = arg_dict.dest_columns | map(attribute='quoted') | join(', ') %}
    {% set changed = vpc_flow_logs.kept()[this.identifier] %}
    {% set on_days = vpc_flow_logs.on_days(changed.days) %}
    {% set last = vpc_flow_logs.load_time_literal(changed.loaded_through_at) %}
    {% set insert %}
    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ new }}
    where
        started_date not in (
            select known.started_date from {{ target }} as known
            where {{ on_days }} and known.loaded_through_at >= {{ last }}
        )
    order by started_date;
    {% endset %}
    {% call vpc_flow_logs.ordered_transaction(target) %}
    {{ insert if var('row_timestamps') }}
    delete from {{ target }}
    where
        {{ on_days }}
        and loaded_through_at {{ '<' if var('row_timestamps') else '<=' }} {{ last }};
    {{ insert if not var('row_timestamps') }}
    {% endcall %}
{% endmacro %}


{# The incremental strategy of models that are made as a whole: the new rows, if there
   are any, replace all rows. #}
{% macro get_incremental_whole_sql(arg_dict) %}
    {{ return(adapter.dispatch('get_incremental_whole_sql', 'vpc_flow_logs')(
        arg_dict
    )) }}
{% endmacro %}

{% macro duckdb__get_incremental_whole_sql(arg_dict) %}
    {% set target, new = arg_dict.target_relation, arg_dict.temp_relation %}
    {% set columns = arg_dict.dest_columns | map(attribute='quoted') | join(', ') %}
    delete from {{ target }} where exists (select 1 from {{ new }});
    insert into {{ target }} ({{ columns }}) select {{ columns }} from {{ new }};
{% endmacro %}

{% macro snowflake__get_incremental_whole_sql(arg_dict) %}
    {% call vpc_flow_logs.ordered_transaction(arg_dict.target_relation) %}
    {{ vpc_flow_logs.duckdb__get_incremental_whole_sql(arg_dict) }}
    {% endcall %}
{% endmacro %}


{# Statements on Snowflake as one transaction, after any other such transaction on
   models of the same schema.

   One block, because dbt sends no ROLLBACK after a statement that fails: Snowflake
   would keep the transaction open, and the next DDL of the session would commit it.

   The UPDATE first, because a statement sees what was committed before it began, and it
   is not documented that one that has waited for a lock looks again. The statements
   after the UPDATE begin when the other transaction has ended. `first` is a statement
   before the transaction.
   https://docs.snowflake.com/en/sql-reference/transactions #}
{% macro ordered_transaction(relation, first='') %}
    {% set lock = relation.incorporate(path={'identifier': 'write_lock'}) %}
    {% do run_query(
        'create table if not exists ' ~ lock
        ~ " comment = 'Orders the writes of runs at the same time'"
        ~ ' as select current_timestamp() as taken_at'
    ) if load_relation(lock) is none %}
    execute immediate $$
    begin
        {{ first }}
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


{# The load time from which a model reads, as load_time_literal takes it: the maximum of
   `column` less the overlap; none if the model is empty. #}
{% macro watermark(relation, column) %}
    {{ return(adapter.dispatch('watermark', 'vpc_flow_logs')(relation, column)) }}
{% endmacro %}

{# The loader commits batches one after another, each with a later load time. #}
{% macro duckdb__watermark(relation, column) %}
    {% do return(vpc_flow_logs.max_of(relation, column)) %}
{% endmacro %}

{# A commit time is exact. Without row timestamps the load time of a record is the time
   at which the scan of its file began: loads commit later, and in any order. #}
{% macro snowflake__watermark(relation, column) %}
    {% set last = vpc_flow_logs.newest_load(relation, column) %}
    {% if last is not none and not var('row_timestamps') %}
        {% do return(last - vpc_flow_logs.load_overlap_seconds() * 1000000000) %}
    {% endif %}
    {% do return(last) %}
{% endmacro %}


{# The maximum of a column of load times, as load_time_literal takes it; none if the
   relation is empty. #}
{% macro newest_load(relation, column) %}
    {{ return(adapter.dispatch('newest_load', 'vpc_flow_logs')(relation, column)) }}
{% endmacro %}

{% macro duckdb__newest_load(relation, column) %}
    {% do return(vpc_flow_logs.max_of(relation, column)) %}
{% endmacro %}

{# Nanoseconds, because a Python datetime has microseconds only. #}
{% macro snowflake__newest_load(relation, column) %}
    {% set last = run_query(
        "select date_part('epoch_nanosecond', max(" ~ column ~ ')) from ' ~ relation
    ).columns[0].values()[0] %}
    {% do return(last | int if last is not none else none) %}
{% endmacro %}


{# The maximum of a column; none if the relation is empty. #}
{% macro max_of(relation, column) %}
    {% do return(run_query(
        'select max(' ~ column ~ ') from ' ~ relation
    ).columns[0].values()[0]) %}
{% endmacro %}


{# The seconds by which load times may be out of order: those of COPY_HISTORY and,
   without row timestamps, those of records. #}
{% macro load_overlap_seconds() %}
    {{ return(adapter.dispatch('load_overlap_seconds', 'vpc_flow_logs')()) }}
{% endmacro %}

{% macro duckdb__load_overlap_seconds() %}
    {% do return(0) %}
{% endmacro %}

{% macro snowflake__load_overlap_seconds() %}
    {% do return(var('load_overlap_hours') * 3600) %}
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


{# The condition that a record starts in one of the hours. #}
{% macro in_hours(hours) -%}
    {%- if not hours -%}
        false
    {%- else -%}
        {%- set last = vpc_flow_logs.time_literal(hours | last) -%}
        started_at >= {{ vpc_flow_logs.time_literal(hours | first) }}
        and started_at < {{ dbt.dateadd('hour', 1, last) }}
        and date_trunc('hour', started_at) in (
            {%- for hour in hours %}
            {{ vpc_flow_logs.time_literal(hour) }}{{ ',' if not loop.last }}
            {%- endfor %}
        )
    {%- endif -%}
{%- endmacro %}


{# The condition that a row is of one of the hours. #}
{% macro on_hours(hours) -%}
    {%- if not hours -%}
        false
    {%- else -%}
        (
            {%- for day in vpc_flow_logs.days_of_hours(hours) %}
            {{ 'or' if not loop.first }}
            (
                started_date = {{ vpc_flow_logs.date_literal(day) }}
                and started_hour in (
                    {%- for hour in hours if hour[:10] == day %}
                    {{ hour[11:13] | int }}{{ ',' if not loop.last }}
                    {%- endfor %}
                )
            )
            {%- endfor %}
        )
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

{# `value` is a datetime or nanoseconds since 1970. #}
{% macro snowflake__load_time_literal(value) -%}
    {%- if value is none -%}
        cast(null as timestamp_ltz)
    {%- elif value is number -%}
        to_timestamp_ltz({{ value }}, 9)
    {%- else -%}
        to_timestamp_ltz({{ value.timestamp() | int * 1000000000 }}, 9)
    {%- endif -%}
{%- endmacro %}


{# When a row of landing was loaded: with row timestamps, when it was committed. #}
{% macro landing_load_time() -%}
    {{ return(adapter.dispatch('landing_load_time', 'vpc_flow_logs')()) }}
{%- endmacro %}

{% macro duckdb__landing_load_time() -%}
    _dbt_copied_at
{%- endmacro %}

{% macro snowflake__landing_load_time() -%}
    {{ 'metadata$row_last_commit_time' if var('row_timestamps') else '_dbt_copied_at' }}
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
