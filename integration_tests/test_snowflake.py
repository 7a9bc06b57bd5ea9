"""The same project on Snowflake's stand-in: the same rows as DuckDB gives."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
import sqlfluff
import sqlglot
import yaml
from moto.server import ThreadedMotoServer

import sample_logs

from .conftest import END_DATE, ROOT, Project
from .snowflake_stand_in import StandIn
from .test_main_job import MARTS
from .test_staging import spoil, write

AS_OF = {"as_of": END_DATE.isoformat()}
# Servers of one process share their buckets: the name is this module's own.
BUCKET = "snowflake-flow-records"


class Account:
    """The stand-in, the project on it, and the bucket that its stage reads."""

    def __init__(
        self, stand_in: StandIn, project: Project, s3: Any, prefix: str
    ) -> None:
        self.stand_in = stand_in
        self.project = project
        self.s3 = s3
        self.prefix = prefix
        self.database = prefix.strip("/").upper()
        stand_in.rows(
            f"create database {self.database};"
            f" create schema {self.database}.landing;"
            f" create schema {self.database}.dbt;"
            f" create stage {self.database}.landing.flow_logs_stage"
            f" url = 's3://{BUCKET}/{prefix}'"
        )

    def dbt(self, *words: str, exit_code: int = 0, **variables: Any) -> str:
        return self.project.dbt(*words, exit_code=exit_code, **variables)

    def stage(self, **options: Any) -> str:
        return self.dbt("run-operation", "stage_external_sources", **options)

    def put(self, folder: Path, file: Path) -> str:
        """Upload a file; return its URL."""
        key = f"{self.prefix}{file.relative_to(folder)}"
        self.s3.upload_file(str(file), BUCKET, key)
        return f"s3://{BUCKET}/{key}"

    def rows(self, sql: str) -> list[dict[str, Any]]:
        found = self.stand_in.rows(f"use schema {self.database}.dbt; {sql}")
        return [{name.lower(): value for name, value in row.items()} for row in found]

    def mart(self, mart: str) -> list[dict[str, Any]]:
        return [
            {
                name: str(value) if name.endswith("_at") else value
                for name, value in row.items()
            }
            for row in self.rows(f"select * from {mart} order by {MARTS[mart]}")
        ]


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "a-key",
            "AWS_SECRET_ACCESS_KEY": "a-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def new_account(aws: str, new_project: Callable[..., Project]) -> Iterator[Any]:
    """Makes accounts on one stand-in, each with a database and prefix of its own."""
    with StandIn.start(s3_endpoint=aws) as stand_in:

        def make(name: str) -> Account:
            project = new_project("not-used", DBT_TARGET="snowflake")
            profile = stand_in.profile(
                password="not-checked",
                role="ACCOUNTADMIN",
                database=name.upper(),
                schema="dbt",
            )
            outputs = {"target": "snowflake", "outputs": {"snowflake": profile}}
            (project.target / "profiles.yml").write_text(
                yaml.safe_dump({"vpc_flow_logs": outputs})
            )
            return Account(stand_in, project, boto3.client("s3"), f"{name}/")

        yield make


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


def records_of(*files: Path) -> int:
    return sum(pq.read_metadata(file).num_rows for file in files)


def plain(value: Any) -> Any:
    """A value as both engines can give it."""
    if isinstance(value, datetime):
        instant = value.astimezone(UTC) if value.tzinfo else value
        return instant.replace(tzinfo=None).isoformat(sep=" ")
    return value


#: When the test loaded the files, what an engine says of it, and what Snowpipe bills.
OF_THE_LOAD = {
    *("loaded_at", "loaded_through", "found_at", "reason", "newest_file_loaded_at"),
    *("load_lag_p50_seconds", "load_lag_p95_seconds", "bytes_billed"),
}
#: What these samples may have nothing of.
MAYBE_EMPTY = {"transit_gateway_records", "delivery_gaps", "failed_files"}


def assert_same_rows(account: Account, project: Project, model: str) -> None:
    columns = [
        name.lower()
        for name in (row["name"] for row in account.rows(f"describe table {model}"))
        if name.lower() not in OF_THE_LOAD
    ]
    names = ", ".join(columns)
    where = ""
    if model in ("stg_vpc_flow__flow_logs", "int_health__loads"):
        # Snowpipe lands malformed files; flow_records leaves them out.
        where = (
            " where metadata_filename not in"
            " (select metadata_filename from malformed_files)"
        )
    if model == "int_health__loads":
        where += " and status = 'loaded'"
    elif model == "load_cost":
        # For the same reason, Snowpipe loads more.
        names, columns = "loaded_date, bytes", ["loaded_date", "bytes"]
    query = f"select {names} from {model}{where}"
    ours = [tuple(map(plain, row)) for row in project.query(query)]
    theirs = [tuple(map(plain, row.values())) for row in account.rows(query)]
    ours.sort(key=repr)
    theirs.sort(key=repr)
    assert ours or model in MAYBE_EMPTY, model
    differing = [
        (model, dict(zip(columns, zip(one, other, strict=True), strict=True)))
        for one, other in zip(ours, theirs, strict=False)
        if one != other
    ]
    assert differing[:1] == []
    assert len(ours) == len(theirs), model


def test_every_model_has_the_same_rows_on_both_engines(
    new_account: Callable[[str], Account],
    new_project: Callable[..., Project],
    small: Path,
    tmp_path: Path,
) -> None:
    """Sample logs, malformed files, odd types, and what others published if present."""
    folder = tmp_path / "logs"
    shutil.copytree(small / "AWSLogs", folder / "AWSLogs")
    for case in ("digits in text", "a fraction", "a truth", "no field"):
        spoil(case, folder / f"{case.replace(' ', '_')}.parquet")
    write(folder / "odd.parquet", start=[None, 0, 2**62], bytes=[1, 2, 3])
    published = Path(__file__).parent.parent.parent / "shared/data"
    for file in published.rglob("*.parquet") if published.is_dir() else ():
        shutil.copy(file, folder)

    account = new_account("compared")
    for file in folder.rglob("*.parquet"):
        account.put(folder, file)
    account.stage()
    account.dbt("build", "--exclude-resource-types=unit_test", **AS_OF)
    project = new_project(f"s3://{BUCKET}/compared/")
    project.stage()
    project.dbt("build", "--exclude-resource-types=unit_test", **AS_OF)

    models = [path.stem for path in (ROOT / "models").rglob("*.sql")]
    assert len(models) == 18
    for path in (account.project.target / "compiled").rglob("*.sql"):
        if path.stem in models:
            assert sqlglot.parse(path.read_text(), read="snowflake")
            sqlfluff.parse(path.read_text(), dialect="snowflake")

    for model in models:
        assert_same_rows(account, project, model)


@pytest.mark.parametrize(
    ("statement", "when"),
    [
        ("create table", "after"),
        ("copy into", "before"),
        ("copy into", "after"),
        ("create pipe", "before"),
        ("create pipe", "after"),
        ("alter table .* set comment", "before"),
    ],
)
def test_staging_that_stopped_anywhere_is_finished_by_the_next_run(
    new_account: Callable[[str], Account], small: Path, statement: str, when: str
) -> None:
    """A statement was refused, or ran and its answer was lost."""
    file = min(small.rglob("*.parquet"))
    account = new_account("stopped_" + re.sub(r"\W", "", statement) + when)
    account.put(small, file)
    account.stand_in.fail(rf"(?is)^\s*{statement}", when=when)
    account.dbt("run-operation", "stage_external_sources", exit_code=1)
    account.stand_in.forget_failures()
    assert "announces" in account.stage()
    (landed,) = account.rows(
        "select count(*) as n, count(distinct metadata_file_row_number) as d"
        f" from {account.database}.landing.flow_logs"
    )
    assert landed["n"] == landed["d"] == records_of(file)
    (table,) = account.stand_in.rows(
        f"show tables in schema {account.database}.landing"
    )
    assert table["comment"].endswith("are loaded")


def test_late_and_repeated_loads_count_once(
    new_account: Callable[[str], Account], small: Path, small_truth: dict[str, Any]
) -> None:
    """Some files by the first COPY, some by events, some late, some twice."""
    account = new_account("late")
    files = sorted(small.rglob("*.parquet"))
    for file in files[::3]:
        account.put(small, file)
    account.stage()
    account.dbt("run", **AS_OF)

    for file in files[1::3]:
        assert account.stand_in.event(account.put(small, file))
    # These commit now, and began before what the models have already counted.
    account.stand_in.scan_time(90)
    for file in files[2::3]:
        assert account.stand_in.event(account.put(small, file))
    account.stand_in.scan_time(None)
    account.stand_in.clear_log()
    account.dbt("run", **AS_OF)
    scheduled = account.stand_in.statements()

    # The pipe's history of 14 days lapses, and it loads some files again.
    account.stand_in.lapse(f"{account.database}.LANDING.FLOW_LOGS")
    for file in files[:5]:
        account.stand_in.event(account.put(small, file))
    account.dbt("run", **AS_OF)

    assert account.rows("select count(*) as n from flow_records") == [
        {"n": small_truth["records"]}
    ]
    for mart in MARTS:
        assert account.mart(mart) == small_truth["marts"][mart], mart

    # A scheduled run reads landing and flow_records by literals.
    reading = [
        text
        for text in scheduled
        if re.search(r"__dbt_tmp\s+as\s|^\s*merge into", text, re.I)
        and re.search(r"flow_records|stg_vpc_flow__flow_logs", text)
    ]
    assert len(reading) == 6
    for text in reading:
        assert re.search(r"loaded_at > cast\('2|started_at >= cast\('2", text), text


def test_answers_do_not_depend_on_a_time_zone(
    new_account: Callable[[str], Account], small: Path, small_truth: dict[str, Any]
) -> None:
    """COPY and dbt in one zone, the pipe in another, both far from UTC."""
    account = new_account("zones")
    files = sorted(small.rglob("*.parquet"))
    account.put(small, files[0])
    account.stage()
    account.stand_in.pipe_timezone("Asia/Tokyo")
    for file in files[1:]:
        account.stand_in.event(account.put(small, file))
    account.stand_in.pipe_timezone(None)
    account.dbt("run", **AS_OF)
    for mart in MARTS:
        assert account.mart(mart) == small_truth["marts"][mart], mart


def test_a_refresh_of_landing_is_refused_until_it_is_allowed(
    new_account: Callable[[str], Account], small: Path
) -> None:
    account = new_account("refresh")
    file = min(small.rglob("*.parquet"))
    account.put(small, file)
    account.stage()
    printed = account.dbt(
        "run-operation", "stage_external_sources", exit_code=1, ext_full_refresh=True
    )
    assert "allow_destructive_refresh" in printed
    account.stage(ext_full_refresh=True, allow_destructive_refresh=True)
    assert account.rows(
        f"select count(*) as n from {account.database}.landing.flow_logs"
    ) == [{"n": records_of(file)}]


def test_once_events_flow_one_refresh_closes_the_gap(
    new_account: Callable[[str], Account], small: Path
) -> None:
    """A file that came between COPY and the first event is loaded, once."""
    account = new_account("gap")
    first, gap, later = sorted(small.rglob("*.parquet"))[:3]
    account.put(small, first)
    account.stage()
    account.put(small, gap)
    assert "SKIP" in account.stage()
    account.stand_in.event(account.put(small, later))
    account.stand_in.clear_log()
    account.stage()
    assert "SKIP" in account.stage()
    refreshes = [text for text in account.stand_in.statements() if " refresh" in text]
    assert len(refreshes) == 1
    assert account.rows(
        "select count(*) as n, count(distinct metadata_filename) as f"
        f" from {account.database}.landing.flow_logs"
    ) == [{"n": records_of(first, gap, later), "f": 3}]


def test_a_trial_copy_leaves_nothing(
    new_account: Callable[[str], Account], small: Path
) -> None:
    account = new_account("trial")
    account.stage()
    file = min(small.rglob("*.parquet"))
    account.put(small, file)
    name = str(file.relative_to(small))
    printed = account.dbt(
        "run-operation", "trial_copy", "--args", json.dumps({"path": name})
    )
    assert f"trial/{name}: {records_of(file)} records" in printed
    (left,) = account.rows(
        f"select count(*) as n from {account.database}.landing.flow_logs"
    )
    assert left == {"n": 0}
    tables = account.stand_in.rows(f"show tables in schema {account.database}.landing")
    assert [table["name"] for table in tables] == ["FLOW_LOGS"]


def test_two_builds_at_once_double_nothing(
    new_account: Callable[[str], Account], small: Path, small_truth: dict[str, Any]
) -> None:
    account = new_account("twice")
    files = sorted(small.rglob("*.parquet"))
    account.put(small, files[0])
    account.stage()
    account.dbt("run", **AS_OF)
    for file in files[1:]:
        account.stand_in.event(account.put(small, file))
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(account.dbt, "run", "--target-path", str(target), **AS_OF)
            for target in (account.project.target / "a", account.project.target / "b")
        ]
    assert all(run.result() for run in runs)
    assert account.rows("select count(*) as n from flow_records") == [
        {"n": small_truth["records"]}
    ]
    for mart in MARTS:
        assert account.mart(mart) == small_truth["marts"][mart], mart


def test_an_event_carries_a_file_to_the_marts(
    new_account: Callable[[str], Account], small: Path
) -> None:
    """Object in S3, event, SQS, pipe, landing, dbt, marts; then a second file."""
    account = new_account("whole_way")
    account.stage()
    (pipe,) = account.stand_in.rows(f"show pipes in schema {account.database}.landing")
    account.s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "QueueArn": pipe["notification_channel"],
                    "Events": ["s3:ObjectCreated:*"],
                }
            ]
        },
    )
    records = 0
    try:
        for file in sorted(small.rglob("*.parquet"))[:2]:
            url = account.put(small, file)
            assert account.stand_in.poll() == [url]
            account.dbt("run", **AS_OF)
            records += records_of(file)
            assert account.rows("select count(*) as n from flow_records") == [
                {"n": records}
            ]
            assert account.mart("top_talkers_by_interface")
    finally:
        account.s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={}
        )
