{# Of the hosts that a client contacts in a day, many more fail than answer, on
   whatever ports. #}

with

{{ vpc_flow_logs.flows_of_probing_clients('contacts_that_fail') }},

{# A host that answers on one port answers. #}
contacts as (

    select
        started_date,
        client_addr,
        server_addr,
        protocol,
        is_own_client,
        min(case when {{ vpc_flow_logs.is_scan() }} then 1 else 0 end) as has_failed,
        {{ vpc_flow_logs.flow_measures() }}
    from flows
    where
        protocol = 6
        and server_port not in (80, 443)
        {# Peers of file sharing outside listen on any port. #}
        and (
            is_own_server
            or server_scope != 'public'
            or {{ vpc_flow_logs.is_service_port('server_port') }}
        )
    group by started_date, client_addr, server_addr, protocol, is_own_client

)

select
    started_date,
    client_addr as entity,
    cast(null as varchar) as peer,
    cast(null as bigint) as port,
    protocol,
    cast(sum(has_failed) as bigint) as observed,
    {{ vpc_flow_logs.sums_of_flow_measures() }}
from contacts
group by started_date, client_addr, protocol, is_own_client
having
    sum(has_failed) >= {{ vpc_flow_logs.scan_threshold('contacts_that_fail') }}
    and sum(has_failed) >= 4 * (count(*) - sum(has_failed))
