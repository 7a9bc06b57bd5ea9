{# One row per kind and range of addresses, so that no two rows of a kind share an
   address. Of several ranges that contain an address, the one that starts last counts,
   and of those the smallest: of CIDRs that is the most specific one. Lists add up: the
   row has the names of all that contain it. #}

{% set found = ref('vpc_flow_logs', 'stg_enrichment__ranges') %}
{% set files = ref('vpc_flow_logs', 'enrichment_files') %}
{% set lines = source('vpc_flow', 'enrichment_lines') %}
{% set is_new = vpc_flow_logs.has_new_lines(lines) %}

with

ranges as (

    select
        found.kind,
        found.range_start,
        found.range_end,
        found.name,
        found.attributes,
        {# AWS lists a range under EC2 and AMAZON beside the service that uses it. #}
        case
            when found.kind != 'aws' then 0
            when found.name = 'AMAZON' then 2
            when found.name = 'EC2' then 1
            else 0
        end as preference,
        found.loaded_at
    from {{ found }} as found
    inner join {{ files }} as files
        on
            found.metadata_filename = files.metadata_filename
            and found.kind = files.kind
            and found.ip_version = files.ip_version
    where files.is_used and {{ is_new }}

),

ordered as (

    select
        *,
        max(range_end) over (
            partition by kind
            order by range_start, range_end
            rows between unbounded preceding and 1 preceding
        ) as end_before,
        lead(range_start) over (
            partition by kind order by range_start, range_end
        ) as next_start
    from ranges

),

compared as (

    select
        *,
        coalesce(range_start <= end_before or next_start <= range_end, false)
            as is_overlapping
    from ordered

),

{# Ranges that overlap are on one island. #}
overlapping as (

    select
        *,
        sum(case when range_start <= end_before then 0 else 1 end) over (
            partition by kind
            order by range_start, range_end
            rows unbounded preceding
        ) as island
    from compared
    where is_overlapping

),

{# The addresses at which other ranges count than before. #}
edges as (

    select
        kind,
        island,
        range_start as edge
    from overlapping
    union distinct
    select
        kind,
        island,
        {{ vpc_flow_logs.next_address('range_end') }} as edge
    from overlapping
    where range_end != repeat('f', 32)

),

pieces as (

    select
        *,
        lead(edge) over (partition by kind, island order by edge) as next_edge
    from edges

),

covered as (

    select
        pieces.kind,
        pieces.edge as range_start,
        coalesce(
            {{ vpc_flow_logs.next_address('pieces.next_edge', -1) }}, repeat('f', 32)
        ) as range_end,
        overlapping.name,
        overlapping.attributes,
        overlapping.range_start as whole_start,
        overlapping.range_end as whole_end,
        overlapping.preference,
        overlapping.loaded_at
    from pieces
    inner join overlapping
        on
            pieces.kind = overlapping.kind
            and pieces.island = overlapping.island
            and pieces.edge >= overlapping.range_start
            and pieces.edge <= overlapping.range_end

),

most_specific as (

    select * from covered
    where kind != 'list'
    qualify
        row_number() over (
            partition by kind, range_start
            order by
                whole_start desc,
                whole_end asc,
                preference asc,
                name asc,
                attributes asc
        ) = 1

),

flattened as (

    select
        kind,
        range_start,
        range_end,
        name,
        attributes,
        loaded_at
    from compared
    where not is_overlapping
    union all
    select
        kind,
        range_start,
        range_end,
        name,
        attributes,
        loaded_at
    from most_specific
    union all
    select
        kind,
        range_start,
        range_end,
        {{ vpc_flow_logs.distinct_texts('name') }} as name,
        {{ vpc_flow_logs.distinct_texts('attributes') }} as attributes,
        max(loaded_at) as loaded_at
    from covered
    where kind = 'list'
    group by kind, range_start, range_end

)

select * from flattened
