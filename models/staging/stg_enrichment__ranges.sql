{# One row per range of an enrichment file and kind, in the order of the file. A file
   that cannot be read, or a line of it, has a row with a fault in place of a range. #}

{% set formats = vpc_flow_logs.enrichment_formats() %}
{% set lines = source('vpc_flow', 'enrichment_lines') %}

with

{# Few lines have spaces around them, and it takes time to look for those in all. #}
trimmed as (

    select
        metadata_filename,
        metadata_file_row_number,
        metadata_file_last_modified,
        _dbt_copied_at,
        fault,
        case
            when value like ' %' or value like '% ' then trim(value)
            else value
        end as line
    from {{ lines }}
    where {{ vpc_flow_logs.has_new_lines(lines) }}

),

text_lines as (

    select
        *,
        coalesce(line = '' or left(line, 1) in ('#', ';'), true) as is_comment
    from trimmed

),

{# A list may say what it is: `# name: ...` and `# kind: ...`. #}
titles as (

    select
        metadata_filename,
        max(metadata_file_last_modified) as last_modified_at,
        {# All lines land at once, or each kind of file after the other. #}
        max(max(_dbt_copied_at)) over () as loaded_at,
        max(fault) as fault,
        max(case when line like '# name: %' then trim(substr(line, 8)) end) as title,
        max(case when line like '# kind: %' then trim(substr(line, 8)) end) as list_kind
    from text_lines
    group by metadata_filename

),

first_lines as (

    select
        metadata_filename,
        metadata_file_row_number as first_row_number,
        line as first_line,
        case
            {% for format, pattern in formats.items() %}
                when {{ vpc_flow_logs.regexp_matches_all_of('line', pattern) }}
                    then '{{ format }}'
            {% endfor %}
        end as format
    from text_lines
    where not is_comment
    qualify
        row_number() over (
            partition by metadata_filename order by metadata_file_row_number
        ) = 1

),

files as (

    select
        titles.metadata_filename,
        titles.last_modified_at,
        titles.loaded_at,
        titles.fault,
        first_lines.first_row_number,
        first_lines.first_line,
        case
            when first_lines.first_line is null then 'list'
            else first_lines.format
        end as format,
        replace(
            coalesce(
                titles.title,
                regexp_replace(
                    split_part(titles.metadata_filename, '/', -1), '[.].*$', ''
                )
            ),
            ',',
            '_'
        ) as list_name,
        coalesce(
            titles.list_kind,
            case when first_lines.format = 'drop' then 'threat' else 'own' end
        ) as list_kind
    from titles
    left join first_lines
        on titles.metadata_filename = first_lines.metadata_filename

),

data_lines as (

    select
        text_lines.metadata_filename,
        text_lines.metadata_file_row_number,
        text_lines.line,
        files.format
    from text_lines
    inner join files on text_lines.metadata_filename = files.metadata_filename
    where
        not text_lines.is_comment
        and not (
            files.format like 'geolite2%'
            and text_lines.metadata_file_row_number = files.first_row_number
        )

),

documents as (

    select
        metadata_filename,
        {{ dbt.listagg('line', "' '", 'order by metadata_file_row_number') }}
            as document
    from data_lines
    where format = 'aws'
    group by metadata_filename

),

sync_tokens as (

    select
        metadata_filename,
        {{ vpc_flow_logs.json_text('document', 'syncToken') }} as sync_token
    from documents

),

{# https://docs.aws.amazon.com/vpc/latest/userguide/aws-ip-syntax.html #}
aws_prefixes as (

    {{ vpc_flow_logs.json_elements('prefixes') }}
    union all
    {{ vpc_flow_logs.json_elements('ipv6_prefixes') }}

),

aws_ranges as (

    select
        metadata_filename,
        coalesce(
            {{ vpc_flow_logs.json_text('element', 'ip_prefix') }},
            {{ vpc_flow_logs.json_text('element', 'ipv6_prefix') }}
        ) as network,
        {{ vpc_flow_logs.json_text('element', 'service') }} as service,
        {{ vpc_flow_logs.json_text('element', 'region') }} as region
    from aws_prefixes

),

locations as (

    select
        split_part(line, ',', 1) as geoname_id,
        max(nullif(split_part(line, ',', 5), '')) as country
    from data_lines
    where format = 'geolite2_locations'
    group by geoname_id

),

{# The addresses of a line of a list: one, a range, or two with a hyphen between. #}
tokens as (

    select
        *,
        case
            when format = 'list'
                then regexp_replace(
                    replace(line, ' - ', '-'), '[^0-9a-fA-F:./-].*$', ''
                )
        end as token
    from data_lines
    where
        format not in ('aws', 'geolite2_locations')
        and not (format = 'drop' and line like '%"type":"metadata"%')

),

located as (

    select
        tokens.*,
        locations.country as location_country
    from tokens
    left join locations
        on
            tokens.format = 'geolite2_blocks'
            and split_part(tokens.line, ',', 2) = locations.geoname_id

),

fields as (

    select
        metadata_filename,
        metadata_file_row_number,
        format,
        line,
        case format
            when 'drop' then {{ vpc_flow_logs.json_text('line', 'cidr') }}
            when 'ipinfo'
                then coalesce(
                    {{ vpc_flow_logs.json_text('line', 'network') }},
                    {{ vpc_flow_logs.json_text('line', 'start_ip') }}
                )
            when 'list' then split_part(token, '-', 1)
            when 'iptoasn' then split_part(line, chr(9), 1)
            else split_part(line, ',', 1)
        end as first_text,
        case
            when format in ('asn_csv', 'country_csv') then split_part(line, ',', 2)
            when format = 'ipinfo'
                then {{ vpc_flow_logs.json_text('line', 'end_ip') }}
            when format = 'list' then nullif(split_part(token, '-', 2), '')
            when format = 'iptoasn' then split_part(line, chr(9), 2)
        end as last_text,
        case format
            when 'asn_csv' then split_part(line, ',', 3)
            when 'geolite2_asn' then split_part(line, ',', 2)
            when 'ipinfo'
                then replace({{ vpc_flow_logs.json_text('line', 'asn') }}, 'AS', '')
            when 'iptoasn' then split_part(line, chr(9), 3)
        end as asn,
        case format
            when 'asn_csv' then {{ vpc_flow_logs.csv_rest('line', 3) }}
            when 'geolite2_asn' then {{ vpc_flow_logs.csv_rest('line', 2) }}
            when 'ipinfo' then {{ vpc_flow_logs.json_text('line', 'as_name') }}
            when 'iptoasn' then split_part(line, chr(9), 5)
        end as organization,
        case format
            when 'country_csv' then split_part(line, ',', 3)
            when 'geolite2_blocks' then location_country
            when 'ipinfo' then {{ vpc_flow_logs.json_text('line', 'country_code') }}
            when 'iptoasn' then nullif(split_part(line, chr(9), 4), 'None')
        end as country,
        cast(null as varchar) as service,
        cast(null as varchar) as region
    from located
    union all
    select
        metadata_filename,
        row_number() over (
            partition by metadata_filename order by network, service, region
        ) as metadata_file_row_number,
        'aws' as format,
        network as line,
        network as first_text,
        cast(null as varchar) as last_text,
        cast(null as varchar) as asn,
        cast(null as varchar) as organization,
        cast(null as varchar) as country,
        service,
        region
    from aws_ranges

),

split as (

    select
        *,
        split_part(first_text, '/', 1) as first_address,
        nullif(split_part(first_text, '/', 2), '') as bits_text
    from fields

),

{{ vpc_flow_logs.parse_addresses('split', {
    'first_address': 'first', 'last_text': 'last',
}) }},

numbered as (

    select
        *,
        {{ vpc_flow_logs.address_digits('first_hex', 'first_ipv4') }} as first_digits,
        {{ vpc_flow_logs.address_digits('last_hex', 'last_ipv4') }} as last_digits,
        case
            when bits_text is not null
                then
                    try_cast(bits_text as bigint)
                    + case when first_address like '%:%' then 0 else 96 end
        end as bits
    from parsed

),

bounded as (

    select
        *,
        case
            when bits between 0 and 128
                then {{ vpc_flow_logs.edge_of_cidr('first_digits', 'bits', false) }}
            when bits_text is null then first_digits
        end as range_start,
        case
            when bits between 0 and 128
                then {{ vpc_flow_logs.edge_of_cidr('first_digits', 'bits', true) }}
            when bits_text is not null then null
            when last_text is null then first_digits
            else last_digits
        end as range_end
    from numbered

),

checked as (

    select
        *,
        coalesce(range_start <= range_end, false) as is_range,
        case
            when range_start like '00000000000000000000ffff%' then 4 else 6
        end as ip_version
    from bounded

),

kinds as (

    {% for kind, name, attributes, condition in [
        ('asn', 'organization', 'asn', "asn != '0'"),
        ('country', 'country', 'cast(null as varchar)', 'country is not null'),
        ('aws', 'service', 'region', 'service is not null'),
        ('list', 'cast(null as varchar)', 'cast(null as varchar)',
            "format in ('drop', 'list')"),
    ] %}
        select
            metadata_filename,
            metadata_file_row_number,
            '{{ kind }}' as kind,
            ip_version,
            range_start,
            range_end,
            {{ name }} as name,
            {{ attributes }} as attributes,
            cast(null as varchar) as fault
        from checked
        where is_range and {{ condition }}
        union all
    {% endfor %}
    select
        metadata_filename,
        metadata_file_row_number,
        cast(null as varchar) as kind,
        cast(null as integer) as ip_version,
        cast(null as varchar) as range_start,
        cast(null as varchar) as range_end,
        cast(null as varchar) as name,
        cast(null as varchar) as attributes,
        'line ' || cast(metadata_file_row_number as varchar) || ' has no range: '
        || left(line, 80) as fault
    from checked
    where not is_range

),

{# A row for each file, which has its fault. #}
file_rows as (

    select
        files.metadata_filename,
        0 as metadata_file_row_number,
        cast(null as varchar) as kind,
        cast(null as integer) as ip_version,
        cast(null as varchar) as range_start,
        cast(null as varchar) as range_end,
        cast(null as varchar) as name,
        cast(null as varchar) as attributes,
        case
            when files.fault is not null then files.fault
            when files.format is null
                then
                    'no enrichment file; its first line is: '
                    || left(files.first_line, 80)
            when files.format = 'aws' and sync_tokens.sync_token is null
                then 'JSON, but not ip-ranges.json of AWS'
        end as fault
    from files
    left join sync_tokens on files.metadata_filename = sync_tokens.metadata_filename

),

found as (

    select * from kinds
    union all
    select * from file_rows

),

described as (

    select
        found.metadata_filename,
        found.metadata_file_row_number,
        files.format,
        found.kind,
        found.ip_version,
        found.range_start,
        found.range_end,
        found.fault,
        files.list_name,
        files.last_modified_at,
        files.loaded_at,
        case when found.kind = 'list' then files.list_name else found.name end as name,
        case when found.kind = 'list' then files.list_kind else found.attributes end
            as attributes
    from found
    inner join files on found.metadata_filename = files.metadata_filename

)

select * from described
