"""`notify`: bounded, resumable, safe to schedule."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from moto.s3.models import s3_backends

from bootstrap.changes import BootstrapError
from bootstrap.cli import main
from bootstrap.notify import REQUEST_FILES, Result, Snowpipe, notify, only_one
from bootstrap.settings import Notify
from bootstrap.steps import Deployment
from bootstrap.tests.world import BUCKET, HOME, NAMES, REGION, World, base_settings

NOW = datetime.now(UTC)
PIPE = "DB.LANDING.FLOW_LOGS"


class Taker:
    """Takes files in place of Snowpipe, or fails."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[str, int]]] = []
        self.fail_at: int | None = None

    def __call__(self, files: list[tuple[str, int]]) -> None:
        if self.fail_at == len(self.batches):
            self.fail_at = None
            raise BootstrapError("Snowpipe refused the files")
        self.batches.append(files)

    def paths(self) -> list[str]:
        """Return every path that was taken."""
        return [path for batch in self.batches for path, _ in batch]


def _notify(**more: Any) -> dict[str, Any]:
    base = {"account": "acme-prod", "user": "loader", "pipe": PIPE}
    return {**base, "private_key_path": "key.pem", **more}


@pytest.fixture
def taker() -> Taker:
    """Takes files in place of Snowpipe."""
    return Taker()


def _deployment(world: World, **more: Any) -> Deployment:
    document = base_settings({"notify": _notify(**more)})
    if BUCKET not in s3_backends[HOME]["aws"].buckets:
        where: Any = {"LocationConstraint": REGION}
        world.aws.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
    return world.deployment(document)


def _send(d: Deployment, hand: Any, now: datetime | None = None) -> Result:
    return notify(d.settings, d.home, hand, d.say, now)


def _deliver(number: int, day: datetime = NOW, hive: bool = False) -> str:
    folder = f"vpc/AWSLogs/{HOME}/vpcflowlogs/{REGION}/{day:%Y/%m/%d}"
    if hive:
        folder = (
            f"vpc/AWSLogs/aws-account-id={HOME}/aws-service=vpcflowlogs/"
            f"aws-region={REGION}/year={day:%Y}/month={day:%m}/day={day:%d}/hour=01"
        )
    key = f"{folder}/{number:05}.log.parquet"
    s3_backends[HOME]["aws"].put_object(BUCKET, key, b"12345")
    return key.removeprefix("vpc/")


def test_new_files_are_sent_once_with_paths_below_the_stage(
    world: World, taker: Taker
) -> None:
    d = _deployment(world)
    paths = [_deliver(1), _deliver(2, hive=True), _deliver(3, NOW - timedelta(days=1))]
    s3_backends[HOME]["aws"].put_object(BUCKET, f"vpc/{paths[0]}.tmp", b"")

    assert _send(d, taker) == Result(3, False)
    assert _send(d, taker) == Result(0, False)
    late = _deliver(0)
    assert _send(d, taker) == Result(1, False)

    assert sorted(taker.paths()) == sorted([*paths, late])
    assert taker.batches[0][0][1] == 5


def test_a_run_is_bounded_and_the_next_continues(world: World, taker: Taker) -> None:
    d = _deployment(world, max_files=2)
    paths = [_deliver(n) for n in range(5)]

    results = [_send(d, taker) for _ in range(3)]

    assert results == [Result(2, True), Result(2, True), Result(1, False)]
    assert taker.paths() == paths


