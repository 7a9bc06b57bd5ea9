"""The same project on Snowflake's stand-in: the same rows as DuckDB gives."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3
import pyarrow.parquet as pq
import pytest
import sqlfluff
import sqlglot
from sqlglot import exp

import sample_logs

from .cases import cases, readable
from .conftest import END_DATE, PUBLISHED_DATA, ROOT, Project
from .snowflake_project import KeyPair, SnowflakeProject
from .test_addresses import OWN, QUERY, all_addresses, assert_python_agrees
from .test_cookbook import QUESTIONS
from .test_main_job import assert_each_days_bytes_count_once, assert_marts_equal
from .test_staging import spoil, write

AS_OF = {"as_of": END_DATE.isoformat()}
LANDED = (
    "select count(*), count(distinct metadata_filename || metadata_file_row_number)"
    " from flow.landing.flow_logs"
)


#: What staging runs, in order: first without a pipe, then once an event has come.
STAGING = [
    "create table",
    "copy into",
    "create pipe",
    "alter table .* set comment",
    "alter pipe .* refresh",
    "alter pipe .* set comment",
]
#: What a full refresh runs, in order.
REFRESH = [
    "create or replace table",
    "copy into",
    "create or replace pipe",
    "alter table .* set comment",
]
#: What is too large to be read in full.
LARGE = {"flow_logs", "stg_vpc_flow__flow_logs", "flow_records"}
CREDENTIALS = {"aws_access_key_id": "a-key", "aws_secret_access_key": "a-secret"}


class Bucket:
    """A bucket with a stage over it, whose pipe hears of new files."""

    _numbers = count(1)

    def __init__(self, project: SnowflakeProject, folder: Path) -> None:
        self.project = project
        self.name = name = f"flow-logs-{next(self._numbers)}"
        self.folder = folder
        self.url = f"s3://{name}/"
        self.files = sorted(folder.rglob("*.parquet"))
        project.s3.create_bucket(Bucket=name)
        project.stand_in.forget_failures()
        project.stand_in.rows(
            "drop database if exists flow; create database flow;"
            " create schema flow.landing; create schema flow.analytics;"
            f" create stage flow.landing.flow_logs_stage url = '{self.url}'"
        )

    def put(self, *files: Path) -> list[str]:
        """Upload files, without an event; return their URLs."""
        keys = [str(file.relative_to(self.folder)) for file in files]
        for file, key in zip(files, keys, strict=True):
            self.project.s3.upload_file(str(file), self.name, key)
        return [self.url + key for key in keys]

    def announce(self, *files: Path) -> None:
        """Upload files, with an event for each."""
        for url in self.put(*files):
            assert self.project.stand_in.event(url) == ["FLOW.LANDING.FLOW_LOGS"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample of few files, since the stand-in takes its time for each."""
    folder = tmp_path_factory.mktemp("small")
    sample_logs.generate(folder, end_date=END_DATE, records=4_000, records_per_file=400)
    return folder


@pytest.fixture(scope="module")
def small_truth(small: Path) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads((small / "truth.json").read_text())
    return answers


@pytest.fixture
def bucket(snowflake: SnowflakeProject, small: Path) -> Bucket:
    """An empty database and bucket, and the files of the small sample."""
    return Bucket(snowflake, small)


def records_of(*files: Path) -> int:
    return sum(pq.read_metadata(file).num_rows for file in files)


def assert_each_record_counts_once(
    project: SnowflakeProject, truth: dict[str, Any]
) -> None:
    assert project.query("select count(*) from flow_records") == [(truth["records"],)]
    assert_marts_equal(project, truth)
    assert_each_days_bytes_count_once(project.query, truth)


def plain(value: Any) -> Any:
    """A value as both engines can give it."""
    if isinstance(value, datetime):
        instant = value.astimezone(UTC) if value.tzinfo else value
        return instant.replace(tzinfo=None).isoformat(sep=" ")
    return value


#: When the test loaded the files, and what Snowpipe bills for that.
OF_THE_LOAD = {
    *("LOADED_AT", "LOADED_THROUGH", "FIRST_LOADED_AT", "FOUND_AT"),
    *("NEWEST_FILE_LOADED_AT", "LOAD_LAG_P50_SECONDS", "LOAD_LAG_P95_SECONDS"),
    "BYTES_BILLED",
}
#: Snowpipe lands malformed files; no model but the typed view shows them.
OF_READABLE_FILES = (
    " where metadata_filename not in (select metadata_filename from malformed_files)"
)


