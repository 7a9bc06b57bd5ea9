copy into flow.landing.flow_logs from (
        select
            $1::variant as value,
            metadata$filename::varchar as metadata_filename,
            metadata$file_row_number::bigint as metadata_file_row_number,
            metadata$file_last_modified::timestamp_ntz as metadata_file_last_modified,
            metadata$start_scan_time::timestamp_ltz as _dbt_copied_at
        from @flow.landing.flow_logs_stage/
    )
    file_format = ( type = parquet )
    files = ('day/bad.parquet');
