{# Set-up: plain SQL, from top to bottom. `dbt run-operation setup_snowflake --vars
   'setup_role: NAME' --args '{…, print_only: true}'` prints it with all names filled in
   and runs nothing. Each part is an operation of its own, too. A second run has no
   effect. `run_script` leaves out what exists and what is somebody else's. #}


{# The SQL of an operation. #}
{% macro setup_sql(
    operation, print_only, role_arn, locations, stage_url, public_key, public_key_2
) %}
{% set names = vpc_flow_logs.account_names() %}
{% set mark = vpc_flow_logs.creation_mark() %}
{% set setup_role = var('setup_role') | lower %}
{% set line_stages = {} %}
{% for name in ['enrichment', 'inventory'] %}
{% set place = env_var('VPC_FLOW_' ~ name | upper ~ '_LOCATION', '') %}
{% do line_stages.update({names[name ~ '_stage']: place}) if place %}
{% endfor %}

{% if operation in ('setup_snowflake', 'setup_warehouse') %}
{% set size = var('warehouse_size') | lower %}
{% set suspend = vpc_flow_logs.seconds(
    'warehouse_auto_suspend', var('warehouse_auto_suspend')
) %}
{% set timeout = vpc_flow_logs.seconds(
    'warehouse_statement_timeout', var('warehouse_statement_timeout')
) %}
-- The warehouse of the profile.
create warehouse if not exists {{ names.warehouse }}
    warehouse_size = '{{ size }}'
    generation = '{{ var('warehouse_generation') }}'
    auto_suspend = {{ suspend }}
    auto_resume = true
    initially_suspended = true
    statement_timeout_in_seconds = {{ timeout }}
    comment = '{{ mark }}';
alter warehouse {{ names.warehouse }} set
    warehouse_size = '{{ size }}'
    auto_suspend = {{ suspend }}
    statement_timeout_in_seconds = {{ timeout }};
{% endif %}

{% if operation in ('setup_snowflake', 'setup_database') %}
-- The database, the landing schema and the schema of the models.
create database if not exists {{ names.database }}
    comment = '{{ mark }}';
{% for schema in names.schemas %}
create schema if not exists {{ schema }}
    comment = '{{ mark }}';
{% endfor %}
{% endif %}

{% if operation in ('setup_snowflake', 'setup_integration') %}
{% set scheme = vpc_flow_logs.scheme_of_role(role_arn) %}
{% set places = [] %}
{% for location in vpc_flow_logs.bucket_locations(locations, scheme) %}
    {% do places.append(vpc_flow_logs.text_literal(location)) %}
{% endfor %}
-- The storage integration. Replacing it would break the stage and change the external
-- id, so it is altered. The list of locations is the whole list.
create storage integration if not exists {{ names.storage_integration }}
    type = external_stage
    storage_provider = '{{ scheme | upper }}'
    enabled = true
    storage_aws_role_arn = {{ vpc_flow_logs.text_literal(role_arn) }}
    storage_allowed_locations = ({{ places | join(', ') }})
    comment = '{{ mark }}';
alter storage integration {{ names.storage_integration }} set
    enabled = true
    storage_aws_role_arn = {{ vpc_flow_logs.text_literal(role_arn) }}
    storage_allowed_locations = ({{ places | join(', ') }});
{% endif %}

{% if operation in ('setup_snowflake', 'setup_stage') %}
-- The stage over the bucket. A stage that exists stays: replacing it stops the pipe.
create stage if not exists {{ names.stage }}
    url = {{ vpc_flow_logs.text_literal(
        vpc_flow_logs.stage_url_of(locations, stage_url)
    ) }}
    storage_integration = {{ names.storage_integration }}
    file_format = (type = parquet)
    comment = '{{ mark }}';
{% for stage, place in line_stages.items() %}
-- A stage over other files than flow logs.
create stage if not exists {{ stage }}
    url = {{ vpc_flow_logs.text_literal(place.rstrip('/') ~ '/') }}
    storage_integration = {{ names.storage_integration }}
    comment = '{{ mark }}';
{% endfor %}
{% endif %}

{% if operation in ('setup_snowflake', 'setup_functions') %}
{% set body = vpc_flow_logs.ipv4_is_internal('ip') | trim %}
-- The function for worksheets. Its comment ends with a checksum, so that only another
-- version replaces it.
create or replace function {{ names.function }}(ip varchar)
    returns boolean
    language sql
    immutable
    comment = '{{ mark }}, version {{ local_md5(body)[:8] }}'
    as $$ {{ body }} $$;
{% endif %}

{% if operation in ('setup_snowflake', 'setup_roles') %}
-- The roles, each with the least privileges. The role for set-up has them all, because
-- teardown must drop the pipe, which the loader owns.
{% for role in names.roles %}
create role if not exists {{ role }}
    comment = '{{ mark }}';
grant role {{ role }} to role {{ setup_role }};
grant usage on warehouse {{ names.warehouse }} to role {{ role }};
grant usage on database {{ names.database }} to role {{ role }};
{% endfor %}

-- The loader creates the landing table and the pipe, and owns both.
grant usage, create table, create pipe on schema {{ names.landing_schema }}
    to role {{ names.loader_role }};
grant usage on stage {{ names.stage }} to role {{ names.loader_role }};
{% for stage in line_stages %}
grant usage on stage {{ stage }} to role {{ names.loader_role }};
{% endfor %}
grant usage on integration {{ names.storage_integration }}
    to role {{ names.loader_role }};
{% if var('snowpipe_error_integration') %}
grant usage on integration {{ vpc_flow_logs.plain_identifier(
    var('snowpipe_error_integration'), 'snowpipe_error_integration'
) }} to role {{ names.loader_role }};
{% endif %}

-- The transformer reads landing, watches the pipe and builds the models. Future grants
-- cover what is created later.
grant usage on schema {{ names.landing_schema }} to role {{ names.transformer_role }};
grant select on all tables in schema {{ names.landing_schema }}
    to role {{ names.transformer_role }};
grant select on future tables in schema {{ names.landing_schema }}
    to role {{ names.transformer_role }};
grant monitor on future pipes in schema {{ names.landing_schema }}
    to role {{ names.transformer_role }};
grant usage, create table, create view on schema {{ names.models_schema }}
    to role {{ names.transformer_role }};
-- Snowflake refuses a grant on all pipes. For pipes that are older than this set-up:
{% for pipe in names.pipes %}
{{ '-- ' if print_only }}grant monitor on pipe {{ pipe }} to role {{
    names.transformer_role
}};
{% endfor %}

-- The analyst reads the models and calls the function.
grant usage on schema {{ names.models_schema }} to role {{ names.analyst_role }};
{% for privilege, kind in [
    ('select', 'tables'), ('select', 'views'), ('usage', 'functions')
] %}
{% for reach in ('all', 'future') %}
grant {{ privilege }} on {{ reach }} {{ kind }} in schema {{ names.models_schema }}
    to role {{ names.analyst_role }};
{% endfor %}
{% endfor %}
{% endif %}

{% if operation in ('setup_snowflake', 'setup_user') %}
-- The user of scheduled runs: keys and no password. A second key is for the time in
-- which keys are changed.
create user if not exists {{ names.service_user }}
    type = service
    default_role = {{ names.transformer_role }}
    default_secondary_roles = ()
    default_warehouse = {{ names.warehouse }}
    default_namespace = {{ names.models_schema }}
    comment = '{{ mark }}';
grant role {{ names.loader_role }} to user {{ names.service_user }};
grant role {{ names.transformer_role }} to user {{ names.service_user }};
{% for option, key in [
    ('rsa_public_key', public_key), ('rsa_public_key_2', public_key_2)
] if key is not none %}
alter user {{ names.service_user }} {{
    "set " ~ option ~ " = '" ~ vpc_flow_logs.public_key_text(key) ~ "'" if key
    else 'unset ' ~ option
}};
{% endfor %}
{% if var('service_user_cidrs') %}
{% set allowed %}('{{ var('service_user_cidrs') | join("', '") }}'){% endset %}
create network policy if not exists {{ names.network_policy }}
    allowed_ip_list = {{ allowed }}
    comment = '{{ mark }}';
alter network policy {{ names.network_policy }} set
    allowed_ip_list = {{ allowed }};
alter user {{ names.service_user }} set network_policy = {{ names.network_policy }};
{% endif %}
{% endif %}

{% if var('warehouse_credit_quota') is not none and (
    operation == 'setup_resource_monitor'
    or operation == 'setup_snowflake' and setup_role == 'accountadmin'
) %}
-- The resource monitor suspends the warehouse when the month's credits are used. It
-- cannot cap Snowpipe. Only ACCOUNTADMIN may create one.
create resource monitor if not exists {{ names.monitor }} with
    credit_quota = {{ var('warehouse_credit_quota') | int }}
    frequency = monthly
    start_timestamp = immediately
    triggers on 80 percent do notify on 100 percent do suspend;
alter resource monitor {{ names.monitor }} set
    credit_quota = {{ var('warehouse_credit_quota') | int }};
alter warehouse {{ names.warehouse }} set resource_monitor = {{ names.monitor }};
{% endif %}
{% endmacro %}


{# `dbt run-operation setup_snowflake`: all parts. #}
{% macro setup_snowflake(
    role_arn,
    locations,
    stage_url=none,
    public_key=none,
    public_key_2=none,
    print_only=false
) %}
    {% do vpc_flow_logs.run_setup(
        'setup_snowflake',
        print_only,
        role_arn,
        locations,
        stage_url,
        public_key,
        public_key_2,
    ) %}
    {% if var('setup_role') | lower != 'accountadmin' and not print_only %}
        {% do log(
            'The resource monitor is left out, since only ACCOUNTADMIN may create one:'
            ~ " dbt run-operation setup_resource_monitor --vars 'setup_role:"
            ~ " ACCOUNTADMIN'", info=true
        ) %}
    {% endif %}
{% endmacro %}


{# `dbt run-operation setup_warehouse`: the warehouse alone. #}
{% macro setup_warehouse(print_only=false) %}
    {% do vpc_flow_logs.run_setup('setup_warehouse', print_only) %}
{% endmacro %}


{# `dbt run-operation setup_database`: the database and the schemas alone. #}
{% macro setup_database(print_only=false) %}
    {% do vpc_flow_logs.run_setup('setup_database', print_only) %}
{% endmacro %}


{# `dbt run-operation setup_integration`: the storage integration alone. #}
{% macro setup_integration(role_arn, locations, print_only=false) %}
    {% do vpc_flow_logs.run_setup(
        'setup_integration', print_only, role_arn, locations
    ) %}
{% endmacro %}


{# `dbt run-operation setup_stage`: the stage alone. #}
{% macro setup_stage(locations, stage_url=none, print_only=false) %}
    {% do vpc_flow_logs.run_setup(
        'setup_stage', print_only, locations=locations, stage_url=stage_url
    ) %}
{% endmacro %}


{# `dbt run-operation setup_functions`: the function alone. #}
{% macro setup_functions(print_only=false) %}
    {% do vpc_flow_logs.run_setup('setup_functions', print_only) %}
{% endmacro %}


{# `dbt run-operation setup_roles`: the roles and their grants alone. #}
{% macro setup_roles(print_only=false) %}
    {% do vpc_flow_logs.run_setup('setup_roles', print_only) %}
{% endmacro %}


{# `dbt run-operation setup_user`: the service user alone. #}
{% macro setup_user(public_key=none, public_key_2=none, print_only=false) %}
    {% do vpc_flow_logs.run_setup(
        'setup_user', print_only, public_key=public_key, public_key_2=public_key_2
    ) %}
{% endmacro %}


{# `dbt run-operation setup_resource_monitor`: the resource monitor alone. #}
{% macro setup_resource_monitor(print_only=false) %}
    {% do vpc_flow_logs.run_setup('setup_resource_monitor', print_only) %}
{% endmacro %}


{# Prints or runs the SQL of an operation. #}
{% macro run_setup(
    operation,
    print_only,
    role_arn=none,
    locations=none,
    stage_url=none,
    public_key=none,
    public_key_2=none
) %}
    {% set role = vpc_flow_logs.setup_role(operation) %}
    {% set script = vpc_flow_logs.setup_sql(
        operation, print_only, role_arn, locations, stage_url, public_key, public_key_2
    ) %}
    {% if print_only %}
        {% do print('use role ' ~ role ~ ';\n\n' ~ vpc_flow_logs.tidy(script)) %}
        {% do return(none) %}
    {% endif %}
    {% do vpc_flow_logs.start_setup(operation) %}
    {% if operation in ('setup_snowflake', 'setup_stage') %}
        {% do vpc_flow_logs.refuse_another_location(
            vpc_flow_logs.stage_url_of(locations, stage_url)
        ) %}
    {% endif %}
    {% do vpc_flow_logs.run_script(script) %}
{% endmacro %}


{# Stops if the stage covers another location. #}
{% macro refuse_another_location(url) %}
    {% set names = vpc_flow_logs.account_names() %}
    {% set found = vpc_flow_logs.find_object('stages', names.stage, ' in account') %}
    {% if found and (
        found.url != url
        or found.storage_integration | lower != names.storage_integration
    ) %}
        {% do exceptions.raise_compiler_error(
            'the stage ' ~ names.stage ~ ' covers ' ~ found.url ~ ' through '
            ~ found.storage_integration ~ '. Changing that stops the pipe, so it is'
            ~ ' not done here: docs/snowflake.md, "Moving to another bucket".'
        ) %}
    {% endif %}
{% endmacro %}


{# The location of the stage: the only one, or the one that `stage_url` names. #}
{% macro stage_url_of(locations, stage_url) %}
    {% set places = [locations] if locations is string else locations or [] %}
    {% if not stage_url and places | length != 1 %}
        {% do exceptions.raise_compiler_error(
            'a stage covers one location: name one in locations, or add stage_url to'
            ~ ' --args'
        ) %}
    {% endif %}
    {% do return((stage_url or places[0]).rstrip('/') ~ '/') %}
{% endmacro %}


{# The URL scheme for the partition of a role; in upper case it is the provider. #}
{% macro scheme_of_role(role_arn) %}
    {% set match = modules.re.fullmatch(
        'arn:(aws|aws-us-gov|aws-cn):iam::[0-9]{12}:role/.+', role_arn or ''
    ) %}
    {% if not match %}
        {% do exceptions.raise_compiler_error(
            "role_arn is '" ~ role_arn ~ "', which is not the ARN of a role such as"
            ~ ' arn:aws:iam::123456789012:role/snowflake-reads-flow-logs'
        ) %}
    {% endif %}
    {% do return(
        {'aws': 's3', 'aws-us-gov': 's3gov', 'aws-cn': 's3china'}[match.group(1)]
    ) %}
{% endmacro %}


{# Checks the URLs of buckets and adds a slash to each: without it `s3://bucket/logs`
   would also allow `s3://bucket/logs-of-others`. #}
{% macro bucket_locations(locations, scheme) %}
    {% set checked = [] %}
    {% for location in ([locations] if locations is string else locations or []) %}
        {% set pattern = scheme ~ '://[^/*,\\s]+(/[^*,\\s]*)?' %}
        {% if not modules.re.fullmatch(pattern, location) %}
            {% do exceptions.raise_compiler_error(
                "locations: '" ~ location ~ "' is not a place such as " ~ scheme
                ~ '://bucket/prefix/'
            ) %}
        {% endif %}
        {% do checked.append(location.rstrip('/') ~ '/') %}
    {% else %}
        {% do exceptions.raise_compiler_error(
            'locations is empty: name the bucket, such as ["' ~ scheme
            ~ '://bucket/prefix/"]'
        ) %}
    {% endfor %}
    {% do return(checked) %}
{% endmacro %}


{# A public key without its first and last line, as Snowflake needs it. Any other text
   stops dbt with a message, such as a private key. #}
{% macro public_key_text(key) %}
    {% set bare = modules.re.sub('-----(BEGIN|END) PUBLIC KEY-----|\\s', '', key) %}
    {% if not modules.re.fullmatch('MII[A-Za-z0-9+/]{200,}={0,2}', bare) %}
        {% do exceptions.raise_compiler_error(
            'public_key is no RSA public key in PEM form. Make it with: openssl rsa -in'
            ~ ' KEY.p8 -pubout. (Never give the private key away.)'
        ) %}
    {% endif %}
    {% do return(bare) %}
{% endmacro %}


{# A variable in seconds. 0 would mean never. #}
{% macro seconds(name, value) %}
    {% if value | int < 1 %}
        {% do exceptions.raise_compiler_error(
            name ~ ' is a number of seconds, 1 or more: 0 would mean never'
        ) %}
    {% endif %}
    {% do return(value | int) %}
{% endmacro %}
