"""Builds on Snowflake's stand-in: each record once, whatever happens meanwhile."""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from .conftest import AS_OF
from .processes import Command
from .snowflake_project import RUN, Bucket, KeyPair, SnowflakeProject
from .test_main_job import assert_each_days_bytes_count_once, assert_marts_equal

#: What is too large to be read in full.
LARGE = {"flow_logs", "stg_vpc_flow__flow_logs", "flow_records"}
TALKERS = "int_traffic__daily_endpoint_bytes"
ADMIN_FLOWS = "int_traffic__daily_admin_flows"


@dataclass
class HalfBuilt:
    """Landing holds the whole sample, the models a third of its files."""

    project: SnowflakeProject
    truth: dict[str, Any]
    #: A user with a key, as the `SNOWFLAKE_…` variables name it.
    login: dict[str, str]
    #: The log of the stand-in while the files were loaded and the models built.
    log: list[dict[str, Any]]
    #: SHOW TABLES of the schema of the models.
    tables: list[dict[str, Any]]

    def command(self, *words: str, folder: str = "1") -> Command:
        """Start dbt as a user does, with a setting that it reads when it parses."""
        settings = AS_OF | {"flow_records_cluster_by": ["to_date(started_at)"]}
        return self.project.command(self.login, *words, folder=folder, **settings)

    def copy_rows(self, template: str) -> None:
        """Run statements for each table, whose name replaces `{}`."""
        names = (table["name"] for table in self.tables)
        self.project.query("; ".join(template.replace("{}", name) for name in names))

    def restore(self) -> None:
        """Give each table the rows back that it had."""
        self.copy_rows("delete from {}; insert into {} select * from old.{}")

    def assert_each_record_counts_once(self) -> None:
        records = self.project.query("select count(*) from flow_records")
        assert records == [(self.truth["records"],)]
        assert_marts_equal(self.project, self.truth)
        assert_each_days_bytes_count_once(self.project.query, self.truth)


@pytest.fixture(scope="module")
def built_once(
    snowflake: SnowflakeProject,
    small: Path,
    small_truth: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> HalfBuilt:
    """Some files come by the first COPY, some by events, some late, some twice.

    COPY, the pipe and dbt each run in a time zone of their own, all far from UTC.
    """
    stand_in = snowflake.stand_in
    key = KeyPair(tmp_path_factory.mktemp("keys"), "runs")
    stand_in.rows(
        f"create user runs type = service rsa_public_key = '{key.letters}';"
        " grant role accountadmin to user runs"
    )
    login = {"USER": "runs", "PRIVATE_KEY_PATH": key.file, "ROLE": "accountadmin"}
    half = HalfBuilt(snowflake, small_truth, login, [], [])
    bucket = Bucket(snowflake, small)

    bucket.put(*bucket.files[::3])
    stand_in.clear_log()
    stand_in.account(timezone="Pacific/Auckland")
    snowflake.stage()
    stand_in.account(timezone="America/Los_Angeles")
    finish(half.command("run"))

    stand_in.pipe_timezone("Asia/Tokyo")
    bucket.announce(*bucket.files[1::3])
    # These commit now, and began before what the models have already counted.
    stand_in.scan_time(90)
    bucket.announce(*bucket.files[2::3])
    stand_in.scan_time(None)
    # The pipe's history of 14 days ends, and it loads some files again.
    stand_in.lapse("flow.landing.flow_logs")
    bucket.announce(*bucket.files[:5])
    stand_in.pipe_timezone(None)

    half.log = stand_in.log()
    half.tables = stand_in.rows("show tables in schema flow.analytics")
    snowflake.query("create schema flow.old")
    half.copy_rows("create table old.{} as select * from {}")
    return half


@pytest.fixture
def half_built(built_once: HalfBuilt) -> HalfBuilt:
    built_once.restore()
    return built_once


def rows_of(project: SnowflakeProject, model: str) -> Counter[tuple[Any, ...]]:
    return Counter(project.query(f"select * from {model}"))


def finish(command: Command) -> None:
    exit_code, printed = command.end(timeout=300)
    assert exit_code == 0, printed


def test_late_and_repeated_loads_count_once(half_built: HalfBuilt) -> None:
    project = half_built.project
    project.stand_in.clear_log()
    project.dbt("build", "--exclude-resource-types=unit_test", **AS_OF)
    scheduled = project.stand_in.log()
    half_built.assert_each_record_counts_once()

    reading = [
        name for each in scheduled for name in large_relations_read(each["text"])
    ]
    # The typed view is what reads landing.
    assert set(reading) == LARGE - {"flow_logs"}


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
                r"|started_at >= to_timestamp(_ntz)?\('2"
                # The earlier records of files that were loaded again.
                r"|metadata_filename in \('",
                bound.sql("snowflake"),
                re.IGNORECASE,
            ), text
            found.add(table.name.lower())
    return found


