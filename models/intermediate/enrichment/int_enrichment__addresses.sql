{# One row per address of the rollup's flows, and the last days on which it has traffic.
   Without enrichment files and without an inventory it has no rows. #}

{% set has_rules = not vpc_flow_logs.is_empty(
    ref('vpc_flow_logs', 'int_security_groups__rules')
) %}
{% set has_ranges = vpc_flow_logs.kinds_of_ranges() | length > 0 %}
{% set days = [var('lookback_days')] %}
{% do days.append(var('unused_rule_days')) if has_rules %}

with

ends as (

    select 'client' as name
    union all
    select 'server' as name

),

{# Both ends of each flow, from one scan. #}
found as (

    select
        case ends.name when 'client' then flows.client_addr else flows.server_addr end
            as address,
        case ends.name
            when 'client' then flows.client_scope
            else flows.server_scope
        end as scope,
        max(flows.started_date) as last_seen_date,
        max(case when flows.action = 'ACCEPT' then flows.started_date end)
            as last_accepted_date
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }} as flows
    cross join ends
    where
        {% if has_rules or has_ranges %}
            {{ vpc_flow_logs.in_window('flows.started_date', days | max) }}
            and case ends.name
                when 'client' then flows.client_addr
                else flows.server_addr
            end is not null
        {% else %}
            false
        {% endif %}
    group by address, scope

),

{{ vpc_flow_logs.parse_addresses('found', {'address': 'address'}) }}

select
    address,
    scope,
    {{ vpc_flow_logs.address_digits('address_hex', 'address_ipv4') }} as digits,
    last_seen_date,
    last_accepted_date
from parsed
