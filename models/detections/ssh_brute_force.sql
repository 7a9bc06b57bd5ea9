{# A client opens many short SSH connections to one server within an hour, each as long
   as an attempt to log in. #}

select
    started_date,
    client_addr as entity,
    server_addr as peer,
    port,
    protocol,
    max(login_attempts) as observed,
    {{ vpc_flow_logs.login_measures() }}
from {{ ref('vpc_flow_logs', 'int_traffic__hourly_logins') }}
where port = 22 and login_attempts >= {{ vpc_flow_logs.threshold('ssh_brute_force') }}
group by started_date, client_addr, server_addr, port, protocol
