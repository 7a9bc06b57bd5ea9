"""How many rows the rollups have for each record: `python -m bench.rollup_rows`.

It builds the rollups of one day, and what detections keep of them, on samples of few
and of many peers. It writes the figures that `bench.snowflake_cost` computes with.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import duckdb

from .jobs import Jobs, Sample
from .measuring import aside
from .snowflake_cost import COUNTS

MILLION = 1_000_000
ROLLUPS = [f"+path:models/intermediate/{name}" for name in ("traffic", "detections")]


def rows_for_each_record(database: Path) -> dict[str, float]:
    """Return the rows of each rollup of a built database by its records."""
    with duckdb.connect(str(database), read_only=True) as connection:

        def count(table: str) -> int:
            ((rows,),) = connection.sql(f"select count(*) from {table}").fetchall()
            return int(rows)

        names = connection.sql(
            "select table_name from duckdb_tables() where"
            " regexp_matches(table_name, '^int_(traffic|detections)__') order by 1"
        ).fetchall()
        records = count("landing.flow_logs")
        return {name: float(f"{count(name) / records:.2g}") for (name,) in names}


def measured(sample: Sample) -> dict[str, float]:
    """Write a sample, build its rollups and return their rows by its records."""
    with tempfile.TemporaryDirectory() as scratch:
        jobs = Jobs(Path(scratch), sample, 1, is_small=False)
        jobs.new_database("logs")
        jobs.stage_and(jobs.folder, "run", "--select", *ROLLUPS)
        rows: dict[str, float] = aside(rows_for_each_record, jobs.database("logs"))
    return rows


def main() -> None:
    """Measure all samples and write the figures."""
    figures = json.loads(COUNTS.read_text())
    for has_many in (False, True):
        for millions in map(int, sys.argv[1:] or ("1", "10")):
            sample = Sample("", millions * MILLION, 1, 10, has_many_peers=has_many)
            peers = "many peers" if has_many else "few peers"
            of_kind = figures.setdefault("rollup_rows_now", {}).setdefault(peers, {})
            of_kind[f"{millions} M"] = measured(sample)
            print(peers, millions, of_kind[f"{millions} M"], flush=True)
    COUNTS.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