def assert_same_rows(
    snowflake: SnowflakeProject,
    project: Project,
    model: str,
    maybe_empty: bool = False,
) -> None:
    """The first row that only one of them has stands in the message."""
    described = snowflake.query(f"describe table {model}")
    columns = [row[0].lower() for row in described if row[0] not in OF_THE_LOAD]
    query = f"select {readable(columns)} from {model}"
    where = OF_READABLE_FILES if model == "stg_vpc_flow__flow_logs" else ""
    found = []
    for rows in (project.query(query), snowflake.query(query + where)):
        named = (dict(zip(columns, map(plain, row), strict=True)) for row in rows)
        found.append(Counter(map(as_compared, named)))
    ours, theirs = found
    assert ours or maybe_empty, model
    only_ours, only_theirs = sorted(ours - theirs), sorted(theirs - ours)
    assert (only_ours[:1], only_theirs[:1]) == ([], []), model


def as_compared(row: dict[str, Any]) -> str:
    """Of a reason, what it speaks of: each engine says it in its own words."""
    if row.get("reason"):
        row["reason"] = row["reason"].split()[0]
    return repr(row)


@pytest.fixture(scope="module")
def compared(
    snowflake: SnowflakeProject, small: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Sample logs, malformed files, odd types, the labelled cases, published logs.

    All of it is built, tested and documented on the stand-in.
    """
    folder = tmp_path_factory.mktemp("compared") / "logs"
    shutil.copytree(small / "AWSLogs", folder / "AWSLogs")
    for fault in ("digits in text", "a fraction", "a truth", "no field"):
        spoil(fault, folder / f"{fault.replace(' ', '_')}.parquet")
    write(folder / "odd.parquet", start=[None, 0, 2**62], bytes=[1, 2, 3])
    for file in PUBLISHED_DATA.rglob("*.parquet"):
        shutil.copy(file, folder)
    for case in cases():
        case.write(folder)

    bucket = Bucket(snowflake, folder)
    bucket.put(*bucket.files)
    snowflake.stage()
    snowflake.dbt("build", **AS_OF)
    snowflake.dbt("test", "--select", "tag:audit", **AS_OF)
    snowflake.dbt("docs", "generate", **AS_OF)
    return folder


def test_every_model_has_the_same_rows_on_both_engines(
    snowflake: SnowflakeProject, new_project: Callable[..., Project], compared: Path
) -> None:
    project = new_project(compared)
    project.stage()
    project.dbt("run", **AS_OF)

    models = [path.stem for path in (ROOT / "models").rglob("*.sql")]
    for model in models:
        # The health tests have gaps and files that failed in their window.
        maybe_empty = model in ("delivery_gaps", "failed_files")
        assert_same_rows(snowflake, project, model, maybe_empty)
    malformed = project.query("select metadata_filename from malformed_files")
    (landed,) = snowflake.query(
        "select count(*) from stg_vpc_flow__flow_logs where not"
        + OF_READABLE_FILES.removeprefix(" where")
    )
    assert landed == (records_of(*(compared / name for (name,) in malformed)),)
    for question, query in QUESTIONS.items():
        if "reason" not in query:
            rows = [tuple(map(plain, row)) for row in snowflake.query(query)]
            asked = [tuple(map(plain, row)) for row in project.query(query)]
            assert rows == asked, question


def test_the_published_logs_are_among_what_is_compared(
    snowflake: SnowflakeProject, published: Path, compared: Path
) -> None:
    landed = "select distinct metadata_filename from stg_vpc_flow__flow_logs"
    files = {file.name for file in published.rglob("*.parquet")}
    assert files
    assert files <= {name for (name,) in snowflake.query(landed)}


def test_the_labelled_cases_are_right_there_too(
    snowflake: SnowflakeProject, compared: Path
) -> None:
    tables: dict[str, list[dict[str, Any]]] = {}

    def rows_of(model: str) -> list[dict[str, Any]]:
        if model not in tables:
            described = snowflake.query(f"describe table {model}")
            names = [row[0].lower() for row in described]
            found = snowflake.query(f"select {readable(names)} from {model}")
            tables[model] = [dict(zip(names, row, strict=True)) for row in found]
        return tables[model]

    assert [line for case in cases() for line in case.differences(rows_of)] == []


def test_address_macros_agree_with_python_there_too(
    snowflake: SnowflakeProject, tmp_path: Path
) -> None:
    addresses = all_addresses(OWN)
    file = write(tmp_path / "addresses.parquet", srcaddr=addresses)
    bucket = Bucket(snowflake, tmp_path)
    bucket.put(file)
    snowflake.stage()
    rendered = snowflake.dbt(
        *("--quiet", "compile", "--inline", QUERY), internal_cidrs=OWN
    )
    landed = "select cast(value['srcaddr'] as varchar) as address"
    found = snowflake.query(
        f"with addresses as ({landed} from flow.landing.flow_logs),"
        + rendered.strip().removeprefix("with")
    )
    assert len(found) == len(addresses)
    assert_python_agrees(found, OWN)


def test_all_compiled_sql_parses_in_snowflakes_dialect(
    snowflake: SnowflakeProject, compared: Path
) -> None:
    """Models, analyses, tests and unit tests."""
    folder = snowflake.target / "target/compiled/vpc_flow_logs"
    paths = [path for path in folder.rglob("*.sql") if path.is_file()]
    kinds = {path.relative_to(folder).parts[0] for path in paths}
    assert kinds >= {"models", "analyses", "tests"}
    for path in paths:
        for parsed in sqlglot.parse(path.read_text(), read="snowflake"):
            assert not isinstance(parsed, exp.Command), path
        # A unit test is the model's SQL again, and takes sqlfluff as long again.
        if not any(part.endswith("unit_tests.yml") for part in path.parts):
            parsed = sqlfluff.parse(path.read_text(), dialect="snowflake")
            assert "unparsable" not in json.dumps(parsed), path


def test_descriptions_are_comments_in_the_database(
    snowflake: SnowflakeProject, compared: Path
) -> None:
    """Of every model and every column, as `dbt docs generate` reads them back."""
    artifacts = snowflake.target / "target"
    described = json.loads((artifacts / "manifest.json").read_text())["nodes"]
    found = json.loads((artifacts / "catalog.json").read_text())["nodes"]
    models = [key for key in described if key.startswith("model.")]
    assert sorted(models) == sorted(found)
    for key in models:
        assert found[key]["metadata"]["comment"] == described[key]["description"], key
        for name, column in found[key]["columns"].items():
            wanted = described[key]["columns"][name.lower()]["description"]
            assert (column["comment"] or "") == wanted, (key, name)


def stage_until_done(project: SnowflakeProject) -> int:
    """Stage, and again if that stopped; how often it stopped."""
    succeeded, _ = project.try_dbt("run-operation", "stage_external_sources")
    if not succeeded:
        project.stage()
    return int(not succeeded)


def assert_changes(project: SnowflakeProject, expected: list[str]) -> None:
    """What has been changed since the log was cleared, in order, and nothing else."""
    changes = [
        text.strip()
        for text in project.stand_in.statements()
        if re.match(r"\s*(create|copy|alter|drop)\b", text)
    ]
    assert len(changes) == len(expected), changes
    for text, pattern in zip(changes, expected, strict=True):
        assert re.match(pattern, text, re.DOTALL), text


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("statement", STAGING)
def test_staging_that_stopped_anywhere_is_finished_by_the_next_run(
    bucket: Bucket, statement: str, when: str
) -> None:
    """A statement was refused, or ran and its answer was lost."""
    project = bucket.project
    first, gap, later = bucket.files[:3]
    bucket.put(first)
    project.stand_in.fail(rf"(?is)^\s*{statement}", when=when)
    stopped = stage_until_done(project)
    bucket.put(gap)
    bucket.announce(later)
    stopped += stage_until_done(project)
    assert stopped == 1
    records = records_of(first, gap, later)
    assert project.query(LANDED) == [(records, records)]
    assert "SKIP" in project.stage()


def test_once_events_flow_one_refresh_closes_the_gap(bucket: Bucket) -> None:
    """A file that came between COPY and the first event is loaded, once."""
    project = bucket.project
    first, gap, later = bucket.files[:3]
    bucket.put(first)
    project.stand_in.clear_log()
    assert "announces" in project.stage()
    bucket.put(gap)
    assert "SKIP" in project.stage()
    assert project.query(LANDED) == [(records_of(first), records_of(first))]
    bucket.announce(later)
    project.stage()
    assert "SKIP" in project.stage()
    records = records_of(first, gap, later)
    assert project.query(LANDED) == [(records, records)]
    assert_changes(project, STAGING)


def test_a_refresh_of_landing_is_refused_until_it_is_allowed(bucket: Bucket) -> None:
    project, file = bucket.project, bucket.files[0]
    bucket.put(file)
    project.stage()
    printed = project.stage(fails=True, ext_full_refresh=True)
    assert "allow_destructive_refresh" in printed
    project.stand_in.clear_log()
    project.stage(ext_full_refresh=True, allow_destructive_refresh=True)
    assert_changes(project, ["alter pipe .* set pipe_execution_paused", *REFRESH])
    assert project.query(LANDED) == [(records_of(file), records_of(file))]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("statement", REFRESH)
def test_a_refresh_that_stopped_anywhere_is_finished_by_ordinary_staging(
    bucket: Bucket, statement: str, when: str
) -> None:
    """Landing is not left empty; before its first step, all is as it was."""
    project = bucket.project
    first, gap, later = bucket.files[:3]
    bucket.put(first)
    project.stage()
    project.stand_in.fail(rf"(?is)^\s*{statement}", when=when)
    project.stage(fails=True, ext_full_refresh=True, allow_destructive_refresh=True)
    bucket.put(gap)
    printed = project.stage()
    if (statement, when) == (REFRESH[0], "before"):
        assert "is PAUSED and loads nothing" in printed
        resume = re.search(r"alter pipe \S+ set pipe_execution_paused = \w+", printed)
        assert resume
        project.stand_in.rows(resume[0])
    bucket.announce(later)
    assert "announces" in project.stage()
    records = records_of(first, gap, later)
    assert project.query(LANDED) == [(records, records)]
    assert "SKIP" in project.stage()


def test_a_trial_copy_leaves_nothing(bucket: Bucket) -> None:
    project, file = bucket.project, bucket.files[0]
    project.stage()
    bucket.put(file)
    name = str(file.relative_to(bucket.folder))
    printed = project.operation("trial_copy", path=name)
    assert f"{name}: {records_of(file)} records" in printed
    assert project.query(LANDED) == [(0, 0)]
    tables = project.stand_in.rows("show tables in schema flow.landing")
    assert [table["name"] for table in tables] == ["FLOW_LOGS"]


def test_events_may_come_through_a_topic(bucket: Bucket) -> None:
    """A pipe with an SNS topic and an error integration; one without any queue."""
    project = bucket.project
    sns = boto3.client(
        "sns", "us-east-1", endpoint_url=project.s3.meta.endpoint_url, **CREDENTIALS
    )
    topic = sns.create_topic(Name="new-flow-logs")["TopicArn"]
    project.stand_in.rows("create notification integration errors enabled = true")
    project.stage(snowpipe_sns_topic=topic, snowpipe_error_integration="errors")
    (pipe,) = project.stand_in.rows("show pipes in schema flow.landing")
    assert pipe["error_integration"] == "errors"
    (url,) = bucket.put(bucket.files[0])
    record = {"s3": {"bucket": {"name": bucket.name}, "object": {"key": ""}}}
    record["s3"]["object"]["key"] = quote_plus(url.removeprefix(bucket.url))
    sns.publish(TopicArn=topic, Message=json.dumps({"Records": [record]}))
    assert project.stand_in.poll() == [url]
    records = records_of(bucket.files[0])
    assert project.query(LANDED) == [(records, records)]

    project.stand_in.rows("drop pipe flow.landing.flow_logs")
    assert "the REST endpoint" in project.stage(snowpipe_auto_ingest=False)
    assert project.stand_in.event(bucket.put(bucket.files[1])[0]) == []
    assert "no notification channel" in project.stage(fails=True)
    project.stand_in.rows("drop integration errors")


def test_late_and_repeated_loads_count_once(
    bucket: Bucket, small_truth: dict[str, Any]
) -> None:
    """Some files by the first COPY, some by events, some late, some twice."""
    project, files = bucket.project, bucket.files
    bucket.put(*files[::3])
    project.stage()
    project.dbt("run", **AS_OF)

    bucket.announce(*files[1::3])
    # These commit now, and began before what the models have already counted.
    project.stand_in.scan_time(90)
    bucket.announce(*files[2::3])
    project.stand_in.scan_time(None)
    project.stand_in.clear_log()
    project.dbt("build", "--exclude-resource-types=unit_test", **AS_OF)
    scheduled = project.stand_in.statements()

    # The pipe's history of 14 days lapses, and it loads some files again.
    project.stand_in.lapse("flow.landing.flow_logs")
    bucket.announce(*files[:5])
    project.dbt("run", **AS_OF)
    assert_each_record_counts_once(project, small_truth)

    reading = [name for text in scheduled for name in large_relations_read(text)]
    assert set(reading) == LARGE


def large_relations_read(text: str) -> set[str]:
    """What a statement reads of the large relations, each by a literal bound.

    Not what a view is made of, which is read by whoever reads the view; nor the newest
    load time, which Snowflake keeps beside the table; nor dbt's look at the columns.
    """
    found: set[str] = set()
    nothing = r"^select max\(|where false\s+limit 0|^(?!.*\b(select|merge)\b)"
    if re.search(nothing, text.strip(), re.DOTALL):
        return found
    parsed = sqlglot.parse_one(text, read="snowflake")
    is_view = isinstance(parsed, exp.Create) and parsed.kind == "VIEW"
    if is_view and "__dbt_tmp" not in parsed.this.sql():
        return found
    for table in parsed.find_all(exp.Table):
        reader = table.find_ancestor(exp.Select, exp.Merge)
        if table.db and table.name.lower() in LARGE and reader:
            bound = reader.args.get("where") or reader.args.get("on")
            assert bound and re.search(
                r"(loaded_at|_dbt_copied_at) > cast\('2|started_at >= cast\('2",
                bound.sql(),
                re.IGNORECASE,
            ), text
            found.add(table.name.lower())
    return found


def test_answers_do_not_depend_on_a_time_zone(
    bucket: Bucket, small_truth: dict[str, Any]
) -> None:
    """COPY, the pipe and dbt each in a zone of their own, all far from UTC."""
    project = bucket.project
    bucket.put(bucket.files[0])
    project.stand_in.clear_log()
    project.stand_in.timezone("Pacific/Auckland")
    project.stage()
    project.stand_in.pipe_timezone("Asia/Tokyo")
    bucket.announce(*bucket.files[1:])
    project.stand_in.pipe_timezone(None)
    project.stand_in.timezone("America/Los_Angeles")
    project.dbt("run", **AS_OF)
    zones = {
        statement: entry["timezone"]
        for entry in project.stand_in.log()
        for statement in ("copy into", "create or replace")
        if entry["text"].strip().startswith(statement)
    }
    assert zones == {
        "copy into": "Pacific/Auckland",
        "create or replace": "America/Los_Angeles",
    }
    assert_each_record_counts_once(project, small_truth)


TALKERS = "int_traffic__talkers_aggregated_to_days"
ADMIN_FLOWS = "int_traffic__admin_flows_aggregated_to_days"
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


@pytest.mark.parametrize(
    "failures",
    [
        {"merge into .*flow_records": "before"},
        {"merge into .*flow_records": "after"},
        {f"delete from .*{TALKERS}": "before", f"delete from .*{ADMIN_FLOWS}": "after"},
        {f"insert into .*{TALKERS}": "before", f"insert into .*{ADMIN_FLOWS}": "after"},
    ],
    ids=["before the merge", "after the merge", "at the deletes", "at the inserts"],
)
def test_an_interrupted_build_is_finished_by_the_next(
    snowflake: SnowflakeProject,
    half_counted: Callable[[], None],
    small_truth: dict[str, Any],
    failures: dict[str, str],
) -> None:
    """A statement was refused, or ran and its answer was lost."""
    half_counted()
    for statement, when in failures.items():
        snowflake.stand_in.fail(rf"(?is)^\s*{statement}", when=when)
    printed = snowflake.dbt("run", fails=True, **AS_OF)
    assert f"ERROR={len(failures)} " in printed
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
    """By SIGKILL, while the MERGE runs."""
    half_counted()
    snowflake.stand_in.clear_log()
    run = snowflake.command(login, "run", **AS_OF)
    while not any("merge into" in text for text in snowflake.stand_in.statements()):
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
    (merged,) = [
        entry["rows"] for entry in project.stand_in.log() if "merge" in entry["text"]
    ]
    assert merged


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
