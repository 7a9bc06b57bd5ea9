{# `dbt run-operation setup_user --args '{public_key: …}'`: the user of scheduled runs.
   It has keys and no password. `public_key_2` is for the time of a key rotation;
   `public_key_2: ''` removes it again. #}
{% macro setup_user(public_key=none, public_key_2=none) %}
    {% do vpc_flow_logs.start_setup('setup_user') %}
    {% set changes = [] %}
    {% set user = vpc_flow_logs.service_user() %}
    {% set policy = vpc_flow_logs.service_network_policy() %}
    {% set mark = vpc_flow_logs.text_literal(vpc_flow_logs.creation_mark()) %}
    {% set keys = {
        'rsa_public_key': vpc_flow_logs.public_key_text(public_key),
        'rsa_public_key_2': vpc_flow_logs.public_key_text(public_key_2),
    } %}
    {% do changes.extend(vpc_flow_logs.network_policy_changes(policy)) %}
    {% set found = vpc_flow_logs.find_object('users', user) %}
    {% set now = vpc_flow_logs.properties_of('desc user ' ~ user) if found else {} %}
    {% if found is none %}
        {% set sql -%}
            create user if not exists {{ user }}
                type = service
                default_role = {{ vpc_flow_logs.transformer_role() }}
                default_secondary_roles = ()
                default_warehouse = {{ vpc_flow_logs.flow_logs_warehouse() }}
                default_namespace = {{ vpc_flow_logs.models_schema() }}
                comment = {{ mark }}
        {%- endset %}
        {% do changes.append({'what': 'create service user ' ~ user, 'sql': sql}) %}
    {% elif (now.get('TYPE') or '') | upper != 'SERVICE' %}
        {% do exceptions.raise_compiler_error(
            'the user ' ~ user ~ ' exists and is not of TYPE = SERVICE. Set the'
            ~ ' variable service_user to another name.'
        ) %}
    {% endif %}

    {% for option, key in keys.items() if key is not none %}
        {% if key == '' and vpc_flow_logs.has_key(now, option) %}
            {% do changes.append({
                'what': 'take ' ~ option ~ ' from user ' ~ user,
                'sql': 'alter user ' ~ user ~ ' unset ' ~ option,
            }) %}
        {% elif key and not vpc_flow_logs.is_key(now, option, key) %}
            {% do changes.append({
                'what': 'set ' ~ option ~ ' of user ' ~ user,
                'sql': 'alter user ' ~ user ~ ' set ' ~ option ~ ' = '
                    ~ vpc_flow_logs.text_literal(key),
            }) %}
        {% endif %}
    {% endfor %}
    {% if not (
        vpc_flow_logs.has_key(now, 'rsa_public_key')
        or vpc_flow_logs.has_key(now, 'rsa_public_key_2')
        or keys.values() | select | list
    ) %}
        {% do log(
            '  note: user ' ~ user ~ ' has no key, so nobody can log in as it yet: add'
            ~ ' public_key to --args', info=true
        ) %}
    {% endif %}

    {% if var('service_user_cidrs')
        and not vpc_flow_logs.has_network_policy(user, found) %}
        {% do changes.append({
            'what': 'put user ' ~ user ~ ' under network policy ' ~ policy,
            'sql': 'alter user ' ~ user ~ ' set network_policy = ' ~ policy,
        }) %}
    {% endif %}
    {% set held = [] %}
    {% set shown = 'show grants to user ' ~ user %}
    {% for grant in (vpc_flow_logs.rows_of(shown) if found else []) %}
        {% do held.append((grant.get('role') or grant.get('name')) | lower) %}
    {% endfor %}
    {% set wanted = [vpc_flow_logs.loader_role(), vpc_flow_logs.transformer_role()] %}
    {% for role in wanted if role not in held %}
        {% do changes.append({
            'what': 'grant role ' ~ role ~ ' to user ' ~ user,
            'sql': 'grant role ' ~ role ~ ' to user ' ~ user,
        }) %}
    {% endfor %}
    {% do return(vpc_flow_logs.apply_changes(changes)) %}
{% endmacro %}


{# A public key without its first and last line, as Snowflake needs it; none for none.
   Any other text stops dbt with a message, such as a private key. #}
{% macro public_key_text(key) %}
    {% if key is none or key == '' %}
        {% do return(key) %}
    {% endif %}
    {% set bare = modules.re.sub('-----(BEGIN|END) PUBLIC KEY-----|\\s', '', key) %}
    {% if not modules.re.fullmatch('MII[A-Za-z0-9+/]{200,}={0,2}', bare) %}
        {% do exceptions.raise_compiler_error(
            'public_key is no RSA public key in PEM form. Make it with: openssl rsa -in'
            ~ ' KEY.p8 -pubout. (Never give the private key away.)'
        ) %}
    {% endif %}
    {% do return(bare) %}
{% endmacro %}


{# Whether DESC USER lists a key or its fingerprint. #}
{% macro has_key(properties, option) %}
    {% set shown = [
        properties.get(option | upper), properties.get(option | upper ~ '_FP')
    ] | map('string') | map('lower') | list %}
    {% do return(shown | reject('in', ['', 'null', 'none']) | list != []) %}
{% endmacro %}


{# Whether a user has this key, by its fingerprint if DESC USER lists that. #}
{% macro is_key(properties, option, key) %}
    {% set fingerprint = properties.get(option | upper ~ '_FP') %}
    {% if not vpc_flow_logs.has_key(properties, option) %}
        {% do return(false) %}
    {% elif fingerprint %}
        {% set computed = vpc_flow_logs.rows_of(
            'select base64_encode(sha2_binary(base64_decode_binary('
            ~ vpc_flow_logs.text_literal(key) ~ '), 256)) as fingerprint'
        )[0].fingerprint %}
        {% do return(fingerprint == 'SHA256:' ~ computed) %}
    {% endif %}
    {% do return(properties.get(option | upper) == key) %}
{% endmacro %}


{# The changes after which the network policy allows `service_user_cidrs`; none if that
   is empty. #}
{% macro network_policy_changes(policy) %}
    {% set wanted = var('service_user_cidrs') %}
    {% if not wanted %}
        {% do return([]) %}
    {% endif %}
    {% set quoted = [] %}
    {% for cidr in wanted %}
        {% do quoted.append(vpc_flow_logs.text_literal(cidr)) %}
    {% endfor %}
    {% set listed = 'allowed_ip_list = (' ~ quoted | join(', ') ~ ')' %}
    {% if vpc_flow_logs.find_object('network policies', policy) is none %}
        {% do return([{
            'what': 'create network policy ' ~ policy ~ ' for ' ~ wanted | join(', '),
            'sql': 'create network policy if not exists ' ~ policy ~ ' ' ~ listed
                ~ ' comment = '
                ~ vpc_flow_logs.text_literal(vpc_flow_logs.creation_mark()),
        }]) %}
    {% endif %}
    {% set allowed = vpc_flow_logs.properties_of('desc network policy ' ~ policy).get(
        'ALLOWED_IP_LIST'
    ) %}
    {% if vpc_flow_logs.split_locations(allowed) | sort == wanted | sort %}
        {% do return([]) %}
    {% endif %}
    {% do return([{
        'what': 'alter network policy ' ~ policy ~ ': ' ~ wanted | join(', '),
        'sql': 'alter network policy ' ~ policy ~ ' set ' ~ listed,
    }]) %}
{% endmacro %}


{# Whether a user has the service user's network policy. #}
{% macro has_network_policy(user, found) %}
    {% if found is none %}
        {% do return(false) %}
    {% endif %}
    {% set properties = vpc_flow_logs.properties_of('desc user ' ~ user) %}
    {% set shown = [properties.get('NETWORK_POLICY')] %}
    {% for row in vpc_flow_logs.rows_of(
        "show parameters like 'network_policy' in user " ~ user
    ) %}
        {% do shown.append(row.value) %}
    {% endfor %}
    {% set policy = vpc_flow_logs.service_network_policy() %}
    {% do return(policy | upper in shown | map('string') | map('upper') | list) %}
{% endmacro %}
