{# Which traffic the rules of security groups admit, by the newest inventory. #}


{# The condition that a UTC day is one that security_group_rules looks at. Without an
   inventory it is `false`, so that nothing is read. #}
{% macro counts_for_security_groups(started_date) -%}
    {%- if vpc_flow_logs.is_empty(
        ref('vpc_flow_logs', 'int_security_groups__rules')
    ) -%}
        false
    {%- else -%}
        {{ vpc_flow_logs.in_window(started_date, var('unused_rule_days')) }}
    {%- endif -%}
{%- endmacro %}


{# A CTE with a row per account and region: its oldest and newest snapshot in which the
   inventory could read all of a kind. #}
{% macro complete_snapshots(kind) -%}
complete_snapshots as (

    select
        account_id,
        region,
        min(snapshot_at) as oldest_at,
        max(snapshot_at) as newest_at
    from {{ ref('vpc_flow_logs', 'stg_inventory__snapshots') }}
    where kind = '{{ kind }}' and is_complete
    group by account_id, region

)
{%- endmacro %}


{# A protocol as security groups have it: a name that EC2 knows, or the number. #}
{% macro security_group_protocol(protocol) -%}
    case {{ protocol }}
        {%- for name, number in vpc_flow_logs.security_group_protocols().items() %}
        when {{ number }} then '{{ name }}'
        {%- endfor %}
        else cast({{ protocol }} as varchar)
    end
{%- endmacro %}


{# The protocols that EC2 names. #}
{% macro security_group_protocols() %}
    {% do return({'icmp': 1, 'tcp': 6, 'udp': 17, 'icmpv6': 58}) %}
{% endmacro %}


{# The range of an address that has so many bits in common with it, as text. `digits` is
   a column of address_digits; the bits of IPv4 are 16 or 24, of IPv6 a multiple of
   16. #}
{% macro cidr_around(address, digits, ipv4_bits, ipv6_bits) -%}
    {%- set octets = (32 - ipv4_bits) // 8 -%}
    case
        when {{ address }} like '%:%'
            then
                regexp_replace(
                    {%- for group in range(ipv6_bits // 16) %}
                    regexp_replace(
                        substr({{ digits }}, {{ 4 * group + 1 }}, 4), '^0{1,3}', ''
                    )
                    {{- " || ':' ||" if not loop.last else ',' }}
                    {%- endfor %}
                    '(:0)+$',
                    ''
                )
                || '::/{{ ipv6_bits }}'
        else
            regexp_replace({{ address }}, '{{ '[.][0-9]+' * octets }}$', '')
            || '{{ '.0' * octets }}/{{ ipv4_bits }}'
    end
{%- endmacro %}


{# A range of IPv4 addresses as CIDR; null if it is not a single one. Both ends are
   columns of address_digits. #}
{% macro ipv4_cidr_of_range(range_start, range_end) -%}
    {%- set first, last = (
        vpc_flow_logs.hex_to_integer(range_start, 25),
        vpc_flow_logs.hex_to_integer(range_end, 25),
    ) -%}
    {%- for position in (25, 27, 29, 31) -%}
    cast(
        {{ vpc_flow_logs.hex_to_integer(
            "('000000' || substr(" ~ range_start ~ ', ' ~ position ~ ', 2))', 1
        ) }} as varchar
    ) || '{{ '.' if not loop.last else '/' }}' ||
    {% endfor -%}
    case ({{ last }}) - ({{ first }}) + 1
        {%- for bits in range(8, 33) %}
        when {{ 2 ** (32 - bits) }}
            then
                case
                    when mod({{ first }}, {{ 2 ** (32 - bits) }}) = 0 then '{{ bits }}'
                end
        {%- endfor %}
    end
{%- endmacro %}
