"""The command line: exit codes, streams, and no secrets."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap.changes import Change
from bootstrap.cli import main, summary
from bootstrap.permissions import administrator_policy
from bootstrap.tests.conftest import FakeDbt
from bootstrap.tests.world import (
    BUCKET,
    EXTERNAL_ID,
    HOME,
    REGION,
    World,
    base_settings,
    snapshot,
)

ROOT = Path(__file__).parents[2]
SECRET = "kept/out+of=every/stream"


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
    world: World,
    dbt: FakeDbt,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """The program on an account that is empty but for AWS's default VPC."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    snowflake = {"dbt": {"executable": str(dbt.executable)}}
    document = base_settings({"snowflake": snowflake})
    document["state_dir"] = str(tmp_path / "state")
    config = tmp_path / "bootstrap.yml"
    config.write_text(yaml.safe_dump(document), "utf-8")
    return Run(capsys, config)


def test_from_an_empty_account_to_the_end_and_back(
    run: Run, world: World, dbt: FakeDbt
) -> None:
    before = snapshot(world)

    code, out, err = run("plan", "--check")
    assert code == 2
    assert "9 to create, 1 to run; 3 wait" in out
    # What dbt runs is progress.
    assert "dbt run-operation describe_integration" in err
    assert "describe_integration" not in out
    code, out, err = run("apply", "--yes")
    assert code == 0
    assert "done: bucket acme-flow-data" in err
    assert "dbt run-operation stage_external_sources --target snowflake" in out
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
    for secret in (SECRET, EXTERNAL_ID):
        assert secret not in run.printed


def test_the_plan_as_json_is_alone_on_standard_output(run: Run) -> None:
    code, out, _ = run("plan", "--json")

    changes = json.loads(out)
    assert code == 0
    assert {"verb", "account", "region", "resource", "reason"} < set(changes[0])
    assert {(c["account"], c["region"]) for c in changes} == {(HOME, REGION)}
    assert changes[0]["resource"] == f"bucket {BUCKET}"


def test_a_summary_of_any_plan_has_ten_lines() -> None:
    changes = [
        Change("create", f"kind {n % 20} in {n}", "", apply=print).at(
            f"{n:012}", REGION
        )
        for n in range(500)
    ]

    lines = summary(changes).splitlines()

    assert len(lines) == 10
    assert lines[0] == "500 to create."
    assert lines[-1] == "  in 500 pairs of account and region"


def test_without_a_terminal_it_does_not_go_on(run: Run, world: World) -> None:
    code, _, err = run("apply")

    assert code == 1
    assert "rerun with --yes" in err
    assert world.aws.s3.list_buckets()["Buckets"] == []


class Terminal(io.StringIO):
    """A terminal with a person's answer."""

    def isatty(self) -> bool:
        """Return True, as a terminal does."""
        return True


def test_a_person_is_asked_and_no_is_no(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(world)

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    code, out, err = run("apply")

    assert code == 1
    assert "9 to create" in out
    assert "[y/N]" in err
    assert snapshot(world) == before

    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert run("apply")[0] == 0
    assert run("plan", "--check")[0] == 0


def test_without_events_it_asks_to_schedule_notify(run: Run) -> None:
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

    # Steps wait for the other administrator.
    assert code == 3
    assert "create storage integration if not exists vpc_flow_logs" in out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("bucket.nmae=x", "did you mean `name`?"),
        ("bucket.account_id=210987654321", f"is for account {HOME}"),
        ("snowflake.dbt.executable=no-such-dbt", "was not found"),
        ("novalue", "write it as KEY=VALUE"),
        ("profile=nobody", "Log in as for the AWS command line"),
    ],
)
def test_failures_end_with_one_and_a_message(run: Run, change: str, words: str) -> None:
    code, out, err = run("plan", "--set", change)

    assert code == 1
    assert words in err
    assert "Traceback" not in out + err


