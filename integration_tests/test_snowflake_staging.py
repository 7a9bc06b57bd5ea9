"""Staging on Snowflake's stand-in loads each file once, wherever it stopped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote_plus

import boto3
import pytest

from .snowflake_project import Bucket, SnowflakeProject, records_of
from .test_staging import write

LANDED = (
    "select count(*), count(distinct metadata_filename || metadata_file_row_number)"
    " from flow.landing.flow_logs"
)
#: A COPY says first which of how many it is.
COPY = r"(?:/\*.*?\*/\s*)?copy into"
#: What staging runs, in order: the last three once an event has come.
STAGING = [
    "create table",
    COPY,
    "create pipe",
    "alter table .* set comment",
    "alter pipe .* refresh",
    "alter pipe .* set comment",
]
#: What a full refresh runs, in order.
REFRESH = [
    "create or replace table",
    COPY,
    "create or replace pipe",
    "alter table .* set comment",
]
#: What both run for the lines of text logs, if the bucket has none.
TEXT = ["create .*transient table", "create .*pipe", "alter table .* set comment"]
#: What the first staging runs for other files than flow logs, if there are none.
LINES = ["create or replace transient table", "create table if not exists"]
CREDENTIALS = {"aws_access_key_id": "a-key", "aws_secret_access_key": "a-secret"}


def stage_until_done(project: SnowflakeProject) -> int:
    """Stage, and again if that stopped; return how often it stopped."""
    succeeded, _ = project.try_dbt("run-operation", "stage_external_sources")
    if not succeeded:
        project.stage()
    return int(not succeeded)


def assert_changes(project: SnowflakeProject, expected: list[str]) -> None:
    """The log has these changes, in order, and no other."""
    changes = [
        text.strip()
        for text in project.stand_in.statements()
        if re.match(rf"\s*({COPY}|create|alter|drop)\b", text)
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


def test_a_large_bucket_is_loaded_day_by_day_and_goes_on_after_a_failure(
    bucket: Bucket,
) -> None:
    """No COPY could load it as a whole; one of them fails at first."""
    project, files = bucket.project, bucket.files
    bucket.put(*files)
    days = {str(file.parent.relative_to(bucket.folder)) for file in files}
    days = {re.sub(r"/hour=..$|(?<=/../..)/..$", "", day) for day in days}
    project.stand_in.account(copy_limit=len(files) - 1)
    middle = sorted(days)[len(days) // 2]
    project.stand_in.fail(rf"copy into.*{middle}")
    try:
        project.stage(fails=True)
        landed = "select distinct metadata_filename from flow.landing.flow_logs"
        before = {name for (name,) in project.query(landed)}
        assert 0 < len(before) < len(files)
        project.stand_in.clear_log()
        printed = project.stage()
    finally:
        project.stand_in.account(copy_limit=None)
    assert f"1 of {len(days)}, " in printed
    copies = [e for e in project.stand_in.log() if re.match(COPY, e["text"].strip())]
    assert len(copies) == len(days) > 2
    records = records_of(*files)
    assert project.query(LANDED) == [(records, records)]
    assert "SKIP" in project.stage()


def test_a_day_above_the_limit_is_loaded_by_its_folders(
    snowflake: SnowflakeProject, tmp_path: Path
) -> None:
    """A file beside the folders of its day is loaded too, once."""
    day = tmp_path / "AWSLogs/year=2026/month=03/day=31"
    for name in ("hour=01/a", "hour=02/b", "c"):
        write(day / f"{name}.parquet", srcaddr=["10.0.0.1"])
    write(tmp_path / "d.parquet", srcaddr=["10.0.0.2"])
    bucket = Bucket(snowflake, tmp_path)
    bucket.put(*bucket.files)
    printed = snowflake.stage(backfill_gigabytes=0)
    assert "4 of 4, 1 files" in printed
    assert snowflake.query(LANDED) == [(4, 4)]


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
    assert_changes(project, STAGING[:4] + TEXT + LINES + STAGING[4:] * 2)


def test_a_refresh_of_landing_is_refused_until_it_is_allowed(bucket: Bucket) -> None:
    project, file = bucket.project, bucket.files[0]
    bucket.put(file)
    project.stage()
    printed = project.stage(fails=True, ext_full_refresh=True)
    assert "allow_destructive_refresh" in printed
    project.stand_in.clear_log()
    project.stage(ext_full_refresh=True, allow_destructive_refresh=True)
    pause = "alter pipe .* set pipe_execution_paused"
    assert_changes(project, [pause, *REFRESH, pause, *TEXT])
    assert project.query(LANDED) == [(records_of(file), records_of(file))]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("statement", REFRESH)
def test_a_refresh_that_stopped_anywhere_is_finished_by_ordinary_staging(
    bucket: Bucket, statement: str, when: str
) -> None:
    """Landing is filled again. Before its first step the pipe alone has changed."""
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


def test_a_file_that_failed_is_tried_again(
    snowflake: SnowflakeProject, tmp_path: Path
) -> None:
    """Until it can be read. A damaged one is not; one that is gone stops nothing."""
    names = ("it's $$ archived.parquet", "archived.log", "gone.parquet")
    for name in names:
        if name.endswith(".log"):
            (tmp_path / name).write_text("srcaddr bytes\n10.0.0.1 7\n")
        else:
            write(tmp_path / name, srcaddr=["10.0.0.1"])
    (tmp_path / "damaged.parquet").write_text("srcaddr")
    bucket = Bucket(snowflake, tmp_path)
    snowflake.stage()
    bucket.announce(tmp_path / "damaged.parquet")
    s3, place = snowflake.s3, {"Bucket": bucket.name}
    for name in names:
        archived = {"StorageClass": "GLACIER"}
        s3.upload_file(str(tmp_path / name), bucket.name, name, ExtraArgs=archived)
        snowflake.stand_in.event(bucket.url + name)
    s3.delete_object(**place, Key="gone.parquet")
    printed = snowflake.stage()
    for name in names:
        assert f"Tried again: {bucket.url}{name}: " in printed
    assert printed.count("InvalidObjectState") == 2
    assert "was not found" in printed and "damaged" not in printed
    assert snowflake.query(LANDED) == [(0, 0)]

    for name in names[:2]:
        s3.restore_object(**place, Key=name, RestoreRequest={"Days": 1})
    printed = snowflake.stage()
    for name in names[:2]:
        assert f"Tried again: {bucket.url}{name}: loaded" in printed
    assert snowflake.query(LANDED) == [(2, 2)]
    assert "archived" not in snowflake.stage()
    assert snowflake.query(LANDED) == [(2, 2)]
    errors = snowflake.operation("load_errors")
    left = re.findall(rf"^{bucket.url}(.*?): Load failed", errors, re.M)
    assert sorted(left) == ["damaged.parquet", "gone.parquet"]


def test_a_trial_copy_leaves_nothing(bucket: Bucket) -> None:
    project, file = bucket.project, bucket.files[0]
    project.stage()
    bucket.put(file)
    name = str(file.relative_to(bucket.folder))
    project.s3.put_object(Bucket=bucket.name, Key=f"{name}.log", Body=b"bytes\n1\n")
    printed = project.operation("trial_copy", path=name)
    assert f"{name}: {records_of(file)} records\n{name}.log: 2 lines" in printed
    assert project.query(LANDED) == [(0, 0)]
    tables = project.stand_in.rows("show tables in schema flow.landing")
    landing = {"FLOW_LOGS", "TEXT_LOGS", "ENRICHMENT_LINES", "INVENTORY_ROWS"}
    assert {table["name"] for table in tables} == landing


def test_events_may_come_through_a_topic(bucket: Bucket) -> None:
    """A pipe with an SNS topic and an error integration; then one without a queue."""
    project = bucket.project
    sns = boto3.client(
        "sns", "us-east-1", endpoint_url=project.s3.meta.endpoint_url, **CREDENTIALS
    )
    topic = sns.create_topic(Name="new-flow-logs")["TopicArn"]
    project.stand_in.rows("create notification integration errors enabled = true")
    project.stage(snowpipe_sns_topic=topic, snowpipe_error_integration="errors")
    pipes = project.stand_in.rows("show pipes in schema flow.landing")
    assert [pipe["error_integration"] for pipe in pipes] == ["errors", "errors"]
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
