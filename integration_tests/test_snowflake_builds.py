"""Builds on Snowflake's stand-in: each record once, whatever happens meanwhile."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from sqlglot import exp

from .conftest import AS_OF
from .snowflake_project import Bucket, KeyPair, SnowflakeProject, records_of
from .test_main_job import assert_each_days_bytes_count_once, assert_marts_equal

#: What is too large to be read in full.
LARGE = {"flow_logs", "stg_vpc_flow__flow_logs", "flow_records"}


def assert_each_record_counts_once(
    project: SnowflakeProject, truth: dict[str, Any]
) -> None:
    assert project.query("select count(*) from flow_records") == [(truth["records"],)]
    assert_marts_equal(project, truth)
    assert_each_days_bytes_count_once(project.query, truth)


@pytest.mark.parametrize("row_timestamps", [True, False])
def test_late_and_repeated_loads_count_once(
    bucket: Bucket, small_truth: dict[str, Any], row_timestamps: bool
) -> None:
    """Some files by the first COPY, some by events, some late, some twice."""
    project, files = bucket.project, bucket.files
    settings = AS_OF | {"row_timestamps": row_timestamps}
    bucket.put(*files[::3])
    project.stage(row_timestamps=row_timestamps)
    project.dbt("run", **settings)

    bucket.announce(*files[1::3])
    # These commit now, and began before what the models have already counted.
    project.stand_in.scan_time(90)
    bucket.announce(*files[2::3])
    project.stand_in.scan_time(None)
    project.stand_in.clear_log()
    project.dbt("build", "--exclude-resource-types=unit_test", **settings)
    scheduled = project.stand_in.statements()

    # The pipe's history of 14 days lapses, and it loads some files again.
    project.stand_in.lapse("flow.landing.flow_logs")
    bucket.announce(*files[:5])
    project.dbt("run", **settings)
    assert_each_record_counts_once(project, small_truth)

    reading = [name for text in scheduled for name in large_relations_read(text)]
    assert set(reading) == LARGE


def large_relations_read(text: str) -> set[str]:
    """What a statement reads of the large relations, each by a literal bound.

    Not what a view is made of, which is read by whoever reads the view; nor the newest
    load time, which Snowflake keeps beside the table; nor dbt's look at the columns.
    """
    found: set[str] = set()
    nothing = r"where false\s+limit 0|^(?!.*\b(select|merge)\b)"
    if re.search(nothing, text.strip(), re.DOTALL):
        return found
    parsed = sqlglot.parse_one(text, read="snowflake")
    is_view = isinstance(parsed, exp.Create) and parsed.kind == "VIEW"
    if is_view and "__dbt_tmp" not in parsed.this.sql():
        return found
    for table in parsed.find_all(exp.Table):
        reader = table.find_ancestor(exp.Select, exp.Merge)
        is_max = (
            isinstance(reader, exp.Select)
            and len(reader.selects) == 1
            and reader.selects[0].find(exp.Max)
        )
        if table.db and table.name.lower() in LARGE and reader and not is_max:
            bound = reader.args.get("where") or reader.args.get("on")
            assert bound and re.search(
                r"(loaded_at|_dbt_copied_at|row_last_commit_time)"
                r" > to_timestamp\(\d{19}"
                r"|started_at >= to_timestamp(_ntz)?\('2",
                bound.sql("snowflake"),
                re.IGNORECASE,
            ), text
            found.add(table.name.lower())
    return found


@pytest.mark.parametrize("first_row_number", [0, 1])
def test_no_record_is_lost_however_rows_are_numbered(
    snowflake: SnowflakeProject, tmp_path: Path, first_row_number: int
) -> None:
    """A file of three row groups, whose numbers start anew, that loads twice."""
    file = tmp_path / "one.parquet"
    start = int(datetime(2026, 3, 31, 12, tzinfo=UTC).timestamp())
    table = pa.table(
        {
            "version": [2] * 30,
            "interface_id": ["eni-1"] * 30,
            "srcaddr": [f"10.0.0.{n}" for n in range(30)],
            "bytes": list(range(30)),
            "start": [start] * 30,
            "action": ["ACCEPT"] * 30,
        }
    )
    pq.write_table(table, file, row_group_size=10)
    bucket = Bucket(snowflake, tmp_path)
    snowflake.stand_in.account(
        first_row_number=first_row_number, row_numbers_restart=True
    )
    snowflake.stage()
    bucket.announce(file)
    for _ in range(2):
        snowflake.dbt("build", "--exclude-resource-types=unit_test", **AS_OF)
        snowflake.stand_in.lapse("flow.landing.flow_logs")
        bucket.announce(file)
    counted = "select count(*), sum(bytes) from flow_records"
    assert snowflake.query(counted) == [(30, sum(range(30)))]
    assert snowflake.query("select records from int_health__files") == [(30,)]


def test_answers_do_not_depend_on_a_time_zone(
    bucket: Bucket, small_truth: dict[str, Any]
) -> None:
    """COPY, the pipe and dbt each in a zone of their own, all far from UTC."""
    project = bucket.project
    bucket.put(bucket.files[0])
    project.stand_in.clear_log()
    project.stand_in.account(timezone="Pacific/Auckland")
    project.stage()
    project.stand_in.pipe_timezone("Asia/Tokyo")
    bucket.announce(*bucket.files[1:])
    project.stand_in.pipe_timezone(None)
    project.stand_in.account(timezone="America/Los_Angeles")
    project.dbt("run", **AS_OF)
    zones = {
        statement: entry["timezone"]
        for entry in project.stand_in.log()
        for statement in ("copy into", "create or replace")
        if re.match(rf"\s*(/\*.*?\*/\s*)?{statement}", entry["text"])
    }
    assert zones == {
        "copy into": "Pacific/Auckland",
        "create or replace": "America/Los_Angeles",
    }
    assert_each_record_counts_once(project, small_truth)


TALKERS = "int_traffic__daily_endpoint_bytes"
ADMIN_FLOWS = "int_traffic__daily_admin_flows"
COUNTED = ["malformed_files", "flow_records", TALKERS, ADMIN_FLOWS]


@pytest.fixture(scope="module")
def half_counted(snowflake: SnowflakeProject, small: Path) -> Callable[[], None]:
    """Landing holds the small sample; the models, as often as asked, half of it."""
    bucket = Bucket(snowflake, small)
    bucket.put(*bucket.files[::2])
    snowflake.stage()
    snowflake.dbt("run", **AS_OF)
    bucket.announce(*bucket.files[1::2])
    for model in COUNTED:
        snowflake.query(f"create table {model}_half as select * from {model}")

    def restore() -> None:
        for model in COUNTED:
            snowflake.query(
                f"create or replace table {model} as select * from {model}_half"
            )

    return restore


def rows_of(project: SnowflakeProject, rollup: str) -> Counter[tuple[Any, ...]]:
    return Counter(project.query(f"select * from {rollup}"))


@pytest.mark.parametrize(
    "failures",
    [
        {"insert into .*flow_records": "before"},
        {"insert into .*flow_records": "after"},
        {f"delete from .*{TALKERS}": "before", f"delete from .*{ADMIN_FLOWS}": "after"},
        {f"insert into .*{TALKERS}": "before", f"insert into .*{ADMIN_FLOWS}": "after"},
    ],
    ids=["before the insert", "after it", "at the deletes", "at the inserts"],
)
def test_an_interrupted_build_is_finished_by_the_next(
    snowflake: SnowflakeProject,
    half_counted: Callable[[], None],
    small_truth: dict[str, Any],
    failures: dict[str, str],
) -> None:
    """A statement was refused, or ran and its answer was lost.

    What failed has changed nothing, whatever the session did next.
    """
    half_counted()
    before = {name: rows_of(snowflake, name) for name in (TALKERS, ADMIN_FLOWS)}
    for statement, when in failures.items():
        snowflake.stand_in.fail(rf"(?is)^\s*{statement}", when=when)
    printed = snowflake.dbt("run", fails=True, **AS_OF)
    assert f"ERROR={len(failures)} " in printed
    for rollup, rows in before.items():
        if rollup in repr(failures):
            assert rows_of(snowflake, rollup) == rows
    snowflake.dbt("run", **AS_OF)
    assert_each_record_counts_once(snowflake, small_truth)


@pytest.fixture(scope="module")
def login(
    snowflake: SnowflakeProject, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """A user with a key, as the `SNOWFLAKE_…` variables name it."""
    key = KeyPair(tmp_path_factory.mktemp("keys"), "runs")
    snowflake.stand_in.rows(
        f"create user runs type = service rsa_public_key = '{key.letters}';"
        " grant role accountadmin to user runs"
    )
    return {"USER": "runs", "PRIVATE_KEY_PATH": key.file, "ROLE": "accountadmin"}


def finish(command: subprocess.Popen[str]) -> None:
    printed, errors = command.communicate(timeout=300)
    assert command.returncode == 0, printed + errors


def test_a_killed_build_is_finished_by_the_next(
    snowflake: SnowflakeProject,
    half_counted: Callable[[], None],
    small_truth: dict[str, Any],
    login: dict[str, str],
) -> None:
    """By SIGKILL, while it inserts records."""
    half_counted()
    snowflake.stand_in.clear_log()
    run = snowflake.command(login, "run", **AS_OF)
    while not any("insert into" in text for text in snowflake.stand_in.statements()):
        assert run.poll() is None, run.communicate()
        time.sleep(0.02)
    run.kill()
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert not any(TALKERS in text for text in snowflake.stand_in.statements())
    snowflake.dbt("run", **AS_OF)
    assert_each_record_counts_once(snowflake, small_truth)


def test_two_builds_at_once_double_nothing(
    snowflake: SnowflakeProject,
    half_counted: Callable[[], None],
    small_truth: dict[str, Any],
    login: dict[str, str],
) -> None:
    half_counted()
    runs = [snowflake.command(login, "run", folder=f"{n}", **AS_OF) for n in (1, 2)]
    for run in runs:
        finish(run)
    assert_each_record_counts_once(snowflake, small_truth)


def test_a_run_that_read_first_and_writes_last_loses_nothing(
    snowflake: SnowflakeProject,
    half_counted: Callable[[], None],
    small_truth: dict[str, Any],
    login: dict[str, str],
) -> None:
    """It has summed half of the records, when another run counts them all."""
    half_counted()
    snowflake.query(f"delete from {TALKERS}")
    with snowflake.stand_in.hold("update .*write_lock") as is_held:
        first = snowflake.command(login, "run", "--select", TALKERS, **AS_OF)
        while not is_held():
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        snowflake.dbt("run", **AS_OF)
    finish(first)
    assert_each_record_counts_once(snowflake, small_truth)


def test_an_event_carries_a_file_to_the_marts(
    bucket: Bucket, login: dict[str, str]
) -> None:
    """Object in S3, event, SQS, pipe, landing, dbt, marts; then a second file."""
    project = bucket.project
    project.stage()
    (pipe,) = project.stand_in.rows("show pipes in schema flow.landing")
    project.s3.put_bucket_notification_configuration(
        Bucket=bucket.name,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": pipe["notification_channel"],
                    "Events": ["s3:ObjectCreated:*"],
                }
            ]
        },
    )
    first, second = bucket.files[:2]
    urls = bucket.put(first)
    assert project.stand_in.poll() == urls
    finish(
        project.command(login, "build", "--exclude-resource-types=unit_test", **AS_OF)
    )
    records = "select count(*) from flow_records"
    assert project.query(records) == [(records_of(first),)]
    assert project.rows("top_talkers_by_interface", "rank")
    tags = {entry["query_tag"] for entry in project.stand_in.log()}
    assert "dbt_vpc_flow_logs" in tags

    urls = bucket.put(second)
    assert project.stand_in.poll() == urls
    project.stand_in.clear_log()
    project.dbt("run", **AS_OF)
    assert project.query(records) == [(records_of(first, second),)]
    assert [
        entry["rows"]
        for entry in project.stand_in.log()
        if re.match(r"\s*insert into .*flow_records", entry["text"])
    ] == [1]


def test_cluster_keys_are_a_setting(bucket: Bucket, login: dict[str, str]) -> None:
    project = bucket.project
    bucket.put(bucket.files[0])
    project.stage()
    settings = AS_OF | {"flow_records_cluster_by": ["to_date(started_at)"]}
    finish(project.command(login, "run", "--select=+flow_records", **settings))
    (table,) = project.stand_in.rows(
        "show tables like 'flow_records' in flow.analytics"
    )
    assert (table["cluster_by"], table["kind"]) == (
        "LINEAR(to_date(started_at))",
        "TABLE",
    )


#: Columns by whose bounds Snowflake skips partitions.
PRUNED_BY = {
    "loaded_at",
    "_dbt_copied_at",
    "metadata$row_last_commit_time",
    "started_at",
}


def rows_scanned(project: SnowflakeProject, statements: list[str]) -> Counter[str]:
    """How many rows the statements' bounds leave of each large relation, in all."""
    scanned: Counter[str] = Counter()
    for text in statements:
        for name, conditions in scans(text):
            where = " and ".join(conditions) or "true"
            ((rows,),) = project.query(f"select count(*) from {name} where {where}")
            scanned[name.split(".")[-1]] += rows
    return scanned


