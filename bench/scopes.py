"""What the scopes of addresses cost: both of every record, from the built models.

`python -m bench.scopes DATABASE SETTINGS COLUMN...` reads the columns of all records of
`flow_records`; SETTINGS are DuckDB's, as JSON. With `src_scope dst_scope` and with
`srcaddr dstaddr`, the difference is what the scopes cost.
"""

from __future__ import annotations

import json
import sys

import duckdb


def main() -> None:
    """Read the columns of every record, and keep nothing of them."""
    database, settings, *columns = sys.argv[1:]
    connection = duckdb.connect(database, read_only=True)
    for name, value in json.loads(settings).items():
        connection.execute(f"set {name} = '{value}'")
    newest = ", ".join(f"max({column})" for column in columns)
    connection.execute(f"select {newest} from flow_records").fetchall()


if __name__ == "__main__":
    main()
