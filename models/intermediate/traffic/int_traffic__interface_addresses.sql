{# One row per UTC day, network interface and address of its own. With these rows
   int_traffic__daily_flows finds out whether a record is the sender's view of the
   traffic or the receiver's. #}

{% set flow_records = ref('vpc_flow_logs', 'flow_records') %}
{% set changed = vpc_flow_logs.changed_days(flow_records, 'loaded_through_at') %}
{% set own_side = {'srcaddr': 'egress', 'dstaddr': 'ingress'} %}
{% set shows_no_side %}
    flow_direction is null
    and not coalesce(pkt_srcaddr != srcaddr, false)
    and not coalesce(pkt_dstaddr != dstaddr, false)
{% endset %}
{% set accepted %}
    action = 'ACCEPT'
    and {{ vpc_flow_logs.is_primary_flow_log(changed.days) }}
{% endset %}
{% set all_records %}
    select
        interface_id,
        account_id,
        vpc_id,
        az_id,
        srcaddr,
        dstaddr,
        pkt_srcaddr,
        pkt_dstaddr,
        flow_direction,
        flow_log_id,
        action,
        started_at,
        ended_at
    from {{ flow_records }}
    where
        interface_id is not null
        and has_plausible_time
        and {{ vpc_flow_logs.in_days(changed.days) }}
        and {{ vpc_flow_logs.in_part() }}
{% endset %}
{% set flow_records %}
    (
        {{ vpc_flow_logs.again('all_records', all_records) }}
    ) as flow_records
{% endset %}

with

all_records as (

    {{ all_records }}

),

{# The hours in which the interface has records of any kind. A record lasts at most ten
   minutes, so it ends in the hour of its start or in the next one. #}
active_hours as (

    select
        cast(started_at as date) as started_date,
        interface_id,
        max(account_id) as account_id,
        max(vpc_id) as vpc_id,
        max(az_id) as az_id,
        {{ vpc_flow_logs.bit_or_agg(
            vpc_flow_logs.hour_bit('started_at')
            ~ ' * case when cast(started_at as date) = cast(ended_at as date)'
            ~ ' and extract(hour from started_at) < extract(hour from ended_at)'
            ~ ' then 3 else 1 end'
        ) }} as active_hours,
        min(started_at) as first_seen_at,
        max(coalesce(ended_at, started_at)) as last_seen_at
    from all_records
    group by all

),

{# If records don't show the interface's side, its address is an end of all of them. dbt
   samples two records per hour and address family. #}
sampled_pairs as (

    select
        interface_id,
        cast(started_at as date) as started_date,
        extract(hour from started_at) as started_hour,
        srcaddr like '%:%' as is_ipv6,
        min(srcaddr || ' ' || dstaddr) as lowest_pair,
        max(srcaddr || ' ' || dstaddr) as highest_pair
    from {{ flow_records }} -- noqa: ST05
    where
        srcaddr is not null
        and dstaddr is not null
        and {{ shows_no_side }}
        and {{ accepted }}
    group by all

),

{# Where an interface talks to itself, the two ends are one address of the pair. #}
sampled_ends as (

    {% for pair in ['lowest_pair', 'highest_pair'] %}
        select
            started_date,
            interface_id,
            is_ipv6,
            split_part({{ pair }}, ' ', 1) as address,
            1 as is_first
        from sampled_pairs
        union all
        select
            started_date,
            interface_id,
            is_ipv6,
            split_part({{ pair }}, ' ', 2) as address,
            0 as is_first
        from sampled_pairs
        where split_part({{ pair }}, ' ', 1) != split_part({{ pair }}, ' ', 2)
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

sampled_addresses as (

    select
        started_date,
        interface_id,
        is_ipv6,
        address,
        count(*) as pairs,
        sum(sum(is_first)) over (
            partition by started_date, interface_id, is_ipv6
        ) as all_pairs
    from sampled_ends
    group by started_date, interface_id, is_ipv6, address

),

{# Where several addresses or none are in all samples, all records decide. #}
candidates as (

    select
        started_date as candidate_date,
        interface_id as candidate_interface_id,
        address as candidate_address,
        pairs = all_pairs as is_in_all,
        count(case when pairs = all_pairs then 1 end) over (
            partition by started_date, interface_id, is_ipv6
        ) = 1 as is_decided
    from sampled_addresses

),

{# flow_direction shows the interface's side. At a hop, so does an address that is
   not the packet's: it is the hop's own. #}
ends as (

    {% for address, direction in own_side.items() %}
        select
            cast(started_at as date) as started_date,
            interface_id,
            {{ address }} as address,
            1 as is_certain,
            count(*) as records
        from {{ flow_records }} -- noqa: ST05
        where
            {{ address }} is not null
            and (
                flow_direction = '{{ direction }}' or pkt_{{ address }} != {{ address }}
            )
            and {{ accepted }}
        group by all
        union all
        select
            candidates.candidate_date as started_date,
            candidates.candidate_interface_id as interface_id,
            candidates.candidate_address as address,
            0 as is_certain,
            count(*) as records
        from {{ flow_records }} -- noqa: ST05
        inner join candidates
            on
                cast(flow_records.started_at as date) = candidates.candidate_date
                and flow_records.interface_id = candidates.candidate_interface_id
                and flow_records.{{ address }} = candidates.candidate_address
        where
            not candidates.is_decided
            and {{ shows_no_side }} -- noqa: RF02
            and {{ accepted }} -- noqa: RF02
        group by all
        union all
    {% endfor %}
    select
        candidate_date as started_date,
        candidate_interface_id as interface_id,
        candidate_address as address,
        0 as is_certain,
        1 as records
    from candidates
    where is_decided and is_in_all

),

addresses as (

    select
        started_date,
        interface_id,
        address,
        address like '%:%' as is_ipv6,
        max(is_certain) as is_certain,
        sum(records) as records
    from ends
    group by all

),

{# An interface's own address is an end of all that it sees, so it is seen most. #}
seen_most as (

    select * from addresses
    qualify
        rank() over (
            partition by started_date, interface_id, is_ipv6
            order by
                is_certain desc,
                case when is_certain = 0 then records end desc
        ) = 1

),

possible as (

    select
        *,
        is_certain = 1
        or count(*) over (partition by started_date, interface_id, is_ipv6) = 1
            as is_clear,
        min(address) over (
            partition by started_date, interface_id, is_ipv6
        ) as lower_address,
        max(address) over (
            partition by started_date, interface_id, is_ipv6
        ) as upper_address
    from seen_most

),

clear_ones as (

    select distinct
        started_date,
        address
    from possible
    where is_clear

),

{# An interface with a single peer sees both addresses equally often. Its own address is
   the internal one, or the one that no other interface has; else two such interfaces
   take one address each. #}
turns as (

    select
        possible.*,
        clear_ones.address is null as is_free,
        dense_rank() over (
            partition by
                possible.started_date, possible.lower_address, possible.upper_address
            order by possible.interface_id
        ) as turn
    from possible
    left join clear_ones
        on
            possible.started_date = clear_ones.started_date
            and possible.address = clear_ones.address

),

own as (

    select
        started_date,
        interface_id,
        address,
        is_certain = 1 as is_certain,
        case
            when is_clear then null
            when
                {{ vpc_flow_logs.ipv4_is_internal('lower_address') }}
                != {{ vpc_flow_logs.ipv4_is_internal('upper_address') }}
                then null
            when address = lower_address then upper_address
            else lower_address
        end as only_peer
    from turns
    qualify
        is_clear
        or row_number() over (
            partition by started_date, interface_id, is_ipv6
            order by
                case
                    when {{ vpc_flow_logs.ipv4_is_internal('address') }} then 0 else 1
                end,
                case when is_free then 0 else 1 end,
                case
                    when mod(turn, 2) = 1 then address
                    when address = lower_address then upper_address
                    else lower_address
                end
        ) = 1

),

with_hours as (

    select
        own.started_date,
        own.interface_id,
        own.address,
        own.only_peer,
        active_hours.account_id,
        active_hours.vpc_id,
        active_hours.az_id,
        own.is_certain,
        active_hours.active_hours,
        active_hours.first_seen_at,
        active_hours.last_seen_at,
        {{ vpc_flow_logs.load_time_literal(changed.loaded_through_at) }}
            as loaded_through_at
    from own
    inner join active_hours
        on
            own.started_date = active_hours.started_date
            and own.interface_id = active_hours.interface_id

)

select * from with_hours
order by started_date
