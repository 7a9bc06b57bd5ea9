{# One row per UTC day and contact of a host of ours with a public address that it is in
   contact with for hours, unless more than two hosts are. The rules on beacons and long
   connections read these rows; the records of other pairs are not read.

   Records of the same two ports are one contact, unless half an hour is between them:
   three times the longest interval in which AWS adds up records. So the records of a
   connection that stays open don't look like a beacon. #}

{% set flows = ref('vpc_flow_logs', 'int_detections__flows') %}
{% set flow_records = ref('vpc_flow_logs', 'flow_records') %}
{% set version = vpc_flow_logs.code_version() %}
{% set days = vpc_flow_logs.stale_days(this, version) %}
{% set pair = ['client_addr', 'server_addr', 'server_port', 'protocol'] %}
{% set connection = 'started_date, ' ~ pair | join(', ') ~ ', client_port' %}

with

{{ vpc_flow_logs.loaded_days() }},

pairs as (

    select
        flows.started_date,
        flows.client_addr,
        flows.server_addr,
        flows.server_port,
        flows.protocol
    from {{ flows }} as flows
    where
        flows.action = 'ACCEPT'
        and flows.protocol in (6, 17)
        {# The servers of DNS and NTP are asked in regular gaps. #}
        and flows.server_port not in (53, 123)
        and flows.records >= 6
        and {{ vpc_flow_logs.is_own_end('client') }}
        and {{ vpc_flow_logs.is_outside_end('server') }}
        and {{ vpc_flow_logs.hours_in('flows.active_hours') }} >= 4
        and {{ vpc_flow_logs.in_horizon('flows.started_date') }}
        and {{ vpc_flow_logs.on_days(days, 'flows.started_date') }}
    qualify
        count(*) over (
            partition by
                flows.started_date, flows.server_addr, flows.server_port, flows.protocol
        ) <= 2

),

records as (

    select
        pairs.*,
        flow_records.srcport as client_port,
        flow_records.started_at,
        flow_records.bytes,
        flow_records.tcp_flags,
        flow_records.flow_direction,
        coalesce(flow_records.interface_id, '') as interface_id,
        coalesce(flow_records.ended_at, flow_records.started_at) as ended_at
    from {{ flow_records }} as flow_records
    inner join pairs
        on
            cast(flow_records.started_at as date) = pairs.started_date
            and coalesce(flow_records.pkt_srcaddr, flow_records.srcaddr)
            = pairs.client_addr
            and coalesce(flow_records.pkt_dstaddr, flow_records.dstaddr)
            = pairs.server_addr
            and flow_records.dstport = pairs.server_port
            and flow_records.protocol = pairs.protocol
    where
        flow_records.action = 'ACCEPT'
        and flow_records.has_plausible_time
        and {{ vpc_flow_logs.in_days(days, 'flow_records.started_at') }}
        and {{ vpc_flow_logs.is_primary_flow_log(days) }}

),

{# Each interface between the ends logs the same traffic. #}
of_one_interface as (

    select * from records
    qualify
        interface_id = min(interface_id) over (
            partition by started_date, {{ pair | join(', ') }}
        )

),

followed as (

    select
        *,
        case
            when
                {{ dbt.datediff(
                    'lag(ended_at) over (partition by ' ~ connection
                    ~ ' order by started_at, ended_at)',
                    'started_at',
                    'second'
                ) }} < 1800
                then 0
            else 1
        end as is_first
    from of_one_interface

),

numbered as (

    select
        *,
        sum(is_first) over (
            partition by {{ connection }}
            order by started_at, ended_at
            rows unbounded preceding
        ) as contact_number
    from followed

),

contacts as (

    select
        {{ connection }},
        min(started_at) as started_at,
        max(ended_at) as ended_at,
        max(started_at) as last_seen_at,
        cast(count(*) as bigint) as records,
        cast(sum(bytes) as bigint) as bytes,
        count(tcp_flags) > 0 as has_tcp_flags,
        count(flow_direction) > 0 as has_flow_direction
    from numbered
    group by {{ connection }}, contact_number

),

{{ vpc_flow_logs.every_day('contacts', days, version, pair + [
    'client_port', 'started_at', 'ended_at', 'last_seen_at', 'records', 'bytes',
    'has_tcp_flags', 'has_flow_direction',
]) }}

select * from every_day
order by started_date
