{# A host of ours reaches or tries many more internal hosts on the ports of Windows file
   sharing in a day than on its days before. #}

with

shares as (

    select
        started_date,
        client_addr as entity,
        cast(count(distinct server_addr) as bigint) as observed,
        {{ vpc_flow_logs.sums_of_flow_measures() }}
    from {{ ref('vpc_flow_logs', 'int_detections__internal_attempts') }}
    where server_port in (139, 445) and {{ vpc_flow_logs.in_history() }}
    group by started_date, client_addr

),

{# Few hosts try so many. #}
clients as (

    select distinct entity
    from shares
    where observed >= {{ vpc_flow_logs.threshold('smb_spike') }}

),

other_days as (

    select distinct
        ports.started_date,
        clients.entity
    from {{ ref('vpc_flow_logs', 'int_detections__daily_ports') }} as ports
    inner join clients on ports.host_addr = clients.entity
    left join shares
        on ports.started_date = shares.started_date and clients.entity = shares.entity
    where shares.entity is null and {{ vpc_flow_logs.in_history('ports.started_date') }}

),

measured as (

    select * from shares
    union all
    select
        started_date,
        entity,
        0 as observed,
        0 as records,
        0 as bytes,
        cast(null as datetime) as first_seen_at,
        cast(null as datetime) as last_seen_at,
        cast(null as boolean) as has_tcp_flags,
        cast(null as boolean) as has_flow_direction
    from other_days

),

{{ vpc_flow_logs.above_baseline('smb_spike') }}
