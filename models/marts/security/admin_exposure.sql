with

flows as (

    select * from {{ ref('int_traffic__admin_flows_aggregated_to_days') }}
    where internal_addr is not null and {{ in_window('started_date') }}

),

exposures as (

    select
        internal_addr,
        external_addr,
        port,
        protocol,
        cast(sum(records) as bigint) as records,
        cast(sum(bytes) as bigint) as bytes,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        case
            when count(distinct direction) = 2 then 'both'
            else min(direction)
        end as evidence
    from flows
    group by all

)

select * from exposures
{# From 1024 on, a client may have chosen the port a reply seems to come from. #}
where evidence != 'reply' or port < 1024
