{# One row per UTC day, client, server, protocol, server port and action, as the rules
   about inside and outside read them: int_traffic__daily_flows, and which ends are
   ours. An internal address is, and so is any other that a logged interface has: IPv6,
   and IPv4 of networks that are public or shared (100.64.0.0/10). #}

{% set rollup = ref('vpc_flow_logs', 'int_traffic__daily_flows') %}

with

{# Only one interface has an address at a time. If an address is inferred for several,
   they talk to it: it is a popular server. #}
own_addresses as (

    select
        started_date,
        address
    from {{ ref('vpc_flow_logs', 'int_traffic__interface_addresses') }}
    where only_peer is null and not {{ vpc_flow_logs.ipv4_is_internal('address') }}
    group by started_date, address
    having
        max(case when is_certain then 1 else 0 end) = 1
        or count(distinct interface_id) = 1

),

{# The key of the joins is null for what has nothing to look up. #}
flows as (

    select
        *,
        case when client_scope in ('public', 'cgnat') then client_addr end
            as client_key,
        case when server_scope in ('public', 'cgnat') then server_addr end
            as server_key
    from {{ rollup }}

)

select
    flows.started_date,
    flows.client_addr,
    flows.server_addr,
    flows.client_scope,
    flows.server_scope,
    {% for end in ['client', 'server'] %}
        flows.{{ end }}_scope = 'internal' or own_{{ end }}s.address is not null
            as is_own_{{ end }},
    {% endfor %}
    flows.action,
    flows.protocol,
    flows.server_port,
    flows.client_bytes,
    flows.server_bytes,
    flows.client_packets,
    flows.server_packets,
    flows.records,
    flows.syn_only_records,
    flows.active_hours,
    flows.first_seen_at,
    flows.last_seen_at,
    flows.orientation_method,
    flows.observed_records,
    flows.observed_records_without_side
from flows
{% for end in ['client', 'server'] %}
    left join own_addresses as own_{{ end }}s
        on
            flows.started_date = own_{{ end }}s.started_date
            and flows.{{ end }}_key = own_{{ end }}s.address
{% endfor %}
