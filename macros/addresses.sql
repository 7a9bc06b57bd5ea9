{# Addresses as SQL expressions. Each takes SQL expressions of type varchar and gives a
   value for any text, or for null, and never an error. #}


{# True exactly for text that is an IPv4 address (as Python's `ipaddress.IPv4Address`
   reads it: four decimal octets, no leading zeros) inside 10.0.0.0/8, 172.16.0.0/12 or
   192.168.0.0/16; false, never null, for everything else. #}
{% macro ipv4_is_internal(ip) -%}
    {%- set octet = vpc_flow_logs.ipv4_octet_pattern() -%}
    {#- Several literals, because people read the UDF that is made from this. -#}
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


{# Four decimal octets as an integer. #}
{% macro octets_to_integer(octets) -%}
    {{ return(adapter.dispatch('octets_to_integer', 'vpc_flow_logs')(octets)) }}
{%- endmacro %}

{# Takes half the time of four calls of split_part. Doubles hold integers up to 2^53. #}
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


{# An IPv6 address in lower case; an IPv4 address at its end becomes two groups of
   hexadecimal digits. Null for text without a colon. #}
{% macro ipv6_colon_form(ip) -%}
    {%- set tail = "split_part(" ~ ip ~ ", ':', -1)" -%}
    {%- set number -%}({{ vpc_flow_logs.ipv4_to_integer(tail) }}){%- endset -%}
    case
        when {{ ip }} not like '%:%' then null
        when {{ ip }} like '%:%.%' and {{ number }} is not null
            then
                lower(left({{ ip }}, length({{ ip }}) - length({{ tail }})))
                || {{ vpc_flow_logs.hex_digits(number, 4, 16) }}
                || ':'
                || {{ vpc_flow_logs.hex_digits(number, 4) }}
        else lower({{ ip }})
    end
{%- endmacro %}


{# The address as eight groups of digits, without `::`; null unless it is an IPv6
   address (RFC 4291, without a zone such as in `fe80::1%eth0`, which flow logs don't
   have). `colon_form` is a column with ipv6_colon_form of the address, because it is
   read many times. #}
{% macro ipv6_groups(colon_form) -%}
    {%- set group = vpc_flow_logs.ipv6_group_pattern() -%}
    {%- set some = '(' ~ group ~ '(:' ~ group ~ '){0,6})' -%}
    {#- Each colon separates two groups, except in a `::` at either end. -#}
    {%- set missing -%}
        8 - (length({{ colon_form }}) - length(replace({{ colon_form }}, ':', '')))
        + case when {{ colon_form }} like '::%' then 1 else 0 end
        + case when {{ colon_form }} like '%::' then 1 else 0 end
    {%- endset -%}
    case
        when {{ colon_form }} is null then null
        when
            {{ vpc_flow_logs.regexp_matches_all_of(
                colon_form, group ~ '(:' ~ group ~ '){7}'
            ) }}
            then {{ colon_form }}
        when
            {{ vpc_flow_logs.regexp_matches_all_of(
                colon_form, some ~ '?::' ~ some ~ '?'
            ) }}
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

{# Takes half the time of eight calls of split_part. #}
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


{# The regular expression of an IPv4 address. #}
{% macro ipv4_pattern() -%}
    {%- set octet = vpc_flow_logs.ipv4_octet_pattern() -%}
    {{ octet ~ ('[.]' ~ octet) * 3 }}
{%- endmacro %}


{# The regular expression of a number from 0 to 255 without leading zeros. #}
{% macro ipv4_octet_pattern() -%}
    (25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])
{%- endmacro %}


{# The regular expression of a group of an IPv6 address. #}
{% macro ipv6_group_pattern() -%}
    [0-9a-f]{1,4}
{%- endmacro %}


{# The IPv4 address that an address is or contains (mapped, NAT64, 6to4), as an integer;
   null if there is none. #}
{% macro address_to_ipv4_integer(address, hex) -%}
    case
        when {{ hex }} is null then {{ vpc_flow_logs.ipv4_to_integer(address) }}
        when {{ hex }} like '00000000000000000000ffff%'
            or {{ hex }} like '0064ff9b0000000000000000%'
            then {{ vpc_flow_logs.hex_to_integer(hex, 25) }}
        when {{ hex }} like '2002%' then {{ vpc_flow_logs.hex_to_integer(hex, 5) }}
    end
{%- endmacro %}


{# The ranges of each scope, the first match first. #}
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


{# The names of all scopes. #}
{% macro address_scopes() %}
    {% set scopes = vpc_flow_logs.scope_ranges() | map('first') | list %}
    {% do return((scopes + ['none', 'invalid']) | unique | list) %}
{% endmacro %}


{# The scope of an address: internal, cgnat, loopback, link_local, multicast,
   documentation, reserved, public, none (null, empty or `-`) or invalid. `hex` and
   `ipv4` are columns with its ipv6_to_hex and address_to_ipv4_integer. The variable
   `internal_cidrs` comes first. #}
{% macro address_scope(address, hex, ipv4) -%}
    case
        {%- for network in vpc_flow_logs.internal_networks() %}
        when {{ vpc_flow_logs.address_in_cidr(network.cidr, hex, ipv4) }}
            then 'internal'
        {%- endfor %}
        {%- for number, colon in [(ipv4, false), (hex, true)] %}
        when {{ number }} is not null
            then
                case
                    {%- for scope, cidrs in vpc_flow_logs.scope_ranges() %}
                    {%- for cidr in cidrs if (':' in cidr) == colon %}
                    when {{ vpc_flow_logs.address_in_cidr(cidr, hex, ipv4) }}
                        then '{{ scope }}'
                    {%- endfor %}
                    {%- endfor %}
                end
        {%- endfor %}
        when coalesce({{ address }}, '') in ('', '-') then 'none'
        else 'invalid'
    end
{%- endmacro %}


{# The ranges of the variable `internal_cidrs`, the longest prefix first, so that the
   smallest range that contains an address names it. #}
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


{# The `name` or `owner` that `internal_cidrs` gives to an address; null if no range
   contains it. `hex` and `ipv4` as for address_scope. #}
{% macro internal_network(attribute, hex, ipv4) -%}
    {#- Cast, because the expression may have nulls alone, which have no type. -#}
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


{# Whether a range contains an address. `hex` and `ipv4` as for address_scope. #}
{% macro address_in_cidr(cidr, hex, ipv4, source='internal_cidrs') -%}
    {%- set range = vpc_flow_logs.cidr_range(cidr, source) -%}
    {%- if ':' in cidr -%}
        {{ hex }} between '{{ range[0] }}' and '{{ range[1] }}'
    {%- else -%}
        {{ ipv4 }} between {{ range[0] }} and {{ range[1] }}
    {%- endif -%}
{%- endmacro %}


{# The first and last address of a range: integers for IPv4, 32 hexadecimal digits for
   IPv6. Text that is not a range stops dbt with a message that names its source. #}
{% macro cidr_range(cidr, source='internal_cidrs') %}
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
            {% set pattern = vpc_flow_logs.ipv6_group_pattern() %}
            {% for group in groups if modules.re.fullmatch(pattern, group) %}
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
            source ~ ": '" ~ cidr ~ "' is not a range such as 203.0.113.0/24"
            ~ ' or 2600:1f14::/36'
        ) %}
    {% endif %}

    {% set first = parsed.digits | int(base=16) %}
    {% set size = 2 ** (parsed.width - bits) %}
    {% if first % size != 0 %}
        {% do exceptions.raise_compiler_error(
            source ~ ": '" ~ cidr ~ "' has bits set beyond its length"
        ) %}
    {% endif %}
    {% if parsed.width == 32 %}
        {% do return([first, first + size - 1]) %}
    {% endif %}
    {% do return(['%032x' % first, '%032x' % (first + size - 1)]) %}
{% endmacro %}


{# True for most public addresses, by a regular expression: of an IPv4 address it reads
   the first octet, of an IPv6 address the first group. Null or false for all others,
   and for beginnings that a range of another scope shares. #}
{% macro is_public_by_text(address) -%}
    {%- set own = vpc_flow_logs.internal_networks() | map(attribute='cidr') | list -%}
    {#- 6to4 addresses contain IPv4 addresses of any scope. -#}
    {%- set ranges = own + ['2002::/16'] -%}
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
    {%- set octet = vpc_flow_logs.ipv4_octet_pattern() -%}
    {%- set ipv4 = '(' ~ octets | join('|') ~ ')' ~ ('[.]' ~ octet) * 3 -%}
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


{# CTEs that add the numbers of addresses, `<prefix>_hex` and `<prefix>_ipv4`, to the
   rows of the CTE `records`; the last one is `parsed`. `columns` maps columns of
   addresses to prefixes. Each step has a CTE of its own, because the next reads it many
   times. #}
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
        {{ vpc_flow_logs.address_to_ipv4_integer(column, prefix ~ '_hex') }}
            as {{ prefix }}_ipv4
        {%- endfor %}
    from hexadecimal

)
{%- endmacro %}


{# CTEs that add the scope of addresses to the rows of the CTE `records`; the last one
   is `scoped`. `columns` maps columns of addresses to columns of scopes. They classify
   most addresses by regular expressions and parse only the rest, which is several times
   slower. #}
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
        case when {{ scope }}_by_text is null then {{ column }} end
            as {{ scope }}_unclassified
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
