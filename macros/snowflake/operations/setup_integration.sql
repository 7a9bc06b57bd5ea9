{# `dbt run-operation setup_integration --args '{role_arn: …, locations: […]}'`: creates
   or alters the storage integration. It never replaces it: that would break every stage
   and change the external id. #}
{% macro setup_integration(role_arn, locations) %}
    {% do vpc_flow_logs.start_setup('setup_integration') %}
    {% set integration = vpc_flow_logs.storage_integration() %}
    {% set place = vpc_flow_logs.cloud_of_role(role_arn) %}
    {% do vpc_flow_logs.refuse_foreign_region(place) %}
    {% set wanted = vpc_flow_logs.bucket_locations(locations, place.scheme) %}
    {% set quoted = [] %}
    {% for location in wanted %}
        {% do quoted.append(vpc_flow_logs.text_literal(location)) %}
    {% endfor %}
    {% set role = vpc_flow_logs.text_literal(role_arn) %}
    {% set mark = vpc_flow_logs.text_literal(vpc_flow_logs.creation_mark()) %}

    {% set changes = [] %}
    {% if vpc_flow_logs.find_object('storage integrations', integration) is none %}
        {% set sql -%}
            create storage integration if not exists {{ integration }}
                type = external_stage
                storage_provider = '{{ place.scheme | upper }}'
                enabled = true
                storage_aws_role_arn = {{ role }}
                storage_allowed_locations = ({{ quoted | join(', ') }})
                comment = {{ mark }}
        {%- endset %}
        {% do changes.append({
            'what': 'create storage integration ' ~ integration ~ ' for '
                ~ wanted | join(', '),
            'sql': sql,
        }) %}
    {% else %}
        {% set now = vpc_flow_logs.properties_of('desc integration ' ~ integration) %}
        {% set provider = (now.get('STORAGE_PROVIDER') or place.scheme) | upper %}
        {% if provider != place.scheme | upper %}
            {% do exceptions.raise_compiler_error(
                'the integration ' ~ integration ~ ' is for ' ~ provider ~ ' and cannot'
                ~ ' be changed to ' ~ place.scheme | upper ~ '. Set the variable'
                ~ ' storage_integration to another name.'
            ) %}
        {% endif %}
        {% set allowed = vpc_flow_logs.split_locations(
            now.get('STORAGE_ALLOWED_LOCATIONS')
        ) %}
        {% set settings = [] %}
        {% if now.get('ENABLED') | string | lower != 'true' %}
            {% do settings.append('enabled = true') %}
        {% endif %}
        {% if now.get('STORAGE_AWS_ROLE_ARN') != role_arn %}
            {% do settings.append('storage_aws_role_arn = ' ~ role) %}
        {% endif %}
        {% if allowed | sort != wanted | sort %}
            {% do settings.append(
                'storage_allowed_locations = (' ~ quoted | join(', ') ~ ')'
            ) %}
        {% endif %}
        {% if settings %}
            {% set setting = settings | join(' ') %}
            {% do changes.append({
                'what': 'alter storage integration ' ~ integration ~ ': ' ~ setting,
                'sql': 'alter storage integration ' ~ integration ~ ' set ' ~ setting,
            }) %}
        {% endif %}
    {% endif %}
    {% do return(vpc_flow_logs.apply_changes(changes)) %}
{% endmacro %}


{# For the partition of a role: the URL scheme, which is the provider in upper case, and
   a part of the names of Snowflake's regions there. #}
{% macro cloud_of_role(role_arn) %}
    {% set clouds = {
        'aws': {'scheme': 's3', 'region': 'AWS_'},
        'aws-us-gov': {'scheme': 's3gov', 'region': 'AWS_US_GOV_'},
        'aws-cn': {'scheme': 's3china', 'region': 'AWS_CN_'},
    } %}
    {% set match = modules.re.fullmatch(
        'arn:(aws|aws-us-gov|aws-cn):iam::[0-9]{12}:role/.+', role_arn or ''
    ) %}
    {% if not match %}
        {% do exceptions.raise_compiler_error(
            "role_arn is '" ~ role_arn ~ "', which is not the ARN of a role such as"
            ~ ' arn:aws:iam::123456789012:role/snowflake-reads-flow-logs'
        ) %}
    {% endif %}
    {% do return(clouds[match.group(1)]) %}
{% endmacro %}


{# Stops if a bucket is in GovCloud or China and the Snowflake account is not: an
   integration cannot read it from elsewhere. #}
{% macro refuse_foreign_region(place) %}
    {% if place.scheme != 's3' %}
        {% set region = vpc_flow_logs.rows_of(
            'select current_region() as region'
        )[0].region %}
        {% if place.region not in region | upper %}
            {% do exceptions.raise_compiler_error(
                'this Snowflake account is in ' ~ region ~ '. A role with '
                ~ place.scheme ~ ':// locations can be used only from an account in a'
                ~ ' region ' ~ place.region ~ '…'
            ) %}
        {% endif %}
    {% endif %}
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


{# The locations of a text such as DESC INTEGRATION returns, separated by commas. #}
{% macro split_locations(listed) %}
    {% do return((listed or '').split(',') | map('trim') | select | list) %}
{% endmacro %}
