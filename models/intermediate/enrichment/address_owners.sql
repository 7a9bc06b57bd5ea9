{# One row per address and time in which one network interface is known to hold it: from
   the snapshots of the inventory, and from the records of the interface itself in the
   window. Times of which nothing is known have no row. #}

{% set interfaces = ref('vpc_flow_logs', 'interfaces_over_time') %}
{% set never = vpc_flow_logs.time_literal('9999-12-31') %}
{% set known %}
    coalesce(instance_id, '') || '|' || coalesce(name, '') || '|' || coalesce(owner, '')
{%- endset %}
{% set key = ['scope', 'address', 'interface_id'] %}

with

{# The same address may be in use in several VPCs. Where the VPC of an interface is not
   known, its rows say nothing of other interfaces. #}
spans as (

    select
        *,
        coalesce(vpc_id, interface_id) as scope
    from {{ interfaces }}

),

vpcs as (

    select
        interface_id,
        max(vpc_id) as vpc_id
    from {{ interfaces }}
    group by interface_id

),

{# When it is proved that an interface has an address. A snapshot with the interface
   proves it until the next one. #}
proofs as (

    select
        {{ key | join(', ') }},
        vpc_id,
        account_id,
        held_from as proof_from,
        coalesce(held_until, {{ dbt.dateadd('second', 1, 'last_snapshot_at') }})
            as proof_until,
        held_until is null as is_still_held,
        gone_by_at,
        1 as is_snapshot
    from spans
    union all
    select
        coalesce(vpcs.vpc_id, own.interface_id) as scope,
        own.address,
        own.interface_id,
        vpcs.vpc_id,
        own.account_id,
        own.first_seen_at as proof_from,
        {{ dbt.dateadd('second', 1, 'own.last_seen_at') }} as proof_until,
        false as is_still_held,
        null as gone_by_at,
        0 as is_snapshot
    from {{ ref('vpc_flow_logs', 'int_traffic__interface_addresses') }} as own
    left join vpcs on own.interface_id = vpcs.interface_id
    where
        {# With a single peer, the address is a guess. #}
        own.only_peer is null
        and {{ vpc_flow_logs.in_window('own.started_date') }}

),

compared as (

    select
        *,
        lag(interface_id) over (
            partition by scope, address
            order by proof_from, proof_until, interface_id
        ) as interface_before,
        max(proof_until) over (
            partition by {{ key | join(', ') }} order by proof_from, proof_until
            rows between unbounded preceding and 1 preceding
        ) as proof_before_until,
        max(gone_by_at) over (
            partition by {{ key | join(', ') }} order by proof_from, proof_until
            rows between unbounded preceding and 1 preceding
        ) as gone_before_at
    from proofs

),

numbered as (

    select
        *,
        sum(
            case
                when interface_before is distinct from interface_id then 1
                when gone_before_at between proof_before_until and proof_from then 1
                else 0
            end
        ) over (
            partition by scope, address
            order by proof_from, proof_until, interface_id
            rows unbounded preceding
        ) as holding
    from compared

),

{# Between two proofs of an interface it holds the address, if no other interface does
   and no snapshot misses it. #}
holdings as (

    select
        scope,
        address,
        holding,
        max(interface_id) as interface_id,
        max(vpc_id) as vpc_id,
        max(account_id) as account_id,
        min(proof_from) as proof_from,
        max(proof_until) as proof_until,
        max(case when is_still_held then 1 else 0 end) as is_still_held,
        case
            when min(is_snapshot) = 1 then 'snapshot'
            when max(is_snapshot) = 0 then 'logs'
            else 'both'
        end as known_from
    from numbered
    group by scope, address, holding

),

{# Where two interfaces are proved to have the address at a time, neither counts. #}
disjoint as (

    select
        *,
        greatest(
            proof_from,
            coalesce(
                max(proof_until) over (
                    partition by scope, address order by holding
                    rows between unbounded preceding and 1 preceding
                ),
                proof_from
            )
        ) as holding_from,
        case
            when
                lead(holding) over (partition by scope, address order by holding)
                is not null
                then
                    least(
                        proof_until,
                        lead(proof_from) over (
                            partition by scope, address order by holding
                        )
                    )
            when is_still_held = 0 then proof_until
        end as holding_until
    from holdings

),

described as (

    select
        disjoint.scope,
        disjoint.address,
        disjoint.holding,
        disjoint.proof_from,
        spans.instance_id,
        spans.name,
        spans.owner,
        spans.attached_at,
        spans.held_from,
        spans.held_until,
        row_number() over (
            partition by disjoint.scope, disjoint.address, disjoint.holding
            order by spans.held_from
        ) as place,
        lead(spans.held_from) over (
            partition by disjoint.scope, disjoint.address, disjoint.holding
            order by spans.held_from
        ) as next_from
    from disjoint
    inner join spans
        on
            disjoint.scope = spans.scope
            and disjoint.address = spans.address
            and disjoint.interface_id = spans.interface_id
            and disjoint.proof_from <= spans.held_from
            and disjoint.proof_until > spans.held_from

),

{# What is known of the holder, from which time on. Before the first snapshot it is the
   same, unless the interface was attached later than its first record. Between two
   snapshots with different instances nothing is known. #}
changes as (

    select
        scope,
        address,
        holding,
        case
            when place = 1 and coalesce(attached_at, proof_from) <= proof_from
                then proof_from
            else held_from
        end as known_at,
        instance_id,
        name,
        owner,
        1 as is_known
    from described
    union all
    select
        scope,
        address,
        holding,
        held_until as known_at,
        null as instance_id,
        null as name,
        null as owner,
        0 as is_known
    from described
    where held_until < next_from
    union all
    select
        scope,
        address,
        holding,
        proof_from as known_at,
        null as instance_id,
        null as name,
        null as owner,
        0 as is_known
    from disjoint

),

known as (

    select * from changes
    qualify
        row_number() over (
            partition by scope, address, holding, known_at order by is_known desc
        ) = 1

),

compared_with_last as (

    select
        *,
        lag({{ known }}) over (
            partition by scope, address, holding order by known_at
        ) as known_before
    from known

),

known_spans as (

    select
        *,
        lead(known_at) over (
            partition by scope, address, holding order by known_at
        ) as next_known_at
    from compared_with_last
    where known_before is null or known_before != {{ known }}

),

owned as (

    select
        disjoint.address,
        disjoint.interface_id,
        known_spans.instance_id,
        known_spans.name,
        known_spans.owner,
        disjoint.vpc_id,
        disjoint.account_id,
        disjoint.known_from,
        greatest(known_spans.known_at, disjoint.holding_from) as owned_from,
        case
            when known_spans.next_known_at is null then disjoint.holding_until
            else least(
                known_spans.next_known_at,
                coalesce(disjoint.holding_until, known_spans.next_known_at)
            )
        end as owned_until
    from known_spans
    inner join disjoint
        on
            known_spans.scope = disjoint.scope
            and known_spans.address = disjoint.address
            and known_spans.holding = disjoint.holding

),

compared_with_others as (

    select
        *,
        max(coalesce(owned_until, {{ never }})) over (
            partition by address order by owned_from, interface_id
            rows between unbounded preceding and 1 preceding
        ) as others_until,
        lead(owned_from) over (
            partition by address order by owned_from, interface_id
        ) as others_from
    from owned
    where owned_until is null or owned_from < owned_until

)

select
    address,
    interface_id,
    instance_id,
    name,
    owner,
    vpc_id,
    account_id,
    owned_from,
    owned_until,
    known_from,
    vpc_id is not null
    and coalesce(others_until <= owned_from, true)
    and (others_from is null or coalesce(others_from >= owned_until, false))
        as is_only_owner
from compared_with_others
