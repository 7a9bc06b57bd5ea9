"""Schedules that can be copied: the cron script run for real, the others validated."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlfluff
import yaml
from click.testing import CliRunner
from dbt.cli.flags import args_to_context
from dbt_jobs_as_code.main import cli

import sample_logs

from .conftest import END_DATE, ROOT, Project

SCHEDULES = ROOT / "schedules"
DAY = 86_400
#: Needs another version of click than dbt-core, so it is in no requirements file.
SNOWFLAKE_CLI = "snowflake-cli==3.30.0"


@pytest.fixture
def project(new_project: Callable[..., Project], tmp_path: Path) -> Project:
    folder = tmp_path / "logs"
    sample_logs.generate(folder, end_date=END_DATE, days=1, records=500)
    return new_project(folder)


def run_job(project: Project, logs: Path) -> tuple[int, str]:
    """Run the script as cron does: from elsewhere, with nearly no environment."""
    run = subprocess.run(
        [
            str(SCHEDULES / "cron_job.sh"),
            *("--target", "local", "--vars", f"{{as_of: {END_DATE}}}"),
        ],
        cwd="/",
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": os.environ.get("HOME", "/"),
            "DBT_PROFILES_DIR": str(project.target),
            "DBT_TARGET_PATH": str(project.target),
            "DBT_LOG_PATH": str(project.target / "logs"),
            "VPC_FLOW_DUCKDB_PATH": str(project.database),
            "VPC_FLOW_LOGS_LOCATION": str(project.location),
            "VPC_FLOW_JOB_LOGS": str(logs),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.stderr == ""
    return run.returncode, run.stdout


def test_the_cron_job_runs_again_and_again(project: Project, tmp_path: Path) -> None:
    """Twice, then while another run is at work, then where nothing can be loaded."""
    logs = tmp_path / "job"
    logs.mkdir()
    for days, name in ((31, "old.log"), (29, "recent.log"), (99, "other.txt")):
        (logs / name).touch()
        then = (logs / name).stat().st_mtime - days * DAY
        os.utime(logs / name, (then, then))

    now = datetime.now(UTC)
    old, recent = (
        f"{now - timedelta(days=days):%Y-%m-%dT%H:%M:%SZ} ok in 9 s: planted\n"
        for days in (31, 29)
    )
    (logs / "summary.txt").write_text(old + recent)

    first, second = (run_job(project, logs) for _ in range(2))
    records = project.query("select count(*) from flow_records")
    assert records == [(500,)]
    for code, printed in (first, second):
        assert code == 0, printed
        assert re.fullmatch(
            r"\S+Z ok in \d+ s: stage=0 freshness=0 build=0;"
            r" PASS=\d+ WARN=\d+ ERROR=0 SKIP=0 \S+ \S+; \S+\.log\n",
            printed,
        ), printed
    log = Path(first[1].split("; ")[-1].strip()).read_text()
    for command in (
        "run-operation stage_external_sources",
        "source freshness",
        "build",
    ):
        assert f"$ dbt {command} --target local" in log
    assert "Nothing new" in Path(second[1].split("; ")[-1].strip()).read_text()
    kept = {path.name for path in logs.iterdir()}
    assert "old.log" not in kept
    assert {"recent.log", "other.txt", "lock", "summary.txt"} <= kept
    assert len(kept) == 6

    with (logs / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, printed = run_job(project, logs)
    assert code == 75
    assert printed.endswith("skipped: another run is still at work\n")
    assert {path.name for path in logs.iterdir()} == kept

    # What there is is built and tested nonetheless.
    project.location = tmp_path / "gone"
    code, printed = run_job(project, logs)
    assert code == 1
    assert "failed in" in printed
    assert "stage=1 freshness=0 build=0; PASS=" in printed
    assert (logs / "summary.txt").read_text() == (
        recent + first[1] + second[1] + printed
    )


def steps() -> list[str]:
    """The dbt commands of all schedules, without the word dbt."""
    jobs = yaml.safe_load((SCHEDULES / "dbt_cloud_jobs.yml").read_text())["jobs"]
    task = (SCHEDULES / "snowflake_task.sql").read_text()
    cloud = [step for job in jobs.values() for step in job["execute_steps"]]
    assert all(step.startswith("dbt ") for step in cloud)
    return [step.removeprefix("dbt ") for step in cloud] + re.findall(
        r"args = '(.*?)'", task
    )


def test_every_scheduled_command_is_one_of_dbt_s() -> None:
    commands = steps()
    assert len(commands) == 5
    for command in commands:
        assert args_to_context(shlex.split(command)), command


def test_the_snowflake_task_parses() -> None:
    """sqlfluff knows EXECUTE DBT PROJECT; it refuses an option that is not one."""
    task = (SCHEDULES / "snowflake_task.sql").read_text()
    assert task.count("execute dbt project") == task.count("resume") == 2
    sqlfluff.parse(task, dialect="snowflake")
    with pytest.raises(sqlfluff.api.APIParsingError):
        sqlfluff.parse(task.replace("args =", "arguments ="), dialect="snowflake")


@pytest.fixture(scope="module")
def snow(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, str]]:
    """Runs Snowflake's `snow` without the service; gives exit code and output."""
    folder = tmp_path_factory.mktemp("snow")
    config = folder / "config.toml"
    config.write_text('[connections.default]\naccount = "any"\nuser = "any"\n')
    config.chmod(0o600)
    python = [
        *(str(Path(sys.executable).with_name("uv")), "run", "--quiet", "--no-project"),
        *("--python", sys.executable, "--with", SNOWFLAKE_CLI, "python"),
    ]

    def run(*words: str, cwd: Path = folder) -> tuple[int, str]:
        ran = subprocess.run(
            [*python, *words],
            cwd=cwd,
            env=os.environ | {"SNOWFLAKE_HOME": str(folder)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return ran.returncode, ran.stderr + ran.stdout

    code, printed = run("-c", "import snowflake.cli")
    if code:
        pytest.skip(f"{SNOWFLAKE_CLI} cannot be installed here: {printed[-300:]}")
    script = str(ROOT / "integration_tests/snowflake_cli.py")
    return lambda *words, cwd: run(
        script, "--config-file", str(config), *words, cwd=cwd
    )


def test_snowflake_s_own_tool_deploys_and_runs_the_project(
    snow: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """The document's command; the task's statements are the tool's in another order."""
    shutil.copy(ROOT / "dbt_project.yml", tmp_path)
    shutil.copy(ROOT / "profiles.yml.example", tmp_path / "profiles.yml")
    for name in ("service.p8", ".venv/bin/dbt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    text = (ROOT / "docs/schedules.md").read_text().replace("\\\n", " ")
    (deploy,) = re.findall("^ *snow (.*)$", text, re.MULTILINE)

    code, printed = snow(*shlex.split(deploy), cwd=tmp_path)
    assert code == 0, printed
    sent: dict[str, Any] = json.loads(printed.splitlines()[-1])
    (statement,) = sent["statements"]
    assert statement.startswith("CREATE DBT PROJECT vpc_flow_logs FROM @")
    assert statement.endswith(" DEFAULT_TARGET='snowflake'")
    # What is not hidden goes along, as the document warns.
    assert sent["files"] == ["dbt_project.yml", "profiles.yml", "service.p8"]

    # Without a word of the target it looks at DuckDB's.
    code, printed = snow(
        *shlex.split(deploy.partition("--default-target")[0]), cwd=tmp_path
    )
    assert code != 0
    assert "Missing required fields: database, role in target local" in printed

    task = (SCHEDULES / "snowflake_task.sql").read_text()
    executed = re.findall(r"^ *execute (dbt project .*?);", task, re.DOTALL | re.M)
    assert len(executed) == 2
    for statement in executed:
        found = re.fullmatch(
            r"dbt project (\S+)\s+args = '(.*?)' dbt_version = '(.*?)'", statement
        )
        assert found, statement
        name, words, version = found.groups()
        code, printed = snow(
            *("dbt", "execute", "--dbt-version", version, name, *words.split()),
            cwd=tmp_path,
        )
        assert code == 0, printed
        assert json.loads(printed.splitlines()[-1])["statements"] == [
            f"EXECUTE DBT PROJECT {name} dbt_version='{version}' args='{words}'"
        ]


def test_dbt_cloud_s_own_tool_accepts_the_jobs(tmp_path: Path) -> None:
    runner = CliRunner()
    jobs = SCHEDULES / "dbt_cloud_jobs.yml"
    assert runner.invoke(cli, ["validate", str(jobs)]).exit_code == 0
    broken = tmp_path / "jobs.yml"
    broken.write_text(jobs.read_text().replace("execute_steps", "steps"))
    assert runner.invoke(cli, ["validate", str(broken)]).exit_code != 0
