{# One row per UTC day, network, country and AWS service outside: the bytes that your
   addresses exchanged with its public addresses. Without enrichment files it has no
   rows. #}

{% set context = ref('vpc_flow_logs', 'address_context') %}
{# Without a context nothing is read. #}
{% set is_read = 'false' if vpc_flow_logs.is_empty(context) else 'true' %}

with

{# The server is the outside end if it is public, else the client. #}
exchanged as (

    select
        started_date,
        records,
        case when server_scope = 'public' then server_addr else client_addr end
            as address,
        case when server_scope = 'public' then client_bytes else server_bytes end
            as sent_bytes,
        case when server_scope = 'public' then server_bytes else client_bytes end
            as received_bytes
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }}
    where
        {{ is_read }}
        and action = 'ACCEPT'
        and 'public' in (client_scope, server_scope)
        and {{ vpc_flow_logs.in_window('started_date') }}

)

select
    exchanged.started_date,
    context.asn,
    context.as_organization,
    context.country,
    context.aws_service,
    context.aws_region,
    cast(sum(exchanged.sent_bytes) as bigint) as sent_bytes,
    cast(sum(exchanged.received_bytes) as bigint) as received_bytes,
    cast(sum(exchanged.records) as bigint) as records,
    cast(count(distinct exchanged.address) as bigint) as addresses
from exchanged
inner join {{ context }} as context
    on exchanged.address = context.address
group by
    exchanged.started_date,
    context.asn,
    context.as_organization,
    context.country,
    context.aws_service,
    context.aws_region
