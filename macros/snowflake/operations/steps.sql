{# What the operations share: the role they run as, what they find, what they change. #}


{# Begins an operation that changes the account. Its role is never guessed: without
   `setup_role` it stops. #}
{% macro start_setup(operation) %}
    {% do vpc_flow_logs.refuse_other_engines(operation) %}
    {% if not var('setup_role') %}
        {% do exceptions.raise_compiler_error(
            operation ~ ' changes the account and takes no role by itself. Name the'
            ~ " administrator's role to use: --vars 'setup_role: NAME'."
            ~ ' docs/snowflake.md says what it must be able to do.'
        ) %}
    {% endif %}
    {% set role = vpc_flow_logs.plain_identifier(var('setup_role'), 'setup_role') %}
    {% do log(operation ~ ', as role ' ~ role | upper, info=true) %}
    {% do run_query('use role ' ~ role) %}
{% endmacro %}


{# Begins any other operation: as `setup_role` if that is set, else as the role of the
   profile. `needed` says which role that has to be. #}
{% macro start_operation(operation, needed) %}
    {% do vpc_flow_logs.refuse_other_engines(operation) %}
    {% set role = var('setup_role') or target.role or "the user's default" %}
    {% do log(
        operation ~ ', as role ' ~ role | upper ~ ' (it needs ' ~ needed ~ ')',
        info=true
    ) %}
    {% if var('setup_role') %}
        {% do run_query('use role ' ~ vpc_flow_logs.plain_identifier(role, 'setup_role')) %}
    {% endif %}
{% endmacro %}


{# Stops an operation of Snowflake's on any other engine. #}
{% macro refuse_other_engines(operation) %}
    {% if target.type != 'snowflake' %}
        {% do exceptions.raise_compiler_error(
            operation ~ ' is for Snowflake, and this target is ' ~ target.type
            ~ '. Add --target snowflake.'
        ) %}
    {% endif %}
{% endmacro %}


{# The rows of a statement as dictionaries, with names in lower case. #}
{% macro rows_of(sql) %}
    {% set rows = [] %}
    {% set result = run_query(sql) %}
    {% set names = result.column_names | map('lower') | list %}
    {% for row in result.rows %}
        {% do rows.append(dict(zip(names, row.values()))) %}
    {% endfor %}
    {% do return(rows) %}
{% endmacro %}


{# The properties that a DESC statement lists, by upper-case name. #}
{% macro properties_of(sql) %}
    {% set properties = {} %}
    {% for row in vpc_flow_logs.rows_of(sql) %}
        {% set name = row.get('property') or row.get('name') %}
        {% set value = row.get('property_value', row.get('value')) %}
        {% do properties.update({name | upper: value}) %}
    {% endfor %}
    {% do return(properties) %}
{% endmacro %}


{# The SHOW row of the object with exactly this name, or none; says which. In LIKE an
   underscore stands for any character, so it only narrows. #}
{% macro find_object(kind, name, where='') %}
    {% set parts = name.upper().split('.') %}
    {% set found = [] %}
    {% for row in vpc_flow_logs.rows_of(
        'show ' ~ kind ~ ' like ' ~ vpc_flow_logs.text_literal(parts[-1].lower()) ~ where
    ) %}
        {% set place = [
            row.get('catalog_name') or row.get('database_name'), row.get('schema_name')
        ] | select | list %}
        {% if (place + [row.name])[-(parts | length):] == parts %}
            {% do found.append(row) %}
        {% endif %}
    {% endfor %}
    {% do log(
        '  found: ' ~ ('' if found else 'no ') ~ name | upper ~ ' among the ' ~ kind,
        info=true
    ) %}
    {% do return(found[0] if found else none) %}
{% endmacro %}


{# Runs the statements that are missing, each said first; returns how many. A change is
   a dictionary of `what` it does and its `sql`. #}
{% macro apply_changes(changes) %}
    {% for change in changes %}
        {% do log('  change: ' ~ change.what, info=true) %}
        {% do run_query(change.sql) %}
    {% else %}
        {% do log('  nothing to change', info=true) %}
    {% endfor %}
    {% do return(changes | length) %}
{% endmacro %}


{# A text as a literal; in a Snowflake string a backslash escapes. #}
{% macro text_literal(text) %}
    {% set escaped = text | string | replace('\\', '\\\\') | replace("'", "''") %}
    {% do return("'" ~ escaped ~ "'") %}
{% endmacro %}


{# The comment on everything that set-up creates. #}
{% macro creation_mark() %}
    {% do return('Created by the dbt project vpc_flow_logs') %}
{% endmacro %}


{# Whether set-up created an object, by its SHOW row. What it did not create, it neither
   alters nor drops. #}
{% macro is_ours(row) %}
    {% do return((row.get('comment') or '').startswith(vpc_flow_logs.creation_mark())) %}
{% endmacro %}


{# Says that an object is somebody else's and stays as it is. #}
{% macro leave_alone(what) %}
    {% do log(
        '  left as it is: ' ~ what ~ ', which this project did not create', info=true
    ) %}
{% endmacro %}
