use role flow_setup;

-- The warehouse of the profile.
create warehouse if not exists flow_wh
    warehouse_size = 'x-small'
    generation = '1'
    auto_suspend = 60
    auto_resume = true
    initially_suspended = true
    statement_timeout_in_seconds = 3600
    comment = 'Created by the dbt project vpc_flow_logs';
alter warehouse flow_wh set
    warehouse_size = 'x-small'
    auto_suspend = 60
    statement_timeout_in_seconds = 3600;

-- The database, the landing schema and the schema of the models.
create database if not exists flow
    comment = 'Created by the dbt project vpc_flow_logs';
create schema if not exists flow.landing
    comment = 'Created by the dbt project vpc_flow_logs';
create schema if not exists flow.analytics
    comment = 'Created by the dbt project vpc_flow_logs';

-- The storage integration. Replacing it would break the stage and change the external
-- id, so it is altered. The list of locations is the whole list.
create storage integration if not exists vpc_flow_logs
    type = external_stage
    storage_provider = 'S3'
    enabled = true
    storage_aws_role_arn = 'arn:aws:iam::111111111111:role/reader'
    storage_allowed_locations = ('s3://flow-logs/logs/')
    comment = 'Created by the dbt project vpc_flow_logs';
alter storage integration vpc_flow_logs set
    enabled = true
    storage_aws_role_arn = 'arn:aws:iam::111111111111:role/reader'
    storage_allowed_locations = ('s3://flow-logs/logs/');

-- The stage over the bucket. A stage that exists stays: replacing it stops the pipe.
create stage if not exists flow.landing.flow_logs_stage
    url = 's3://flow-logs/logs/'
    storage_integration = vpc_flow_logs
    file_format = (type = parquet)
    comment = 'Created by the dbt project vpc_flow_logs';

-- The function for worksheets. Its comment ends with a checksum, so that only another
-- version replaces it.
create or replace function flow.analytics.ipv4_is_internal(ip varchar)
    returns boolean
    language sql
    immutable
    comment = 'Created by the dbt project vpc_flow_logs, version 0bec33f9'
    as $$ coalesce(regexp_like(ip, '(10[.](25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
        || '|172[.](1[6-9]|2[0-9]|3[01])'
        || '|192[.]168)'
        || '[.](25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
        || '[.](25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'), false) $$;

-- The roles, each with the least privileges. The role for set-up has them all, because
-- teardown must drop the pipe, which the loader owns.
create role if not exists vpc_flow_logs_loader
    comment = 'Created by the dbt project vpc_flow_logs';
grant role vpc_flow_logs_loader to role flow_setup;
grant usage on warehouse flow_wh to role vpc_flow_logs_loader;
grant usage on database flow to role vpc_flow_logs_loader;
create role if not exists vpc_flow_logs_transformer
    comment = 'Created by the dbt project vpc_flow_logs';
grant role vpc_flow_logs_transformer to role flow_setup;
grant usage on warehouse flow_wh to role vpc_flow_logs_transformer;
grant usage on database flow to role vpc_flow_logs_transformer;
create role if not exists vpc_flow_logs_analyst
    comment = 'Created by the dbt project vpc_flow_logs';
grant role vpc_flow_logs_analyst to role flow_setup;
grant usage on warehouse flow_wh to role vpc_flow_logs_analyst;
grant usage on database flow to role vpc_flow_logs_analyst;

-- The loader creates the landing table and the pipe, and owns both.
grant usage, create table, create pipe on schema flow.landing
    to role vpc_flow_logs_loader;
grant usage on stage flow.landing.flow_logs_stage to role vpc_flow_logs_loader;
grant usage on integration vpc_flow_logs
    to role vpc_flow_logs_loader;

-- The transformer reads landing, watches the pipe and builds the models. Future grants
-- cover what is created later.
grant usage on schema flow.landing to role vpc_flow_logs_transformer;
grant select on all tables in schema flow.landing
    to role vpc_flow_logs_transformer;
grant select on future tables in schema flow.landing
    to role vpc_flow_logs_transformer;
grant monitor on future pipes in schema flow.landing
    to role vpc_flow_logs_transformer;
grant usage, create table, create view on schema flow.analytics
    to role vpc_flow_logs_transformer;

-- Snowflake refuses a grant on all pipes. For pipes that are older than this set-up:
-- grant monitor on pipe flow.landing.flow_logs to role vpc_flow_logs_transformer;

-- grant monitor on pipe flow.landing.text_logs to role vpc_flow_logs_transformer;

-- The analyst reads the models and calls the function.
grant usage on schema flow.analytics to role vpc_flow_logs_analyst;
grant select on all tables in schema flow.analytics
    to role vpc_flow_logs_analyst;
grant select on future tables in schema flow.analytics
    to role vpc_flow_logs_analyst;
grant select on all views in schema flow.analytics
    to role vpc_flow_logs_analyst;
grant select on future views in schema flow.analytics
    to role vpc_flow_logs_analyst;
grant usage on all functions in schema flow.analytics
    to role vpc_flow_logs_analyst;
grant usage on future functions in schema flow.analytics
    to role vpc_flow_logs_analyst;

-- The user of scheduled runs: keys and no password. A second key is for the time in
-- which keys are changed.
create user if not exists vpc_flow_logs_service
    type = service
    default_role = vpc_flow_logs_transformer
    default_secondary_roles = ()
    default_warehouse = flow_wh
    default_namespace = flow.analytics
    comment = 'Created by the dbt project vpc_flow_logs';
grant role vpc_flow_logs_loader to user vpc_flow_logs_service;
grant role vpc_flow_logs_transformer to user vpc_flow_logs_service;
alter user vpc_flow_logs_service set rsa_public_key = '<public key 1>';
