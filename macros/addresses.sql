{# Addresses as SQL expressions. All are total: whatever the text, null included, they
   give a value and never an error. Each takes SQL expressions of type varchar. #}


{# True exactly for text that is an IPv4 address (as Python's `ipaddress.IPv4Address`
   reads it: four decimal octets, no leading zeros) inside 10.0.0.0/8, 172.16.0.0/12 or
   192.168.0.0/16; false, never null, for everything else. #}
{% macro ipv4_is_internal(ip) -%}
    {%- set octet = ipv4_octet_pattern() -%}
    {%- set two = '[.]' ~ octet ~ '[.]' ~ octet -%}
    {%- set pattern = '(10[.]' ~ octet ~ two
        ~ '|172[.](1[6-9]|2[0-9]|3[01])' ~ two
        ~ '|192[.]168' ~ two ~ ')' -%}
    coalesce({{ regexp_matches_all_of(ip, pattern) }}, false)
{%- endmacro %}


{# The address as an integer from 0 to 2^32 - 1; null unless it is an IPv4 address. #}
{% macro ipv4_to_integer(ip) -%}
    case
        when {{ regexp_matches_all_of(ip, ipv4_pattern()) }}
            then
                {% for weight in [16777216, 65536, 256, 1] -%}
                {{ '+ ' if not loop.first }}try_cast(
                    split_part({{ ip }}, '.', {{ loop.index }}) as bigint
                ) * {{ weight }}
                {% endfor -%}
    end
{%- endmacro %}


{# Lower case, and an IPv4 address at the end written as two groups of hexadecimal
   digits. Text that is no such address stays what it is: no IPv6 address. #}
{% macro ipv6_colon_form(ip) -%}
    {%- set tail = "split_part(" ~ ip ~ ", ':', -1)" -%}
    {%- set number -%}({{ ipv4_to_integer(tail) }}){%- endset -%}
    case
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


{# The address as 32 hexadecimal digits; null unless it is an IPv6 address (RFC 4291,
   without a zone: `fe80::1%eth0` names an interface of one machine, which no flow log
   does). Text of this form compares like the numbers. `colon_form` is ipv6_colon_form
   of the address, computed before, because it is read many times. #}
{% macro ipv6_to_hex(colon_form) -%}
    {%- set group = '[0-9a-f]{1,4}' -%}
    {%- set groups = '(' ~ group ~ '(:' ~ group ~ '){0,7})' -%}
    {%- set left = "split_part(" ~ colon_form ~ ", '::', 1)" -%}
    {%- set right = "split_part(" ~ colon_form ~ ", '::', 2)" -%}
    {%- set count -%}
        ({{ ipv6_group_count(left) }} + {{ ipv6_group_count(right) }})
    {%- endset -%}
    case
        when {{ colon_form }} not like '%:%' then null
        when
            {{ regexp_matches_all_of(colon_form, group ~ '(:' ~ group ~ '){7}') }}
            or (
                {{ regexp_matches_all_of(colon_form, groups ~ '?::' ~ groups ~ '?') }}
                and {{ count }} <= 7
            )
            then
                {{ ipv6_padded_groups(left) }}
                || repeat('0000', 8 - {{ count }})
                || {{ ipv6_padded_groups(right) }}
    end
{%- endmacro %}


{% macro ipv6_group_count(groups) -%}
    case
        when {{ groups }} = '' then 0
        else length({{ groups }}) - length(replace({{ groups }}, ':', '')) + 1
    end
{%- endmacro %}


{# Puts three zeros before each group and keeps its last four digits. #}
{% macro ipv6_padded_groups(groups) -%}
    {%- set widened -%}
        {{ regexp_replace_all("':' || " ~ groups, ':', ':000') }}
    {%- endset -%}
    case
        when {{ groups }} = '' then ''
        else {{ regexp_replace_all(widened, ':[0-9a-f]*([0-9a-f]{4})', '\\1') }}
    end
{%- endmacro %}


{% macro ipv4_pattern() -%}
    {{ ipv4_octet_pattern() ~ ('[.]' ~ ipv4_octet_pattern()) * 3 }}
{%- endmacro %}


{% macro ipv4_octet_pattern() -%}
    (25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])
{%- endmacro %}


{# The IPv4 address that an address is or holds (mapped, NAT64, 6to4), as an integer. #}
{% macro address_to_ipv4_integer(address, hex) -%}
    case
        when {{ hex }} like '00000000000000000000ffff%'
            or {{ hex }} like '0064ff9b0000000000000000%'
            then {{ hex_to_integer(hex, 25) }}
        when {{ hex }} like '2002%' then {{ hex_to_integer(hex, 5) }}
        else {{ ipv4_to_integer(address) }}
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


{# Where an address lies: internal, cgnat, loopback, link_local, multicast,
   documentation, reserved, public, none (null, empty or `-`) or invalid.
   `hex` is ipv6_to_hex of the address, `ipv4` its address_to_ipv4_integer: computed
   before, too. The user's `internal_cidrs` come first. #}
{% macro address_scope(address, hex, ipv4) -%}
    {%- set scopes = [
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
    ] -%}
    case
        when coalesce({{ address }}, '') in ('', '-') then 'none'
        {%- for cidr in var('internal_cidrs') %}
        when {{ address_in_cidr(cidr, hex, ipv4) }} then 'internal'
        {%- endfor %}
        {%- for scope, cidrs in scopes %}
        {%- for cidr in cidrs %}
        when {{ address_in_cidr(cidr, hex, ipv4) }} then '{{ scope }}'
        {%- endfor %}
        {%- endfor %}
        else 'invalid'
    end
{%- endmacro %}


{% macro address_in_cidr(cidr, hex, ipv4) -%}
    {%- set range = cidr_range(cidr) -%}
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
            {% for group in groups if modules.re.fullmatch('[0-9a-f]{1,4}', group) %}
                {% set parsed.digits = parsed.digits ~ group.rjust(4, '0') %}
            {% endfor %}
        {% endif %}
    {% elif modules.re.fullmatch(ipv4_pattern(), address) %}
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
