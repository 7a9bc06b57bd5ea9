"""The command line against moto's server: exit codes, streams, and no secrets."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml
from moto.server import ThreadedMotoServer

from bootstrap.cli import main
from bootstrap.permissions import administrator_policy
from bootstrap.tests.conftest import FakeDbt
from bootstrap.tests.faithful import faithful
from bootstrap.tests.world import (
    BUCKET,
    EXTERNAL_ID,
    HOME,
    REGION,
    USER,
    World,
    base_settings,
    snapshot,
    their_bucket,
)

ROOT = Path(__file__).parents[2]
SECRET = "kept/out+of=every/stream"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """moto's server, as strict as AWS where it matters here."""
    found = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with faithful() as aws:
        aws.principals.add(USER)
        found.start()
        host, port = found.get_host_and_port()
        yield f"http://{host}:{port}"
        found.stop()


class Run:
    """Runs the program and keeps what it printed.

    Args:
        capsys: Captures the streams.
        config: The settings file.
    """

    def __init__(self, capsys: pytest.CaptureFixture[str], config: Path) -> None:
        self._capsys, self.config = capsys, config
        self.printed = ""

    def __call__(self, command: str, *flags: str) -> tuple[int, str, str]:
        """Return the exit code and both streams."""
        code = 0
        try:
            main([command, "--config", str(self.config), *flags])
        except SystemExit as end:
            code = int(end.code or 0)
        streams = self._capsys.readouterr()
        self.printed += streams.out + streams.err
        return code, streams.out, streams.err


