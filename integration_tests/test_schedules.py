"""Schedules that can be copied: the cron script run for real, the others validated."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlfluff
import yaml
from dbt.cli.flags import args_to_context

import sample_logs

from .conftest import END_DATE, ROOT, Project

SCHEDULES = ROOT / "schedules"
DAY = 86_400


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
    assert (logs / "summary.txt").read_text() == first[1] + second[1] + printed


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


def test_dbt_cloud_s_own_tool_accepts_the_jobs(tmp_path: Path) -> None:
    main = pytest.importorskip(
        "dbt_jobs_as_code.main", reason="dbt-jobs-as-code is not installed"
    )
    runner = pytest.importorskip("click.testing").CliRunner()
    jobs = SCHEDULES / "dbt_cloud_jobs.yml"
    assert runner.invoke(main.cli, ["validate", str(jobs)]).exit_code == 0
    broken = tmp_path / "jobs.yml"
    broken.write_text(jobs.read_text().replace("execute_steps", "steps"))
    assert runner.invoke(main.cli, ["validate", str(broken)]).exit_code != 0
