"""The shape of the quickstarts: a column of JSON, a casting view, queries over it.

`python -m bench.quickstart FOLDER DATABASE AS_OF LOOKBACK_DAYS TOP_N` loads the folder,
answers the four questions and prints the three answers about talkers as JSON, in the
form of the truth file.
"""

from __future__ import annotations

import json
import sys

import duckdb

from .questions import answer

LOAD = """
create table flow_logs as
select to_json(records) as value, filename as metadata_filename
from read_parquet($files, union_by_name = true, hive_partitioning = false,
    filename = true) as records
"""

TYPED = """
create view typed as
select
    value ->> 'interface_id' as interface_id,
    value ->> 'srcaddr' as srcaddr,
    value ->> 'dstaddr' as dstaddr,
    (value ->> 'srcport')::int as srcport,
    (value ->> 'dstport')::int as dstport,
    (value ->> 'protocol')::int as protocol,
    (value ->> 'packets')::bigint as packets,
    (value ->> 'bytes')::bigint as bytes,
    make_timestamp((value ->> 'start')::bigint * 1000000) as started_at,
    value ->> 'action' as action
from flow_logs
"""


def main() -> None:
    """Load the folder, ask the four questions, print the answers about talkers."""
    folder, database, *window = sys.argv[1:]
    connection = duckdb.connect(database)
    connection.execute("set preserve_insertion_order = false")
    connection.execute(LOAD, {"files": f"{folder}/**/*.parquet"})
    connection.execute(TYPED)
    answers = answer(connection, "typed", window)
    connection.close()
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