@pytest.fixture
def run(
    server: str,
    dbt: FakeDbt,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """The program on an account that is empty but for AWS's default VPC."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with urlopen(Request(f"{server}/moto-api/reset", method="POST")):
        pass
    document = base_settings()
    document["state_dir"] = str(tmp_path / "state")
    document["snowflake"] = {"dbt": {"executable": str(dbt.executable)}}
    config = tmp_path / "bootstrap.yml"
    config.write_text(yaml.safe_dump(document), "utf-8")
    return Run(capsys, config)


def test_from_an_empty_account_to_the_end_and_back(
    run: Run, tmp_path: Path, dbt: FakeDbt
) -> None:
    world = World(tmp_path / "other", own_clients=True)
    before = snapshot(world)

    code, out, _ = run("plan")
    assert code == 0
    assert out.endswith("9 to create, 1 to run; 3 wait for what comes before them.\n")
    assert run("plan", "--check")[0] == 2
    code, _, err = run("apply", "--yes")
    assert code == 0
    assert "done: bucket acme-flow-data" in err
    assert run("plan", "--check")[0] == 0
    code, out, _ = run("apply", "--yes")
    assert (code, out.strip()) == (0, "Nothing to do.")
    # No file was delivered: a broken link.
    code, out, _ = run("verify")
    assert code == 1
    assert "broken   newest delivered file" in out
    assert "ok       pipe: DB.LANDING.FLOW_LOGS is RUNNING" in out
    assert "show parameters like 'PREVENT_UNLOAD_TO_INLINE_URL' in account" in out
    assert run("destroy", "--yes", "--delete-data", "--with-snowflake")[0] == 0

    assert snapshot(world) == before
    assert dbt.read()["integration"] is None
    assert run("plan", "--check")[0] == 2
    for secret in (SECRET, EXTERNAL_ID):
        assert secret not in run.printed


def test_what_is_left_to_do_once_is_said(run: Run) -> None:
    _, out, _ = run("apply", "--yes")

    assert "dbt run-operation stage_external_sources --target snowflake" in out


def test_others_keep_everything_through_the_server_too(
    run: Run, tmp_path: Path
) -> None:
    world = World(tmp_path / "other", own_clients=True)
    their_bucket(world)
    before = snapshot(world)

    assert run("apply", "--yes", "--set", "bucket.create=false")[0] == 0
    assert snapshot(world) != before
    assert run("destroy", "--yes", "--set", "bucket.create=false")[0] == 0

    assert snapshot(world) == before


def test_the_plan_as_json_is_alone_on_standard_output(run: Run) -> None:
    code, out, _ = run("plan", "--json")

    changes = json.loads(out)
    assert code == 0
    assert {"verb", "resource", "reason", "before", "after"} == set(changes[0])
    assert changes[0]["resource"] == f"bucket {BUCKET}"


def test_nobody_to_ask_is_an_error(run: Run, tmp_path: Path) -> None:
    code, _, err = run("apply")

    assert code == 1
    assert "give --yes" in err
    assert (
        World(tmp_path / "o", own_clients=True).aws.s3.list_buckets()["Buckets"] == []
    )


class Terminal(io.StringIO):
    """A person who answers."""

    def isatty(self) -> bool:
        """Return that somebody is there."""
        return True


def test_a_person_is_asked_and_no_is_no(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path / "other", own_clients=True)
    before = snapshot(world)

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    code, out, err = run("apply")

    assert code == 1
    assert "9 to create" in out
    assert "Do this? [y/N]" in err
    assert "nothing was changed" in err
    assert snapshot(world) == before

    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert run("apply")[0] == 0
    assert run("plan", "--check")[0] == 0


def test_what_dbt_is_asked_is_shown_as_progress(run: Run) -> None:
    _, out, err = run("plan")

    assert "dbt run-operation describe_integration" in err
    assert "describe_integration" not in out


def test_without_events_it_says_to_schedule_notify(run: Run) -> None:
    _, out, _ = run("apply", "--yes", "--set", "events.route=none")

    assert "schedule `python -m bootstrap notify`" in out


def test_the_flag_and_the_environment_win(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPC_FLOW_BOOTSTRAP__BUCKET__NAME", "from-environment")

    assert "from-environment" in run("plan")[1]
    out = run("plan", "--set", "bucket.name=from-flag")[1]
    assert "from-flag" in out
    assert "from-environment" not in out


def test_the_other_administrators_text_is_printed(run: Run) -> None:
    flags = ("--set", "snowflake.handshake=manual")
    code, out, _ = run("apply", "--yes", *flags)

    assert code == 0
    assert "create storage integration if not exists vpc_flow_logs" in out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("bucket.nmae=x", "did you mean `name`?"),
        ("bucket.account_id=210987654321", f"act in account {HOME}"),
        ("snowflake.dbt.executable=no-such-dbt", "was not found"),
        ("novalue", "write it as key=value"),
        ("profile=nobody", "Log in as for the AWS command line"),
    ],
)
def test_failures_end_with_one_and_a_message(run: Run, change: str, words: str) -> None:
    code, out, err = run("plan", "--set", change)

    assert code == 1
    assert words in err
    assert "Traceback" not in out + err


def test_nobody_logged_in_is_said_with_what_to_do(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))

    code, _, err = run("plan")

    assert code == 1
    assert "Unable to locate credentials" in err
    assert "`aws sso login`" in err


def test_a_folder_that_cannot_be_written_to_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    code, _, err = run("apply", "--yes", "--set", f"state_dir={tmp_path}/file/state")

    assert code == 1
    assert err.splitlines()[-1].startswith("error: [Errno")


def test_an_unknown_flag_is_a_failure_and_not_pending(run: Run) -> None:
    assert run("plan", "--nonsense")[0] == 1


def test_it_runs_as_a_module(run: Run) -> None:
    command = [sys.executable, "-m", "bootstrap", "plan", "--check", "--json"]
    finished = subprocess.run(
        [*command, "--config", str(run.config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 2, finished.stderr
    assert json.loads(finished.stdout)


def test_the_permissions_are_printed(run: Run, capsys: Any) -> None:
    main(["permissions"])

    assert json.loads(capsys.readouterr().out) == administrator_policy()
    assert REGION in run.config.read_text("utf-8")