def test_copy_and_builds_run_in_time_zones_of_their_own(half_built: HalfBuilt) -> None:
    """What the truth is compared with must not depend on them."""
    zones = {
        statement: each["timezone"]
        for each in half_built.log
        for statement in ("copy into", "create or replace")
        if re.match(rf"\s*(/\*.*?\*/\s*)?{statement}", each["text"])
    }
    assert zones == {
        "copy into": "Pacific/Auckland",
        "create or replace": "America/Los_Angeles",
    }


def test_cluster_keys_and_the_query_tag_are_settings(half_built: HalfBuilt) -> None:
    (records,) = [t for t in half_built.tables if t["name"] == "FLOW_RECORDS"]
    assert records["cluster_by"] == "LINEAR(to_date(started_at))"
    assert records["kind"] == "TABLE"
    tags = {each["query_tag"] for each in half_built.log}
    assert "dbt_vpc_flow_logs" in tags


def test_a_build_that_stopped_anywhere_is_finished_by_the_next(
    half_built: HalfBuilt,
) -> None:
    """dbt is killed while records are inserted; then statements are refused, or run and
    their answer is lost. A model whose statement failed has the rows that it had."""
    project, stand_in = half_built.project, half_built.project.stand_in
    stand_in.clear_log()
    command = half_built.command(*RUN)
    while not any("insert into" in text for text in stand_in.statements()):
        assert command.process.is_alive(), command.printed()
        time.sleep(0.02)
    assert command.kill_after(0)
    assert not any(TALKERS in text for text in stand_in.statements())

    # The account waits less for a session whose client was killed.
    stand_in.idle_timeout(1)
    for failures in (
        {"insert into .*flow_records": "before"},
        {"insert into .*flow_records": "after"},
        {f"delete from .*{TALKERS}": "before", f"delete from .*{ADMIN_FLOWS}": "after"},
        {f"insert into .*{TALKERS}": "before", f"insert into .*{ADMIN_FLOWS}": "after"},
    ):
        models = [statement.split("*")[-1] for statement in failures]
        before = [rows_of(project, model) for model in models]
        for statement, when in failures.items():
            stand_in.fail(rf"(?is)^\s*{statement}", when=when)
        printed = project.dbt(*RUN, fails=True, **AS_OF)
        assert f"ERROR={len(failures)} " in printed
        assert [rows_of(project, model) for model in models] == before
    stand_in.idle_timeout(None)
    project.dbt(*RUN, **AS_OF)
    half_built.assert_each_record_counts_once()


def test_a_run_that_read_first_and_writes_last_loses_nothing(
    half_built: HalfBuilt,
) -> None:
    """It has summed a third of the records, when another run counts them all."""
    project = half_built.project
    project.query(f"delete from {TALKERS}")
    with project.stand_in.hold("update .*write_lock") as is_held:
        first = half_built.command("run", "--select", TALKERS)
        while not is_held():
            assert first.process.is_alive(), first.printed()
            time.sleep(0.05)
        project.dbt(*RUN, **AS_OF)
    finish(first)
    half_built.assert_each_record_counts_once()


@pytest.mark.long
def test_two_builds_at_once_double_nothing(half_built: HalfBuilt) -> None:
    folder = half_built.project.target
    shutil.copytree(folder / "1", folder / "2", dirs_exist_ok=True)
    commands = [half_built.command(*RUN, folder=folder) for folder in ("1", "2")]
    for command in commands:
        finish(command)
    half_built.assert_each_record_counts_once()
