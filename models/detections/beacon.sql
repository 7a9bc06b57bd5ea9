{# A host of ours contacts a public address in regular gaps and with regular sizes, as
   RITA scores it: the mean of four parts between 0 and 1, for the gaps, the sizes, the
   hours and the duration. https://github.com/activecm/rita #}

with

contacts as (

    select
        *,
        client_addr || ' ' || server_addr || ' ' || cast(server_port as varchar)
        || ' ' || cast(protocol as varchar) as pair,
        extract(hour from started_at) as started_hour
    from {{ ref('vpc_flow_logs', 'int_detections__contacts') }}
    where client_addr is not null

),

followed as (

    select
        *,
        lag(started_at) over (
            partition by started_date, pair order by started_at, client_port
        ) as previous_at
    from contacts

),

{# Contacts in the same second have no gap. #}
measured as (

    select
        *,
        nullif({{ dbt.datediff('previous_at', 'started_at', 'second') }}, 0) as gap
    from followed

),

pairs as (

    select
        started_date,
        pair,
        client_addr,
        server_addr,
        server_port,
        protocol,
        count(*) as contacts,
        percentile_cont(0.25) within group (order by gap) as gap_q1,
        percentile_cont(0.5) within group (order by gap) as gap_q2,
        percentile_cont(0.75) within group (order by gap) as gap_q3,
        percentile_cont(0.25) within group (order by bytes) as size_q1,
        percentile_cont(0.5) within group (order by bytes) as size_q2,
        percentile_cont(0.75) within group (order by bytes) as size_q3,
        max(started_hour) - min(started_hour) + 1 as hours,
        {{ vpc_flow_logs.sums_of_flow_measures('started_at') }}
    from measured
    group by started_date, pair, client_addr, server_addr, server_port, protocol
    having count(*) >= 20

),

deviations as (

    select
        measured.started_date,
        measured.pair,
        median(abs(measured.gap - pairs.gap_q2)) as gap_mad,
        median(abs(measured.bytes - pairs.size_q2)) as size_mad
    from measured
    inner join pairs
        on measured.started_date = pairs.started_date and measured.pair = pairs.pair
    group by measured.started_date, measured.pair

),

contacts_by_hour as (

    select
        started_date,
        pair,
        started_hour,
        count(*) as contacts
    from contacts
    group by started_date, pair, started_hour

),

squares as (

    select
        started_date,
        pair,
        cast(sum(contacts * contacts) as double) as sum_of_squares
    from contacts_by_hour
    group by started_date, pair

),

joined as (

    select
        pairs.*,
        deviations.gap_mad,
        deviations.size_mad,
        squares.sum_of_squares
    from pairs
    inner join deviations
        on pairs.started_date = deviations.started_date and pairs.pair = deviations.pair
    inner join squares
        on pairs.started_date = squares.started_date and pairs.pair = squares.pair

),

{# The part of the hours is 1 less the coefficient of variation of the contacts in an
   hour. #}
scored as (

    select
        *,
        {{ vpc_flow_logs.regularity('gap') }} as gap_score,
        {{ vpc_flow_logs.regularity('size') }} as size_score,
        greatest(
            1 - sqrt(
                greatest(sum_of_squares * hours / (contacts * contacts) - 1, 0)
            ),
            0
        ) as hour_score,
        {{ dbt.datediff(
            'first_seen_at', 'last_seen_at', 'second'
        ) }} as seconds
    from joined

),

summed as (

    select
        *,
        cast(
            floor(
                25 * (
                    gap_score + size_score + hour_score
                    + least(seconds / 43200.0, 1)
                )
            ) as bigint
        ) as score
    from scored

)

select
    started_date,
    client_addr as entity,
    server_addr as peer,
    server_port as port,
    protocol,
    score as observed,
    records,
    bytes,
    first_seen_at,
    last_seen_at,
    has_tcp_flags,
    has_flow_direction
from summed
where
    score >= {{ vpc_flow_logs.threshold('beacon') }}
    {# Contacts at random score 0.5. #}
    and gap_score >= 0.7
    {# The connections of one visit to a web site are seconds apart. #}
    and gap_q2 >= 30
