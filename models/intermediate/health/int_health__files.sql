{# One row per file whose records count. The health marts read it instead of the
   records. #}

select
    metadata_filename,
    records,
    nodata_records,
    skipdata_records,
    records_without_time,
    records_with_implausible_time,
    records_with_implausible_counts,
    newest_record_ended_at,
    loaded_at,
    flow_log_id,
    account_id,
    region,
    created_at
from {{ ref('vpc_flow_logs', 'int_health__landed_files') }}
where fault is null
