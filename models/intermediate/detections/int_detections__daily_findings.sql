{# One row per UTC day and finding of that day. A day that was evaluated also has one
   row without rule, so that a day whose findings vanish is replaced as well, and the
   next run sees up to which load the day was evaluated. #}

{# Of the rules that read enrichment files. #}
{{ config(pre_hook='{{ vpc_flow_logs.prepare_asof_join() }}') }}

{% set own_addresses = ref('vpc_flow_logs', 'int_traffic__interface_addresses') %}
{% set interfaces = ref('vpc_flow_logs', 'int_traffic__daily_interfaces') %}
{% set rules = {} %}
{% for rule_id in vpc_flow_logs.detection_rules() %}
    {% do rules.update({rule_id: ref('vpc_flow_logs', rule_id)}) %}
{% endfor %}
{% set version = vpc_flow_logs.rules_version() %}
{% set is_evaluated = vpc_flow_logs.in_days_to_evaluate(this, version) %}

with

{{ vpc_flow_logs.loaded_days() }},

days as (

    select * from loaded
    where {{ is_evaluated }}

),

found as (

    select
        started_date,
        cast(null as varchar) as rule_id,
        cast(null as varchar) as entity,
        cast(null as varchar) as peer,
        cast(null as bigint) as port,
        cast(null as bigint) as protocol,
        cast(null as bigint) as observed,
        cast(null as bigint) as records,
        cast(null as bigint) as bytes,
        cast(null as datetime) as first_seen_at,
        cast(null as datetime) as last_seen_at,
        cast(null as boolean) as has_tcp_flags,
        cast(null as boolean) as has_flow_direction
    from days
    {% for rule_id in vpc_flow_logs.enabled_detections() %}
        union all
        select
            started_date,
            '{{ rule_id }}' as rule_id,
            entity,
            peer,
            port,
            protocol,
            observed,
            records,
            bytes,
            first_seen_at,
            last_seen_at,
            has_tcp_flags,
            has_flow_direction
        from {{ rules[rule_id] }}
        where entity is not null and {{ is_evaluated }}
    {% endfor %}

),

identified as (

    select
        *,
        {{ vpc_flow_logs.finding_id() }} as finding_id
    from found

),

logged as (

    select
        started_date,
        {{ vpc_flow_logs.hours_in(vpc_flow_logs.bit_or_agg('active_hours')) }}
            as logged_hours
    from {{ own_addresses }}
    where {{ is_evaluated }}
    group by started_date

),

skipping as (

    select
        started_date,
        interface_id,
        sum(skipdata_records) as skipdata_records
    from {{ interfaces }}
    where skipdata_records > 0 and {{ is_evaluated }}
    group by started_date, interface_id

),

skipped as (

    select
        own.started_date,
        own.address,
        cast(sum(skipping.skipdata_records) as bigint) as skipdata_records
    from {{ own_addresses }} as own
    inner join skipping
        on
            own.started_date = skipping.started_date
            and own.interface_id = skipping.interface_id
    group by own.started_date, own.address

),

{# A finding that stays keeps the time at which it was first detected. #}
dated as (

    select
        identified.started_date,
        identified.finding_id,
        identified.rule_id,
        identified.entity,
        identified.peer,
        identified.port,
        identified.protocol,
        identified.observed,
        identified.records,
        identified.bytes,
        identified.first_seen_at,
        identified.last_seen_at,
        identified.has_tcp_flags,
        identified.has_flow_direction,
        coalesce(entities.skipdata_records, 0) + coalesce(peers.skipdata_records, 0)
            as skipdata_records,
        logged.logged_hours,
        case
            when identified.finding_id is not null
                then
                    {% if is_incremental() %}
                        coalesce(known.first_detected_at, days.loaded_through_at)
                    {% else %}
                        days.loaded_through_at
                    {% endif %}
        end as first_detected_at,
        '{{ version }}' as rules_version,
        days.loaded_through_at
    from identified
    inner join days
        on identified.started_date = days.started_date
    left join logged
        on identified.started_date = logged.started_date
    left join skipped as entities
        on
            identified.started_date = entities.started_date
            and identified.entity = entities.address
    left join skipped as peers
        on
            identified.started_date = peers.started_date
            and identified.peer = peers.address
    {% if is_incremental() %}
        left join {{ this }} as known
            on
                identified.started_date = known.started_date
                and identified.finding_id = known.finding_id
    {% endif %}

)

select * from dated
order by started_date
