{# Fails unless Snowpipe loads the files that events announce: a pipe may be paused, or
   its stage, table or privileges may be missing. A pipe has the name of its table. #}
{{ config(tags=['health']) }}

with

pipes as (

    {%- for table in ('flow_logs', 'text_logs') %}
    {{ 'union all' if not loop.first }}
    select
        '{{ table }}' as pipe,
        cast(
            parse_json(
                system$pipe_status('{{ source('vpc_flow', table) }}')
            )['executionState'] as varchar
        ) as execution_state
    {%- endfor %}

)

select * from pipes
where coalesce(execution_state, 'UNKNOWN') != 'RUNNING'
