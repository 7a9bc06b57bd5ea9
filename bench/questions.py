"""The quickstarts' four questions in plain SQL, over records under AWS's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

TOP_TALKERS = """
select
    {key},
    sum(bytes)::bigint as total_bytes,
    sum(packets)::bigint as total_packets,
    count(*) as records
from {relation}
where action = 'ACCEPT' and {key} != '-' and bytes is not null
    and started_at >= $as_of::date - $lookback_days
    and started_at < $as_of::date + 1
group by all
order by total_bytes desc, {key}
limit $top_n
"""

# RFC 1918 on our side, anything else on the other; `admin_exposure` tests more.
EXPOSURE = """
with ends as (
    select dstaddr as ours, srcaddr as theirs, dstport as port, *
    from {relation}
    where dstport in (22, 3389)
    union all
    select srcaddr as ours, dstaddr as theirs, srcport as port, *
    from {relation}
    where srcport in (22, 3389)
)
select
    ours, theirs, port, protocol, count(*), sum(bytes), min(started_at), max(started_at)
from ends
where action = 'ACCEPT'
    and regexp_matches(ours, '^(10|192\\.168|172\\.(1[6-9]|2[0-9]|3[01]))\\.')
    and not regexp_matches(theirs, '^(10|192\\.168|172\\.(1[6-9]|2[0-9]|3[01]))\\.')
    and started_at >= $as_of::date - $lookback_days
    and started_at < $as_of::date + 1
group by all
"""


def answer(
    connection: duckdb.DuckDBPyConnection, relation: str, window: Sequence[str]
) -> dict[str, list[list[Any]]]:
    """Answer the four questions.

    Args:
        connection: A database that has the relation.
        relation: Records under AWS's names, with `started_at` as a timestamp.
        window: A UTC date, the days before it, and the rows to return, as text.

    Returns:
        The rows about talkers by mart, each after its rank.
    """
    as_of, lookback_days, top_n = window
    days = {"as_of": as_of, "lookback_days": int(lookback_days)}
    answers = {}
    for kind, key in (
        ("destination", "dstaddr"),
        ("source", "srcaddr"),
        ("interface", "interface_id"),
    ):
        rows = connection.execute(
            TOP_TALKERS.format(relation=relation, key=key), days | {"top_n": int(top_n)}
        ).fetchall()
        answers[f"top_talkers_by_{kind}"] = [
            [rank, *row] for rank, row in enumerate(rows, 1)
        ]
    connection.execute(EXPOSURE.format(relation=relation), days).fetchall()
    return answers
