"""`s3://` locations, read through httpfs from a local S3 server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import duckdb
import pytest
from moto.server import ThreadedMotoServer
from werkzeug.serving import WSGIRequestHandler

from .conftest import Project
from .test_staging import Bench, loading, spoil, write_good

BUCKET = "flow-records"
REGION = "eu-west-3"


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A bucket on a server of its own; the environment leads boto3 to it."""
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    before = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a-key",
        "AWS_SECRET_ACCESS_KEY": "it's/secret",
        "AWS_DEFAULT_REGION": REGION,
        "NO_PROXY": host,
        "no_proxy": host,
    }
    client = boto3.client("s3")
    client.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    yield client
    server.stop()
    os.environ.clear()
    os.environ.update(before)


def upload(s3: Any, folder: Path, prefix: str) -> None:
    for file in folder.rglob("*.parquet"):
        s3.upload_file(str(file), BUCKET, f"{prefix}{file.relative_to(folder)}")


def after_the_listing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Have something happen between the listing of a run and its reading."""
    original = loading.list_files

    def list_and_act(*words: Any) -> Any:
        listed = original(*words)
        act()
        return listed

    monkeypatch.setattr(loading, "list_files", list_and_act)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.connection.close()


def test_a_bucket_lands_as_a_folder_does(
    new_project: Callable[..., Project], built: Project, sample: Path, s3: Any
) -> None:
    """Plain and Hive-style layouts below one prefix; a second run lists and stops."""
    files = len(list(sample.rglob("*.parquet")))
    upload(s3, sample, "org/")
    project = new_project(f"s3://{BUCKET}/org/")
    assert f"{files} loaded (20,000 records)" in project.stage()
    assert f"Nothing new in {files} files" in project.stage()
    columns = {name for name, *_ in built.query("describe landing.flow_logs")}
    columns -= {"metadata_filename", "metadata_file_last_modified", "_dbt_copied_at"}
    names = ", ".join(f'"{name}"' for name in sorted(columns))
    landed = f"select {{}}, {names} from landing.flow_logs order by all"
    assert project.query(landed.format("metadata_filename")) == built.query(
        landed.format("'org/' || metadata_filename")
    )


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/**/*.parquet", "{}/a.parquet"])
def test_a_prefix_is_named_in_several_ways(bench: Bench, s3: Any, form: str) -> None:
    write_good(bench.folder / "a.parquet")
    upload(s3, bench.folder, "forms/")
    bench.load(f"s3://{BUCKET}/forms")
    location = form.format(f"s3://{BUCKET}/forms")
    assert bench.load(location).startswith("Nothing new in 1 files")
    assert bench.history() == {"forms/a.parquet": ("loaded", 3)}


def test_a_prefix_without_objects_is_no_error(bench: Bench, s3: Any) -> None:
    assert bench.load(f"s3://{BUCKET}/nothing/").startswith("Nothing new in 0 files")


def test_a_bad_object_is_quarantined(bench: Bench, s3: Any) -> None:
    spoil("truncated", bench.folder / "b.parquet")
    spoil("page", bench.folder / "c.parquet")
    write_good(bench.folder / "a.parquet")
    upload(s3, bench.folder, "bad/")
    bench.load(f"s3://{BUCKET}/bad/")
    assert bench.history() == {
        "bad/a.parquet": ("loaded", 3),
        "bad/b.parquet": ("quarantined", None),
        "bad/c.parquet": ("quarantined", None),
    }
    assert bench.why("bad/b.parquet") == "No magic bytes found at end of file"


def test_an_object_that_vanishes_stops_the_run_and_quarantines_nothing(
    bench: Bench, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_good(bench.folder / "a.parquet")
    upload(s3, bench.folder, "gone/")

    def delete() -> None:
        s3.delete_object(Bucket=BUCKET, Key="gone/a.parquet")

    after_the_listing(monkeypatch, delete)
    with pytest.raises(Exception, match="404"):
        bench.load(f"s3://{BUCKET}/gone/")
    assert bench.history() == {}


def test_an_object_that_is_replaced_meanwhile_loads_with_the_next_command(
    bench: Bench, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_good(bench.folder / "a.parquet", 3_000)
    upload(s3, bench.folder, "replaced/")

    def replace() -> None:
        write_good(bench.folder / "a.parquet")
        upload(s3, bench.folder, "replaced/")

    after_the_listing(monkeypatch, replace)
    with pytest.raises(duckdb.HTTPException, match="Range Not Satisfiable"):
        bench.load(f"s3://{BUCKET}/replaced/")
    assert bench.history() == {}
    assert bench.query("select count(*) from landing.flow_logs") == [(0,)]

    monkeypatch.undo()
    bench.connection.close()
    bench.connect()
    bench.load(f"s3://{BUCKET}/replaced/")
    assert bench.history() == {"replaced/a.parquet": ("loaded", 3)}


def test_the_size_of_each_object_is_not_asked_for(
    bench: Bench, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing has it, and one request more a file would slow down small files."""
    for number in range(3):
        write_good(bench.folder / f"{number}.parquet")
    upload(s3, bench.folder, "sizes/")
    asked = []
    monkeypatch.setattr(
        WSGIRequestHandler,
        "log_request",
        lambda self, *_: asked.append((self.command, self.path.partition("?")[0])),
    )
    bench.load(f"s3://{BUCKET}/sizes/")
    objects = [command for command, path in asked if path.endswith(".parquet")]
    assert set(objects) == {"GET"}


def test_a_bucket_that_is_not_there_is_a_clear_error(
    new_project: Callable[..., Project], s3: Any
) -> None:
    printed = new_project("s3://no-such-bucket-here/logs/").stage(exit_code=1)
    assert "There is no bucket s3://no-such-bucket-here" in printed
    assert "Traceback" not in printed


def test_a_server_that_does_not_answer_is_a_clear_error(
    new_project: Callable[..., Project], s3: Any
) -> None:
    project = new_project(
        f"s3://{BUCKET}/org/",
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
        AWS_MAX_ATTEMPTS="1",
    )
    printed = project.stage(exit_code=1)
    assert "Could not connect to the endpoint URL" in printed
    assert "Traceback" not in printed


def test_without_credentials_the_message_says_what_to_set(
    new_project: Callable[..., Project], s3: Any
) -> None:
    project = new_project(
        f"s3://{BUCKET}/org/",
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        AWS_EC2_METADATA_DISABLED="true",
    )
    printed = project.stage(exit_code=1)
    assert "redentials" in printed
    assert "Traceback" not in printed