def test_a_request_has_at_most_five_thousand_files(
    world: World, taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert REQUEST_FILES == 5000
    monkeypatch.setattr("bootstrap.notify.REQUEST_FILES", 2)
    d = _deployment(world)
    for number in range(5):
        _deliver(number)

    _send(d, taker)

    assert [len(batch) for batch in taker.batches] == [2, 2, 1]


def test_batches_before_a_failure_are_not_sent_again(
    world: World, taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bootstrap.notify.REQUEST_FILES", 2)
    d = _deployment(world)
    paths = [_deliver(n) for n in range(5)]
    taker.fail_at = 1

    with pytest.raises(BootstrapError):
        _send(d, taker)
    assert _send(d, taker) == Result(3, False)

    assert taker.paths() == paths


def test_a_second_run_at_the_same_time_is_an_error(world: World, taker: Taker) -> None:
    d = _deployment(world)
    lock = d.settings.state_dir / f"{NAMES.key}.lock"

    with only_one(lock), pytest.raises(BootstrapError, match="another run is active"):
        _send(d, taker)
    assert _send(d, taker) == Result(0, False)


def test_files_older_than_the_look_back_are_left(world: World, taker: Taker) -> None:
    d = _deployment(world, lookback_days=2)
    _deliver(1)
    later = NOW + timedelta(days=4)

    assert _send(d, taker, later) == Result(0, False)


def test_the_ledger_stays_small_and_nothing_is_sent_twice(
    world: World, taker: Taker
) -> None:
    d = _deployment(world, lookback_days=2)
    _deliver(1)

    counts = [
        _send(d, taker, NOW + timedelta(days=day)).handed_over for day in range(8)
    ]

    assert counts == [1, 0, 0, 0, 0, 0, 0, 0]
    assert len(taker.paths()) == 1


class StandIn(HTTPServer):
    """Answers ``insertFiles`` as documented, and checks the token."""

    def __init__(self, public_key: Any) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.public_key = public_key
        self.statuses: list[int] = []
        self.files: list[dict[str, Any]] = []
        self.request_ids: list[str] = []


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_POST(self) -> None:
        """Take the files, or refuse."""
        server: Any = self.server
        address = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = server.statuses.pop(0) if server.statuses else 200
        if address.path != f"/v1/data/pipes/{PIPE}/insertFiles":
            status = 404
        elif not self._is_signed(server.public_key):
            status = 401
        answer: dict[str, Any] = {"message": "refused"}
        if status == 200:
            server.files += body["files"]
            request_id = parse_qs(address.query)["requestId"][0]
            server.request_ids.append(request_id)
            answer = {"requestId": request_id, "responseCode": "SUCCESS"}
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _is_signed(self, key: Any) -> bool:
        token = self.headers["Authorization"].removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, key, algorithms=["RS256"])
        except jwt.InvalidTokenError:
            return False
        der = key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        print_ = base64.b64encode(hashlib.sha256(der).digest()).decode()
        return bool(
            claims["sub"] == "ACME-PROD.LOADER"
            and claims["iss"] == f"ACME-PROD.LOADER.SHA256:{print_}"
        )

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """The loader's key."""
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def stand_in(key: rsa.RSAPrivateKey) -> Iterator[StandIn]:
    """Snowpipe's end point, on this machine."""
    server = StandIn(key.public_key())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _write(path: Path, key: rsa.RSAPrivateKey) -> Path:
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def snowpipe(
    stand_in: StandIn, key: rsa.RSAPrivateKey, tmp_path: Path, world: World
) -> Snowpipe:
    """The library, calling the stand-in."""
    return _snowpipe(stand_in, _write(tmp_path / "key.pem", key), world)


def _snowpipe(stand_in: StandIn, path: Path, world: World, **more: Any) -> Snowpipe:
    wanted = Notify.model_validate(
        _notify(
            private_key_path=path,
            scheme="http",
            host="127.0.0.1",
            port=stand_in.server_address[1],
            **more,
        )
    )
    return Snowpipe(wanted, world.said.append, world.slept.append)


def test_the_library_sends_files_with_a_signed_token(
    world: World, snowpipe: Snowpipe, stand_in: StandIn
) -> None:
    paths = [_deliver(n) for n in range(2) if _deployment(world)]

    assert _send(_deployment(world), snowpipe) == Result(2, False)

    assert stand_in.files == [{"path": path, "size": 5} for path in paths]
    assert len(set(stand_in.request_ids)) == 1


def test_the_command_sends_files_and_prints_the_result(
    world: World,
    stand_in: StandIn,
    key: rsa.RSAPrivateKey,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _deployment(world)
    document = base_settings()
    document["notify"] = _notify(
        private_key_path=str(_write(tmp_path / "key.pem", key)),
        scheme="http",
        host="127.0.0.1",
        port=stand_in.server_address[1],
    )
    config = tmp_path / "bootstrap.yml"
    config.write_text(yaml.safe_dump(document), "utf-8")
    path = _deliver(1)

    main(["notify", "--config", str(config)])
    main(["notify", "--config", str(config)])

    streams = capsys.readouterr()
    assert [json.loads(line) for line in streams.out.splitlines()] == [
        {"handed_over": 1, "left": False},
        {"handed_over": 0, "left": False},
    ]
    assert stand_in.files == [{"path": path, "size": 5}]
    # Relative to the file, whatever folder the program starts in.
    assert (tmp_path / ".bootstrap" / f"{NAMES.key}.sqlite").exists()
    _deliver(2)
    with pytest.raises(SystemExit) as end:
        main(["notify", "--config", str(config), "--set", "notify.user=nobody"])
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert "error: Snowpipe refused the files" in said
    assert "PRIVATE KEY" not in said


def test_a_busy_snowpipe_gets_the_request_again(
    world: World, snowpipe: Snowpipe, stand_in: StandIn
) -> None:
    stand_in.statuses = [429, 429]

    snowpipe([("a", 1)])

    assert world.slept == [2, 4]
    assert len(stand_in.files) == 1


def test_a_snowpipe_that_stays_busy_is_an_error(
    world: World, snowpipe: Snowpipe, stand_in: StandIn
) -> None:
    stand_in.statuses = [429] * 9

    with pytest.raises(BootstrapError, match="The next run continues"):
        snowpipe([("a", 1)])


def test_the_library_repeats_a_request_after_a_temporary_fault(
    snowpipe: Snowpipe, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.statuses = [503]
    monkeypatch.setattr("snowflake.ingest.utils.network.time.sleep", lambda _: None)

    snowpipe([("a", 1)])

    assert len(stand_in.files) == 1


def test_another_key_is_refused_with_what_to_check(
    world: World, stand_in: StandIn, tmp_path: Path
) -> None:
    other = _write(tmp_path / "other.pem", rsa.generate_private_key(65537, 2048))

    with pytest.raises(BootstrapError) as caught:
        _snowpipe(stand_in, other, world)([("a", 1)])

    assert "the key of user loader" in str(caught.value)
    assert "PRIVATE KEY" not in str(caught.value)


def test_a_missing_pipe_is_named(
    world: World, stand_in: StandIn, key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    path = _write(tmp_path / "key.pem", key)

    with pytest.raises(BootstrapError, match=r"pipe DB\.S\.OTHER exists"):
        _snowpipe(stand_in, path, world, pipe="DB.S.OTHER")([("a", 1)])


def test_a_missing_key_is_named(world: World, tmp_path: Path) -> None:
    wanted = Notify.model_validate(_notify(private_key_path=tmp_path / "no.pem"))

    with pytest.raises(BootstrapError, match=r"no\.pem"):
        Snowpipe(wanted, world.said.append)


def test_plain_http_is_for_this_machine_only() -> None:
    with pytest.raises(ValueError, match="stand-in on this machine"):
        Notify.model_validate(_notify(scheme="http", host="example.com"))
