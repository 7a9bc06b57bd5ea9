"""The shape of the quickstarts: a column of JSON, a casting view, queries over it.

`python -m bench.quickstart FOLDER DATABASE AS_OF LOOKBACK_DAYS TOP_N` loads the folder,
answers the four questions and prints the three answers about talkers as JSON, in the
form of the truth file. With `--over` instead of the folder, it asks the project's typed
view in a built database.
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
    folder, database, as_of, lookback_days, top_n = sys.argv[1:]
    is_built = folder == "--over"
    connection = duckdb.connect(database, read_only=is_built)
    connection.execute("set preserve_insertion_order = false")
    relation = "stg_vpc_flow__flow_logs" if is_built else "typed"
    if not is_built:
        connection.execute(LOAD, {"files": f"{folder}/**/*.parquet"})
        connection.execute(TYPED)
    window = {
        "as_of": as_of,
        "lookback_days": int(lookback_days),
        "top_n": int(top_n),
    }
    answers = answer(connection, relation, window)
    connection.close()
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
