"""The main job in plain DuckDB SQL, as well as we can write it.

One typed table that keeps every column and each record's file and row, and the four
questions straight on it. It has no load history, no quarantine, no increments and no
tests: it is what the rest is measured against.
"""

import json
import sys

import duckdb

LOAD = """
create table flow_logs as
select
    * exclude ("start", "end"),
    make_timestamp("start" * 1000000) as started_at,
    make_timestamp("end" * 1000000) as ended_at
from read_parquet($files, union_by_name = true, hive_partitioning = false,
    filename = true, file_row_number = true)
"""

TOP_TALKERS = """
select
    row_number() over (order by total_bytes desc, {key}) as rank,
    *
from (
    select
        {key},
        sum(bytes)::bigint as total_bytes,
        sum(packets)::bigint as total_packets,
        count(*) as records
    from flow_logs
    where action = 'ACCEPT' and {key} != '-' and bytes is not null
        and started_at >= $as_of::date - $lookback_days
        and started_at < $as_of::date + 1
    group by all
)
qualify rank <= $top_n
order by rank
"""

# Which addresses are ours and which are public, by integer arithmetic. IPv6 addresses
# are not ours here, and none of them is next to one of ours.
EXPOSURE = """
with flows as (
    select dstaddr as internal_addr, srcaddr as external_addr, dstport as port,
        protocol, 'request' as direction, started_at, bytes
    from flow_logs
    where action = 'ACCEPT'
        and (dstport = 22 and protocol = 6 or dstport = 3389 and protocol in (6, 17))
        and (dstport < 1024 or srcport >= 1024 and coalesce(tcp_flags & 18 != 18, true))
        and started_at >= $as_of::date - $lookback_days
        and started_at < $as_of::date + 1
    union all
    select srcaddr, dstaddr, srcport, protocol, 'reply', started_at, bytes
    from flow_logs
    where action = 'ACCEPT'
        and (srcport = 22 and protocol = 6 or srcport = 3389 and protocol in (6, 17))
        and started_at >= $as_of::date - $lookback_days
        and started_at < $as_of::date + 1
),
pairs as (
    select internal_addr, external_addr, port, protocol,
        case when count(distinct direction) = 2 then 'both' else min(direction) end
            as evidence,
        min(started_at)::varchar as first_seen_at,
        max(started_at)::varchar as last_seen_at,
        count(*) as records,
        sum(bytes)::bigint as bytes
    from flows
    group by all
    having evidence != 'reply' or port < 1024
),
numbers as (
    select *,
        [split_part(internal_addr, '.', i)::bigint for i in [1, 2, 3, 4]] as ours,
        [split_part(external_addr, '.', i)::bigint for i in [1, 2, 3, 4]] as theirs
    from pairs
    where internal_addr like '%.%' and external_addr like '%.%'
)
select * exclude (ours, theirs)
from numbers
where (ours[1] = 10 or ours[1:2] = [192, 168] or ours[1] = 172 and ours[2] // 16 = 1)
    and not (
        theirs[1] in (0, 10, 127) or theirs[1] >= 224 or theirs[1:2] = [192, 168]
        or theirs[1] = 172 and theirs[2] // 16 = 1 or theirs[1:2] = [169, 254]
        or theirs[1] = 100 and theirs[2] // 64 = 1
        or theirs[1] = 198 and theirs[2] in (18, 19)
        or theirs[1:3] in ([192, 0, 0], [192, 0, 2], [192, 88, 99], [198, 51, 100],
            [203, 0, 113])
    )
order by internal_addr, external_addr, port, protocol
"""


def main() -> None:
    """Load the folder into a database and print the four answers as JSON.

    Arguments on the command line: the folder, the database, and the truth file's
    `as_of`, `lookback_days` and `top_n`.
    """
    folder, database, as_of, lookback_days, top_n = sys.argv[1:]
    connection = duckdb.connect(database)
    connection.execute("set preserve_insertion_order = false")
    connection.execute(LOAD, {"files": f"{folder}/**/*.parquet"})

    window = {"as_of": as_of, "lookback_days": int(lookback_days)}
    answers = {"admin_exposure": rows(connection, EXPOSURE, window)}
    for kind, key in (
        ("destination", "dstaddr"),
        ("source", "srcaddr"),
        ("interface", "interface_id"),
    ):
        question = TOP_TALKERS.format(key=key)
        parameters = window | {"top_n": int(top_n)}
        answers[f"top_talkers_by_{kind}"] = rows(connection, question, parameters)
    connection.close()
    print(json.dumps(answers))


def rows(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, object]
) -> list[dict[str, object]]:
    """Return a query's rows as the truth file writes them."""
    result = connection.execute(sql, parameters)
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


if __name__ == "__main__":
    main()
