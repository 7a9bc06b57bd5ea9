{# Many clients open short SSH or RDP connections to one server in a day, each as
   long as an attempt to log in. #}

select
    started_date,
    server_addr as entity,
    cast(null as varchar) as peer,
    port,
    protocol,
    cast(count(distinct client_addr) as bigint) as observed,
    {{ vpc_flow_logs.login_measures() }}
from {{ ref('vpc_flow_logs', 'int_traffic__hourly_logins') }}
where
    port in (22, 3389)
    and login_attempts > 0
    {# All connections are short, so people who also work on the server don't count. #}
    and login_attempts = connections
group by started_date, server_addr, port, protocol
having
    count(distinct client_addr) >= {{ vpc_flow_logs.threshold('brute_force_by_many') }}
