{# One row per rank: the clients and servers that exchanged the most accepted bytes in
   the window, by service. #}

{% set flows = ref('vpc_flow_logs', 'int_traffic__daily_flows') %}
{% set most_bytes_first %}
    total_bytes_deduplicated desc,
    client_addr asc,
    server_addr asc,
    protocol asc,
    server_port asc
{% endset %}

with

{# Ranks all conversations by bytes alone. The other columns are computed only for these
   few. #}
top_conversations as (

    select
        client_addr,
        server_addr,
        protocol,
        server_port,
        cast(sum(client_bytes + server_bytes) as bigint) as total_bytes_deduplicated
    from {{ flows }}
    where
        action = 'ACCEPT'
        and records_with_bytes > 0
        and client_addr is not null
        and server_addr is not null
        and {{ vpc_flow_logs.in_window('started_date') }}
    group by client_addr, server_addr, protocol, server_port
    order by {{ most_bytes_first }}
    limit {{ var('top_n') }}

),

top_days as (

    select daily.*
    from {{ flows }} as daily
    inner join top_conversations
        on
            daily.client_addr = top_conversations.client_addr
            and daily.server_addr = top_conversations.server_addr
            and daily.protocol is not distinct from top_conversations.protocol
            and daily.server_port is not distinct from top_conversations.server_port
    where
        daily.action = 'ACCEPT'
        and daily.records_with_bytes > 0
        and {{ vpc_flow_logs.in_window('daily.started_date') }}

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
        {{ vpc_flow_logs.strongest_orientation() }} as orientation_method,
        {{ vpc_flow_logs.dedup_basis() }} as dedup_basis
    from top_days
    group by client_addr, server_addr, protocol, server_port

),

ranked as (

    select
        *,
        cast(
            row_number() over (order by {{ most_bytes_first }}) as bigint
        ) as rank,
        {{ vpc_flow_logs.service_name('protocol', 'server_port') }} as service
    from totals

),

{# Of two public ends the server counts. #}
named as (

    select
        ranked.*,
        coalesce(servers.as_organization, clients.as_organization)
            as outside_organization,
        coalesce(servers.country, clients.country) as outside_country,
        coalesce(servers.aws_service, clients.aws_service) as outside_aws_service,
        {{ vpc_flow_logs.owner_columns('client', 'ranked.client_addr') }},
        {{ vpc_flow_logs.owner_columns('server', 'ranked.server_addr') }}
    from ranked
    left join {{ ref('vpc_flow_logs', 'address_context') }} as servers
        on ranked.server_addr = servers.address
    left join {{ ref('vpc_flow_logs', 'address_context') }} as clients
        on ranked.client_addr = clients.address
    {% for end in ['client', 'server'] %}
        {{ vpc_flow_logs.left_join_owners(
            end, 'ranked.' ~ end ~ '_addr', 'ranked.last_seen_at'
        ) }}
    {% endfor %}

)

select * from named
