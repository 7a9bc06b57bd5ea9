{# `dbt run-operation setup_stage --args '{locations: […]}'`: creates the external stage
   over the bucket. It never replaces it: that would stop the pipe. `stage_url` is the
   location of the stage if there are several. #}
{% macro setup_stage(locations, stage_url=none) %}
    {% do vpc_flow_logs.start_setup('setup_stage') %}
    {% set stage = vpc_flow_logs.flow_logs_stage() %}
    {% set integration = vpc_flow_logs.storage_integration() %}
    {% set mark = vpc_flow_logs.text_literal(vpc_flow_logs.creation_mark()) %}
    {% set places = [locations] if locations is string else locations or [] %}
    {% set found = vpc_flow_logs.find_object('stages', stage, ' in account') %}
    {% if stage_url is none and places | length == 1 %}
        {% set stage_url = places[0] %}
    {% elif stage_url is none and found is none %}
        {% do exceptions.raise_compiler_error(
            'several locations are allowed and one stage covers one: add stage_url to'
            ~ ' --args'
        ) %}
    {% endif %}

    {% set changes = [] %}
    {% if found is none %}
        {% set sql -%}
            create stage if not exists {{ stage }}
                url = {{ vpc_flow_logs.text_literal(stage_url.rstrip('/') ~ '/') }}
                storage_integration = {{ integration }}
                file_format = (type = parquet)
                comment = {{ mark }}
        {%- endset %}
        {% do changes.append({
            'what': 'create stage ' ~ stage ~ ' over ' ~ stage_url, 'sql': sql
        }) %}
    {% else %}
        {% set differs = found.storage_integration | upper != integration | upper %}
        {% if differs or (stage_url and found.url != stage_url.rstrip('/') ~ '/') %}
            {% do exceptions.raise_compiler_error(
                'the stage ' ~ stage ~ ' covers ' ~ found.url ~ ' through '
                ~ found.storage_integration ~ '. Changing that stops the pipe, so it is'
                ~ ' not done here: docs/snowflake.md, "Moving to another bucket".'
            ) %}
        {% endif %}
    {% endif %}
    {% do return(vpc_flow_logs.apply_changes(changes)) %}
{% endmacro %}
