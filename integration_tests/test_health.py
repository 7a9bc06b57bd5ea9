"""Health as data: models and tests report exactly the incidents of the sample."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sample_logs

from .conftest import AS_OF, END_DATE, WITHOUT_UNIT_TESTS, Project
from .snowflake_project import Bucket, SnowflakeProject
from .test_snowflake import assert_same_rows, plain
from .test_staging import write

#: The flow logs that something happens to; the stand-in takes its time for each file.
AFFECTED = ("fl-c68e4860891119d0d", "fl-93fb41d835c4e72e9")
MODELS = (
    *("int_health__files", "int_traffic__daily_interfaces"),
    *("int_health__loads", "flow_log_health", "account_health", "eni_health"),
    *("delivery_gaps", "malformed_files", "failed_files", "load_cost"),
)

Rows = list[dict[str, Any]]
Query = Callable[[str], list[tuple[Any, ...]]]


def is_parquet(file: Path) -> bool:
    try:
        pq.read_metadata(file)
    except pa.ArrowInvalid:
        return False
    return True


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of logs with incidents, and beside them the truth about these."""
    folder = tmp_path_factory.mktemp("troubled")
    sample_logs.generate(
        folder, end_date=END_DATE, days=2, records=6_000, incidents=True
    )
    return folder


@pytest.fixture(scope="module")
def truth(troubled: Path) -> dict[str, Rows]:
    answers: dict[str, Any] = json.loads((troubled / "truth.json").read_text())
    planted: dict[str, Rows] = answers["incidents"]
    return planted


