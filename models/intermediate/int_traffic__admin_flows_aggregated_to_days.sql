{{ config(unique_key='started_date') }}

{% set scope = load_scope(ref('flow_records'), 'loaded_through') %}

with

days as (

    select distinct cast(started_at as date) as started_date
    from {{ ref('flow_records') }}
    where has_plausible_time and {{ in_days(scope.days) }}

),

requests as (

    select
        dstaddr as internal_addr,
        srcaddr as external_addr,
        dstport as port,
        protocol,
        bytes,
        started_at,
        'request' as direction,
        cast(started_at as date) as started_date
    from {{ ref('flow_records') }}
    where
        action = 'ACCEPT'
        and has_plausible_time
        and {{ in_days(scope.days) }}
        and {{ is_admin_port('dstport', 'protocol') }}
        {# A NAT gateway may take 3389 as its own port; then 443 is the other's. #}
        and (
            dstport < 1024
            or (
                srcport >= 1024
                and not coalesce({{ has_tcp_flags('tcp_flags', 18) }}, false)
            )
        )
        and dst_scope = 'internal'
        and src_scope = 'public'

),

replies as (

    select
        srcaddr as internal_addr,
        dstaddr as external_addr,
        srcport as port,
        protocol,
        bytes,
        started_at,
        'reply' as direction,
        cast(started_at as date) as started_date
    from {{ ref('flow_records') }}
    where
        action = 'ACCEPT'
        and has_plausible_time
        and {{ in_days(scope.days) }}
        and {{ is_admin_port('srcport', 'protocol') }}
        and src_scope = 'internal'
        and dst_scope = 'public'

),

flows as (

    select * from requests
    union all
    select * from replies

),

aggregated as (

    select
        started_date,
        internal_addr,
        external_addr,
        port,
        protocol,
        direction,
        cast(count(*) as bigint) as records,
        cast(sum(bytes) as bigint) as bytes,
        min(started_at) as first_seen_at,
        max(started_at) as last_seen_at
    from flows
    group by all

),

{# A day without such flows keeps one row of nulls: it was looked at, and under which
   settings. #}
every_day as (

    select
        days.started_date,
        aggregated.internal_addr,
        aggregated.external_addr,
        aggregated.port,
        aggregated.protocol,
        aggregated.direction,
        aggregated.records,
        aggregated.bytes,
        aggregated.first_seen_at,
        aggregated.last_seen_at,
        '{{ build_settings() }}' as built_under,
        {{ load_time_literal(scope.loaded_through) }} as loaded_through
    from days
    left join aggregated on days.started_date = aggregated.started_date

)

select * from every_day
