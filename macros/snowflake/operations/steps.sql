{# Steps that the operations share: they take a role, look up objects and apply
   changes. #}


{# The role of an operation that changes the account. Without one it stops. #}
{% macro setup_role(operation) %}
    {% do vpc_flow_logs.refuse_other_engines(operation) %}
    {% if not var('setup_role') %}
        {% do exceptions.raise_compiler_error(
            operation ~ ' changes the account and takes no role by itself. Name the'
            ~ " administrator's role to use: --vars 'setup_role: NAME'."
            ~ ' docs/snowflake.md lists the privileges that it needs.'
        ) %}
    {% endif %}
    {% do return(vpc_flow_logs.plain_identifier(var('setup_role'), 'setup_role')) %}
{% endmacro %}


{# Starts an operation that changes the account, as that role. #}
{% macro start_setup(operation) %}
    {% set role = vpc_flow_logs.setup_role(operation) %}
    {% do log(operation ~ ', as role ' ~ role | upper, info=true) %}
    {% do run_query('use role ' ~ role) %}
{% endmacro %}


{# Starts any other operation: as `setup_role` if that is set, else as the role of the
   profile. `needed` names the role that it needs. Returns the names of all objects. #}
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
    {% do return(vpc_flow_logs.account_names()) %}
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
    {# SHOW NETWORK POLICIES has no LIKE. #}
    {% set like = '' if kind == 'network policies'
        else ' like ' ~ vpc_flow_logs.text_literal(parts[-1].lower()) %}
    {% for row in vpc_flow_logs.rows_of('show ' ~ kind ~ like ~ where) %}
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


{# Runs those statements of a script that are needed, and logs them. #}
{% macro run_script(script) %}
    {% set done = [] %}
    {% for sql in vpc_flow_logs.statements_of(script)
        if vpc_flow_logs.is_needed(sql) %}
        {% do log('  run: ' ~ ' '.join(sql.split()), info=true) %}
        {% do run_query(sql) %}
        {% do done.append(sql) %}
    {% endfor %}
    {% do log('  statements: ' ~ done | length, info=true) %}
{% endmacro %}


{# The statements of a script, without its comments. #}
{% macro statements_of(script) %}
    {% set bare = modules.re.sub('(?m)^ *--.*$', '', script) %}
    {% do return(bare.split(';\n') | map('trim') | select | list) %}
{% endmacro %}


{# A script with an empty line before each comment and no others. #}
{% macro tidy(script) %}
    {% set lines = modules.re.sub('(?m)^\\s*\n', '', script) %}
    {% do return(lines.replace(';\n--', ';\n\n--').strip()) %}
{% endmacro %}


{# Whether a statement of a script has something to do. It has not if it creates what
   exists, drops what does not, replaces what has the same comment, or grants something
   on what does not exist. Nor does it change or drop an object that this project did
   not create. Pipes, tables and resource monitors don't say who created them. #}
{% macro is_needed(sql) %}
    {% set match = modules.re.match(
        '(create or replace|create|alter|drop|grant monitor on) (warehouse|database'
        ~ '|schema|storage integration|stage|function|role|user|network policy'
        ~ '|resource monitor|pipe|table) (?:if (?:not )?exists )?([\\w.$]+)', sql
    ) %}
    {% if not match %}
        {% do return(true) %}
    {% endif %}
    {% set verb, kind, name = match.groups() %}
    {% set shown = {
        'network policy': 'network policies', 'function': 'user functions'
    }.get(kind, kind ~ 's') %}
    {% set found = vpc_flow_logs.find_object(
        shown, name, ' in account' if '.' in name else ''
    ) %}
    {% if found is none %}
        {% do return(verb.startswith('create')) %}
    {% elif verb == 'create' or verb.startswith('grant') %}
        {% do return(verb != 'create') %}
    {% endif %}
    {% set comment = found.get('comment') or found.get('description') or '' %}
    {% if kind not in ('pipe', 'table', 'resource monitor')
        and not comment.startswith(vpc_flow_logs.creation_mark()) %}
        {% do log(
            '  left as it is: ' ~ kind ~ ' ' ~ name ~ ', which this project did not'
            ~ ' create', info=true
        ) %}
        {% do return(false) %}
    {% endif %}
    {% do return(verb != 'create or replace' or comment not in sql) %}
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