def test_without_a_login_it_names_the_commands_to_log_in(
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


def test_a_folder_without_write_access_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    code, _, err = run("apply", "--yes", "--set", f"state_dir={tmp_path}/file/state")

    assert code == 1
    assert "flow logs in 123456789012 eu-west-1: [Errno" in err.split("error: ")[1]


def test_the_permissions_are_printed() -> None:
    """The module as a process of its own: its streams, and its exit code."""
    command = [sys.executable, "-m", "bootstrap"]
    printed, refused = (
        subprocess.run(
            [*command, *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        for words in (["permissions"], ["plan", "--nonsense"])
    )

    assert (printed.returncode, printed.stderr) == (0, "")
    assert json.loads(printed.stdout) == administrator_policy()
    # 2 would say that changes are pending.
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "--nonsense" in refused.stderr


# ----- what is confirmed is what runs


def test_a_plan_that_was_written_is_applied_without_a_question(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    assert run("plan", "--out", str(file))[0] == 0

    code, _, err = run("apply", str(file))

    assert (code, "done: bucket" in err) == (0, True)
    assert run("plan", "--check")[0] == 0


@pytest.mark.parametrize("change", ["account", "settings", "file"])
def test_a_plan_that_is_out_of_date_is_refused(
    run: Run, world: World, tmp_path: Path, change: str
) -> None:
    run("apply", "--yes")
    file = tmp_path / "plan.json"
    flags = ("--set", "flow_logs.traffic_type=REJECT", "--replace-flow-logs")
    run("plan", "--out", str(file), *flags)
    if change == "account":
        world.aws.ec2.create_vpc(CidrBlock="10.1.0.0/16")
    elif change == "settings":
        flags = ("--set", "flow_logs.traffic_type=ACCEPT", "--replace-flow-logs")
    else:
        file.write_text("{}", "utf-8")
    before = snapshot(world)

    code, _, err = run("apply", str(file), *flags)

    assert code == 1
    assert {"account": "out of date", "settings": "other settings"}.get(
        change, "is not a plan"
    ) in err
    assert snapshot(world) == before


def test_apply_stops_before_it_removes_what_the_plan_did_not_show(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another flow log of ours differs by the time that a person answers."""
    run("apply", "--yes")
    logs: Any = world.aws.ec2.describe_flow_logs()["FlowLogs"]
    (old,) = logs
    flags = ("--set", "flow_logs.traffic_type=REJECT", "--replace-flow-logs")

    def answer(*_: object, **__: object) -> bool:
        made = world.aws.ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        more = {k: old[k] for k in ("LogDestination", "LogDestinationType", "Tags")}
        tags: Any = [{"ResourceType": "vpc-flow-log", "Tags": more.pop("Tags")}]
        world.aws.ec2.create_flow_logs(
            ResourceIds=[made],
            ResourceType="VPC",
            TrafficType="ALL",
            TagSpecifications=tags,
            **more,
        )
        return True

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("click.confirm", answer)
    code, _, err = run("apply", *flags)

    assert code == 1
    assert "would remove what the plan did not show: flow log fl-" in err
    types = [
        log["TrafficType"] for log in world.aws.ec2.describe_flow_logs()["FlowLogs"]
    ]
    assert types.count("ALL") >= 1


def test_exit_codes_tell_apart_nothing_done_waiting_and_failed(
    run: Run, world: World
) -> None:
    by_hand = ("--set", "snowflake.handshake=manual")

    assert run("apply", "--yes", "--check", *by_hand)[0] == 3
    assert run("apply", "--yes", "--check")[0] == 2
    assert run("apply", "--yes", "--check")[0] == 0
    assert run("plan", "--check", *by_hand)[0] == 3
    world.aws.ec2.create_vpc(CidrBlock="10.1.0.0/16")
    assert run("plan", "--check")[0] == 2
    code, out, err = run("plan", "--check", "--set", "bucket.region=eu-west-3")
    assert code == 1
    assert "1 failed" in out
    assert "is in eu-west-1: correct bucket.region" in err
