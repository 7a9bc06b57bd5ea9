"""The model of what Snowflake costs: its counts are measured, its tables computed."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
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
from .test_snowflake_builds import LARGE, large_relations_read

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


@dataclass
class ScheduledRun:
    """A run in which one new file has come, and what its statements were."""

    project: SnowflakeProject
    #: The statements that created the views.
    created: list[str]
    statements: list[str]
    #: Columns of the files.
    columns: int


@pytest.fixture(scope="module")
def scheduled_run(snowflake: SnowflakeProject, small: Path) -> ScheduledRun:
    bucket = Bucket(snowflake, small)
    stand_in, files = snowflake.stand_in, bucket.files
    bucket.put(*files[:-1])
    snowflake.stage()
    stand_in.clear_log()
    snowflake.dbt("run", **AS_OF)
    snowflake.dbt("run", **AS_OF)
    created = list(stand_in.statements())
    bucket.announce(files[-1])
    stand_in.clear_log()
    snowflake.dbt("run", **AS_OF)
    columns = len(pq.read_schema(files[-1]).names)
    return ScheduledRun(snowflake, created, list(stand_in.statements()), columns)


def counted(run: ScheduledRun) -> dict[str, float]:
    """Reads and writes of the statements, as the model has them."""
    reader = Reader(run.created + run.statements)
    found: Counter[tuple[str, str]] = Counter()
    written = fields = compared = 0
    for text in run.statements:
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

    tables = run.project.query(
        "select table_name, row_count from flow.information_schema.tables"
        " where table_type = 'BASE TABLE' and table_schema = 'ANALYTICS'"
    )
    rollups = {
        name.lower(): rows for name, rows in tables if name.lower().startswith(ROLLUPS)
    }
    shown = run.project.stand_in.rows("show tables in schema flow.analytics")
    kinds = {row["kind"] for row in shown if row["name"].lower() in rollups}
    print(sorted(found.items()))

    def weighed(kind: str) -> float:
        """Reads of a rollup, by the rows of each."""
        rows = sum(of(name, kind) * rows for name, rows in rollups.items())
        return round(rows / sum(rollups.values()), 1)

    return {
        "landing_reads": of("flow_logs", "new"),
        "overlap": 1,
        "unknown_fields": fields * run.columns,
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


def test_the_counts_are_those_of_a_scheduled_run(scheduled_run: ScheduledRun) -> None:
    assert_counts(counted(scheduled_run))


#: What a scan is bounded by, the narrowest first, and how that shows in its conditions.
BOUNDS = {
    "new": r"\b(loaded_at|_dbt_copied_at|row_last_commit_time) > to_timestamp",
    "hours": r"date_trunc\('hour', started_at\) in",
    "days": r"\bstarted_at >= to_timestamp",
}


def scans(text: str) -> Iterator[tuple[str, str]]:
    """Each large relation that a statement reads, with what bounds the rows."""
    if not large_relations_read(text):
        return
    for table in sqlglot.parse_one(text, read="snowflake").find_all(exp.Table):
        reader = table.find_ancestor(exp.Select, exp.Merge)
        bound = reader and (reader.args.get("where") or reader.args.get("on"))
        if table.db and table.name.lower() in LARGE and bound:
            conditions = bound.sql("snowflake")
            kinds = [
                kind for kind in BOUNDS if re.search(BOUNDS[kind], conditions, re.I)
            ]
            yield table.name.lower(), kinds[0]


def test_a_scheduled_run_reads_in_proportion_to_what_is_new(
    scheduled_run: ScheduledRun,
) -> None:
    """All statements of one run: landing is read by one, and only what is new.

    docs/snowflake.md has these figures.
    """
    found = Counter(scan for text in scheduled_run.statements for scan in scans(text))
    print(len(scheduled_run.statements), found)
    assert found == {
        ("stg_vpc_flow__flow_logs", "new"): 1,
        ("flow_records", "new"): 10,
        ("flow_records", "hours"): 1,
        ("flow_records", "days"): 4,
    }


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
