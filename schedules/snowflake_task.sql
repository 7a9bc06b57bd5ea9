-- Runs the project inside Snowflake, as docs/schedules.md describes. The names are those
-- of docs/snowflake.md; run it as the transformer role. A task must be in the schema of the
-- project that it executes, and cannot be serverless. `select
-- system$supported_dbt_versions()` lists the dbt versions that it may name.

create task if not exists flow.analytics.vpc_flow_logs_hourly
    warehouse = flow_wh
    schedule = 'using cron 17 * * * * UTC'
    user_task_timeout_ms = 3600000
    suspend_task_after_num_failures = 0
    comment = 'Builds and tests the dbt project vpc_flow_logs'
as
    execute dbt project flow.analytics.vpc_flow_logs
        args = 'build --target snowflake' dbt_version = '1.10.15';

create task if not exists flow.analytics.vpc_flow_logs_daily
    warehouse = flow_wh
    schedule = 'using cron 43 3 * * * UTC'
    user_task_timeout_ms = 3600000
    suspend_task_after_num_failures = 0
    comment = 'Tests all records of the dbt project vpc_flow_logs'
as
    execute dbt project flow.analytics.vpc_flow_logs
        args = 'test --select tag:audit --target snowflake' dbt_version = '1.10.15';

alter task flow.analytics.vpc_flow_logs_hourly resume;
alter task flow.analytics.vpc_flow_logs_daily resume;
