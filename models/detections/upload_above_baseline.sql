{# A host of ours sends public addresses much more in a day than on its days before,
   by the median and the median absolute deviation (MAD). #}

with

uploads as (

    select
        flows.started_date,
        flows.client_addr,
        cast(sum(flows.client_bytes) as bigint) as sent,
        {{ vpc_flow_logs.flow_measures() }}
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }} as flows
    where
        flows.action = 'ACCEPT'
        and flows.client_scope = 'internal'
        and flows.server_scope = 'public'
        and {{ vpc_flow_logs.in_history('flows.started_date') }}
    group by flows.started_date, flows.client_addr

),

large as (

    select * from uploads
    where sent >= {{ vpc_flow_logs.threshold('upload_above_baseline') }}

),

earlier as (

    select
        large.started_date,
        large.client_addr,
        uploads.sent
    from large
    inner join uploads
        on
            large.client_addr = uploads.client_addr
            and large.started_date > uploads.started_date
            and {{ dbt.datediff('uploads.started_date', 'large.started_date', 'day') }}
            <= {{ var('lookback_days') }}

),

medians as (

    select
        started_date,
        client_addr,
        median(sent) as median_sent,
        count(*) as earlier_days
    from earlier
    group by started_date, client_addr

),

deviations as (

    select
        medians.started_date,
        medians.client_addr,
        max(medians.median_sent) as median_sent,
        max(medians.earlier_days) as earlier_days,
        median(abs(earlier.sent - medians.median_sent)) as mad
    from medians
    inner join earlier
        on
            medians.started_date = earlier.started_date
            and medians.client_addr = earlier.client_addr
    group by medians.started_date, medians.client_addr

)

select
    large.started_date,
    large.client_addr as entity,
    cast(null as varchar) as peer,
    cast(null as bigint) as port,
    cast(null as bigint) as protocol,
    large.sent as observed,
    large.records,
    large.bytes,
    large.first_seen_at,
    large.last_seen_at,
    large.has_tcp_flags
from large
inner join deviations
    on
        large.started_date = deviations.started_date
        and large.client_addr = deviations.client_addr
where
    deviations.earlier_days >= 7
    and large.sent > deviations.median_sent + 6 * deviations.mad
    and large.sent > 2 * deviations.median_sent
