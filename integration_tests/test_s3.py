"""`s3://` locations, downloaded by boto3 from a local S3 server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from flow_log_loader import listing
from flow_log_loader import s3 as s3_objects
from werkzeug.serving import WSGIRequestHandler

from .conftest import Project, leads_to
from .test_staging import Bench, loading, spoil, write_good

BUCKET = "flow-records"
REGION = "eu-west-3"


@pytest.fixture(scope="module")
def s3(emulated_s3: Any) -> Iterator[Any]:
    """A client with a bucket; the environment leads boto3 to the same server."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in leads_to(emulated_s3).items():
            patch.setenv(name, value)
        emulated_s3.create_bucket(Bucket=BUCKET)
        yield emulated_s3


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


def test_a_prefix_is_named_in_several_ways(bench: Bench, s3: Any) -> None:
    """As a whole, or a part of it."""
    write_good(bench.folder / "AWSLogs/a.parquet")
    upload(s3, bench.folder, "forms/")
    bench.load(f"s3://{BUCKET}/forms")
    for part in ("", "AWSLogs/", "AWSLogs/*", "**/*.parquet", "AWSLogs/a.parquet"):
        found = bench.load(f"s3://{BUCKET}/forms/{part}")
        assert found.startswith("Nothing new in 1 files"), part
    assert bench.history() == {"forms/AWSLogs/a.parquet": ("loaded", 3)}


def test_a_prefix_that_never_had_an_object_is_an_error(bench: Bench, s3: Any) -> None:
    for name in ("a.csv", "b.csv"):
        s3.put_object(Bucket=BUCKET, Key=f"nothing/{name}")
    message = r"0 Parquet .* passed over \(2 .csv"
    with pytest.raises(listing.ListingError, match=message):
        bench.load(f"s3://{BUCKET}/nothing/")


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


