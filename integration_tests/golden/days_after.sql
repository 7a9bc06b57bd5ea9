use role flow_setup;

show tables like 'flow_logs' in account;

with
    loads as (
        select * from table(flow.information_schema.copy_history(
                table_name => 'flow.landing.flow_logs',
                start_time => dateadd('day', -14, current_timestamp())
            ))
        union all
        select * from table(flow.information_schema.copy_history(
                table_name => 'flow.landing.text_logs',
                start_time => dateadd('day', -14, current_timestamp())
            ))
    )
    select
        stage_location || file_name as newest_file,
        last_load_time as newest_loaded_at
    from loads
    where status = 'Loaded'
    order by last_load_time desc
    limit 1;

select
        last_load_time,
        status,
        stage_location,
        file_name,
        error_count,
        first_error_message
    from table(flow.information_schema.copy_history(
            table_name => 'flow.landing.flow_logs',
            start_time => dateadd('day', -14, current_timestamp())
        ))
    qualify
        row_number() over (
            partition by stage_location, file_name order by last_load_time desc
        ) = 1
        and status != 'Loaded'
    order by last_load_time desc;

show tables like 'text_logs' in account;

select
        last_load_time,
        status,
        stage_location,
        file_name,
        error_count,
        first_error_message
    from table(flow.information_schema.copy_history(
            table_name => 'flow.landing.text_logs',
            start_time => dateadd('day', -14, current_timestamp())
        ))
    qualify
        row_number() over (
            partition by stage_location, file_name order by last_load_time desc
        ) = 1
        and status != 'Loaded'
    order by last_load_time desc;

select
        to_date(cast(convert_timezone('UTC', start_time) as timestamp_ntz)) as day,
        sum(files_inserted) as files,
        sum(bytes_inserted) as bytes,
        sum(bytes_billed) as bytes_billed,
        sum(credits_used) as credits
    from (
        select * from table(flow.information_schema.pipe_usage_history(
            date_range_start =>
                to_timestamp_ltz(1000000000000000000, 9),
            date_range_end => current_timestamp(),
            pipe_name => 'flow.landing.flow_logs'
        ))
        union all
        select * from table(flow.information_schema.pipe_usage_history(
            date_range_start =>
                to_timestamp_ltz(1000000000000000000, 9),
            date_range_end => current_timestamp(),
            pipe_name => 'flow.landing.text_logs'
        ))
    ) as pipe_usage
    group by day
    order by day;

show pipes like 'flow_logs' in account;

alter pipe flow.landing.flow_logs refresh;

show pipes like 'text_logs' in account;

alter pipe flow.landing.text_logs refresh;

alter pipe flow.landing.flow_logs refresh
    prefix = 'day/'
    modified_after = '2026-01-31T00:00:00Z';

alter pipe flow.landing.text_logs refresh
    prefix = 'day/'
    modified_after = '2026-01-31T00:00:00Z';

select system$pipe_status('flow.landing.flow_logs') as status;

select system$pipe_status('flow.landing.text_logs') as status;

select
        last_load_time,
        status,
        stage_location,
        file_name,
        error_count,
        first_error_message
    from table(flow.information_schema.copy_history(
            table_name => 'flow.landing.flow_logs',
            start_time => dateadd('day', -7, current_timestamp())
        ))
    qualify
        row_number() over (
            partition by stage_location, file_name order by last_load_time desc
        ) = 1
        and status != 'Loaded'
    order by last_load_time desc;

select
        last_load_time,
        status,
        stage_location,
        file_name,
        error_count,
        first_error_message
    from table(flow.information_schema.copy_history(
            table_name => 'flow.landing.text_logs',
            start_time => dateadd('day', -7, current_timestamp())
        ))
    qualify
        row_number() over (
            partition by stage_location, file_name order by last_load_time desc
        ) = 1
        and status != 'Loaded'
    order by last_load_time desc;

show stages like 'flow_logs_stage' in account;

list @flow.landing.flow_logs_stage/day/;

select
        metadata$filename as file,
        metadata$file_row_number as record,
        to_json($1) as fields
    from @flow.landing.flow_logs_stage/day/one.parquet
    limit 5;

select system$validate_storage_integration(
        'VPC_FLOW_LOGS',
        's3://flow-logs/logs/',
        'day/one.parquet',
        'list'
    ) as answer;

select system$validate_storage_integration(
        'VPC_FLOW_LOGS',
        's3://flow-logs/logs/',
        'day/one.parquet',
        'read'
    ) as answer;

select system$validate_storage_integration(
        'VPC_FLOW_LOGS',
        's3://flow-logs/logs/',
        'day/none.parquet',
        'list'
    ) as answer;

select system$validate_storage_integration(
        'VPC_FLOW_LOGS',
        's3://flow-logs/logs/',
        'day/none.parquet',
        'read'
    ) as answer;
