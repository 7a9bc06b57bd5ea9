"""`vpcflow run`: one process, one JSON object, whatever happens."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import sample_logs

from .conftest import AS_OF, END_DATE, ROOT, Project, move_in_history
from .test_vpcflow_alert import FINDINGS, Receiver, receiver  # noqa: F401
from .vpcflow_process import Ended, Vpcflow, age_window_marts, copy_project

DAY = timedelta(days=1)
FEW_RECORDS = 500


class Scheduled:
    """Scheduled runs on a copy of the built database, and their folder."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.folder = folder
        self.logs = folder / "job"
        self.calls = folder / "hook.jsonl"
        hook = f"cat >> {self.calls}; echo >> {self.calls}"
        self.environment = {"VPC_FLOW_JOB_ON_FAILURE": hook}

    def start(self, *words: str, **environment: str) -> Vpcflow:
        variables = self.project.variables() | self.environment | environment
        words = ("run", "--logs", str(self.logs), "--vars", json.dumps(AS_OF), *words)
        return Vpcflow(words, os.environ | variables, self.folder)

    def run(self, *words: str, **environment: str) -> tuple[int | None, dict[str, Any]]:
        """Do a run; return its exit code and its JSON object."""
        return self.result(self.start(*words, **environment).end())

    @staticmethod
    def result(ended: Ended) -> tuple[int | None, dict[str, Any]]:
        (line,) = ended.out.splitlines()
        return ended.code, json.loads(line)

    def summary(self) -> list[dict[str, Any]]:
        lines = (self.logs / "summary.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def hook_calls(self) -> list[dict[str, Any]]:
        if not self.calls.exists():
            return []
        return [json.loads(line) for line in self.calls.read_text().splitlines()]


@pytest.fixture(scope="module")
def few_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    sample_logs.generate(
        folder, end_date=END_DATE, days=1, records=FEW_RECORDS, seed=99
    )
    return folder


@pytest.fixture(scope="module")
def scheduled(
    built: Project,
    sample: Path,
    few_files: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scheduled:
    """One database for all tests: each of them leaves it as whole as it was."""
    folder = tmp_path_factory.mktemp("scheduled")
    shutil.copy(built.database, folder)
    project = Project.of(folder, few_files)
    move_in_history(project, sample, few_files)
    return Scheduled(project, folder)


#: Builds one model with its tests, for tests that are not about the build.
LITTLE = ("--select", "unknown_fields")


def test_cron_loads_builds_and_tests_what_is_new(scheduled: Scheduled) -> None:
    """From elsewhere and with nearly no environment, as cron starts it."""
    logs = scheduled.logs
    logs.mkdir()
    now = datetime.now(UTC)
    ages = {"old.log": 31 * DAY, "recent.log": 29 * DAY, "other.txt": 99 * DAY}
    for name, age in ages.items():
        (logs / name).touch()
        then = (now - age).timestamp()
        os.utime(logs / name, (then, then))
    old, recent = (
        {"time": f"{now - days * DAY:%Y-%m-%dT%H:%M:%SZ}", "outcome": "ok"}
        for days in (31, 29)
    )
    cut_off = '{"time": "2026-'
    planted = [json.dumps(old), json.dumps(recent), cut_off]
    (logs / "summary.jsonl").write_text("\n".join(planted) + "\n")
    records = "select count(*) from flow_records"
    ((before,),) = scheduled.project.query(records)

    ended = subprocess.run(
        [str(ROOT / "schedules/cron_job.sh"), "--vars", json.dumps(AS_OF)],
        cwd="/",
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": os.environ.get("HOME", "/"),
            "VPC_FLOW_JOB_LOGS": str(logs),
            **scheduled.project.variables(),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert ended.stderr == ""
    code, line = scheduled.result(Ended(ended.returncode, ended.stdout, ""))
    assert code == 0, line
    files = len(list(Path(scheduled.project.location).rglob("*.parquet")))
    ((after,),) = scheduled.project.query(records)
    assert after - before == FEW_RECORDS
    assert line["outcome"] == "ok"
    assert line["reason"] is None
    assert (line["files"], line["records"]) == (files, FEW_RECORDS)
    assert line["steps"] == dict.fromkeys(("parse", "stage", "freshness", "build"), 0)
    # All but int_records__unread, which Snowflake alone has.
    assert line["models"] == len(list((ROOT / "models").rglob("*.sql"))) - 1
    assert line["tests"]["pass"] > 50
    assert line["failed"] == []
    assert 1 < line["seconds"] < 600
    assert scheduled.summary() == [recent, line]
    log = Path(line["log"])
    assert {path.name for path in logs.iterdir()} == {
        *("recent.log", "other.txt", "lock", "summary.jsonl", log.name)
    }
    text = log.read_text()
    assert text.count("$ dbt") == 4
    assert "unit_test" not in text.replace("--exclude-resource-types unit_test", "")
    # The tests tagged `audit` read everything, so no schedule runs them.
    assert "assert_no_record_is_lost_between_layers" not in text


def test_a_run_beside_another_one_is_skipped(scheduled: Scheduled) -> None:
    at_work = {"time": "2026-03-31T12:00:00Z", "pid": 4711, "log": "a.log"}
    scheduled.logs.mkdir(exist_ok=True)
    with (scheduled.logs / "lock").open("w+") as lock:
        lock.write(json.dumps(at_work))
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, line = scheduled.run()
        lock.truncate(0)
    assert code == 75
    assert line["outcome"] == "skipped"
    assert line["reason"] == (
        "another run is at work since 2026-03-31T12:00:00Z, PID 4711"
    )
    assert scheduled.summary()[-1] == line
    assert scheduled.hook_calls() == []


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("gone", "which does not exist"),
        ("empty", "0 Parquet files and text logs"),
    ],
)
def test_a_location_without_files_is_a_failure(
    scheduled: Scheduled, tmp_path: Path, location: str, reason: str
) -> None:
    """What there is is built nonetheless."""
    (tmp_path / "empty").mkdir()
    place = str(tmp_path / location)
    code, line = scheduled.run(*LITTLE, VPC_FLOW_LOGS_LOCATION=place)
    assert code == 1
    assert line["outcome"] == "failed"
    assert reason in line["reason"]
    assert place in line["reason"]
    assert line["steps"]["build"] == 0
    assert line["models"] == 1
    assert scheduled.hook_calls()[-1] == line == scheduled.summary()[-1]


def test_the_marts_of_the_window_are_built_every_so_many_hours(
    scheduled: Scheduled,
) -> None:
    words = "--window-marts-every", "24", "--select", "top_services"
    _, first = scheduled.run(*words, *LITTLE)
    assert first["models"] == 2
    _, second = scheduled.run(*words, *LITTLE)
    assert second["models"] == 1
    assert second["window_marts"] == first["window_marts"]
    # Other settings; then the same a day later, by a schedule that is early.
    _, third = scheduled.run(*words)
    assert third["models"] == 1
    age_window_marts(scheduled.logs / "summary.jsonl", DAY - timedelta(minutes=5))
    _, fourth = scheduled.run(*words)
    assert fourth["models"] == 1
    assert fourth["window_marts"]["built_at"] == fourth["time"]


def test_what_failed_is_named(scheduled: Scheduled) -> None:
    """A test that fails as soon as anything was loaded in the past."""
    code, line = scheduled.run(
        *("--select", "assert_files_still_arrive"),
        *("--vars", json.dumps({"as_of": "2126-01-01", "stopped_after_hours": 0})),
    )
    assert code == 1
    assert line["failed"] == ["flow_logs", "assert_files_still_arrive"]
    assert "freshness: flow_logs: nothing was loaded since 20" in line["reason"]
    assert "build: assert_files_still_arrive: Got 1 result" in line["reason"]
    assert line["tests"]["fail"] == 1


def test_dbt_refuses_an_option_that_it_does_not_know(scheduled: Scheduled) -> None:
    code, line = scheduled.run("--taget=local")
    assert code == 2
    assert line["failed"] == ["parse"]
    assert "No such option '--taget'" in line["reason"]


def test_a_run_sends_new_findings_and_reports_a_receiver_that_fails(
    scheduled: Scheduled,
    receiver: Receiver,  # noqa: F811
    tmp_path: Path,
) -> None:
    """A later run sends what a receiver refuses, to this receiver alone."""
    job = Scheduled(scheduled.project.copy(tmp_path), tmp_path)
    with duckdb.connect(str(job.project.database)) as connection:
        connection.sql("drop table findings")
        connection.sql(FINDINGS)
    to = {
        "VPC_FLOW_ALERT_WEBHOOK": receiver.url,
        "VPC_FLOW_ALERT_FILE": str(tmp_path / "sent"),
        "VPC_FLOW_ALERT_SEVERITY": "medium",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    receiver.statuses = [403]
    code, line = job.run(*LITTLE, **to)
    assert (code, line["outcome"]) == (1, "failed")
    assert (line["steps"]["build"], line["steps"]["alert"]) == (0, 1)
    assert line["failed"] == ["alert"]
    assert line["reason"] == "alert: The webhook did not take the finding: HTTP 403"
    assert line["alerts"] == 2
    assert job.hook_calls() == [line]

    code, line = job.run(*LITTLE, **to)
    assert (code, line["alerts"], line["steps"]["alert"]) == (0, 2, 0)
    lines = (tmp_path / "sent").read_text().splitlines()
    sent = [json.loads(text)["rule_id"] for text in lines]
    assert sent == ["a_high_one", "a_medium_one"]
    assert [body["rule_id"] for body in receiver.bodies] == sent

    # The run does not begin with a receiver that cannot be one.
    ended = job.start(*LITTLE, **to, VPC_FLOW_ALERT_SYSLOG="nowhere").end()
    assert (ended.code, ended.out) == (1, "")
    assert "takes a host and a port" in ended.err


def test_a_killed_run_is_reported_by_the_next(scheduled: Scheduled) -> None:
    running = scheduled.start()
    running.wait_for(scheduled.logs / "lock", "pid")
    killed = json.loads((scheduled.logs / "lock").read_text())
    running.wait_for(Path(killed["log"]), "START sql")
    running.process.kill()
    running.process.join()

    next_run = scheduled.start(*LITTLE).end()
    code, line = scheduled.result(next_run)
    assert code == 0
    assert f"The run of {killed['time']} was killed" in next_run.err
    *_, report, last = scheduled.summary()
    assert last == line
    assert report == scheduled.hook_calls()[-1]
    assert report["outcome"] == "killed"
    assert (report["time"], report["log"]) == (killed["time"], killed["log"])


def test_sigterm_ends_a_run_and_is_reported(scheduled: Scheduled) -> None:
    running = scheduled.start()
    running.wait_for(scheduled.logs / "lock", "pid")
    log = Path(json.loads((scheduled.logs / "lock").read_text())["log"])
    running.wait_for(log, "START sql")
    assert running.process.pid
    os.kill(running.process.pid, signal.SIGTERM)
    code, line = scheduled.result(running.end())
    assert code == 128 + signal.SIGTERM
    assert line["reason"] == "interrupted by SIGTERM"
    assert scheduled.summary()[-1] == line
    assert (scheduled.logs / "lock").read_text() == ""


def test_a_hook_that_fails_is_reported_and_changes_nothing(
    scheduled: Scheduled,
) -> None:
    ended = scheduled.start("--taget", "--on-failure", "exit 3").end()
    assert ended.code == 2
    assert ended.err == "--on-failure: exit code 3\n"


def test_the_container_s_lines_run_in_a_read_only_checkout(
    few_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No image is built here: the Dockerfile's words run without it, as another user.

    `make setup` installs what its first lines install.
    """
    folder = tmp_path_factory.mktemp("container")
    checkout, data = folder / "project", folder / "data"
    copy_project(checkout)
    shutil.copytree(few_files, folder / "logs")
    text = (ROOT / "Dockerfile").read_text()
    install = "--no-deps --require-hashes"
    assert f"{install} -r requirements.txt" in text
    assert install in (ROOT / "Makefile").read_text()
    (copy,) = re.findall("^RUN (cp .*)$", text, re.M)
    (checkout / "profiles.yml").unlink()
    subprocess.run(copy.split(), cwd=checkout, check=True)
    environment = {
        name: value.replace("/data", str(data))
        for name, value in re.findall("^ENV (.*?)=(.*)$", text, re.M)
    }
    python, *words = (
        word
        for line in re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", text, re.M)
        for word in json.loads(line)
    )
    command = [str(ROOT / f".venv/bin/{python}"), *words]
    for path in [checkout, *checkout.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)
    data.mkdir()
    if os.getuid() == 0:
        command = [*as_another_user(), *command]

    ended = subprocess.run(
        [*command, "--select", "+unknown_fields"],
        cwd=checkout,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(data),
            "VPC_FLOW_LOGS_LOCATION": str(folder / "logs"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.stderr == ""
    line = json.loads(ended.stdout)
    assert (ended.returncode, line["records"]) == (0, FEW_RECORDS), line
    assert Path(line["log"]).parent == data / "logs/job"


def as_another_user() -> list[str]:
    """The words before a command that run it without root's rights."""
    words = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if not shutil.which("unshare") or subprocess.run([*words, "true"]).returncode:
        pytest.skip("root here, and no user namespace to be somebody else in")
    return words
