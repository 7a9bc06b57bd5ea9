{# Steps that the operations share: they take a role, look up objects and apply
   changes. #}


{# Starts an operation that changes the account. Without `setup_role` it stops. #}
{% macro start_setup(operation) %}
    {% do vpc_flow_logs.refuse_other_engines(operation) %}
    {% if not var('setup_role') %}
        {% do exceptions.raise_compiler_error(
            operation ~ ' changes the account and takes no role by itself. Name the'
            ~ " administrator's role to use: --vars 'setup_role: NAME'."
            ~ ' docs/snowflake.md lists the privileges that it needs.'
        ) %}
    {% endif %}
    {% set role = vpc_flow_logs.plain_identifier(var('setup_role'), 'setup_role') %}
    {% do log(operation ~ ', as role ' ~ role | upper, info=true) %}
    {% do run_query('use role ' ~ role) %}
{% endmacro %}


{# Starts any other operation: as `setup_role` if that is set, else as the role of the
   profile. `needed` names the role that it needs. #}
{% macro start_operation(operation, needed) %}
    {% do vpc_flow_logs.refuse_other_engines(operation) %}
    {% set role = var('setup_role') or target.role or "the user's default" %}
    {% do log(
        operation ~ ', as role ' ~ role | upper ~ ' (it needs ' ~ needed ~ ')',
        info=true
    ) %}
    {% if var('setup_role') %}
        {% set plain = vpc_flow_logs.plain_identifier(role, 'setup_role') %}
        {% do run_query('use role ' ~ plain) %}
    {% endif %}
{% endmacro %}


{# Stops an operation for Snowflake on another engine. #}
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


{# The SHOW row of the object with exactly this name, or none; logs which. In LIKE an
   underscore matches any character, so the names are compared again. #}
{% macro find_object(kind, name, where='') %}
    {% set parts = name.upper().split('.') %}
    {% set found = [] %}
    {% set pattern = vpc_flow_logs.text_literal(parts[-1].lower()) %}
    {% for row in vpc_flow_logs.rows_of(
        'show ' ~ kind ~ ' like ' ~ pattern ~ where
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


{# Logs and runs changes; returns how many there were. A change is a dictionary of
   `what` it does and its `sql`. #}
{% macro apply_changes(changes) %}
    {% for change in changes %}
        {% do log('  change: ' ~ change.what, info=true) %}
        {% do run_query(change.sql) %}
    {% else %}
        {% do log('  nothing to change', info=true) %}
    {% endfor %}
    {% do return(changes | length) %}
{% endmacro %}


{# A text as a literal of Snowflake, which needs a backslash twice. #}
{% macro text_literal(text) %}
    {% set escaped = text | string | replace('\\', '\\\\') | replace("'", "''") %}
    {% do return("'" ~ escaped ~ "'") %}
{% endmacro %}


{# The comment on each object that set-up creates. #}
{% macro creation_mark() %}
    {% do return('Created by the dbt project vpc_flow_logs') %}
{% endmacro %}


{# Whether set-up created an object, by its SHOW row. It neither alters nor drops any
   other object. #}
{% macro is_ours(row) %}
    {% set comment = row.get('comment') or '' %}
    {% do return(comment.startswith(vpc_flow_logs.creation_mark())) %}
{% endmacro %}


{# Logs that an object is somebody else's and stays unchanged. #}
{% macro leave_alone(what) %}
    {% do log(
        '  left as it is: ' ~ what ~ ', which this project did not create', info=true
    ) %}
{% endmacro %}