def scans(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each large relation that a statement reads, with the bounds on it."""
    if not large_relations_read(text):
        return
    for table in sqlglot.parse_one(text, read="snowflake").find_all(exp.Table):
        reader = table.find_ancestor(exp.Select, exp.Merge)
        bound = reader and (reader.args.get("where") or reader.args.get("on"))
        if table.db and table.name.lower() in LARGE and bound:
            conditions = [
                part
                for part in bound.find_all(exp.GT, exp.GTE, exp.LT, exp.In)
                if {c.name.lower() for c in part.find_all(exp.Column)} <= PRUNED_BY
                and not part.find_ancestor(exp.Or)
                and part.find(exp.Column)
            ]
            for part in conditions:
                for column in part.find_all(exp.Column):
                    column.set("table", None)
            name = ".".join(part.name for part in table.parts)
            yield name, [part.sql("snowflake") for part in conditions]


@pytest.mark.parametrize(
    ("row_timestamps", "landing_reads"), [(True, 6), (False, 60)], ids=["new", "old"]
)
def test_a_scheduled_run_reads_landing_in_proportion_to_what_is_new(
    bucket: Bucket, row_timestamps: bool, landing_reads: int
) -> None:
    """Rows read of landing for each new row, by all statements of one run."""
    project, files = bucket.project, bucket.files
    settings = AS_OF | {"row_timestamps": row_timestamps}
    bucket.put(*files[:-1])
    project.stage(row_timestamps=row_timestamps)
    project.dbt("run", **settings)
    project.dbt("run", **settings)
    bucket.announce(files[-1])
    project.stand_in.clear_log()
    project.dbt("run", **settings)
    statements = project.stand_in.statements()
    scanned = rows_scanned(project, list(statements))
    of_landing = scanned["flow_logs"] + scanned["stg_vpc_flow__flow_logs"]
    ratio = of_landing / records_of(files[-1])
    print(len(statements), dict(scanned), records_of(files[-1]), ratio)
    assert ratio == pytest.approx(landing_reads, rel=0.01)
