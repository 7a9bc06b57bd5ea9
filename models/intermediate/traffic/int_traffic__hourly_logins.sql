{# One row per UTC hour, client, server and port: accepted connections to a port on
   which people log in, and how many are as short as an attempt. A connection is a port
   of the client, so one that lasts for many records counts once. #}

{% set flow_records = ref('vpc_flow_logs', 'flow_records') %}
{% set changed = vpc_flow_logs.changed_days(flow_records, 'loaded_through_at') %}
{# A run sums the changed hours anew. The rows of the other hours stay. A list of very
   many hours is too long for a statement. #}
{% set adds = vpc_flow_logs.adds_up(changed) and changed.hours | length <= 1000 %}

with

{# A client port may be that of a service too: then the source port is a server's, such
   as 443. Each interface between the ends logs the traffic, so the sums are first by
   interface. #}
by_interface as (

    select
        dstport as port,
        protocol,
        srcport,
        interface_id,
        cast(started_at as date) as started_date,
        cast(extract(hour from started_at) as bigint) as started_hour,
        coalesce(pkt_srcaddr, srcaddr) as client_addr,
        coalesce(pkt_dstaddr, dstaddr) as server_addr,
        count(*) as records,
        sum(bytes) as bytes,
        sum(packets) as packets,
        min(started_at) as first_seen_at,
        max(started_at) as last_seen_at,
        count(tcp_flags) as records_with_tcp_flags
    from {{ flow_records }}
    where
        dstport in ({{ vpc_flow_logs.login_ports() | join(', ') }})
        and srcport >= 1024
        and protocol = 6
        and action = 'ACCEPT'
        and has_plausible_time
        and {{ vpc_flow_logs.in_changed(changed, by_hours=adds) }}
        and {{ vpc_flow_logs.is_primary_flow_log(changed.days) }}
    group by all

),

connections as (

    select
        started_date,
        started_hour,
        client_addr,
        server_addr,
        port,
        protocol,
        srcport,
        max(records) as records,
        max(bytes) as bytes,
        max(packets) as packets,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        max(records_with_tcp_flags) as records_with_tcp_flags
    from by_interface
    where client_addr is not null and server_addr is not null
    group by all

),

{# Of an attempt the client sends its greeting, the exchange of keys and the password:
   more than a health check, and less than a session. #}
hours as (

    select
        started_date,
        started_hour,
        client_addr,
        server_addr,
        port,
        protocol,
        cast(count(*) as bigint) as connections,
        cast(count(case when packets between 7 and 30 then 1 end) as bigint)
            as login_attempts,
        cast(sum(records) as bigint) as records,
        cast(sum(bytes) as bigint) as bytes,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        max(records_with_tcp_flags) > 0 as has_tcp_flags
    from connections
    group by started_date, started_hour, client_addr, server_addr, port, protocol

),

all_hours as (

    {{ vpc_flow_logs.with_other_hours('hours', changed, adds, columns=[
        'started_date', 'started_hour', 'client_addr', 'server_addr', 'port',
        'protocol', 'connections', 'login_attempts', 'records', 'bytes',
        'first_seen_at', 'last_seen_at', 'has_tcp_flags',
    ]) }}

),

days as (

    {{ vpc_flow_logs.days_to_write(changed, flow_records) }}

),

{# A day without such traffic gets one row of nulls, with the watermark of the run that
   read it. #}
every_day as (

    select
        days.started_date,
        hours.started_hour,
        hours.client_addr,
        hours.server_addr,
        hours.port,
        hours.protocol,
        hours.connections,
        hours.login_attempts,
        hours.records,
        hours.bytes,
        hours.first_seen_at,
        hours.last_seen_at,
        hours.has_tcp_flags,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
            as loaded_through_at
    from days
    left join all_hours as hours
        on days.started_date = hours.started_date

)

select * from every_day
order by started_date
