{# One row: how many records, files and interfaces of the window may hide exposure from
   admin_exposure. #}

{% set loaded_at = vpc_flow_logs.load_time_in_utc('loaded_at') %}

with

interfaces as (

    select
        coalesce(sum(records), 0) as records,
        coalesce(sum(skipdata_records), 0) as skipdata_records,
        coalesce(sum(records_without_ports), 0) as records_without_ports,
        coalesce(
            sum(
                case
                    when action is null then records - nodata_records - skipdata_records
                end
            ),
            0
        ) as records_without_action
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_interfaces') }}
    where {{ vpc_flow_logs.in_window('started_date') }}

),

files as (

    select
        coalesce(sum(records_without_time), 0) as records_without_time,
        coalesce(sum(records_with_implausible_time), 0)
            as records_with_implausible_time
    from {{ ref('vpc_flow_logs', 'int_health__files') }}
    where {{ vpc_flow_logs.in_window(
        'cast(coalesce(created_at, ' ~ loaded_at ~ ') as date)'
    ) }}

),

unattributed as (

    select
        coalesce(
            sum(
                case
                    when client_scope = 'public' and server_scope = 'public'
                        then observed_records_without_side
                end
            ),
            0
        ) as records_between_public_addresses,
        coalesce(
            sum(
                case
                    when
                        (client_scope = 'public' and server_scope = 'cgnat')
                        or (client_scope = 'cgnat' and server_scope = 'public')
                        then observed_records
                end
            ),
            0
        ) as records_between_public_and_cgnat,
        coalesce(
            sum(
                case
                    when client_scope = 'none' or server_scope = 'none'
                        then observed_records
                end
            ),
            0
        ) as records_without_addresses
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
    where action = 'ACCEPT' and {{ vpc_flow_logs.in_window('started_date') }}

),

{# An interface is silent only if all flow logs that logged it are. #}
interfaces_by_id as (

    select
        interface_id,
        min(case when is_silent then 1 else 0 end) as is_silent
    from {{ ref('vpc_flow_logs', 'eni_health') }}
    group by interface_id

),

silent as (

    select coalesce(sum(is_silent), 0) as silent_interfaces
    from interfaces_by_id

),

failed as (

    select count(*) as failed_files
    from {{ ref('vpc_flow_logs', 'failed_files') }}

),

coverage as (

    select
        {{ vpc_flow_logs.date_literal(vpc_flow_logs.as_of()) }} as as_of,
        cast(interfaces.records as bigint) as records,
        cast(interfaces.skipdata_records as bigint) as skipdata_records,
        cast(silent.silent_interfaces as bigint) as silent_interfaces,
        cast(files.records_without_time as bigint) as records_without_time,
        cast(files.records_with_implausible_time as bigint)
            as records_with_implausible_time,
        cast(unattributed.records_between_public_addresses as bigint)
            as records_between_public_addresses,
        cast(unattributed.records_between_public_and_cgnat as bigint)
            as records_between_public_and_cgnat,
        cast(unattributed.records_without_addresses as bigint)
            as records_without_addresses,
        cast(interfaces.records_without_ports as bigint) as records_without_ports,
        cast(interfaces.records_without_action as bigint) as records_without_action,
        cast(failed.failed_files as bigint) as failed_files
    from interfaces
    cross join files
    cross join unattributed
    cross join silent
    cross join failed

)

select * from coverage
