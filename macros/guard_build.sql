{# Runs before a build and stops it where it would lose rows, or mix answers built
   under different settings. #}
{% macro guard_build() %}
    {% if execute and flags.WHICH in ('build', 'run') %}
        {% do vpc_flow_logs.refuse_before_staging() %}
        {% do vpc_flow_logs.refuse_short_retention() %}
        {% if not flags.FULL_REFRESH %}
            {% do vpc_flow_logs.refuse_changed_settings() %}
        {% elif not var('allow_destructive_refresh') %}
            {% do vpc_flow_logs.refuse_full_refresh() %}
        {% endif %}
    {% endif %}
{% endmacro %}


{% macro refuse_before_staging() %}
    {% set node = graph.sources['source.vpc_flow_logs.vpc_flow.flow_logs'] %}
    {% if not adapter.get_relation(node.database, node.schema, node.identifier) %}
        {% do exceptions.raise_compiler_error(
            node.relation_name ~ ' does not exist yet. Run this first:'
            ~ ' dbt run-operation stage_external_sources'
        ) %}
    {% endif %}
{% endmacro %}


{% macro refuse_full_refresh() %}
    {% set guarded = [] %}
    {% for id in selected_resources if id in graph.nodes %}
        {% set node = graph.nodes[id] %}
        {% if node.config.get('meta', {}).get('refuses_full_refresh') %}
            {% do guarded.append(node.name) %}
        {% endif %}
    {% endfor %}
    {% if guarded %}
        {% do exceptions.raise_compiler_error(
            '--full-refresh would build ' ~ guarded | sort | join(', ') ~ ' anew from'
            ~ ' what landing holds now: days whose records were removed from it would'
            ~ ' be lost. If that is what you want, add --vars'
            ~ " 'allow_destructive_refresh: true'."
        ) %}
    {% endif %}
{% endmacro %}


{# The variables that are baked into rows, as text to keep beside them. #}
{% macro build_settings() %}
    {% do return(tojson({
        'admin_ports': var('admin_ports') | sort,
        'count_overlapping_flow_logs_once': var('count_overlapping_flow_logs_once'),
        'internal_cidrs': vpc_flow_logs.internal_networks() | map(attribute='cidr') | sort,
    })) %}
{% endmacro %}


{% macro refuse_changed_settings() %}
    {% set node = graph.nodes[
        'model.vpc_flow_logs.int_traffic__daily_admin_flows'
    ] %}
    {% set rollup = adapter.get_relation(node.database, node.schema, node.alias) %}
    {% if rollup is not none %}
        {% set build_settings = run_query(
            'select distinct build_settings from ' ~ rollup
        ).columns[0].values() %}
        {% for settings in build_settings if settings != vpc_flow_logs.build_settings() %}
            {% do exceptions.raise_compiler_error(
                'The rollups were built under ' ~ settings ~ ', this run is under '
                ~ vpc_flow_logs.build_settings() ~ '. Go back to those variables, or rebuild with:'
                ~ " dbt build --full-refresh --vars '{allow_destructive_refresh: true}'"
                ~ ' and the new variables.'
            ) %}
        {% endfor %}
    {% endif %}
{% endmacro %}
