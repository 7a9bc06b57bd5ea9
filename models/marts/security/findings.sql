{# One row per rule, entity, peer, port and protocol: what the detections found in the
   window. Of several days the one with the highest number counts, and the sums of
   all. #}

{{ config(pre_hook='{{ vpc_flow_logs.prepare_asof_join() }}') }}

{% set daily = ref('vpc_flow_logs', 'int_detections__daily_findings') %}

with

registry as (

    {% for rule_id in vpc_flow_logs.detection_rules() %}
        {% set rule = vpc_flow_logs.detection(rule_id) %}
        select
            '{{ rule_id }}' as rule_id,
            {% for name in ['title', 'severity', 'tactic', 'technique_id'] %}
                {{ dbt.string_literal(dbt.escape_single_quotes(rule[name])) }}
                    as {{ name }},
            {% endfor %}
            '{{ rule.entity_type }}' as entity_type,
            '{{ rule.unit }}' as unit,
            {{ rule.get('reads_hours', false) | lower }} as reads_hours,
            {{ vpc_flow_logs.threshold(rule_id) }} as threshold
        {{ 'union all' if not loop.last }}
    {% endfor %}

),

found as (

    select
        finding_id,
        rule_id,
        entity,
        peer,
        port,
        protocol,
        cast(sum(records) as bigint) as records,
        cast(sum(bytes) as bigint) as bytes,
        min(started_date) as first_date,
        max(started_date) as last_date,
        max(observed) as observed,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        max(case when has_tcp_flags then 1 else 0 end) = 1 as has_tcp_flags,
        count(has_tcp_flags) > 0 as reads_tcp_flags,
        max(case when has_flow_direction then 1 else 0 end) = 1 as has_flow_direction,
        count(has_flow_direction) > 0 as reads_flow_direction,
        max(skipdata_records) as skipdata_records,
        min(logged_hours) as logged_hours
    from {{ daily }}
    where finding_id is not null and {{ vpc_flow_logs.in_window('started_date') }}
    group by finding_id, rule_id, entity, peer, port, protocol

),

{# From all days that are kept, so that it stays while the window moves on. #}
first_detections as (

    select
        finding_id as detected_id,
        min(first_detected_at) as first_detected_at
    from {{ daily }}
    where finding_id is not null
    group by finding_id

),

{{ vpc_flow_logs.parse_addresses('found', {'entity': 'entity', 'peer': 'peer'}) }},

{{ vpc_flow_logs.with_context_of_ends({'entity': 'entity', 'peer': 'peer'}) }},

described as (

    select
        parsed.finding_id,
        parsed.rule_id,
        registry.title,
        registry.severity,
        registry.tactic,
        registry.technique_id,
        parsed.entity,
        registry.entity_type,
        parsed.peer,
        parsed.port,
        parsed.protocol,
        cast(parsed.first_date as datetime) as window_started_at,
        cast({{ dbt.dateadd('day', 1, 'parsed.last_date') }} as datetime)
            as window_ended_at,
        parsed.first_seen_at,
        parsed.last_seen_at,
        {{ vpc_flow_logs.load_time_in_utc('first_detections.first_detected_at') }}
            as first_detected_at,
        parsed.observed,
        cast(registry.threshold as bigint) as threshold,
        registry.unit,
        parsed.records,
        parsed.bytes,
        {{ vpc_flow_logs.suppressed_by('parsed') }} as suppressed_by,
        {% for attribute, column in {
            'name': 'internal_network', 'owner': 'internal_owner',
        }.items() %}
            coalesce(
                {% for end in ['entity', 'peer'] %}
                    {{ vpc_flow_logs.internal_network(
                        attribute, end ~ '_hex', end ~ '_ipv4'
                    ) }}{{ ',' if not loop.last }}
                {% endfor %}
            ) as {{ column }},
        {% endfor %}
        nullif(
            trim(
                case
                    when
                        parsed.reads_tcp_flags
                        and not parsed.has_tcp_flags
                        and coalesce(parsed.protocol, 6) = 6
                        then
                            'No TCP flags: which end opened the connections follows'
                            || ' from their ports and times. '
                    else ''
                end
                || case
                    when
                        parsed.reads_flow_direction
                        and not parsed.has_flow_direction
                        and (
                            coalesce(parsed.protocol, 17) = 17
                            or parsed.entity like '%:%'
                            or parsed.peer like '%:%'
                        )
                        then
                            'No flow_direction: which end of UDP is the client, and'
                            || ' which IPv6 addresses are yours, is inferred. '
                    else ''
                end
                || case
                    when parsed.skipdata_records > 0
                        then
                            'AWS skipped records of the same interfaces on the same'
                            || ' days (SKIPDATA), so there may be more traffic. '
                    else ''
                end
                || case
                    when registry.reads_hours and parsed.logged_hours < 24
                        then
                            'The logs have records in '
                            || cast(parsed.logged_hours as varchar)
                            || ' hours of a day, and the rule counts by hours. '
                    else ''
                end
            ),
            ''
        ) as coverage_note
    from parsed
    inner join registry
        on parsed.rule_id = registry.rule_id
    inner join first_detections
        on parsed.finding_id = first_detections.detected_id

),

marked as (

    select
        *,
        suppressed_by is not null as is_suppressed,
        case rule_id
            {% for rule_id in vpc_flow_logs.detection_rules() %}
                when '{{ rule_id }}'
                    then {{ vpc_flow_logs.finding_text(
                        vpc_flow_logs.detection(rule_id).get('summary', '')
                    ) }}
            {% endfor %}
        end as summary
    from described

),

{# Of two public ends the peer counts. #}
named as (

    select
        marked.*,
        coalesce(peers.as_organization, entities.as_organization)
            as outside_organization,
        coalesce(peers.country, entities.country) as outside_country,
        coalesce(peers.lists, entities.lists) as outside_lists,
        {{ vpc_flow_logs.owner_columns('entity', 'marked.entity') }},
        {{ vpc_flow_logs.owner_columns('peer', 'marked.peer') }}
    from marked
    left join in_context as peers on marked.peer = peers.address
    left join in_context as entities on marked.entity = entities.address
    {% for end in ['entity', 'peer'] %}
        {{ vpc_flow_logs.left_join_owners(
            end, 'marked.' ~ end, 'marked.last_seen_at'
        ) }}
    {% endfor %}

)

select * from named