def test_an_object_that_vanishes_is_reported_and_the_rest_loads(
    bench: Bench, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        write_good(bench.folder / f"{name}.parquet")
    upload(s3, bench.folder, "gone/")

    def delete() -> None:
        s3.delete_object(Bucket=BUCKET, Key="gone/a.parquet")

    after_the_listing(monkeypatch, delete)
    assert "1 loaded (3 records)" in bench.load(f"s3://{BUCKET}/gone/")
    assert bench.history()["gone/a.parquet"] == ("failed", None)
    assert bench.why("gone/a.parquet") == "gone since the listing"


def test_an_object_that_is_replaced_meanwhile_loads_with_the_next_command(
    bench: Bench, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_good(bench.folder / "a.parquet", 3_000)
    upload(s3, bench.folder, "replaced/")

    def replace() -> None:
        write_good(bench.folder / "a.parquet")
        upload(s3, bench.folder, "replaced/")

    after_the_listing(monkeypatch, replace)
    bench.load(f"s3://{BUCKET}/replaced/")
    assert "still being written" in bench.said[0]
    assert bench.history() == {}

    monkeypatch.undo()
    bench.load(f"s3://{BUCKET}/replaced/")
    assert bench.history() == {"replaced/a.parquet": ("loaded", 3)}


def refuse(code: str, status: int, message: str = "") -> Any:
    """What botocore does before it sends a request: answer it with an error."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"

    def answer(request: Any, **_: Any) -> Any:
        if "denied" not in request.url:
            return None
        return AWSResponse(request.url, status, {}, _Raw(body.encode()))

    return answer


class _Raw(io.BytesIO):
    """A body as urllib3 gives it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has S3 refuse the objects whose key has the word `denied`."""

    def set_up(*error: Any) -> None:
        original = s3_objects.Bucket.__init__

        def init(self: Any, *words: Any) -> None:
            original(self, *words)
            self._client.meta.events.register(
                "before-send.s3.GetObject", refuse(*error)
            )

        monkeypatch.setattr(s3_objects.Bucket, "__init__", init)

    return set_up


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (("AccessDenied", 403), "denied (AccessDenied): allow s3:GetObject"),
        (
            ("AccessDenied", 403, "not authorized to perform: kms:Decrypt"),
            "kms:Decrypt",
        ),
        (("KMS.DisabledException", 400, "k is disabled"), "encrypted with a key"),
        (("InvalidRequest", 400, "needs a key of the customer"), "needs a key"),
        (("MethodNotAllowed", 405), "S3 does not give it (MethodNotAllowed)"),
    ],
)
def test_an_object_that_is_refused_fails_and_the_rest_loads(
    bench: Bench,
    s3: Any,
    refused: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    error: tuple[Any, ...],
    reason: str,
) -> None:
    """Run after run, until it is given; alone in a location it ends the run."""
    prefix = f"refused/{abs(hash(error))}/"
    for name in ("a", "denied", "z"):
        write_good(bench.folder / f"{name}.parquet")
    upload(s3, bench.folder, prefix)
    refused(*error)
    for loaded in ("2 loaded", "2 already loaded"):
        summary = bench.load(f"s3://{BUCKET}/{prefix}")
        assert loaded in summary and summary.endswith("1 failed")
        assert reason in bench.why(f"{prefix}denied.parquet")
    monkeypatch.undo()
    assert "1 loaded (3 records)" in bench.load(f"s3://{BUCKET}/{prefix}")
    assert bench.history()[f"{prefix}denied.parquet"] == ("loaded", 3)


@pytest.mark.parametrize(
    "error", [("ExpiredToken", 400), ("SlowDown", 503), ("InternalError", 500)]
)
def test_an_error_that_concerns_all_objects_ends_the_run(
    bench: Bench, s3: Any, refused: Callable[..., None], error: tuple[Any, ...]
) -> None:
    write_good(bench.folder / "denied.parquet")
    upload(s3, bench.folder, "all/")
    refused(*error)
    with pytest.raises(s3_objects.S3Error, match=error[0]):
        bench.load(f"s3://{BUCKET}/all/")
    assert bench.history() == {}


def test_if_no_object_may_be_read_the_run_fails(
    bench: Bench, s3: Any, refused: Callable[..., None]
) -> None:
    write_good(bench.folder / "denied.parquet")
    upload(s3, bench.folder, "none/")
    refused("AccessDenied", 403)
    with pytest.raises(loading.LoadError, match=r"None of 1 files .* s3:GetObject"):
        bench.load(f"s3://{BUCKET}/none/")


def test_an_archived_object_is_tried_until_it_is_restored(
    bench: Bench, s3: Any
) -> None:
    """One class of storage each; restored, it loads by itself."""
    file = write_good(bench.folder / "x.parquet")
    for storage in ("GLACIER", "DEEP_ARCHIVE", "STANDARD"):
        s3.upload_file(
            str(file), BUCKET, f"old/{storage}.parquet", {"StorageClass": storage}
        )
    for loaded in ("1 loaded", "1 already loaded"):
        summary = bench.load(f"s3://{BUCKET}/old/")
        assert loaded in summary and summary.endswith("2 failed")
        assert "restore it in S3" in bench.why("old/GLACIER.parquet")
    s3.restore_object(
        Bucket=BUCKET, Key="old/GLACIER.parquet", RestoreRequest={"Days": 1}
    )
    assert "1 loaded (3 records)" in bench.load(f"s3://{BUCKET}/old/")


def test_keys_of_any_characters_load(bench: Bench, s3: Any) -> None:
    file = write_good(bench.folder / "x.parquet")
    names = ["what?", "back\\slash", "ha#sh", "per%20cent", "st*r", "br[1]", "a+b c"]
    names += ["ü", "semi;&=", "quo'te", 'dbl"q', "a/b//two", "{x}~^|", "a:b@c"]
    for name in names:
        s3.upload_file(str(file), BUCKET, f"odd/{name}.parquet")
    bench.load(f"s3://{BUCKET}/odd")
    assert bench.history() == {f"odd/{name}.parquet": ("loaded", 3) for name in names}
    assert bench.load(f"s3://{BUCKET}/odd/").startswith("Nothing new in 14 files")


TREE = """
    AWSLogs/1/x/a.parquet AWSLogs/2/x/b.PARQUET AWSLogs/2/y/deep/c.parquet
    AWSLogs2/d.parquet e.parquet f.parquet/part-0.parquet g[1]/h.parquet
    _temporary/i.parquet AWSLogs/.j.parquet k.csv AWSLogs/1/x/a.parquet.tmp
"""
PATTERNS = """
    . AWSLogs AWSLogs/ * */ AWSLogs/*/x AWSLogs/*/x/ ** **/*.parquet AWSLogs*/** **/x/*
    e.parquet f.parquet ?.parquet AWSLogs/[12]/**/?.parquet g[1] g[[]1]/* [!p]* */*/
"""


@pytest.mark.parametrize("pattern", PATTERNS.split())
def test_a_location_is_the_same_files_on_s3_as_locally(
    s3: Any, tmp_path: Path, pattern: str
) -> None:
    pattern = pattern.removeprefix(".")
    for name in TREE.split():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
        s3.upload_file(str(file), BUCKET, f"tree/{name}")
    local = listing.list_files(f"{tmp_path}/{pattern}").files
    remote = listing.list_files(f"s3://{BUCKET}/tree/{pattern}").files
    assert local
    assert {file.path.removeprefix(f"{tmp_path}/") for file in local} == {
        file.path.removeprefix(f"s3://{BUCKET}/tree/") for file in remote
    }


def test_two_buckets_with_one_key_both_load(bench: Bench, s3: Any) -> None:
    file = write_good(bench.folder / "x.parquet")
    s3.create_bucket(Bucket="flow-other")
    for bucket in (BUCKET, "flow-other"):
        s3.upload_file(str(file), bucket, "twice/x.parquet")
        bench.load(f"s3://{bucket}/twice/")
    bench.load(f"s3a://{BUCKET}/twice/")
    assert bench.history() == {
        "twice/x.parquet": ("loaded", 3),
        "s3://flow-other/twice/x.parquet": ("loaded", 3),
    }


@pytest.mark.parametrize(
    "name",
    [f"arn:aws:s3:{REGION}:123456789012:accesspoint/x", "x-abcdefghijklmnop-s3alias"],
)
def test_an_access_point_may_be_another_name_of_a_bucket(name: str) -> None:
    """So it is another location until that is allowed."""
    assert listing.is_beside("s3://logs/p", "s3://others/p")
    assert listing.is_beside(f"s3://{name}/p/prod", f"s3://{name}/p/dev")
    assert not listing.is_beside("s3://logs/p", f"s3://{name}/p")
    assert not listing.is_beside(f"s3://{name}/p", "s3://logs/p")


def test_what_an_access_point_and_a_requester_need_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the access point's own host, with the header that says who pays."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    arn = f"arn:aws:s3:{REGION}:123456789012:accesspoint/logs"
    sent = []

    def answer(request: Any, **_: Any) -> Any:
        sent.append((request.url, request.headers.get("x-amz-request-payer")))
        raise StopIteration

    for location in (f"s3://{arn}/p/", "s3://logs-abcdefghijklmnop-s3alias/p/"):
        name, key = s3_objects.split_uri(location)
        bucket = s3_objects.Bucket(name, requester_pays=True)
        bucket._client.meta.events.register("before-send.s3", answer)
        with pytest.raises(Exception, match="StopIteration"):
            list(bucket.objects(key))
        with pytest.raises(Exception, match="StopIteration"):
            bucket.download([("p/a", 1, 1, "x")])
    hosts = [url.split("/")[2] for url, _ in sent]
    assert set(hosts) == {
        f"logs-123456789012.s3-accesspoint.{REGION}.amazonaws.com",
        f"logs-abcdefghijklmnop-s3alias.s3.{REGION}.amazonaws.com",
    }
    assert {payer for _, payer in sent} in ({b"requester"}, {"requester"})


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
