"""Runs on Snowflake's stand-in: whatever goes wrong, each record counts once."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sample_logs

from .conftest import AS_OF, END_DATE, WITHOUT_UNIT_TESTS
from .snowflake_project import RUN, Bucket, KeyPair, SnowflakeProject
from .test_main_job import assert_each_days_bytes_count_once, assert_marts_equal
from .test_snowflake_builds import ADMIN_FLOWS, TALKERS, finish
from .text_files import make_text_of_some

#: With the tests of a schedule.
BUILD = ("build", *WITHOUT_UNIT_TESTS, "--exclude", "tag:audit")


def assert_each_record_counts_once(
    project: SnowflakeProject, truth: dict[str, Any]
) -> None:
    assert project.query("select count(*) from flow_records") == [(truth["records"],)]
    assert_marts_equal(project, truth)
    assert_each_days_bytes_count_once(project.query, truth)


@pytest.fixture(scope="module")
def login(
    snowflake: SnowflakeProject, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """A user with a key, as the `SNOWFLAKE_…` variables name it."""
    key = KeyPair(tmp_path_factory.mktemp("keys"), "nightly")
    snowflake.stand_in.rows(
        f"create user nightly type = service rsa_public_key = '{key.letters}';"
        " grant role accountadmin to user nightly"
    )
    return {"USER": "nightly", "PRIVATE_KEY_PATH": key.file, "ROLE": "accountadmin"}


@pytest.mark.long
def test_late_and_repeated_loads_count_once_without_row_timestamps(
    bucket: Bucket, small_truth: dict[str, Any]
) -> None:
    """Some files by the first COPY, some by events, late, twice, or as a copy."""
    project, files = bucket.project, bucket.files
    settings = AS_OF | {"row_timestamps": False}
    bucket.put(*files[::3])
    project.stage(row_timestamps=False)
    project.dbt(*RUN, **settings)

    bucket.announce(*files[1::3])
    # These commit now, and began before what the models have already counted, of which
    # one is a copy.
    project.stand_in.scan_time(90)
    bucket.announce(*files[2::3])
    project.s3.upload_file(str(files[0]), bucket.name, f"copies/{files[0].name}")
    project.stand_in.event(f"{bucket.url}copies/{files[0].name}")
    project.stand_in.scan_time(None)
    project.dbt(*BUILD, *RUN[1:], **settings)

    # The pipe's history of 14 days lapses, and it loads some files again.
    project.stand_in.lapse("flow.landing.flow_logs")
    bucket.announce(*files[:5])
    project.dbt(*RUN, **settings)
    assert_each_record_counts_once(project, small_truth)


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
    select = *BUILD, "--select", "+flow_records", "+int_health__files"
    for _ in range(2):
        snowflake.dbt(*select, **AS_OF)
        snowflake.stand_in.lapse("flow.landing.flow_logs")
        bucket.announce(file)
    counted = "select count(*), sum(bytes) from flow_records"
    assert snowflake.query(counted) == [(30, sum(range(30)))]
    assert snowflake.query("select records from int_health__files") == [(30,)]


HOURS = 24
#: When a run was made, not what it says; and which of several copies it found first.
OF_THE_RUN = {
    *("LOADED_AT", "LOADED_THROUGH_AT", "FIRST_LOADED_AT", "FOUND_AT"),
    *("METADATA_FILENAME", "FAULT"),
}
COMPARED = (
    *("flow_records", "int_health__landed_files", "int_traffic__daily_flows"),
    *("int_traffic__daily_interfaces", TALKERS, ADMIN_FLOWS),
    *("int_traffic__hourly_logins", "int_traffic__interface_addresses"),
    *("admin_exposure", "admin_attempts", "top_talkers_by_destination"),
)
#: What is compared, and the marts whose rows the sample's truth lists.
RUN_OF_THE_DAY = (*RUN, "+admin_attempts", "+int_traffic__hourly_logins")


def contents(project: SnowflakeProject, relation: str) -> Counter[tuple[Any, ...]]:
    described = project.query(f"describe table {relation}")
    columns = [f'"{row[0]}"' for row in described if row[0] not in OF_THE_RUN]
    return Counter(project.query(f"select {', '.join(columns)} from {relation}"))


def kill_while_inserting(
    project: SnowflakeProject, login: dict[str, str], settings: dict[str, Any]
) -> None:
    project.stand_in.clear_log()
    run = project.command(login, *RUN_OF_THE_DAY, **settings)
    while not any(" into " in text for text in project.stand_in.statements()):
        assert run.process.is_alive(), run.printed()
        time.sleep(0.02)
    assert run.kill_after(0)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("row_timestamps", [True, False])
def test_a_day_of_hourly_runs_gives_what_one_rebuild_gives(
    snowflake: SnowflakeProject,
    tmp_path: Path,
    login: dict[str, str],
    row_timestamps: bool,
) -> None:
    """Late and repeated files, a failed insert, a killed run, two runs at once.

    Some files are text. Some have a copy elsewhere or a damaged one, and twice all that
    is there moves. Events come for objects that are gone.
    """
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    truth = dict(
        sample_logs.generate(
            tmp_path, end_date=END_DATE, records=3_000, records_per_file=60, seed=seed
        )
    )
    make_text_of_some(tmp_path)
    settings = AS_OF | {"row_timestamps": row_timestamps}
    bucket = Bucket(snowflake, tmp_path)
    files = list(bucket.files)
    chance.shuffle(files)
    batches = [files[hour::HOURS] for hour in range(HOURS)]
    snowflake.stage(row_timestamps=row_timestamps)

    def copies(originals: list[Path], folder: str) -> list[Path]:
        made = [tmp_path / folder / file.name for file in originals]
        for file, copy in zip(originals, made, strict=True):
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(file, copy)
        return made

    def cut(file: Path) -> Path:
        (copy,) = copies([file], "damaged")
        copy.write_bytes(file.read_bytes()[:-20])
        return copy

    def fails_at(statement: str) -> Callable[[], object]:
        def run() -> None:
            snowflake.stand_in.fail(rf"(?is)^\s*{statement}")
            snowflake.dbt(*RUN_OF_THE_DAY, fails=True, **settings)

        return run

    def run_twice_at_once() -> None:
        for run in [
            snowflake.command(login, *RUN_OF_THE_DAY, folder=f"{n}", **settings)
            for n in (1, 2)
        ]:
            finish(run)

    trouble: dict[int, Callable[[], object]] = {
        5: fails_at("(insert|merge) into .*flow_records"),
        9: fails_at(f"insert into .*{ADMIN_FLOWS}"),
        13: lambda: kill_while_inserting(snowflake, login, settings),
        17: run_twice_at_once,
    }
    for hour, batch in enumerate(batches):
        # A load commits after it began, at most within the overlap.
        snowflake.stand_in.scan_time(chance.uniform(0, 300))
        delivered = [file for earlier in batches[:hour] for file in earlier]
        moved = delivered if hour in (6, 18) else delivered[::10]
        around = [*batch, *copies(moved, f"copies_{hour}"), cut(batch[0])]
        bucket.announce(*chance.sample(around, len(around)))
        snowflake.stand_in.event(f"{bucket.url}gone_{batch[0].name}")
        snowflake.stand_in.scan_time(None)
        snowflake.stage(row_timestamps=row_timestamps)
        if hour in (7, 20):
            snowflake.stand_in.lapse("flow.landing.flow_logs")
            bucket.announce(*chance.sample(batches[hour // 2], 2))
        trouble.get(hour, lambda: snowflake.dbt(*RUN_OF_THE_DAY, **settings))()

    snowflake.dbt(*RUN_OF_THE_DAY, **settings)
    assert_each_record_counts_once(snowflake, truth)
    lived = {relation: contents(snowflake, relation) for relation in COMPARED}
    rebuild = settings | {"allow_destructive_refresh": True}
    snowflake.dbt(*RUN_OF_THE_DAY, "--full-refresh", **rebuild)
    found = snowflake.query(
        "select count(*) from int_health__landed_files where fault like 'copy of %'"
    )
    assert found[0][0] > len(files)
    for relation, rows in lived.items():
        rebuilt = contents(snowflake, relation)
        assert (rows - rebuilt, rebuilt - rows) == (Counter(), Counter()), relation
