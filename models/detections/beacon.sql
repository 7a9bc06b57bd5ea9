{# A host of ours contacts a public address in regular gaps and with regular sizes, as
   RITA scores it: the mean of four parts between 0 and 1, for the gaps, the sizes, the
   hours and the duration. https://github.com/activecm/rita #}

{% set pair = 'started_date, client_addr, server_addr, server_port, protocol' %}
{% set parts = ['gap', 'size'] %}

with

contacts as (

    select
        *,
        bytes as size,
        extract(hour from started_at) as started_hour,
        nullif(
            {{ dbt.datediff(
                'lag(started_at) over (partition by ' ~ pair
                ~ ' order by started_at, client_port)',
                'started_at',
                'second'
            ) }},
            0
        ) as gap
    from {{ ref('vpc_flow_logs', 'int_detections__contacts') }}
    where client_addr is not null

),

pairs as (

    select
        {{ pair }},
        count(*) as contacts,
        {% for part in parts %}
            {% for quarter in [1, 2, 3] %}
                percentile_cont({{ quarter / 4 }}) within group (order by {{ part }})
                    as {{ part }}_q{{ quarter }},
            {% endfor %}
        {% endfor %}
        max(started_hour) - min(started_hour) + 1 as hours,
        cast({{ dbt.datediff('min(started_at)', 'max(started_at)', 'second') }} as double)
            as seconds,
        {{ vpc_flow_logs.contact_measures() }}
    from contacts
    group by {{ pair }}
    having count(*) >= 20

),

{# The median absolute deviation (MAD) of each. #}
deviations as (

    select
        {% for column in pair.split(', ') %}
            contacts.{{ column }},
        {% endfor %}
        {% for part in parts %}
            median(abs(contacts.{{ part }} - pairs.{{ part }}_q2)) as {{ part }}_mad
            {{- ',' if not loop.last }}
        {% endfor %}
    from contacts
    inner join pairs
        on
            {% for column in pair.split(', ') %}
                {{ 'and ' if not loop.first }}contacts.{{ column }} = pairs.{{ column }}
            {% endfor %}
    group by {% for column in pair.split(', ') -%}
        contacts.{{ column }}{{ ', ' if not loop.last }}
    {%- endfor %}

),

hours as (

    select
        {{ pair }},
        started_hour,
        count(*) as contacts
    from contacts
    group by {{ pair }}, started_hour

),

squares as (

    select
        {{ pair }},
        sum(contacts * contacts) as squares
    from hours
    group by {{ pair }}

),

{# A part of quartiles is the mean of 1 - |Bowley's skewness| and of
   (median - MAD) / median. The part of the hours is 1 less the coefficient of variation
   of the contacts in an hour. #}
scored as (

    select
        pairs.*,
        {% for part in parts %}
            (
                1
                - case
                    when {{ part }}_q2 in ({{ part }}_q1, {{ part }}_q3) then 0
                    else
                        abs({{ part }}_q1 + {{ part }}_q3 - 2 * {{ part }}_q2)
                        / ({{ part }}_q3 - {{ part }}_q1)
                end
                + greatest(
                    coalesce(
                        ({{ part }}_q2 - {{ part }}_mad) / nullif({{ part }}_q2, 0), 0
                    ),
                    0
                )
            ) / 2 as {{ part }}_score,
        {% endfor %}
        greatest(
            1 - sqrt(
                greatest(
                    cast(squares.squares as double) * pairs.hours
                    / (pairs.contacts * pairs.contacts)
                    - 1,
                    0
                )
            ),
            0
        ) as hour_score,
        least(pairs.seconds / (12 * 3600), 1) as duration_score
    from pairs
    {% for other in ['deviations', 'squares'] %}
        inner join {{ other }}
            on
                {% for column in pair.split(', ') %}
                    {{ 'and ' if not loop.first -}}
                    pairs.{{ column }} = {{ other }}.{{ column }}
                {% endfor %}
    {% endfor %}

),

judged as (

    select
        *,
        cast(
            floor(
                25 * (gap_score + size_score + hour_score + duration_score)
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
from judged
where
    score >= {{ vpc_flow_logs.threshold('beacon') }}
    {# Contacts at random score 0.5. #}
    and gap_score >= 0.7
    {# The connections of one visit to a web site are seconds apart. #}
    and gap_q2 >= 30
