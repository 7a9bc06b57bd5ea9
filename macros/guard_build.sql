{# Runs before each command (on-run-start). It stops a build that would lose rows or mix
   rows built with different variables. Commands that select no model of this package
   pass: a project that installs it builds its own models as before. #}
{% macro guard_build() %}
    {% if execute and flags.WHICH in ('build', 'run') %}
        {% set ours = [] %}
        {% set others = [] %}
        {% for id in selected_resources if id.startswith('model.') %}
            {% set is_ours = id.startswith('model.vpc_flow_logs.') %}
            {% do (ours if is_ours else others).append(graph.nodes[id]) %}
        {% endfor %}
        {% if ours %}
            {# Beside other models it is the staging view that reports this. #}
            {% do vpc_flow_logs.refuse_before_staging() if not others %}
            {% do vpc_flow_logs.refuse_short_retention() %}
            {% if not flags.FULL_REFRESH %}
                {% do vpc_flow_logs.refuse_changed_settings() %}
            {% elif not var('allow_destructive_refresh') %}
                {% do vpc_flow_logs.refuse_full_refresh(ours) %}
            {% endif %}
        {% endif %}
    {% endif %}
    {{ vpc_flow_logs.no_sql() }}
{% endmacro %}


{# What a hook without SQL renders. dbt 1 skips an empty hook, dbt 2 would send it. #}
{% macro no_sql() %}
    {{ 'select 1' if not dbt_version.startswith('1.') }}
{% endmacro %}


{# Stops a build while a table that staging creates is missing. #}
{% macro refuse_before_staging() %}
    {% for node in graph.sources.values()
        if node.package_name == 'vpc_flow_logs' and node.external
        and not adapter.get_relation(node.database, node.schema, node.identifier) %}
        {% do exceptions.raise_compiler_error(
            node.relation_name ~ ' does not exist yet. Run this first:'
            ~ ' dbt run-operation ' ~ vpc_flow_logs.staging_command()
        ) %}
    {% endfor %}
{% endmacro %}


{# Stops --full-refresh of models that keep rows longer than landing does. A model with
   `full_refresh: false` ignores the option. #}
{% macro refuse_full_refresh(models) %}
    {% set guarded = [] %}
    {% for node in models
        if node.config.meta.get('refuses_full_refresh')
        and node.config.get('full_refresh') is not false %}
        {% do guarded.append(node.name) %}
    {% endfor %}
    {% if guarded %}
        {% do exceptions.raise_compiler_error(
            '--full-refresh would rebuild ' ~ guarded | sort | join(', ')
            ~ ' from what landing holds now. Days that were removed from landing would'
            ~ " be lost. To do it anyway, add --vars 'allow_destructive_refresh: true'."
            ~ ' See docs/upgrading.md.'
        ) %}
    {% endif %}
{% endmacro %}


{# The variables that rows depend on, as JSON to keep beside the rows. #}
{% macro build_settings() %}
    {% do return(tojson({
        'admin_ports': var('admin_ports') | sort,
        'count_overlapping_flow_logs_once': var('count_overlapping_flow_logs_once'),
        'internal_cidrs':
            vpc_flow_logs.internal_networks() | map(attribute='cidr') | sort,
    })) %}
{% endmacro %}


{# Stops a build with other variables than those that the rollups were built with. #}
{% macro refuse_changed_settings() %}
    {% set id = 'model.vpc_flow_logs.int_traffic__daily_admin_flows' %}
    {% set node = graph.nodes.get(id) %}
    {% set rollup = node and adapter.get_relation(
        node.database, node.schema, node.alias
    ) %}
    {% if rollup %}
        {% set given = vpc_flow_logs.build_settings() %}
        {% for settings in run_query(
            'select distinct build_settings from ' ~ rollup
        ).columns[0].values() if settings != given %}
            {% do exceptions.raise_compiler_error(
                'The rollups were built with ' ~ settings ~ ', but this run has '
                ~ given ~ '. Set the variables back, or rebuild with: dbt build'
                ~ " --full-refresh --vars '{allow_destructive_refresh: true}' and the"
                ~ ' new variables. See docs/upgrading.md.'
            ) %}
        {% endfor %}
    {% endif %}
{% endmacro %}
