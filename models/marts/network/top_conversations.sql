with

conversations as (

    select * from {{ ref('int_traffic__conversations_aggregated_to_days') }}
    where {{ in_window('started_date') }}

),

totals as (

    select
        client_addr,
        server_addr,
        protocol,
        server_port,
        cast(sum(client_bytes + server_bytes) as bigint) as total_bytes_deduplicated,
        cast(sum(client_bytes) as bigint) as client_bytes,
        cast(sum(server_bytes) as bigint) as server_bytes,
        cast(sum(client_packets + server_packets) as bigint) as total_packets,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        {{ strongest_orientation() }} as orientation_method,
        {{ dedup_basis() }} as dedup_basis
    from conversations
    where client_addr is not null and server_addr is not null
    group by client_addr, server_addr, protocol, server_port

),

ranked as (

    select
        cast(
            row_number() over (
                order by
                    total_bytes_deduplicated desc,
                    client_addr asc,
                    server_addr asc,
                    protocol asc,
                    server_port asc
            ) as bigint
        ) as rank,
        client_addr,
        server_addr,
        protocol,
        server_port,
        {{ service_name('protocol', 'server_port') }} as service,
        orientation_method,
        total_bytes_deduplicated,
        client_bytes,
        server_bytes,
        total_packets,
        first_seen_at,
        last_seen_at,
        dedup_basis
    from totals

)

select * from ranked
where rank <= {{ var('top_n') }}
