"""What trim_history removes, what it leaves, and what comes after it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from .conftest import END_DATE, Project, move_in_history
from .snowflake_project import RUN, Bucket, SnowflakeProject
from .test_main_job import MARTS
from .test_staging import write

WINDOW = {"as_of": END_DATE.isoformat(), "lookback_days": 1}
RETENTION = {"landing_retention_days": 2, "rollup_retention_days": 4}
LANDING_FROM = END_DATE - timedelta(days=2)
ROLLUPS_FROM = END_DATE - timedelta(days=4)
ROLLUPS = (
    "int_traffic__daily_endpoint_bytes",
    "int_traffic__daily_admin_flows",
    "int_traffic__daily_interfaces",
    "int_traffic__daily_flows",
)
CONFIRMED = ("--args", "{confirm: true}")

Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def project(copied: Project, sample: Path, tmp_path: Path) -> Project:
    """The built project and a folder of its own for more files."""
    shutil.copytree(sample / "AWSLogs", tmp_path / "logs" / "AWSLogs")
    move_in_history(copied, sample, tmp_path / "logs")
    return replace(copied, location=tmp_path / "logs")


def days_of(query: Query, relation: str, column: str) -> dict[date, int]:
    return dict(
        query(
            f"select cast({column} as date), count(*) from {relation}"
            f" group by cast({column} as date)"
        )
    )


def rollups(query: Query) -> dict[str, list[tuple[Any, ...]]]:
    columns = {
        ROLLUPS[0]: "started_date, talker_type, talker, bytes, packets, records",
        ROLLUPS[1]: "started_date, internal_addr, external_addr, port, records",
        ROLLUPS[2]: "started_date, flow_log_id, interface_id, records",
        ROLLUPS[3]: "started_date, client_addr, server_addr, client_bytes",
    }
    return {
        rollup: sorted(query(f"select {names} from {rollup}"), key=repr)
        for rollup, names in columns.items()
    }


def test_trimming_removes_whole_days_and_no_answer(
    project: Project, tmp_path: Path
) -> None:
    project.dbt("run", "--select", "path:models/marts", **WINDOW)
    marts = {mart: project.rows(mart, by) for mart, by in MARTS.items()}
    landed = days_of(project.query, "landing.flow_logs", '"start"')
    before = rollups(project.query)
    old = sum(count for day, count in landed.items() if day < LANDING_FROM)
    assert old
    assert min(landed) < ROLLUPS_FROM

    # Without confirmation it only prints what it would do.
    printed = project.dbt("run-operation", "trim_history", **WINDOW, **RETENTION)
    assert f'"flow_logs": {old} rows before {LANDING_FROM} would be removed' in printed
    assert "Nothing was removed" in printed
    assert days_of(project.query, "landing.flow_logs", '"start"') == landed

    project.dbt("run-operation", "trim_history", *CONFIRMED, **WINDOW, **RETENTION)
    assert days_of(project.query, "landing.flow_logs", '"start"') == {
        day: count for day, count in landed.items() if day >= LANDING_FROM
    }
    trimmed = {
        rollup: [row for row in rows if row[0] >= ROLLUPS_FROM]
        for rollup, rows in before.items()
    }
    assert rollups(project.query) == trimmed

    # Trimmed files are not loaded again.
    assert "Nothing new" in project.stage()

    # A late file has records of a trimmed day and of a kept one. The trimmed day's rows
    # stay as they are, since they count more than the late records.
    late = tmp_path / "logs/late.parquet"
    noons = [
        int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())
        for day in (LANDING_FROM - timedelta(days=1), END_DATE)
    ]
    write(
        late,
        srcaddr=["10.9.9.9"] * 2,
        action=["ACCEPT"] * 2,
        interface_id=["eni-late"] * 2,
        bytes=[7, 11],
        start=noons,
    )
    assert "1 loaded" in project.stage()
    printed = project.dbt("run", **WINDOW)
    left_alone = f"leaves trimmed days as they are: {LANDING_FROM - timedelta(days=1)}"
    for reads_records in ROLLUPS[1:4]:
        assert f"{reads_records} {left_alone}" in printed
    after = rollups(project.query)
    new = {
        rollup: sorted(set(rows) - set(trimmed[rollup]))
        for rollup, rows in after.items()
    }
    assert new == {
        ROLLUPS[0]: [
            (END_DATE, "interface", "eni-late", 11, None, 1),
            (END_DATE, "source", "10.9.9.9", 11, None, 1),
        ],
        ROLLUPS[1]: [],
        ROLLUPS[2]: [(END_DATE, None, "eni-late", 1)],
        # The client is unknown, so the address that is logged takes its place.
        ROLLUPS[3]: [(END_DATE, "10.9.9.9", None, 11)],
    }
    assert all(set(rows) <= set(after[rollup]) for rollup, rows in trimmed.items())

    # Without that file, the marts are what they were.
    for mart, order_by in MARTS.items():
        assert project.rows(mart, order_by) == marts[mart], mart


def test_a_retention_shorter_than_the_window_is_an_error(project: Project) -> None:
    for name, words, exit_code in (
        ("landing_retention_days", ("run", "--select", "admin_exposure"), 2),
        ("rollup_retention_days", ("run-operation", "trim_history", *CONFIRMED), 1),
    ):
        settings: dict[str, Any] = {name: 29, "as_of": END_DATE.isoformat()}
        printed = project.dbt(*words, exit_code=exit_code, **settings)
        assert f"{name} is 29, below lookback_days, which is 30" in printed


def test_without_a_retention_all_is_kept(project: Project) -> None:
    printed = project.dbt("run-operation", "trim_history", *CONFIRMED)
    assert "all is kept" in printed


@pytest.mark.long
def test_on_snowflake_an_interrupted_trim_is_finished_and_stays_done(
    snowflake: SnowflakeProject, small: Path
) -> None:
    """And a file that the pipe loads again after 14 days changes no answer."""
    bucket = Bucket(snowflake, small)
    bucket.put(*bucket.files)
    snowflake.stage()
    snowflake.dbt(*RUN, **WINDOW)
    query = snowflake.query

    records = days_of(query, "flow_records", "started_at")
    before = rollups(query)
    marts = {mart: snowflake.rows(mart, by) for mart, by in MARTS.items()}
    kept_records = {d: n for d, n in records.items() if d >= LANDING_FROM}
    assert kept_records != records

    # Landing and records are trimmed, and then a rollup's delete is refused.
    snowflake.stand_in.fail(rf"(?is)^\s*delete from .*{ROLLUPS[0]}")
    trim = ("run-operation", "trim_history", *CONFIRMED)
    snowflake.dbt(*trim, fails=True, **WINDOW, **RETENTION)
    snowflake.stand_in.forget_failures()
    snowflake.dbt(*RUN, **WINDOW)
    half_way = rollups(query)
    assert half_way[ROLLUPS[0]] == before[ROLLUPS[0]]

    def assert_trimmed() -> None:
        assert days_of(query, "flow_records", "started_at") == kept_records
        (landed,) = query("select count(*) from flow.landing.flow_logs")
        assert landed == (sum(kept_records.values()),)
        assert rollups(query) == {
            rollup: [row for row in rows if row[0] >= ROLLUPS_FROM]
            for rollup, rows in before.items()
        }

    snowflake.dbt(*trim, **WINDOW, **RETENTION)
    assert_trimmed()

    # The pipe has forgotten a file of trimmed days, and an event announces it again.
    snowflake.stand_in.lapse("FLOW.LANDING.FLOW_LOGS")
    old = min(small.rglob("*.parquet"), key=lambda file: file.name.split("_")[4])
    bucket.announce(old)
    snowflake.dbt(*RUN, **WINDOW)
    assert {mart: snowflake.rows(mart, by) for mart, by in MARTS.items()} == marts
    ((again,),) = query("select count(*) from flow_records")
    assert again > sum(kept_records.values())
    snowflake.dbt(*trim, **WINDOW, **RETENTION)
    assert_trimmed()
