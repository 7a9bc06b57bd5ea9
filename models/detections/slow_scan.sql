{# A host of ours contacts hosts of ours for the first time, one after the other, and
   most don't answer: a sequential test. Each failure is a step up and each answer a
   step down, but not below the lowest point, as in the threshold random walk of Jung et
   al. (2004). It needs three days; other rules find the scans of a day. #}

with

{# A host that answers on one port answers. #}
contacts as (

    select
        started_date,
        client_addr,
        server_addr,
        min(case when has_failed then 1 else 0 end) as has_failed,
        {{ vpc_flow_logs.sums_of_flow_measures() }}
    from {{ ref('vpc_flow_logs', 'int_detections__internal_attempts') }}
    where client_addr is not null and {{ vpc_flow_logs.in_history() }}
    group by started_date, client_addr, server_addr

),

dated as (

    select
        *,
        lag(started_date) over (
            partition by client_addr, server_addr order by started_date
        ) as previous_date
    from contacts

),

{# Few clients fail often enough. #}
first_contacts as (

    select * from dated
    where {{ vpc_flow_logs.is_new_since('previous_date') }}
    qualify
        sum(has_failed) over (partition by client_addr)
        >= {{ vpc_flow_logs.threshold('slow_scan') }}

),

days as (

    select distinct
        started_date,
        client_addr
    from first_contacts
    where has_failed = 1

),

{# The first contacts of the window before each day, and of the day. #}
steps as (

    select
        days.started_date,
        first_contacts.started_date as contact_date,
        first_contacts.client_addr,
        first_contacts.server_addr,
        first_contacts.has_failed,
        first_contacts.records,
        first_contacts.bytes,
        first_contacts.first_seen_at,
        first_contacts.last_seen_at,
        first_contacts.has_tcp_flags,
        first_contacts.has_flow_direction,
        sum(2 * first_contacts.has_failed - 1) over (
            partition by days.started_date, days.client_addr
            order by first_contacts.first_seen_at, first_contacts.server_addr
            rows unbounded preceding
        ) as height
    from days
    inner join first_contacts
        on
            days.client_addr = first_contacts.client_addr
            and days.started_date >= first_contacts.started_date
            and {{ dbt.datediff(
                'first_contacts.started_date', 'days.started_date', 'day'
            ) }} <= {{ var('lookback_days') }}

),

walks as (

    select
        *,
        height - least(
            min(height) over (
                partition by started_date, client_addr
                order by first_seen_at, server_addr
                rows unbounded preceding
            ),
            0
        ) as above_lowest
    from steps

)

select
    started_date,
    client_addr as entity,
    cast(null as varchar) as peer,
    cast(null as bigint) as port,
    cast(6 as bigint) as protocol,
    cast(max(case when contact_date = started_date then above_lowest end) as bigint)
        as observed,
    {{ vpc_flow_logs.sums_of_flow_measures() }}
from walks
where has_failed = 1
group by started_date, client_addr
having
    max(case when contact_date = started_date then above_lowest end)
    >= {{ vpc_flow_logs.threshold('slow_scan') }}
    and count(distinct contact_date) >= 3
