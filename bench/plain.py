"""The main job in plain DuckDB SQL, with which the benchmark compares dbt.

One statement loads every column of all files into one typed table; then the script runs
each model's statement by itself. There is no load history beyond one entry a file, no
batch, no quarantine, no test and no dbt.

Usage: `python -m bench.plain STEPS`; STEPS is a JSON file with the fields of `Steps`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TypedDict

import duckdb

# The sample's `future_field` is the one column that no model has.
LANDED = """
select
    * exclude ("start", "end" {unknown}, filename, file_row_number),
    make_timestamp("start" * 1000000) as "start",
    make_timestamp("end" * 1000000) as "end",
    substr(filename, {folder_length}) as metadata_filename,
    file_row_number + 1 as metadata_file_row_number,
    timestamp '{copied_at}' as metadata_file_last_modified,
    timestamp '{copied_at}' as _dbt_copied_at,
    {unknown_fields} as unknown_fields
from read_parquet($files, union_by_name = true, hive_partitioning = false,
    filename = true, file_row_number = true)
"""

HISTORY = """
select
    metadata_filename,
    '' as location,
    0::bigint as size_bytes,
    _dbt_copied_at as last_modified_at,
    count(*) as records,
    _dbt_copied_at as loaded_at,
    'loaded' as status,
    null::varchar as error
from landing.flow_logs
where _dbt_copied_at = $copied_at
group by all
"""


class Model(TypedDict):
    """A model as dbt ran it: name, compiled query, materialization and key."""

    name: str
    sql: str
    materialized: str
    unique_key: list[str]


class Steps(TypedDict):
    """What to run in which database.

    The script loads `files`, a glob, under the time `copied_at`, and then runs the
    `models`. If `is_first`, it creates everything; else it appends the files, and
    replaces the rows of incremental models whose key the query returns again.
    """

    database: str
    settings: dict[str, str]
    config: dict[str, str]
    folder: str
    files: str
    copied_at: str
    is_first: bool
    models: list[Model]


def main() -> None:
    """Run the steps in the file that the one argument names."""
    steps: Steps = json.loads(Path(sys.argv[1]).read_text())
    connection = duckdb.connect(steps["database"], config=dict(steps["config"]))
    for name, value in steps["settings"].items():
        connection.execute(f"set {name} = '{value}'")
    # As in the models' hooks; else the larger rollups run out of memory.
    connection.execute("set debug_force_external = true")
    if steps["files"]:
        load(connection, steps)
    for model in steps["models"]:
        run(connection, model, steps["is_first"])
    connection.close()


def load(connection: duckdb.DuckDBPyConnection, steps: Steps) -> None:
    """Load the files into `landing.flow_logs`, and name them in the history."""
    described = connection.execute(
        "describe from read_parquet($files, union_by_name = true)",
        {"files": steps["files"]},
    )
    is_new = "future_field" in [name for name, *_ in described.fetchall()]
    landed = LANDED.format(
        unknown=", future_field" if is_new else "",
        unknown_fields=(
            "case when future_field is not null"
            " then map {'future_field': future_field} end"
            if is_new
            else "null::map(varchar, varchar)"
        ),
        folder_length=len(steps["folder"]) + 2,
        copied_at=steps["copied_at"],
    )
    create = "create schema landing; create table landing.{} as "
    append = "insert into landing.{} by name "
    verb = create if steps["is_first"] else append
    connection.execute(verb.format("flow_logs") + landed, {"files": steps["files"]})
    verb = verb.removeprefix("create schema landing; ")
    connection.execute(
        verb.format("load_history") + HISTORY, {"copied_at": steps["copied_at"]}
    )


def run(connection: duckdb.DuckDBPyConnection, model: Model, is_first: bool) -> None:
    """Create a model's relation, or update it."""
    name, sql = model["name"], model["sql"]
    if model["materialized"] == "view":
        connection.execute(f"create or replace view {name} as {sql}")
    elif model["materialized"] == "table" or is_first:
        connection.execute(f"create or replace table {name} as {sql}")
        if model["unique_key"] == ["started_date"]:
            # As in macros/incremental.sql.
            connection.execute("set debug_force_external = false")
            connection.execute(
                f"create or replace table {name} as from {name} order by started_date"
            )
            connection.execute("set debug_force_external = true")
            connection.execute("checkpoint")
    else:
        key = ", ".join(model["unique_key"])
        connection.execute(f"create temporary table fresh as {sql}")
        connection.begin()
        connection.execute(
            f"delete from {name} where ({key}) in (select ({key}) from fresh)"
        )
        connection.execute(f"insert into {name} by name from fresh")
        connection.commit()
        connection.execute("drop table fresh")


if __name__ == "__main__":
    main()
