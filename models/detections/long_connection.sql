{# A host of ours keeps one TCP connection to a public address open for many hours. The
   web, databases and queues keep theirs open, so their ports don't count. #}

with

timed as (

    select
        *,
        {{ dbt.datediff(
            'started_at', 'ended_at', 'second'
        ) }} as seconds
    from {{ ref('vpc_flow_logs', 'int_detections__contacts') }}
    where
        protocol = 6
        and server_port not in (
            80, 443, 1433, 1521, 1883, 3306, 5432, 5671, 5672, 6379, 8443, 8883, 9092,
            9094, 9096, 9098, 27017
        )

)

select
    started_date,
    client_addr as entity,
    server_addr as peer,
    server_port as port,
    protocol,
    cast(floor(max(seconds) / 3600) as bigint) as observed,
    {{ vpc_flow_logs.sums_of_flow_measures('started_at') }}
from timed
where seconds >= 3600 * {{ vpc_flow_logs.threshold('long_connection') }}
group by started_date, client_addr, server_addr, server_port, protocol
