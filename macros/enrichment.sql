{# What is known of public addresses: ranges with an AS number, a country, an AWS
   service, or the lists that hold them. #}


{# The formats of enrichment files: the pattern of the first line that is no comment. A
   row of Parquet is a line of JSON. docs/enrichment.md says who publishes each. #}
{% macro enrichment_formats() %}
    {% set address = '[0-9a-fA-F:.]+' %}
    {% do return({
        'asn_csv': address ~ ',' ~ address ~ ',[0-9]+,.*',
        'country_csv': address ~ ',' ~ address ~ ',[A-Z]{2}',
        'geolite2_asn':
            'network,autonomous_system_number,autonomous_system_organization',
        'geolite2_blocks': 'network,geoname_id,registered_country_geoname_id,.*',
        'geolite2_locations':
            'geoname_id,locale_code,continent_code,continent_name,country_iso_code,.*',
        'ipinfo': '[{].*"(network|start_ip)".*[}]',
        'drop': '[{].*"cidr".*[}]',
        'aws': '[{].*',
        'iptoasn': address ~ '\t' ~ address ~ '\t[0-9]+\t([A-Z]{2}|None)\t.*',
        'list': address ~ '(/[0-9]+)?([^0-9a-zA-Z:./_].*)?',
    }) %}
{% endmacro %}


{# The condition `true` if lines have landed since the model was made of them, else
   `false`. #}
{% macro has_new_lines(lines) %}
    {% if execute and is_incremental() %}
        {% set landed = vpc_flow_logs.newest_load(lines, '_dbt_copied_at') %}
        {% do return(
            (landed != vpc_flow_logs.newest_load(this, 'loaded_at')) | lower
        ) %}
    {% endif %}
    {% do return('true') %}
{% endmacro %}


{# A field of a line of JSON as text, by its name or path; null for any other line. #}
{% macro json_text(line, name) -%}
    {{ return(adapter.dispatch('json_text', 'vpc_flow_logs')(line, name)) }}
{%- endmacro %}

{% macro duckdb__json_text(line, name) -%}
    case when json_valid({{ line }}) then {{ line }} ->> '$.{{ name }}' end
{%- endmacro %}

{% macro snowflake__json_text(line, name) -%}
    cast(try_parse_json({{ line }})['{{ name.split('.') | join("']['") }}'] as varchar)
{%- endmacro %}


{# A query of the elements of a JSON array: the file's name and the element as text, and
   the whole object if it is not called `document`. `objects` has the text of each
   object. The array is given by its name or path. #}
{% macro json_elements(array, objects='documents', object='document') -%}
    {{ return(adapter.dispatch('json_elements', 'vpc_flow_logs')(
        array, objects, object
    )) }}
{%- endmacro %}

{% macro duckdb__json_elements(array, objects, object) -%}
    select
        metadata_filename,
        {{ object ~ ',' if object != 'document' }}
        cast(
            unnest(
                from_json(
                    case
                        when json_valid({{ object }})
                            then {{ object }} -> '$.{{ array }}'
                    end,
                    '["JSON"]'
                )
            ) as varchar
        ) as element
    from {{ objects }}
{%- endmacro %}

{% macro snowflake__json_elements(array, objects, object) -%}
    select
        {{ objects }}.metadata_filename,
        {{ objects ~ '.' ~ object ~ ',' if object != 'document' }}
        cast(elements.value as varchar) as element
    from
        {{ objects }},
        lateral flatten(
            input => try_parse_json({{ objects }}.{{ object }})
            ['{{ array.split('.') | join("']['") }}']
        ) as elements
{%- endmacro %}


{# Text after so many commas, without the quotes of CSV. #}
{% macro csv_rest(line, commas) -%}
    {%- set rest -%}
        regexp_replace({{ line }}, '^([^,]*,){{ '{' ~ commas ~ '}' }}', '')
    {%- endset -%}
    case
        when {{ rest }} like '"%"'
            then replace(substr({{ rest }}, 2, length({{ rest }}) - 2), '""', '"')
        else {{ rest }}
    end
{%- endmacro %}


{# The address as 32 hexadecimal digits, of IPv4 as in ::ffff:0:0/96, so that all
   addresses compare as text. `hex` and `ipv4` as for address_scope. #}
{% macro address_digits(hex, ipv4) -%}
    coalesce(
        {{ hex }},
        '00000000000000000000ffff' || {{ vpc_flow_logs.hex_digits(ipv4, 8) }}
    )
{%- endmacro %}


{# The first or last address (`last`) of the range that has its first `bits` bits in
   common with an address. `digits` is a column of address_digits. #}
{% macro edge_of_cidr(digits, bits, last) -%}
    {%- set whole = 'cast(floor(' ~ bits ~ ' / 4) as integer)' -%}
    {%- set filler = 'f' if last else '0' -%}
    {%- set next_digit = 'substr(' ~ digits ~ ', ' ~ whole ~ ' + 1, 1)' -%}
    left({{ digits }}, {{ whole }})
    || case mod({{ bits }}, 4)
        when 0
            then case when {{ bits }} < 128 then '{{ filler }}' else '' end
        {%- for rest in (1, 2, 3) %}
        {%- set size = 2 ** (4 - rest) %}
        {%- set edges = [] %}
        {%- for digit in range(16) %}
        {%- do edges.append(
            '%x' % (digit - digit % size + (size - 1 if last else 0))
        ) %}
        {%- endfor %}
        when {{ rest }}
            then translate({{ next_digit }}, '0123456789abcdef', '{{ edges | join }}')
        {%- endfor %}
    end
    || repeat('{{ filler }}', greatest(31 - {{ whole }}, 0))
{%- endmacro %}


{# The address after one or, with a step of -1, before it, in digits. #}
{% macro next_address(digits, step=1) -%}
    {%- set carried, filler = ('f', '0') if step == 1 else ('0', 'f') -%}
    {%- set low, high = '0123456789abcde', '123456789abcdef' -%}
    {%- set changed, digit = (low, high) if step == 1 else (high, low) -%}
    {%- set kept = 'regexp_replace(' ~ digits ~ ", '" ~ carried ~ "+$', '')" -%}
    rpad(
        left({{ kept }}, length({{ kept }}) - 1)
        || translate(right({{ kept }}, 1), '{{ changed }}', '{{ digit }}'),
        32,
        '{{ filler }}'
    )
{%- endmacro %}


{# The distinct texts of a group, sorted, with commas between. #}
{% macro distinct_texts(text) -%}
    {{ return(adapter.dispatch('distinct_texts', 'vpc_flow_logs')(text)) }}
{%- endmacro %}

{% macro duckdb__distinct_texts(text) -%}
    string_agg(distinct {{ text }}, ',' order by {{ text }})
{%- endmacro %}

{% macro snowflake__distinct_texts(text) -%}
    listagg(distinct {{ text }}, ',') within group (order by {{ text }})
{%- endmacro %}


{# What asof_left_join compares of an address, by a column of address_digits. #}
{% macro address_key(digits) -%}
    {{ return(adapter.dispatch('address_key', 'vpc_flow_logs')(digits)) }}
{%- endmacro %}

{# Short keys sort twice as fast, those of IPv4 before those of IPv6. #}
{% macro duckdb__address_key(digits) -%}
    case
        when {{ vpc_flow_logs.is_ipv4_by_digits(digits) }} then substr({{ digits }}, 25)
        else 'g' || {{ digits }}
    end
{%- endmacro %}

{# ASOF JOIN compares numbers and times alone
   (https://docs.snowflake.com/en/sql-reference/constructs/asof-join), and numbers have
   38 digits. From 4000:: to fbff::, where no address is assigned, those of a /64
   network have the same key. #}
{% macro snowflake__address_key(digits) -%}
    {%- set words = [] -%}
    {%- for position in (1, 9, 17, 25) -%}
        {%- set word = vpc_flow_logs.hex_to_integer(digits, position) -%}
        {%- do words.append('cast(' ~ word ~ ' as number(38, 0))') -%}
    {%- endfor -%}
    {%- set lower_words -%}
        {{ words[1] }} * {{ 2 ** 64 }}
        + {{ words[2] }} * {{ 2 ** 32 }}
        + {{ words[3] }}
    {%- endset -%}
    case
        when {{ vpc_flow_logs.is_ipv4_by_digits(digits) }}
            then {{ 0xffff * 2 ** 32 }} + {{ words[3] }}
        when {{ digits }} < '4'
            then {{ words[0] }} * {{ 2 ** 96 }} + {{ lower_words }}
        when {{ digits }} < 'fc'
            then
                {{ 2 ** 126 }} + {{ words[0] }} * {{ 2 ** 32 }} + {{ words[1] }}
        else
            {{ 2 ** 126 + 2 ** 64 }}
            + ({{ words[0] }} - {{ 0xfc * 2 ** 24 }}) * {{ 2 ** 96 }}
            + {{ lower_words }}
    end
{%- endmacro %}


{# The join of each row with the row of `relation` whose range starts last before the
   address; of nulls if there is none. The other arguments are columns of
   address_key. #}
{% macro asof_left_join(relation, address_key, range_key) -%}
    {{ return(adapter.dispatch('asof_left_join', 'vpc_flow_logs')(
        relation, address_key ~ ' >= ' ~ range_key
    )) }}
{%- endmacro %}

{% macro duckdb__asof_left_join(relation, condition) -%}
    asof left join {{ relation }} on {{ condition }}
{%- endmacro %}

{% macro snowflake__asof_left_join(relation, condition) -%}
    asof join {{ relation }} match_condition ({{ condition }})
{%- endmacro %}


{# Whether an address is IPv4, by its address_digits. #}
{% macro is_ipv4_by_digits(digits) -%}
    {{ digits }} like '00000000000000000000ffff%'
{%- endmacro %}


{# The statement before a model with asof_left_join; none if the engine needs none. #}
{% macro prepare_asof_join() -%}
    {{ return(adapter.dispatch('prepare_asof_join', 'vpc_flow_logs')()) }}
{%- endmacro %}

{# Where DuckDB expects few addresses, it compares each with all ranges. Its estimate
   may be far too low, and then a build would need all memory. #}
{% macro duckdb__prepare_asof_join() -%}
    set global asof_loop_join_threshold = 0
{%- endmacro %}

{% macro snowflake__prepare_asof_join() -%}
    {{ vpc_flow_logs.no_sql() }}
{%- endmacro %}


{# The kinds of ranges that ip_ranges has; all of them while dbt parses. #}
{% macro kinds_of_ranges() %}
    {% set kinds = ['asn', 'aws', 'country', 'list'] %}
    {% set ranges = ref('vpc_flow_logs', 'ip_ranges') %}
    {% if execute and not ranges.is_cte and load_relation(ranges) is not none %}
        {% do return(run_query(
            'select distinct kind from ' ~ ranges ~ ' order by kind'
        ).columns[0].values() | list) %}
    {% endif %}
    {% do return(kinds) %}
{% endmacro %}


{# CTEs with the addresses of the rollup's `flows` for which the condition holds: both
   ends of each, from one scan. The last one is `addresses_of_flows`. #}
{% macro addresses_of_flows(condition) -%}
ends as (

    select 'client' as name
    union all
    select 'server' as name

),

found_addresses as (

    select
        case ends.name when 'client' then flows.client_addr else flows.server_addr end
            as address,
        case ends.name
            when 'client' then flows.client_scope
            else flows.server_scope
        end as scope,
        max(case when flows.action = 'ACCEPT' then flows.started_date end)
            as last_accepted_date
    from {{ ref('vpc_flow_logs', 'int_traffic__daily_flows') }} as flows
    cross join ends
    where {{ condition }}
    group by address, scope

),

{{ vpc_flow_logs.parse_addresses('found_addresses', {'address': 'address'}) }},

addresses_of_flows as (

    select
        address,
        scope,
        {{ vpc_flow_logs.address_digits('address_hex', 'address_ipv4') }} as digits,
        last_accepted_date
    from parsed
    where address is not null

)
{%- endmacro %}


{# CTEs that add what is known to the rows of the CTE `addresses`, which have the
   columns `address` and `digits`; the last one is `in_context`. Its model needs the
   hook prepare_asof_join. `kinds` are those of the ranges; without it, all that there
   are. #}
{% macro with_address_context(addresses, kinds=none) -%}
{%- set columns = [
    ('asn', 'attributes', 'asn', 'bigint'),
    ('asn', 'name', 'as_organization', 'varchar'),
    ('country', 'name', 'country', 'varchar'),
    ('aws', 'name', 'aws_service', 'varchar'),
    ('aws', 'attributes', 'aws_region', 'varchar'),
    ('list', 'name', 'lists', 'varchar'),
    ('list', 'attributes', 'list_kinds', 'varchar'),
] -%}
{%- set kinds = kinds or vpc_flow_logs.kinds_of_ranges() -%}
{% for kind in kinds %}
{{ kind }}_ranges as (

    select
        range_end,
        name,
        attributes,
        {{ vpc_flow_logs.address_key('range_start') }} as range_key
    from {{ ref('vpc_flow_logs', 'ip_ranges') }}
    where kind = '{{ kind }}'

),

{% endfor -%}

keyed as (

    select
        *,
        {{ vpc_flow_logs.address_key('digits') }} as address_key
    from {{ addresses }}

),

in_context as (

    select
        keyed.*
        {%- for kind, value, column, type in columns %},
        cast(
            {%- if kind in kinds %}
            case
                when keyed.digits <= {{ kind }}_ranges.range_end
                    then {{ kind }}_ranges.{{ value }}
            end
            {%- else %}
            null
            {%- endif %} as {{ type }}
        ) as {{ column }}
        {%- endfor %}
    from keyed
    {% for kind in kinds %}
    {{ vpc_flow_logs.asof_left_join(
        kind ~ '_ranges', 'keyed.address_key', kind ~ '_ranges.range_key'
    ) }}
    {% endfor %}

)
{%- endmacro %}


{# The same for the public addresses of some columns of the CTE `parsed`, one row for
   each address. `columns` maps the columns to the prefixes of parse_addresses. #}
{% macro with_context_of_ends(columns) -%}
public_ends as (
    {% for column, prefix in columns.items() %}
    select distinct
        {{ column }} as address,
        {{ vpc_flow_logs.address_digits(prefix ~ '_hex', prefix ~ '_ipv4') }} as digits
    from parsed
    where {{ vpc_flow_logs.address_scope(column, prefix ~ '_hex', prefix ~ '_ipv4') }}
        = 'public'
    {{ 'union distinct' if not loop.last }}
    {%- endfor %}

),

{{ vpc_flow_logs.with_address_context('public_ends') }}
{%- endmacro %}


{# The view of a rule: a host of ours, which has the role, exchanges data with public
   addresses of which `condition` holds on their row of `in_context`, by ranges of a
   kind. With `by_peer` each address is a finding, and the number is that of records.
   Otherwise the number is that of addresses. #}
{% macro contacts_in_context(rule_id, role, kind, condition, by_peer=false) -%}
    {%- set outside = 'server' if role == 'client' else 'client' -%}
    {%- set observed = 'sum(records)' if by_peer else 'count(distinct address)' -%}
    with

    contacts as (

        select
            flows.started_date,
            flows.{{ role }}_addr as entity,
            flows.{{ outside }}_addr as address,
            flows.server_port as port,
            flows.protocol,
            {{ vpc_flow_logs.flow_measures() }}
        from {{ ref('vpc_flow_logs', 'int_detections__flows') }} as flows
        where
            flows.action = 'ACCEPT'
            and not {{ vpc_flow_logs.is_probe() }}
            and {{ vpc_flow_logs.is_own_end(role) }}
            and {{ vpc_flow_logs.is_outside_end(outside) }}
        group by
            flows.started_date,
            flows.{{ role }}_addr,
            flows.{{ outside }}_addr,
            flows.server_port,
            flows.protocol

    ),

    {{ vpc_flow_logs.parse_addresses('contacts', {'address': 'address'}) }},

    numbered as (

        select
            *,
            {{ vpc_flow_logs.address_digits('address_hex', 'address_ipv4') }} as digits
        from parsed

    ),

    {{ vpc_flow_logs.with_address_context('numbered', [kind]) }}

    select
        started_date,
        entity,
        {{ 'address' if by_peer else 'cast(null as varchar)' }} as peer,
        port,
        protocol,
        cast({{ observed }} as bigint) as observed,
        {{ vpc_flow_logs.sums_of_flow_measures() }}
    from in_context
    where {{ condition }}
    group by started_date, entity, {{ 'address,' if by_peer }} port, protocol
    having {{ observed }} >= {{ vpc_flow_logs.threshold(rule_id) }}
{%- endmacro %}


{# Whether an address is on a list of a kind. #}
{% macro is_on_list_of(kind) -%}
    ',' || list_kinds || ',' like '%,{{ kind }},%'
{%- endmacro %}
