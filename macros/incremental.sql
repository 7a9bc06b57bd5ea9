{# What an incremental rollup has to read. Returns a mapping:
   `since`: when the last record that this model counts was loaded, less the overlap;
   `loaded_through_at`: every record loaded up to here is counted after this run;
   `days`: the UTC days that records loaded after `since` touch, however old, as text,
   less those that trim_history has trimmed.
   `since` and `days` are none on a first or full build, which reads everything. All are
   read before the model runs and rendered as literals, because Snowflake prunes on
   literals and not on subqueries. `counted` names the model's column of load times.

   That every record counts once rests on this: dbt deletes a rollup's days and inserts
   them anew in one transaction on either engine, and `loaded_through_at`, from which the
   next run reads on, is a column of these rows. So a run that ends at any moment leaves
   the rollup and its watermark as they were, and each rollup has a watermark of its own:
   it does not matter which of them a run still reached. What a run reads does not change
   under it on DuckDB, where one process has the file. On Snowflake, what lands meanwhile
   is later than `loaded_through_at`, or lies within the overlap, and is read next time. #}
{% macro changed_days(records, counted) %}
    {% set changed = {'since': none, 'loaded_through_at': none, 'days': none} %}
    {% if not execute or load_relation(records) is none %}
        {% do return(changed) %}
    {% endif %}

    {% do changed.update({'loaded_through_at': vpc_flow_logs.max_of(records, 'loaded_at')}) %}
    {% if is_incremental() %}
        {% do changed.update({'since': vpc_flow_logs.watermark(this, counted)}) %}
        {% set days = vpc_flow_logs.days_of(records, changed.since) %}
        {% do changed.update({'days': vpc_flow_logs.without_trimmed(days)}) %}
        {% set days = changed.days | join(', ') or 'nothing' %}
        {% do log(this.identifier ~ ' reads ' ~ days) %}
    {% endif %}
    {% do return(changed) %}
{% endmacro %}


{# Of a trimmed day only what came late is left: its rows in a rollup know more, and
   stay. #}
{% macro without_trimmed(days) %}
    {% set kept_since = vpc_flow_logs.trimmed_before() or '' %}
    {% set late = days | select('lt', kept_since) | list %}
    {% if late %}
        {% do log(this.identifier ~ ' leaves trimmed days as they are: '
            ~ late | join(', '), info=true) %}
    {% endif %}
    {% do return(days | select('ge', kept_since) | list) %}
{% endmacro %}


{# The same for a rollup that is made from another one, whose rows say themselves up to
   which load time they count. #}
{% macro changed_days_from(rollup) %}
    {% set changed = {'loaded_through_at': none, 'days': none} %}
    {% if not execute or load_relation(rollup) is none %}
        {% do return(changed) %}
    {% endif %}

    {% do changed.update({'loaded_through_at': vpc_flow_logs.max_of(rollup, 'loaded_through_at')}) %}
    {% if is_incremental() %}
        {% set since = vpc_flow_logs.watermark(this, 'loaded_through_at') %}
        {% set touched %}
            select distinct started_date
            from {{ rollup }}
            where {{ vpc_flow_logs.is_loaded_after(since, 'loaded_through_at') }}
            order by started_date
        {% endset %}
        {% do changed.update({
            'days': run_query(touched).columns[0].values() | map('string') | list,
        }) %}
    {% endif %}
    {% do return(changed) %}
{% endmacro %}


{# The UTC days of the records loaded after a time, in order and as text. #}
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


{# The incremental strategy of flow_records: insert what is not there yet, in one
   statement, which Snowflake runs after any other that changes the table. Of the big
   table it reads the days of the new records alone. #}
{% macro get_incremental_insert_only_sql(arg_dict) %}
    {% set days = vpc_flow_logs.days_of(arg_dict.temp_relation, none) %}
    {% set columns = arg_dict.dest_columns | map(attribute='quoted') | list %}
    merge into {{ arg_dict.target_relation }} as known
    using {{ arg_dict.temp_relation }} as loaded
        on
            known.metadata_filename = loaded.metadata_filename
            and known.metadata_file_row_number = loaded.metadata_file_row_number
            and (
                {{ vpc_flow_logs.in_days(days, 'known.started_at') }}
                or not known.has_plausible_time
            )
    when not matched then insert ({{ columns | join(', ') }})
    values (
        {%- for column in columns %}
        loaded.{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    )
{% endmacro %}


{# From which load time on a model that has counted up to `column` reads again; none if
   it has counted nothing. #}
{% macro watermark(relation, column) %}
    {% set last = vpc_flow_logs.max_of(relation, column) %}
    {% do return(last - vpc_flow_logs.load_overlap() if last is not none else none) %}
{% endmacro %}


{% macro max_of(relation, column) %}
    {% do return(run_query(
        'select max(' ~ column ~ ') from ' ~ relation
    ).columns[0].values()[0]) %}
{% endmacro %}


{# How far before its last record an incremental model reads again. #}
{% macro load_overlap() %}
    {{ return(adapter.dispatch('load_overlap', 'vpc_flow_logs')()) }}
{% endmacro %}

{# Batches are committed one after the other, each with a later time than the last. #}
{% macro duckdb__load_overlap() %}
    {% do return(modules.datetime.timedelta(0)) %}
{% endmacro %}

{# The scan time of a file precedes its commit, and loads commit in any order. #}
{% macro snowflake__load_overlap() %}
    {% do return(modules.datetime.timedelta(hours=var('load_overlap_hours'))) %}
{% endmacro %}


{# The rows loaded after a time, or all. #}
{% macro is_loaded_after(since, loaded_at='loaded_at') -%}
    {%- if since is none -%}
        true
    {%- else -%}
        {{ loaded_at }} > {{ vpc_flow_logs.load_time_literal(since) }}
    {%- endif -%}
{%- endmacro %}


{# The records that start on one of the days, or all. The range of the days stands first
   because the engines skip storage by it. #}
{% macro in_days(days, started_at='started_at') -%}
    {%- if not days -%}
        {{ vpc_flow_logs.on_days(days) }}
    {%- else -%}
        {%- set last = "cast('" ~ days | last ~ "' as timestamp)" -%}
        {{ started_at }} >= cast('{{ days | first }}' as timestamp)
        and {{ started_at }} < {{ dbt.dateadd('day', 1, last) }}
        and {{ vpc_flow_logs.on_days(days, 'cast(' ~ started_at ~ ' as date)') }}
    {%- endif -%}
{%- endmacro %}


{# The rows of one of the days, or all. #}
{% macro on_days(days, started_date='started_date') -%}
    {%- if days is none -%}
        true
    {%- elif not days -%}
        false
    {%- else -%}
        {{ started_date }} in (
            {%- for day in days %}
            cast('{{ day }}' as date){{ ',' if not loop.last }}
            {%- endfor %}
        )
    {%- endif -%}
{%- endmacro %}


{# Sorts a rollup by day when it is built, so that reads and replacements touch few row
   groups. Later runs append the days that changed. #}
{% macro order_by_days() -%}
    {{ 'order by started_date' if not is_incremental() }}
{%- endmacro %}


{# A load time as a literal: an instant, whatever zone the session is in. #}
{% macro load_time_literal(value) -%}
    {{ return(adapter.dispatch('load_time_literal', 'vpc_flow_logs')(value)) }}
{%- endmacro %}

{% macro duckdb__load_time_literal(value) -%}
    {{ "cast('" ~ value ~ "' as timestamp)" if value is not none
        else 'cast(null as timestamp)' }}
{%- endmacro %}

{% macro snowflake__load_time_literal(value) -%}
    {{ "cast('" ~ value.astimezone(modules.pytz.utc) ~ "' as timestamp_ltz)"
        if value is not none else 'cast(null as timestamp_ltz)' }}
{%- endmacro %}


{# Keeps the first of the rows that are the same record. #}
{% macro qualify_first_load() -%}
    {{ return(adapter.dispatch('qualify_first_load', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# The loader lands no file twice. #}
{% macro duckdb__qualify_first_load() -%}
{%- endmacro %}

{# A pipe loads a file again when its history of 14 days has lapsed. #}
{% macro snowflake__qualify_first_load() -%}
    qualify
        row_number() over (
            partition by metadata_filename, metadata_file_row_number
            order by loaded_at
        ) = 1
{%- endmacro %}
