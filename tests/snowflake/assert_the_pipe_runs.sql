{# Fails unless Snowpipe loads the files that events announce: the pipe may be paused,
   or its stage, table or privileges may be missing. The pipe has the landing table's
   name. #}
{{ config(tags=['health']) }}

with

pipe as (

    select
        cast(
            parse_json(
                system$pipe_status('{{ source('vpc_flow', 'flow_logs') }}')
            )['executionState'] as varchar
        ) as execution_state

)

select * from pipe
where coalesce(execution_state, 'UNKNOWN') != 'RUNNING'
