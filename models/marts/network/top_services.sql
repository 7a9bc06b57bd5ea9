with

conversations as (

    select * from {{ ref('int_traffic__conversations_aggregated_to_days') }}
    where {{ in_window('started_date') }}

),

totals as (

    select
        protocol,
        server_port,
        cast(sum(client_bytes + server_bytes) as bigint) as total_bytes_deduplicated,
        cast(sum(client_packets + server_packets) as bigint) as total_packets,
        cast(count(distinct client_addr) as bigint) as clients,
        cast(count(distinct server_addr) as bigint) as servers,
        {{ dedup_basis() }} as dedup_basis
    from conversations
    group by protocol, server_port

),

ranked as (

    select
        cast(
            row_number() over (
                order by
                    total_bytes_deduplicated desc, protocol asc, server_port asc
            ) as bigint
        ) as rank,
        protocol,
        server_port,
        {{ service_name('protocol', 'server_port') }} as service,
        total_bytes_deduplicated,
        total_packets,
        clients,
        servers,
        dedup_basis
    from totals

)

select * from ranked
where rank <= {{ var('top_n') }}
