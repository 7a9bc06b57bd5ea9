{# Fails unless Snowpipe loads what events announce: the pipe may be paused, or its
   stage, table or privileges may be gone. #}
{{ config(tags=['health']) }}

with

pipe as (

    select
        cast(
            parse_json(
                system$pipe_status({{ vpc_flow_logs.text_literal(vpc_flow_logs.flow_logs_pipe()) }})
            )['executionState'] as varchar
        ) as execution_state

)

select * from pipe
where coalesce(execution_state, 'UNKNOWN') != 'RUNNING'
