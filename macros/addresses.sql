{# Addresses as SQL expressions. All are total: whatever the text, null included, they
   give a value and never an error. Each takes SQL expressions of type varchar. #}


{# True exactly for text that is an IPv4 address (as Python's `ipaddress.IPv4Address`
   reads it: four decimal octets, no leading zeros) inside 10.0.0.0/8, 172.16.0.0/12 or
   192.168.0.0/16; false, never null, for everything else. #}
{% macro ipv4_is_internal(ip) -%}
    {%- set octet = vpc_flow_logs.ipv4_octet_pattern() -%}
    {#- Several literals, since the UDF is read by people. -#}
    {%- set pattern = [
        '(10[.]' ~ octet,
        '|172[.](1[6-9]|2[0-9]|3[01])',
        '|192[.]168)',
        '[.]' ~ octet,
        '[.]' ~ octet,
    ] | join("'\n        || '") -%}
    coalesce({{ vpc_flow_logs.regexp_matches_all_of(ip, pattern) }}, false)
{%- endmacro %}


{# The address as an integer from 0 to 2^32 - 1; null unless it is an IPv4 address. #}
{% macro ipv4_to_integer(ip) -%}
    case
        when {{ vpc_flow_logs.regexp_matches_all_of(ip, vpc_flow_logs.ipv4_pattern()) }}
            then {{ vpc_flow_logs.octets_to_integer(ip) }}
    end
{%- endmacro %}


{# The integer that four decimal octets stand for. #}
{% macro octets_to_integer(octets) -%}
    {{ return(adapter.dispatch('octets_to_integer', 'vpc_flow_logs')(octets)) }}
{%- endmacro %}

{# Half the time of four calls of split_part; doubles hold integers up to 2^53. #}
{% macro duckdb__octets_to_integer(octets) -%}
    cast(
        list_inner_product(
            cast(string_split({{ octets }}, '.') as double[]),
            [16777216.0, 65536.0, 256.0, 1.0]
        ) as bigint
    )
{%- endmacro %}

{% macro snowflake__octets_to_integer(octets) -%}
    {% for weight in [16777216, 65536, 256, 1] -%}
    {{ '+ ' if not loop.first }}try_cast(
        split_part({{ octets }}, '.', {{ loop.index }}) as bigint
    ) * {{ weight }}
    {% endfor -%}
{%- endmacro %}


{# Lower case, and an IPv4 address at the end written as two groups of hexadecimal
   digits. Null for text without a colon, which is no IPv6 address. #}
{% macro ipv6_colon_form(ip) -%}
    {%- set tail = "split_part(" ~ ip ~ ", ':', -1)" -%}
    {%- set number -%}({{ vpc_flow_logs.ipv4_to_integer(tail) }}){%- endset -%}
    case
        when {{ ip }} not like '%:%' then null
        when {{ ip }} like '%:%.%' and {{ number }} is not null
            then
                lower(left({{ ip }}, length({{ ip }}) - length({{ tail }})))
                {%- for shift in [28, 24, 20, 16, 12, 8, 4, 0] %}
                || substr(
                    '0123456789abcdef',
                    cast(mod(floor({{ number }} / {{ 2 ** shift }}), 16) as bigint) + 1,
                    1
                ){{ " || ':'" if shift == 16 }}
                {%- endfor %}
        else lower({{ ip }})
    end
{%- endmacro %}


{# The address as eight groups of digits, without `::`; null unless it is an IPv6
   address (RFC 4291, without a zone: `fe80::1%eth0` names an interface of one machine,
   which no flow log does). `colon_form` is ipv6_colon_form of the address, computed
   before, because it is read many times. #}
{% macro ipv6_groups(colon_form) -%}
    {%- set group = vpc_flow_logs.ipv6_group_pattern() -%}
    {%- set some = '(' ~ group ~ '(:' ~ group ~ '){0,6})' -%}
    {#- A colon stands between two groups, but for those of `::` at either end. -#}
    {%- set missing -%}
        8 - (length({{ colon_form }}) - length(replace({{ colon_form }}, ':', '')))
        + case when {{ colon_form }} like '::%' then 1 else 0 end
        + case when {{ colon_form }} like '%::' then 1 else 0 end
    {%- endset -%}
    case
        when {{ colon_form }} is null then null
        when {{ vpc_flow_logs.regexp_matches_all_of(colon_form, group ~ '(:' ~ group ~ '){7}') }}
            then {{ colon_form }}
        when
            {{ vpc_flow_logs.regexp_matches_all_of(colon_form, some ~ '?::' ~ some ~ '?') }}
            and {{ missing }} > 0
            then
                replace(
                    {{ colon_form }},
                    '::',
                    case when {{ colon_form }} like '::%' then '0' else ':0' end
                    || repeat(':0', {{ missing }} - 1)
                    || case when {{ colon_form }} like '%::' then '' else ':' end
                )
    end
{%- endmacro %}


{# The address as 32 hexadecimal digits, which compare like the numbers; null unless it
   is an IPv6 address. `groups` is ipv6_groups of the address. #}
{% macro ipv6_to_hex(groups) -%}
    {{ return(adapter.dispatch('ipv6_to_hex', 'vpc_flow_logs')(groups)) }}
{%- endmacro %}

{# Half the time of eight calls of split_part. #}
{% macro duckdb__ipv6_to_hex(groups) -%}
    array_to_string(
        list_transform(
            string_split({{ groups }}, ':'),
            lambda digits: lpad(digits, 4, '0')
        ),
        ''
    )
{%- endmacro %}

{% macro snowflake__ipv6_to_hex(groups) -%}
    case
        when {{ groups }} is not null
            then
                {%- for place in range(1, 9) %}
                {{ '|| ' if not loop.first -}}
                lpad(split_part({{ groups }}, ':', {{ place }}), 4, '0')
                {%- endfor %}
    end
{%- endmacro %}


{% macro ipv4_pattern() -%}
    {{ vpc_flow_logs.ipv4_octet_pattern() ~ ('[.]' ~ vpc_flow_logs.ipv4_octet_pattern()) * 3 }}
{%- endmacro %}


{% macro ipv4_octet_pattern() -%}
    (25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])
{%- endmacro %}


{% macro ipv6_group_pattern() -%}
    [0-9a-f]{1,4}
{%- endmacro %}


{# The IPv4 address that an address is or holds (mapped, NAT64, 6to4), as an integer. #}
{% macro address_to_ipv4_integer(address, hex) -%}
    case
        when {{ hex }} is null then {{ vpc_flow_logs.ipv4_to_integer(address) }}
        when {{ hex }} like '00000000000000000000ffff%'
            or {{ hex }} like '0064ff9b0000000000000000%'
            then {{ vpc_flow_logs.hex_to_integer(hex, 25) }}
        when {{ hex }} like '2002%' then {{ vpc_flow_logs.hex_to_integer(hex, 5) }}
    end
{%- endmacro %}


{# The number in the eight hexadecimal digits of `hex` from `position` on. The value of
   a digit is how many digits stand before it. #}
{% macro hex_to_integer(hex, position) -%}
    {% for place in range(8) -%}
    {{ '+ ' if not loop.first }}length(
        split_part('0123456789abcdef', substr({{ hex }}, {{ position + place }}, 1), 1)
    ) * {{ 16 ** (7 - place) }}
    {% endfor -%}
{%- endmacro %}


{# The ranges of each scope; the first that holds an address is the one. #}
{% macro scope_ranges() %}
    {% do return([
        ('internal', ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']),
        ('cgnat', ['100.64.0.0/10']),
        ('loopback', ['127.0.0.0/8', '::1/128']),
        ('link_local', ['169.254.0.0/16', 'fe80::/10']),
        ('multicast', ['224.0.0.0/4', 'ff00::/8']),
        ('documentation', [
            '192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24',
            '2001:db8::/32', '3fff::/20',
        ]),
        ('reserved', [
            '0.0.0.0/8', '192.0.0.0/24', '192.88.99.0/24', '198.18.0.0/15',
            '240.0.0.0/4', '2001::/23',
        ]),
        ('public', ['0.0.0.0/0', '2000::/3']),
        ('reserved', ['::/0']),
    ]) %}
{% endmacro %}


{# Where an address lies: internal, cgnat, loopback, link_local, multicast,
   documentation, reserved, public, none (null, empty or `-`) or invalid.
   `hex` is ipv6_to_hex of the address, `ipv4` its address_to_ipv4_integer: computed
   before, too. The user's `internal_cidrs` come first. #}
{% macro address_scope(address, hex, ipv4) -%}
    case
        {%- for network in vpc_flow_logs.internal_networks() %}
        when {{ vpc_flow_logs.address_in_cidr(network.cidr, hex, ipv4) }} then 'internal'
        {%- endfor %}
        {%- for number, colon in [(ipv4, false), (hex, true)] %}
        when {{ number }} is not null
            then
                case
                    {%- for scope, cidrs in vpc_flow_logs.scope_ranges() %}
                    {%- for cidr in cidrs if (':' in cidr) == colon %}
                    when {{ vpc_flow_logs.address_in_cidr(cidr, hex, ipv4) }} then '{{ scope }}'
                    {%- endfor %}
                    {%- endfor %}
                end
        {%- endfor %}
        when coalesce({{ address }}, '') in ('', '-') then 'none'
        else 'invalid'
    end
{%- endmacro %}


{# The user's ranges, the longest prefix first: the innermost one names an address. #}
{% macro internal_networks() %}
    {% set networks = [] %}
    {% for entry in var('internal_cidrs') %}
        {% set network = {'cidr': entry} if entry is string else entry %}
        {% do networks.append({
            'cidr': network.cidr,
            'name': network.get('name'),
            'owner': network.get('owner'),
            'length': network.cidr.partition('/')[2] | int,
        }) %}
    {% endfor %}
    {% do return(networks | sort(attribute='length', reverse=true)) %}
{% endmacro %}


{# What the user's ranges say of an address, `name` or `owner`; null outside of them.
   `hex` and `ipv4` as for address_scope. #}
{% macro internal_network(attribute, hex, ipv4) -%}
    {#- Cast, since ranges without names leave nulls alone, which have no type. -#}
    {%- set networks = vpc_flow_logs.internal_networks() -%}
    cast(
        {%- if networks %}
        case
            {%- for network in networks %}
            when {{ vpc_flow_logs.address_in_cidr(network.cidr, hex, ipv4) }}
                then {{ dbt.string_literal(dbt.escape_single_quotes(network[attribute]))
                    if network[attribute] else 'null' }}
            {%- endfor %}
        end
        {%- else -%}
        null
        {%- endif %} as varchar
    )
{%- endmacro %}


{% macro address_in_cidr(cidr, hex, ipv4) -%}
    {%- set range = vpc_flow_logs.cidr_range(cidr) -%}
    {%- if ':' in cidr -%}
        {{ hex }} between '{{ range[0] }}' and '{{ range[1] }}'
    {%- else -%}
        {{ ipv4 }} between {{ range[0] }} and {{ range[1] }}
    {%- endif -%}
{%- endmacro %}


{# First and last address of a range: integers for IPv4, 32 hexadecimal digits for
   IPv6. Stops with a message on text that is no range. #}
{% macro cidr_range(cidr) %}
    {% set address, _, length = cidr.partition('/') %}
    {% set parsed = namespace(digits='', width=32) %}
    {% if ':' in address %}
        {% set parsed.width = 128 %}
        {% set left, gap, right = address.lower().partition('::') %}
        {% set before = left.split(':') if left else [] %}
        {% set after = right.split(':') if right else [] %}
        {% set missing = 8 - before | length - after | length %}
        {% set groups = before + ['0'] * (missing if gap else 0) + after %}
        {% if groups | length == 8 and (not gap or missing > 0) %}
            {% for group in groups if modules.re.fullmatch(vpc_flow_logs.ipv6_group_pattern(), group) %}
                {% set parsed.digits = parsed.digits ~ group.rjust(4, '0') %}
            {% endfor %}
        {% endif %}
    {% elif modules.re.fullmatch(vpc_flow_logs.ipv4_pattern(), address) %}
        {% for octet in address.split('.') %}
            {% set parsed.digits = parsed.digits ~ '%02x' % octet | int %}
        {% endfor %}
    {% endif %}
    {% set bits = length | int(-1) %}
    {% if parsed.digits | length * 4 != parsed.width or not 0 <= bits <= parsed.width
        or length != bits | string %}
        {% do exceptions.raise_compiler_error(
            "internal_cidrs: '" ~ cidr ~ "' is not a range such as 203.0.113.0/24"
            ~ ' or 2600:1f14::/36'
        ) %}
    {% endif %}

    {% set first = parsed.digits | int(base=16) %}
    {% set size = 2 ** (parsed.width - bits) %}
    {% if first % size != 0 %}
        {% do exceptions.raise_compiler_error(
            "internal_cidrs: '" ~ cidr ~ "' has bits set beyond its length"
        ) %}
    {% endif %}
    {% if parsed.width == 32 %}
        {% do return([first, first + size - 1]) %}
    {% endif %}
    {% do return(['%032x' % first, '%032x' % (first + size - 1)]) %}
{% endmacro %}


{# True for most of the public addresses, told by how they begin: an IPv4 address by its
   first octet, an IPv6 address by its first group. Null or false for the others, and
   wherever a range that is not public begins alike. #}
{% macro is_public_by_text(address) -%}
    {#- The last one, 6to4, holds IPv4 addresses. -#}
    {%- set ranges = vpc_flow_logs.internal_networks() | map(attribute='cidr') | list + ['2002::/16'] -%}
    {%- for scope, cidrs in vpc_flow_logs.scope_ranges() if scope != 'public' -%}
        {%- do ranges.extend(cidrs | reject('equalto', '::/0') | list) -%}
    {%- endfor -%}
    {%- set octets = range(256) | list -%}
    {%- for cidr in ranges if ':' not in cidr -%}
        {%- set first, last = vpc_flow_logs.cidr_range(cidr) -%}
        {%- for octet in range(first // 2 ** 24, last // 2 ** 24 + 1) -%}
            {%- if octet in octets %}{% do octets.remove(octet) %}{% endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set ipv4 = '(' ~ octets | join('|') ~ ')' ~ ('[.]' ~ vpc_flow_logs.ipv4_octet_pattern()) * 3 -%}
    {%- set group = vpc_flow_logs.ipv6_group_pattern() -%}
    {%- set ipv6 = '[23][0-9a-f]{3}((:' ~ group ~ '){7}'
        ~ '|(:' ~ group ~ '){0,5}::(' ~ group ~ '(:' ~ group ~ '){0,5})?)' -%}
    {%- if octets %}
    {{ vpc_flow_logs.regexp_matches_all_of(address, ipv4) }}
    or {% endif -%}
    (
        {{ vpc_flow_logs.regexp_matches_all_of(address, ipv6) }}
        and length({{ address }}) - length(replace({{ address }}, ':', '')) <= 7
        {%- for cidr in ranges if ':' in cidr %}
        {%- set first, last = vpc_flow_logs.cidr_range(cidr) %}
        {%- if last >= '2' and first < '4' %}
        and left({{ address }}, 4) not between '{{ first[:4] }}' and '{{ last[:4] }}'
        {%- endif %}
        {%- endfor %}
    )
{%- endmacro %}


{# The CTEs that add what ranges are compared with, `_hex` and `_ipv4`, to the rows of
   the CTE `records`: the last one is `parsed`. `columns` maps columns of addresses to
   what stands before `_hex` and `_ipv4`. Each step is computed before the next reads it
   many times. #}
{% macro parse_addresses(records, columns) -%}
colon_forms as (

    select
        *
        {%- for column, prefix in columns.items() %},
        {{ vpc_flow_logs.ipv6_colon_form(column) }} as {{ prefix }}_colon_form
        {%- endfor %}
    from {{ records }}

),

grouped as (

    select
        *
        {%- for prefix in columns.values() %},
        {{ vpc_flow_logs.ipv6_groups(prefix ~ '_colon_form') }} as {{ prefix }}_groups
        {%- endfor %}
    from colon_forms

),

hexadecimal as (

    select
        *
        {%- for prefix in columns.values() %},
        {{ vpc_flow_logs.ipv6_to_hex(prefix ~ '_groups') }} as {{ prefix }}_hex
        {%- endfor %}
    from grouped

),

parsed as (

    select
        *
        {%- for column, prefix in columns.items() %},
        {{ vpc_flow_logs.address_to_ipv4_integer(column, prefix ~ '_hex') }} as {{ prefix }}_ipv4
        {%- endfor %}
    from hexadecimal

)
{%- endmacro %}


{# The CTEs that add the scope of addresses to the rows of the CTE `records`: the last
   one is `scoped`. `columns` maps columns of addresses to those of their scopes. Most
   addresses are told by their text; the others alone are turned into numbers, which
   costs several times as much. #}
{% macro with_address_scopes(records, columns) -%}
{%- set unclassified = {} -%}
{%- for scope in columns.values() -%}
    {%- do unclassified.update({scope ~ '_unclassified': scope}) -%}
{%- endfor -%}
classified as (

    select
        *
        {%- for column, scope in columns.items() %},
        case
            when {{ vpc_flow_logs.ipv4_is_internal(column) }} then 'internal'
            when {{ vpc_flow_logs.is_public_by_text(column) }} then 'public'
        end as {{ scope }}_by_text
        {%- endfor %}
    from {{ records }}

),

unclassified as (

    select
        *
        {%- for column, scope in columns.items() %},
        case when {{ scope }}_by_text is null then {{ column }} end as {{ scope }}_unclassified
        {%- endfor %}
    from classified

),

{{ vpc_flow_logs.parse_addresses('unclassified', unclassified) }},

scoped as (

    select
        *
        {%- for column, scope in columns.items() %},
        coalesce(
            {{ scope }}_by_text,
            {{ vpc_flow_logs.address_scope(column, scope ~ '_hex', scope ~ '_ipv4') }}
        ) as {{ scope }}
        {%- endfor %}
    from parsed

)
{%- endmacro %}