@pytest.fixture(scope="module")
def project(
    troubled: Path,
    new_project: Callable[..., Project],
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    """Staged and built in two halves; tests only read it."""
    folder = tmp_path_factory.mktemp("logs")
    project = new_project(folder)
    files = sorted(troubled.rglob("*.parquet"))
    for half in (files[::2], files[1::2]):
        for file in half:
            target = folder / file.relative_to(troubled)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        project.stage()
        project.dbt("run", "--select", "+path:models/marts/operations", **AS_OF)
    return project


@pytest.fixture
def copied(project: Project, tmp_path: Path) -> Project:
    """The project on a database that a test may change."""
    return project.copy(tmp_path)


def assert_planted(query: Query, truth: dict[str, Rows]) -> None:
    """The health models report what was planted, and nothing else."""
    for fact, found in (
        (
            "delivery_gaps",
            "flow_log_id, gap_started_at, gap_ended_at, gap_minutes from delivery_gaps",
        ),
        (
            "silent_interfaces",
            "flow_log_id, interface_id from eni_health where is_silent",
        ),
        (
            "skipdata_records",
            "flow_log_id, interface_id from eni_health where skipdata_records > 0",
        ),
    ):
        rows = query(f"select {found}")
        assert sorted(tuple(map(plain, row)) for row in rows) == sorted(
            tuple(row.values()) for row in truth[fact]
        ), fact
    failed = query("select metadata_filename from failed_files")
    assert sorted(row[0] for row in failed) == truth["failed_files"]
    for model in ("flow_log_health", "account_health"):
        sums = query(
            "select sum(gaps), sum(silent_interfaces), sum(skipdata_records),"
            f" sum(failed_files) from {model}"
        )
        assert [tuple(map(int, row)) for row in sums] == [(1, 1, 2, 3)], model


def test_what_was_planted_is_reported_and_nothing_else(
    project: Project, truth: dict[str, Rows]
) -> None:
    assert_planted(project.query, truth)


#: The records of the files that can be read, what their names say, and the files.
RECORDS_AND_FILES = f"""
    with records as (
        select
            parse_filename(filename) as name,
            split_part(name, '_', 1) as account_id,
            split_part(name, '_', 3) as region,
            split_part(name, '_', 4) as flow_log_id,
            strptime(split_part(name, '_', 5), '%Y%m%dT%H%MZ') as created,
            make_timestamp("end" * 1000000) as ended,
            interface_id,
            cast(log_status = 'NODATA' as int) as nodata,
            cast(log_status = 'SKIPDATA' as int) as skipdata
        from read_parquet($files, hive_partitioning = false, union_by_name = true)
    ),
    files as (
        select
            account_id,
            region,
            flow_log_id,
            created,
            loaded_at,
            max(ended) as ended,
            count(*) as records,
            sum(nodata) as nodata,
            sum(skipdata) as skipdata
        from records
        inner join landing.load_history on parse_filename(metadata_filename) = name
        where created < date '{END_DATE}' + 1
        group by all
    )
"""


def test_counts_lags_and_costs_are_those_of_the_files(
    project: Project, troubled: Path, truth: dict[str, Rows]
) -> None:
    """Against the load history and the Parquet files, by plain SQL."""
    readable = [
        str(path)
        for path in troubled.rglob("*.parquet")
        if str(path.relative_to(troubled)) not in truth["failed_files"]
    ]

    def by_plain_sql(select: str) -> list[tuple[Any, ...]]:
        return project.query(
            f"{RECORDS_AND_FILES} {select} group by all order by all", files=readable
        )

    for model, key, rows in (
        ("flow_log_health", "flow_log_id", 7),
        ("account_health", "account_id, region", 5),
    ):
        expected = by_plain_sql(
            f"""
            select
                {key}, count(*), sum(records), sum(skipdata), max(created), max(ended),
                round(quantile_cont(epoch(created) - epoch(ended), 0.5)),
                round(quantile_cont(epoch(created) - epoch(ended), 0.95)),
                round(quantile_cont(date_diff('second', created, loaded_at), 0.5)),
                round(quantile_cont(date_diff('second', created, loaded_at), 0.95))
            from files
            """
        )
        assert len(expected) == rows
        assert expected == project.query(
            f"select {key}, files, records, skipdata_records, newest_file_created_at,"
            " newest_record_ended_at, delivery_lag_p50_seconds,"
            " delivery_lag_p95_seconds, load_lag_p50_seconds, load_lag_p95_seconds"
            f" from {model} order by all"
        )
        assert by_plain_sql(
            f"select {key}, count(distinct interface_id) from records"
        ) == project.query(f"select {key}, interfaces from {model} order by all")
    assert by_plain_sql("select flow_log_id, sum(nodata) from files") == project.query(
        "select flow_log_id, nodata_records from flow_log_health order by all"
    )
    assert by_plain_sql(
        "select flow_log_id, interface_id, count(*), sum(nodata), sum(skipdata),"
        " max(created), max(ended) from records"
    ) == project.query(
        "select flow_log_id, interface_id, records, nodata_records, skipdata_records,"
        " newest_file_created_at, newest_record_ended_at from eni_health order by all"
    )

    files = list(troubled.rglob("*.parquet"))
    cost = project.query(
        "select sum(files), sum(failed_files), sum(records), sum(bytes) from load_cost"
    )
    answers = json.loads((troubled / "truth.json").read_text())
    size = sum(path.stat().st_size for path in files)
    assert cost == [(answers["files"], 3, answers["records"], size)]
    assert len(files) == answers["files"] + 3


@pytest.mark.long
def test_snowflake_says_the_same(
    snowflake: SnowflakeProject,
    new_project: Callable[..., Project],
    troubled: Path,
    truth: dict[str, Rows],
    tmp_path: Path,
) -> None:
    """COPY_HISTORY alone has the files that COPY cannot read."""
    bucket = Bucket(snowflake, troubled)
    files = [
        file
        for file in sorted(troubled.rglob("*.parquet"))
        if any(flow_log in file.name for flow_log in AFFECTED)
    ]
    for file in files:
        target = tmp_path / file.relative_to(troubled)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    by_event = files[::10]
    bucket.put(*(file for file in files if file not in by_event))
    snowflake.stage()
    sources = ("source:vpc_flow.flow_logs", "source:vpc_flow.text_logs")
    selected = ("--select", "+path:models/marts/operations", *sources)
    snowflake.dbt("run", *selected, **AS_OF)
    bucket.announce(*by_event)
    build = ("build", *WITHOUT_UNIT_TESTS, *selected, "--indirect-selection=cautious")
    printed = snowflake.dbt(*build, read_pipe_usage=True, **AS_OF)
    assert "assert_no_file_failed" in printed.partition("Completed with")[2]
    assert_planted(snowflake.query, truth)

    embedded = new_project(tmp_path)
    embedded.stage()
    embedded.dbt("run", *selected, **AS_OF)
    for model in MODELS:
        assert_same_rows(snowflake, embedded, model)

    # What the pipe loaded is what it bills; the files by COPY cost no credits.
    ((billed, credits),) = snowflake.query(
        "select sum(bytes_billed), sum(credits) from load_cost"
    )
    assert billed == sum(file.stat().st_size for file in by_event if is_parquet(file))
    assert credits == pytest.approx(billed / 1e9 * 0.0037)

    # Snowpipe stops: the health tests fail, and only then.
    assert "PASS assert_the_pipe_runs" in printed
    snowflake.query(
        "alter pipe flow.landing.flow_logs set pipe_execution_paused = true"
    )
    printed = snowflake.dbt(
        "test", "--select", "assert_the_pipe_runs", fails=True, **AS_OF
    )
    assert "FAIL 1 assert_the_pipe_runs" in printed
    assert " ERROR=1 " in printed


def test_source_freshness_tells_late_from_broken(
    copied: Project, snowflake: SnowflakeProject, troubled: Path
) -> None:
    """The plain command, on both engines: the last load ever more recent."""
    bucket = Bucket(snowflake, troubled)
    files = iter(sorted(troubled.rglob(f"*{AFFECTED[0]}*.parquet")))
    snowflake.stage()
    for minutes_ago, exit_code, status in (
        (30 * 60, 1, "ERROR STALE"),
        (90, 0, "WARN"),
        (0, 0, "PASS"),
    ):
        with duckdb.connect(str(copied.database)) as connection:
            connection.execute(
                "update landing.flow_logs set _dbt_copied_at = cast(now() as timestamp)"
                f" - interval {minutes_ago} minute"
            )
        snowflake.stand_in.scan_time(minutes_ago)
        bucket.announce(next(files))
        snowflake.stand_in.scan_time(None)
        for printed in (
            copied.dbt("source", "freshness", exit_code=exit_code),
            snowflake.dbt("source", "freshness", fails=exit_code != 0),
        ):
            assert f"{status} freshness of vpc_flow.flow_logs" in printed


def test_late_warns_and_broken_fails(copied: Project) -> None:
    """Each test finds its own trouble, with the severity that the table promises."""
    selected = ("path:models/marts/operations", "tag:health")
    printed = copied.dbt("test", "--select", *selected, **AS_OF)
    assert "WARN 1 assert_no_new_delivery_gaps" in printed
    assert "WARN 3 assert_no_file_failed" in printed
    assert "PASS flow_logs_are_not_late" in printed
    assert "PASS assert_files_still_arrive" in printed
    assert "PASS few_records_are_skipdata" in printed

    late = {"as_of": "2026-04-01", "skipdata_warn_share": 0.0001}
    printed = copied.dbt("build", "--select", *selected, **late)
    assert "WARN 7 flow_logs_are_not_late" in printed
    assert "WARN 2 few_records_are_skipdata" in printed

    # All files were loaded before now, so no hours ago is too long ago.
    printed = copied.dbt(
        *("test", "--select", "assert_files_still_arrive"),
        exit_code=1,
        lookback_days=10_000,
        stopped_after_hours=0,
    )
    assert "FAIL 1 assert_files_still_arrive" in printed

    # So it is where no file is left in the window, and where none ever came.
    for change in (
        "update int_health__landed_files set loaded_at = loaded_at - interval 40 day",
        "delete from int_health__landed_files",
    ):
        with duckdb.connect(str(copied.database)) as connection:
            connection.execute("create table kept as from int_health__landed_files")
            connection.execute(change)
        printed = copied.dbt("test", "--select", "tag:health", exit_code=1)
        assert "FAIL 1 assert_files_still_arrive" in printed
        # The sample ended long ago, so the window of today has no record either.
        assert "FAIL 1 assert_the_window_has_records" in printed
        assert "The newest starts on 2026-03-31: dbt build --vars" in printed
        assert "{as_of: 2026-03-31}" in printed
        assert " ERROR=2 " in printed
        with duckdb.connect(str(copied.database)) as connection:
            connection.execute("delete from int_health__landed_files")
            connection.execute("insert into int_health__landed_files from kept")
            connection.execute("drop table kept")

    with duckdb.connect(str(copied.database)) as connection:
        connection.execute(
            "delete from int_health__landed_files where metadata_filename ="
            " (select min(metadata_filename) from int_health__files)"
        )
    copied.dbt("run", "--select", "flow_log_health", **AS_OF)
    with duckdb.connect(str(copied.database)) as connection:
        connection.execute("delete from int_traffic__daily_interfaces")
    selected = "no_loaded_record_is_missing", "assert_the_window_has_records"
    printed = copied.dbt("test", "--select", *selected, exit_code=1, **AS_OF)
    assert "FAIL 1 no_loaded_record_is_missing" in printed
    assert "No record of a network interface has a plausible time" in printed
    assert " ERROR=2 " in printed


def test_a_field_is_found_whenever_it_first_comes(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    """Also once runs have found none; each run reads what came since the last."""
    project = new_project(tmp_path)
    selected = "run", "--select", "+unknown_fields", "+int_health__files"
    found = []
    for name, fields in (("a", {}), ("b", {"later_field": ["x"]}), ("c", {})):
        record = {"srcaddr": ["10.0.0.1"], "start": [1_767_225_600], **fields}
        write(tmp_path / f"{name}.parquet", **record)
        project.stage()
        project.dbt(*selected)
        found.append(project.query("select name, files from unknown_fields"))
    assert found == [[], [("later_field", 1)], [("later_field", 1)]]
