-- Runs the project inside Snowflake, as docs/schedules.md describes. The names are those
-- of docs/snowflake.md; run it as the transformer role. A task must be in the schema of the
-- project that it executes, and cannot be serverless. `select
-- system$supported_dbt_versions()` lists the dbt versions that it may name.

--
-- The stream shows whether rows were added to landing since the last run that was ok. Its
-- condition needs no warehouse, so an hour without new files starts none.

create stream if not exists flow.analytics.vpc_flow_logs_landed
    on table flow.landing.flow_logs
    append_only = true
    show_initial_rows = true
    comment = 'Whether the dbt project vpc_flow_logs has new records to build';

create task if not exists flow.analytics.vpc_flow_logs_hourly
    warehouse = flow_wh
    schedule = 'using cron 17 * * * * UTC'
    user_task_timeout_ms = 3600000
    suspend_task_after_num_failures = 0
    comment = 'Builds and tests the dbt project vpc_flow_logs'
    when system$stream_has_data('flow.analytics.vpc_flow_logs_landed')
as
    execute dbt project flow.analytics.vpc_flow_logs
        args = 'build --target snowflake' dbt_version = '1.10.15';

-- After a run that was ok, the stream begins at the time for which that run was scheduled.
-- Nobody reads the stream, so it would have data for ever.
create task if not exists flow.analytics.vpc_flow_logs_hourly_done
    warehouse = flow_wh
    comment = 'Moves the stream on, after a build of the dbt project vpc_flow_logs'
    after flow.analytics.vpc_flow_logs_hourly
as
    execute immediate $$
    begin
        let scheduled varchar := (
            select system$task_runtime_info(
                'CURRENT_TASK_GRAPH_ORIGINAL_SCHEDULED_TIMESTAMP'
            )
        );
        execute immediate 'create or replace stream flow.analytics.vpc_flow_logs_landed'
            || ' on table flow.landing.flow_logs at (timestamp => '''
            || scheduled || '''::timestamp_tz) append_only = true';
    end;
    $$;

-- Without new files too: the window of the marts moves on, and the tests report that loading
-- has stopped.
create task if not exists flow.analytics.vpc_flow_logs_daily
    warehouse = flow_wh
    schedule = 'using cron 43 3 * * * UTC'
    user_task_timeout_ms = 3600000
    suspend_task_after_num_failures = 0
    comment = 'Builds the dbt project vpc_flow_logs and tests all records'
as
    execute dbt project flow.analytics.vpc_flow_logs
        args = 'build --exclude test_type:unit --target snowflake' dbt_version = '1.10.15';

alter task flow.analytics.vpc_flow_logs_hourly_done resume;
alter task flow.analytics.vpc_flow_logs_hourly resume;
alter task flow.analytics.vpc_flow_logs_daily resume;
