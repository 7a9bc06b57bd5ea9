{# `dbt run-operation trim_history`: prints what is older than the retentions and, with
   `--args '{confirm: true}'`, deletes it. It deletes whole days, by the start of their
   records. DuckDB's load history stays, so that no trimmed file is loaded again.

   It first notes the days that it will delete. From then on the rollups leave those
   days unchanged, even if new records of them arrive (see changed_days). So a run that
   stops half-way loses no row of a rollup, and the next run finishes it. #}
{% macro trim_history(confirm=false) %}
    {% do vpc_flow_logs.refuse_short_retention() %}
    {% if target.type == 'snowflake' %}
        {% do vpc_flow_logs.start_operation(
            'trim_history', 'setup_role, which may delete from all of them'
        ) %}
    {% endif %}
    {% set plan = vpc_flow_logs.trimmed_relations() %}
    {% if not plan %}
        {% do print(
            'landing_retention_days and rollup_retention_days are null: all is kept'
        ) %}
        {% do return(none) %}
    {% endif %}

    {% if confirm %}
        {% do vpc_flow_logs.note_trim() %}
    {% endif %}
    {% for trim in plan %}
        {% set found = run_query(
            'select count(*) from ' ~ trim.relation ~ ' where ' ~ trim.condition
        ).columns[0].values()[0] %}
        {% if confirm and found %}
            {% do vpc_flow_logs.run_and_commit(
                'delete from ' ~ trim.relation ~ ' where ' ~ trim.condition
            ) %}
        {% endif %}
        {% do print(
            trim.relation ~ ': ' ~ found ~ ' rows before ' ~ trim.before
            ~ (' removed' if confirm else ' would be removed')
        ) %}
    {% endfor %}
    {% if not confirm %}
        {% do print(
            'Nothing was removed. To remove them: dbt run-operation trim_history --args'
            ~ " '{confirm: true}'"
        ) %}
    {% endif %}
{% endmacro %}


{# What to trim, in order: each relation, the first day to keep, and the condition on
   the rows to delete. #}
{% macro trimmed_relations() %}
    {% set plan = [] %}
    {% set landing_days = var('landing_retention_days') %}
    {% set landing_before = vpc_flow_logs.first_kept_day(landing_days) %}
    {% set rollup_days = var('rollup_retention_days') %}
    {% set rollups_before = vpc_flow_logs.first_kept_day(rollup_days) %}

    {% if landing_before is not none %}
        {% set node = vpc_flow_logs.landing_node() %}
        {% set landing = adapter.get_relation(
            node.database, node.schema, node.identifier
        ) %}
        {% set start = vpc_flow_logs.flow_log_fields()
            | selectattr('name', 'equalto', 'start') | first %}
        {% if landing is not none %}
            {% do plan.append({
                'relation': landing,
                'before': landing_before,
                'condition': vpc_flow_logs.is_record_before(
                    landing_before,
                    vpc_flow_logs.flow_log_field(
                        start,
                        vpc_flow_logs.landed_fields(landing),
                        vpc_flow_logs.landed_element('start', true)
                    ),
                    '_dbt_copied_at'
                ),
            }) %}
        {% endif %}
    {% endif %}

    {% for node in graph.nodes.values()
        | selectattr('package_name', 'equalto', 'vpc_flow_logs')
        | selectattr('resource_type', 'equalto', 'model')
        | selectattr('config.materialized', 'equalto', 'incremental')
        | sort(attribute='name') %}
        {% set relation = adapter.get_relation(
            node.database, node.schema, node.alias
        ) %}
        {% set column = node.config.meta.get(
            'trim_by', 'started_date' if 'started_date' in node.columns else none
        ) %}
        {% if relation is none %}
            {# Not built yet. #}
        {% elif node.name == 'flow_records' and landing_before is not none %}
            {% do plan.append({
                'relation': relation,
                'before': landing_before,
                'condition': vpc_flow_logs.is_record_before(
                    landing_before, 'started_at', 'loaded_at'
                ),
            }) %}
        {% elif column and rollups_before is not none %}
            {% do plan.append({
                'relation': relation,
                'before': rollups_before,
                'condition': 'cast(' ~ column ~ ' as date) < '
                    ~ vpc_flow_logs.date_literal(rollups_before),
            }) %}
        {% endif %}
    {% endfor %}
    {% do return(plan) %}
{% endmacro %}


{# The first UTC day that a retention keeps; none if it keeps all. An `as_of` in the
   future counts as today. #}
{% macro first_kept_day(retention_days) %}
    {% if retention_days is none %}
        {% do return(none) %}
    {% endif %}
    {% set today = [vpc_flow_logs.as_of(), run_started_at.date()] | min %}
    {% do return(today - modules.datetime.timedelta(days=retention_days)) %}
{% endmacro %}


{# Whether a record is older than a day: by its start or, if that is implausible, by its
   load time. #}
{% macro is_record_before(day, started_at, loaded_at) -%}
    case
        when {{ vpc_flow_logs.is_plausible_time(started_at, loaded_at) }}
            then {{ started_at }} < {{ vpc_flow_logs.time_literal(day) }}
        else {{ vpc_flow_logs.load_time_in_utc(loaded_at) }}
            < {{ vpc_flow_logs.time_literal(day) }}
    end
{%- endmacro %}


{# The table that notes trims, in the schema of the landing table. #}
{% macro trims_table() %}
    {% set node = vpc_flow_logs.landing_node() %}
    {% do return(api.Relation.create(
        database=node.database, schema=node.schema, identifier='trims', type='table'
    )) %}
{% endmacro %}


{# Notes the day before which records will be deleted. #}
{% macro note_trim() %}
    {% set before = vpc_flow_logs.first_kept_day(var('landing_retention_days')) %}
    {% if before is not none %}
        {% do vpc_flow_logs.run_and_commit(
            'create table if not exists ' ~ vpc_flow_logs.trims_table()
            ~ ' (trimmed_before date, noted_at datetime)'
        ) %}
        {% do vpc_flow_logs.run_and_commit(
            'insert into ' ~ vpc_flow_logs.trims_table() ~ ' select '
            ~ vpc_flow_logs.date_literal(before) ~ ', '
            ~ vpc_flow_logs.time_literal(run_started_at.strftime('%Y-%m-%d %H:%M:%S'))
        ) %}
    {% endif %}
{% endmacro %}


{# Runs a statement that changes rows, and commits: an operation does not commit by
   itself. #}
{% macro run_and_commit(sql) %}
    {% call statement('run_and_commit', auto_begin=true) %}{{ sql }}{% endcall %}
    {% do adapter.commit() %}
{% endmacro %}


{# The first UTC day that is not trimmed, as text; none if there was no trim. #}
{% macro trimmed_before() %}
    {% set trims = vpc_flow_logs.trims_table() %}
    {% if not load_relation(trims) %}
        {% do return(none) %}
    {% endif %}
    {% set before = vpc_flow_logs.max_of(trims, 'trimmed_before') %}
    {% do return(before | string if before is not none else none) %}
{% endmacro %}


{# Stops dbt if a retention is shorter than the window of the marts. #}
{% macro refuse_short_retention() %}
    {% for name, days in {
        'landing_retention_days': var('landing_retention_days'),
        'rollup_retention_days': var('rollup_retention_days'),
    }.items() if days is not none and days < var('lookback_days') %}
        {% do exceptions.raise_compiler_error(
            name ~ ' is ' ~ days ~ ', below lookback_days, which is '
            ~ var('lookback_days') ~ ': the marts would read days that trim_history'
            ~ ' removes. Raise ' ~ name ~ ' or lower lookback_days.'
        ) %}
    {% endfor %}
{% endmacro %}
