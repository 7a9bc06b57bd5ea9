"""The model of what Snowflake costs: its counts are measured, its tables computed."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlglot
from sqlglot import exp

from bench import snowflake_cost
from bench.peers import write_many_peers

from .conftest import AS_OF, END_DATE, Project
from .snowflake_project import Bucket, SnowflakeProject

LOADED = r"\b(loaded_at|loaded_through_at|row_last_commit_time)\b"
STARTED = r"\bstarted_(at|date)\b"
ROLLUPS = "int_traffic__"


class Reader:
    """The reads of tables in statements, through views.

    Args:
        statements: What created the views.
    """

    def __init__(self, statements: list[str]) -> None:
        self.views: dict[str, exp.Expression] = {}
        for text in statements:
            if " view " in text[:300].lower():
                made = sqlglot.parse_one(text, read="snowflake")
                if isinstance(made, exp.Create) and made.kind == "VIEW":
                    view = made.this.find(exp.Table)
                    self.views[view.name.lower()] = made.expression

    def reads(
        self, parsed: exp.Expression, outer: tuple[str, ...] = ()
    ) -> Iterator[tuple[str, str]]:
        """Each table that is read, with what bounds the rows that are read of it."""
        target = parsed.this if isinstance(parsed, exp.Insert | exp.Create) else None
        for table in parsed.find_all(exp.Table):
            reader = table.find_ancestor(exp.Select, exp.Merge, exp.Delete)
            if not table.db or reader is None or table is target:
                continue
            name = table.name.lower()
            bound = reader.args.get("where") or reader.args.get("on")
            compared = exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Between, exp.EQ
            bounds = outer + tuple(
                part.sql("snowflake").lower()
                for part in (bound.find_all(*compared) if bound else ())
                if not part.find_ancestor(exp.Or)
            )
            if name in self.views:
                yield from self.reads(self.views[name], bounds)
            else:
                yield name, kind_of(bounds)


def kind_of(bounds: tuple[str, ...]) -> str:
    """What a read is bounded by: what is new, touched days, or the window at most."""
    if any(re.search(LOADED, bound) for bound in bounds):
        return "new"
    days = [
        date.fromisoformat(day)
        for bound in bounds
        if re.search(STARTED, bound)
        for day in re.findall(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", bound)
    ]
    # The touched days of one new file are few.
    is_short = days and (max([*days, END_DATE]) - min(days)).days < 7
    return "touched" if is_short else "window"


def measured(bucket: Bucket) -> dict[str, float]:
    """Counts of a scheduled run in which one new file has come."""
    project, files = bucket.project, bucket.files
    bucket.put(*files[:-1])
    project.stage()
    project.stand_in.clear_log()
    project.dbt("run", **AS_OF)
    project.dbt("run", **AS_OF)
    created = list(project.stand_in.statements())
    bucket.announce(files[-1])
    project.stand_in.clear_log()
    project.dbt("run", **AS_OF)
    statements = list(project.stand_in.statements())
    reader = Reader(created + statements)
    columns = len(pq.read_schema(files[-1]).names)
    return counted(project, reader, statements, columns)


def counted(
    project: SnowflakeProject,
    reader: Reader,
    statements: list[str],
    columns: int,
) -> dict[str, float]:
    """Reads and writes of the statements, as the model has them."""
    found: Counter[tuple[str, str]] = Counter()
    written = fields = compared = 0
    for text in statements:
        if not re.match(r"\s*(create|insert|merge)\b", text, re.IGNORECASE):
            continue
        parsed = sqlglot.parse_one(text, read="snowflake")
        if isinstance(parsed, exp.Create) and parsed.kind != "TABLE":
            continue
        reads = list(reader.reads(parsed))
        found.update(reads)
        target = parsed.this.find(exp.Table).name.lower()
        written += target.startswith(ROLLUPS) and not target.endswith("__dbt_tmp")
        fields += ("flow_logs", "new") in reads and "flatten" in text.lower()
        compared += target == "flow_records" and isinstance(parsed, exp.Merge)

    def of(prefix: str, kind: str) -> int:
        return sum(
            reads
            for (name, how), reads in found.items()
            if name.startswith(prefix)
            and how == kind
            and not name.endswith("__dbt_tmp")
        )

    tables = project.query(
        "select table_name, row_count from flow.information_schema.tables"
        " where table_type = 'BASE TABLE' and table_schema = 'ANALYTICS'"
    )
    rollups = {
        name.lower(): rows for name, rows in tables if name.lower().startswith(ROLLUPS)
    }
    shown = project.stand_in.rows("show tables in schema flow.analytics")
    kinds = {row["kind"] for row in shown if row["name"].lower() in rollups}
    print(sorted(found.items()))

    def weighed(kind: str) -> float:
        """Reads of a rollup, by the rows of each."""
        rows = sum(of(name, kind) * rows for name, rows in rollups.items())
        return round(rows / sum(rollups.values()), 1)

    return {
        "landing_reads": of("flow_logs", "new"),
        "overlap": 1,
        "unknown_fields": fields * columns,
        "compared": compared,
        "record_reads": of("flow_records", "new"),
        "record_days": of("flow_records", "touched"),
        "rollup_days": weighed("touched"),
        "rollup_windows": weighed("window"),
        "rollups_written": round(written / len(rollups), 2),
        "fail_safe_days": 0 if kinds == {"TRANSIENT"} else 7,
    }


def assert_counts(measured: dict[str, float]) -> None:
    """Compare with the file; UPDATE_COUNTS=1 writes what was measured."""
    file = snowflake_cost.COUNTS
    if os.environ.get("UPDATE_COUNTS"):
        kept = json.loads(file.read_text())
        kept["now"] |= measured
        file.write_text(json.dumps(kept, indent=2) + "\n")
    now = asdict(snowflake_cost.counts()["now"])
    assert {name: now[name] for name in measured} == pytest.approx(measured, rel=0.1)


def test_the_counts_are_those_of_a_scheduled_run(bucket: Bucket) -> None:
    assert_counts(measured(bucket))


def test_the_rollups_have_as_many_rows_as_counted(
    new_project: Callable[[Path], Project], tmp_path: Path
) -> None:
    """A day of many peers: a third of the records is between addresses seen once."""
    write_many_peers(tmp_path / "logs", END_DATE, 1, 200_000, 4)
    project = new_project(tmp_path / "logs")
    project.stage()
    project.dbt("run", "--select", "+path:models/intermediate/traffic", **AS_OF)
    ((records,),) = project.query("select count(*) from flow_records")
    names = project.query(
        "select table_name from duckdb_tables() where table_name like 'int_traffic__%'"
    )
    rows = [project.query(f"select count(*) from {name}")[0][0] for (name,) in names]
    assert_counts({"rollup_rows": round(sum(rows) / records, 2)})


def test_the_document_has_the_computed_tables() -> None:
    text = snowflake_cost.DOCUMENT.read_text()
    assert text == snowflake_cost.filled(text)
    for made in snowflake_cost.tables().values():
        assert made in text
