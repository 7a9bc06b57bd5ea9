{# One row per rank: the services (protocol and server port) with the most accepted
   bytes in the window. #}

with

conversations as (

    select * from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
    where
        action = 'ACCEPT'
        and records_with_bytes > 0
        and {{ vpc_flow_logs.in_window('started_date') }}

),

totals as (

    select
        protocol,
        server_port,
        cast(sum(client_bytes + server_bytes) as bigint) as total_bytes_deduplicated,
        cast(sum(client_packets + server_packets) as bigint) as total_packets,
        cast(count(distinct client_addr) as bigint) as clients,
        cast(count(distinct server_addr) as bigint) as servers,
        {{ vpc_flow_logs.dedup_basis() }} as dedup_basis
    from conversations
    group by protocol, server_port

),

ranked as (

    select
        *,
        cast(
            row_number() over (
                order by
                    total_bytes_deduplicated desc, protocol asc, server_port asc
            ) as bigint
        ) as rank,
        {{ vpc_flow_logs.service_name('protocol', 'server_port') }} as service
    from totals

)

select * from ranked
where rank <= {{ var('top_n') }}
