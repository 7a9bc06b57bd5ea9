"""The model of what Snowflake costs: its counts are measured, its tables computed."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlglot
from sqlglot import exp

from bench import snowflake_cost
from bench.peers import write_many_peers
from bench.rollup_rows import rows_for_each_record

from .conftest import AS_OF, END_DATE, Project, beside
from .snowflake_project import Bucket, SnowflakeProject
from .test_snowflake_builds import LARGE, large_relations_read

LOADED = r"\b(loaded_at|loaded_through(_at)?|_dbt_copied_at|row_last_commit_time)\b"
STARTED = r"\bstarted_(at|date)\b"
SETTINGS = r"select distinct buil"
#: What bounds a read to what a run changes, the narrowest first.
TOUCHED = ["new", "hours", "touched"]
HOUR = r"date_trunc\('hour', started_at\) in"
DAY = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}")
#: Rollups, and what detections keep of them.
ROLLUPS = re.compile("int_(traffic|detections)__")
#: Statements that write records: dbt may write them to a table of its own first.
RECORDS = {"flow_records", "flow_records__dbt_tmp", "int_records__unread"}


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
        self, parsed: exp.Expression, outer: str | int = "unbounded"
    ) -> Iterator[tuple[str, str | int]]:
        """Each table that is read, with what bounds the rows that are read of it.

        A condition on a view also bounds what the view reads without one of its own.
        """
        target = parsed.this if isinstance(parsed, exp.Insert | exp.Create) else None
        for table in parsed.find_all(exp.Table):
            reader = table.find_ancestor(exp.Select, exp.Merge, exp.Delete)
            if not table.db or reader is None or table is target or is_maximum(reader):
                continue
            name = table.name.lower()
            bound = reader.args.get("where") or reader.args.get("on")
            compared = exp.GT, exp.GTE, exp.In, exp.Between, exp.EQ
            bounds = [
                bound_of(part.sql("snowflake").lower())
                for part in (bound.find_all(*compared) if bound else ())
                if isinstance(reader, exp.Merge) or not part.find_ancestor(exp.Or)
            ]
            narrowest = min(filter(None, bounds), default=outer, key=rank)
            if name in self.views:
                yield from self.reads(self.views[name], narrowest)
            else:
                yield name, narrowest


def is_maximum(select: exp.Expression) -> bool:
    """Whether a query is of the maximum of a column, which is kept beside a table."""
    return (
        isinstance(select, exp.Select)
        and not select.args.get("where")
        and all(each.find(exp.Max) for each in select.expressions)
    )


def bound_of(condition: str) -> str | int | None:
    """What a condition bounds a read by: what is new, touched hours or days, or days.

    Days are counted to the last one. The touched days of one new file are few.
    """
    if re.search(LOADED, condition):
        return "new"
    if not re.search(STARTED, condition) or not DAY.search(condition):
        return None
    if re.search(HOUR, condition):
        return "hours"
    first = min(map(date.fromisoformat, DAY.findall(condition)))
    days = (END_DATE - first).days + 1
    return "touched" if days <= 7 else days


def rank(bound: str | int) -> int:
    """The order of bounds, the narrowest first."""
    return bound if isinstance(bound, int) else TOUCHED.index(bound)


def days_of(bound: str | int) -> int:
    """How many days of a rollup a read has."""
    if isinstance(bound, int):
        return bound
    return 1 if bound in TOUCHED else snowflake_cost.HISTORY_DAYS


@dataclass
class ScheduledRun:
    """A run in which one new file has come, and what its statements were."""

    project: SnowflakeProject
    #: The statements that created the views.
    created: list[str]
    statements: list[str]
    #: Columns of the files.
    columns: int
    #: Models that a run may leave out.
    window_marts: set[str]


@pytest.fixture(scope="module")
def scheduled_run(snowflake: SnowflakeProject, small: Path) -> ScheduledRun:
    bucket = Bucket(snowflake, small)
    stand_in, files = snowflake.stand_in, bucket.files
    bucket.put(*files[:-1])
    # Without these some models read nothing.
    for name, lines in (
        ("inventory", "inventory_rows"),
        ("enrichment", "enrichment_lines"),
    ):
        folder = beside(small, name)
        for file in folder.rglob("*.*"):
            key = f"_{name}/{file.relative_to(folder)}"
            snowflake.s3.upload_file(str(file), bucket.name, key)
        snowflake.stage_lines(f"{bucket.url}_{name}/", lines)
    stand_in.clear_log()
    snowflake.dbt("run", **AS_OF)
    snowflake.dbt("run", **AS_OF)
    created = list(stand_in.statements())
    bucket.announce(files[-1])
    stand_in.clear_log()
    snowflake.dbt("run", **AS_OF)
    columns = len(pq.read_schema(files[-1]).names)
    nodes = snowflake.manifest.nodes.values()
    marts = {node.name for node in nodes if "window_marts" in node.tags}
    return ScheduledRun(snowflake, created, list(stand_in.statements()), columns, marts)


def counted(run: ScheduledRun) -> dict[str, Any]:
    """Reads and writes of the statements, as the model has them."""
    reader = Reader(run.created + run.statements)
    records: Counter[tuple[str, str | int]] = Counter()
    rollups: dict[str, Counter[str]] = {}
    records_written = fields = compared = 0
    for text in run.statements:
        # Of what is created, dbt looks at the columns first.
        if not re.match(r"(create|insert|merge|select|with)\b", text.strip().lower()):
            continue
        if re.search(r"where false\s+limit 0", text):
            continue
        parsed = sqlglot.parse_one(text, read="snowflake")
        if isinstance(parsed, exp.Create) and parsed.kind != "TABLE":
            continue
        reads = list(reader.reads(parsed))
        records.update(reads)
        is_query = isinstance(parsed, exp.Query)
        target = "" if is_query else parsed.this.find(exp.Table).name.lower()
        print(target or text[:60], reads)
        if ROLLUPS.match(target):
            # dbt may write the rows to a table of its own first.
            rollup = target.removesuffix("__dbt_tmp")
            rollups.setdefault(rollup, Counter())["written"] += 1
        records_written += target in RECORDS
        fields += ("flow_logs", "new") in reads and "flatten" in text.lower()
        # Which rows are the same record: a sort of all, and a MERGE.
        is_sorted = re.search(r"row_number\(\) over \(\s*partition by metadata_f", text)
        compared += ("flow_logs", "new") in reads and bool(is_sorted)
        compared += target == "flow_records" and isinstance(parsed, exp.Merge)
        for name, bound in reads:
            if not ROLLUPS.match(name) or name.endswith("__dbt_tmp"):
                continue
            kind = "window"
            if bound == "new" and name == target:
                # Whether another run has counted a day as far.
                kind = "load_times"
            elif bound in TOUCHED:
                kind = "touched"
            elif target == "int_detections__days" or re.match(SETTINGS, text.strip()):
                kind = "load_times"
            elif target in run.window_marts:
                kind = "window_marts"
            of_name = rollups.setdefault(name, Counter())
            of_name[kind] += days_of(bound)

    shown = run.project.stand_in.rows("show tables in schema flow.analytics")
    kinds = {row["kind"] for row in shown if row["name"].lower() in rollups}
    return {
        "landing_reads": records["flow_logs", "new"],
        "overlap": 1,
        "records_written": records_written,
        "unknown_fields": fields * run.columns,
        "compared": compared,
        "record_reads": records["flow_records", "new"],
        "record_hours": records["flow_records", "hours"],
        "record_days": records["flow_records", "touched"],
        "rollup_days": {name: dict(rollups[name]) for name in sorted(rollups)},
        "fail_safe_days": 0 if kinds == {"TRANSIENT"} else 7,
    }


def assert_counts(measured: dict[str, Any], *place: str) -> None:
    """Compare with what the file has at a place; UPDATE_COUNTS=1 writes it."""
    kept = snowflake_cost.read_counts()
    at = kept
    for name in place:
        at = at[name]
    if os.environ.get("UPDATE_COUNTS"):
        at.clear()
        at |= measured
        snowflake_cost.COUNTS.write_text(json.dumps(kept, indent=2) + "\n")
    assert at == measured


@pytest.mark.long
def test_the_counts_are_those_of_a_scheduled_run(scheduled_run: ScheduledRun) -> None:
    assert_counts(counted(scheduled_run), "now")


#: What a scan is bounded by, the narrowest first, and how that shows in its conditions.
BOUNDS = {
    "new": r"\b(loaded_at|_dbt_copied_at|row_last_commit_time) > to_timestamp",
    "hours": HOUR,
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


@pytest.mark.long
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
        ("flow_records", "new"): 6,
        ("flow_records", "hours"): 1,
        ("flow_records", "days"): 3,
    }


def test_the_rollups_have_as_many_rows_as_counted(
    new_project: Callable[[Path], Project], tmp_path: Path
) -> None:
    """A day of many peers: a third of the records is between addresses seen once."""
    write_many_peers(tmp_path / "logs", END_DATE, 1, 200_000, 4)
    project = new_project(tmp_path / "logs")
    project.stage()
    project.dbt("run", "--select", "+path:models/intermediate/traffic", **AS_OF)
    rows = rows_for_each_record(project.database)
    assert_counts(rows, "rollup_rows_now", "many peers", "0.2 M")


def test_the_document_has_the_computed_tables() -> None:
    text = snowflake_cost.DOCUMENT.read_text()
    assert text == snowflake_cost.filled(text)
    for made in snowflake_cost.tables().values():
        assert made in text
