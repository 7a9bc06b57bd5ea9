"""Plain DuckDB SQL for the quickstarts' four questions, as an expert writes it.

`python -m bench.plain DATABASE FILES AS_OF LOOKBACK_DAYS TOP_N` loads the files, a
glob, into one typed table with one statement: it creates the table, or appends. Then it
answers the questions from the table, and prints the answers about talkers as JSON. It
has no load history, quarantine, tests or connections.
"""

from __future__ import annotations

import json
import sys

import duckdb

from .questions import answer

LOAD = """
select
    * exclude ("start", "end"),
    make_timestamp("start" * 1000000) as started_at,
    make_timestamp("end" * 1000000) as ended_at
from read_parquet($files, union_by_name = true, hive_partitioning = false)
"""


def main() -> None:
    """Load the files, answer the four questions, print the answers about talkers."""
    database, files, *window = sys.argv[1:]
    connection = duckdb.connect(
        database, config={"storage_compatibility_version": "v1.5.0"}
    )
    connection.execute("set preserve_insertion_order = false; set timezone = 'UTC'")
    is_new = not connection.execute("from duckdb_tables()").fetchall()
    verb = "create table flow_logs as" if is_new else "insert into flow_logs by name"
    connection.execute(f"{verb} {LOAD}", {"files": files})
    print(json.dumps(answer(connection, "flow_logs", window)))
    connection.close()


if __name__ == "__main__":
    main()
