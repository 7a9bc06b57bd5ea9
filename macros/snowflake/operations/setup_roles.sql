{# `dbt run-operation setup_roles`: the roles of loader, transformer and analyst, each
   with the least privileges. Future grants cover objects that are created later, so
   that a rebuild loses no grant. #}
{% macro setup_roles() %}
    {% do vpc_flow_logs.start_setup('setup_roles') %}
    {% set changes = [] %}
    {% set setup_role = vpc_flow_logs.plain_identifier(
        var('setup_role'), 'setup_role'
    ) %}
    {% for role in vpc_flow_logs.own_roles() %}
        {% set known = vpc_flow_logs.find_object('roles', role) is not none %}
        {% if not known %}
            {% do changes.append({
                'what': 'create role ' ~ role,
                'sql': 'create role if not exists ' ~ role ~ '\n    comment = '
                    ~ vpc_flow_logs.text_literal(vpc_flow_logs.creation_mark()),
            }) %}
        {% endif %}
        {% set shown = 'show grants of role ' ~ role %}
        {% set holders = [] %}
        {% for grant in (vpc_flow_logs.rows_of(shown) if known else []) %}
            {% do holders.append(grant.granted_to ~ ' ' ~ grant.grantee_name) %}
        {% endfor %}
        {% if 'ROLE ' ~ setup_role | upper not in holders | map('upper') %}
            {# Without it nobody could drop the pipe, which the loader owns. #}
            {% do changes.append({
                'what': 'grant role ' ~ role ~ ' to ' ~ setup_role,
                'sql': 'grant role ' ~ role ~ ' to role ' ~ setup_role,
            }) %}
        {% endif %}
        {% do changes.extend(vpc_flow_logs.missing_grants(role, known)) %}
    {% endfor %}
    {% do return(vpc_flow_logs.apply_changes(changes)) %}
{% endmacro %}


{# The grants that each role needs: `[role, privileges, kind, name]`. A kind in the
   plural means all such objects of a schema, now and in future. #}
{% macro wanted_grants() %}
    {% set landing = vpc_flow_logs.landing_schema() %}
    {% set models = vpc_flow_logs.models_schema() %}
    {% set loader, transformer, analyst = vpc_flow_logs.own_roles() %}
    {% set grants = [] %}
    {% for role in [loader, transformer, analyst] %}
        {% do grants.extend([
            [role, ['usage'], 'warehouse', vpc_flow_logs.flow_logs_warehouse()],
            [role, ['usage'], 'database', vpc_flow_logs.flow_logs_database()],
        ]) %}
    {% endfor %}
    {% set loads = ['usage', 'create table', 'create pipe'] %}
    {% set builds = ['usage', 'create table', 'create view'] %}
    {% do grants.extend([
        [loader, loads, 'schema', landing],
        [loader, ['usage'], 'stage', vpc_flow_logs.flow_logs_stage()],
        [loader, ['usage'], 'integration', vpc_flow_logs.storage_integration()],
        [transformer, ['usage'], 'schema', landing],
        [transformer, ['select'], 'tables', landing],
        [transformer, ['monitor'], 'pipes', landing],
        [transformer, builds, 'schema', models],
        [analyst, ['usage'], 'schema', models],
        [analyst, ['select'], 'tables', models],
        [analyst, ['select'], 'views', models],
        [analyst, ['usage'], 'functions', models],
    ]) %}
    {% set errors = var('snowpipe_error_integration') %}
    {% if errors %}
        {% do grants.append([
            loader, ['usage'], 'integration',
            vpc_flow_logs.plain_identifier(errors, 'snowpipe_error_integration'),
        ]) %}
    {% endif %}
    {% do return(grants) %}
{% endmacro %}


{# The grants that a role lacks, as changes. `known` says whether it exists already. #}
{% macro missing_grants(role, known) %}
    {% set held = vpc_flow_logs.held_grants(role) if known else [] %}
    {% set changes = [] %}
    {% for grantee, privileges, kind, name in vpc_flow_logs.wanted_grants()
        if grantee == role %}
        {% if kind.endswith('s') %}
            {% set one = kind[:-1] %}
            {% set key = privileges[0] ~ ' future ' ~ one ~ ' ' ~ name %}
            {% set all_of = ' ' ~ kind ~ ' in schema ' ~ name %}
            {% set reaches = ['future' ~ all_of] if key not in held else [] %}
            {% for object in vpc_flow_logs.objects_of(one, name)
                if privileges[0] ~ ' ' ~ one ~ ' ' ~ object not in held %}
                {# Snowflake refuses a grant on all pipes. #}
                {% do reaches.append(
                    'pipe ' ~ object if one == 'pipe' else 'all' ~ all_of
                ) %}
            {% endfor %}
            {% for reach in reaches | unique %}
                {% set grant = privileges[0] ~ ' on ' ~ reach ~ ' to role ' ~ role %}
                {% do changes.append(
                    {'what': 'grant ' ~ grant, 'sql': 'grant ' ~ grant}
                ) %}
            {% endfor %}
        {% else %}
            {% set lacking = [] %}
            {% for privilege in privileges %}
                {% if privilege ~ ' ' ~ kind ~ ' ' ~ name not in held %}
                    {% do lacking.append(privilege) %}
                {% endif %}
            {% endfor %}
            {% if lacking %}
                {% set grant = lacking | join(', ') ~ ' on ' ~ kind ~ ' ' ~ name
                    ~ ' to role ' ~ role %}
                {% do changes.append(
                    {'what': 'grant ' ~ grant, 'sql': 'grant ' ~ grant}
                ) %}
            {% endif %}
        {% endif %}
    {% endfor %}
    {% do return(changes) %}
{% endmacro %}


{# The grants of a role as text: `select table db.schema.t`, or `select future table
   db.schema`. Snowflake adds the arguments to the name of a function. #}
{% macro held_grants(role) %}
    {% set held = [] %}
    {% for future in [false, true] %}
        {% for grant in vpc_flow_logs.rows_of(
            'show ' ~ ('future ' if future else '') ~ 'grants to role ' ~ role
        ) %}
            {% set kind = grant.get('granted_on') or grant.get('grant_on') %}
            {% set name = grant.name.replace('"', '').split('(')[0].split('.<')[0] %}
            {% do held.append((
                grant.privilege ~ (' future ' if future else ' ')
                ~ kind.replace('_', ' ') ~ ' ' ~ name
            ) | lower) %}
        {% endfor %}
    {% endfor %}
    {% do return(held) %}
{% endmacro %}


{# The full names of the tables, views, pipes or functions of a schema. #}
{% macro objects_of(kind, schema) %}
    {% set names = [] %}
    {% set shown = 'user functions' if kind == 'function' else kind ~ 's' %}
    {% for row in vpc_flow_logs.rows_of('show ' ~ shown ~ ' in schema ' ~ schema) %}
        {% do names.append((schema ~ '.' ~ row.name) | lower) %}
    {% endfor %}
    {% do return(names) %}
{% endmacro %}
