"""Schedules for others than cron: dbt Cloud's and Snowflake's, by their own tools."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlfluff
import yaml
from click.testing import CliRunner
from dbt.cli.flags import args_to_context
from dbt_jobs_as_code.main import cli

from .conftest import ROOT
from .snowflake_stand_in import StandIn
from .test_vpcflow_alert import FINDINGS

SCHEDULES = ROOT / "schedules"
#: Needs another version of click than dbt-core, so it is in no requirements file.
SNOWFLAKE_CLI = "snowflake-cli==3.30.0"


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
    assert task.count("execute dbt project") == 2
    assert task.count("create task") == task.count("resume") == 3
    sqlfluff.parse(task, dialect="snowflake")
    with pytest.raises(sqlfluff.api.APIParsingError):
        sqlfluff.parse(task.replace("args =", "arguments ="), dialect="snowflake")


def test_the_snowflake_alert_parses() -> None:
    alert = (SCHEDULES / "snowflake_alert.sql").read_text()
    sqlfluff.parse(alert, dialect="snowflake")
    with pytest.raises(sqlfluff.api.APIParsingError):
        sqlfluff.parse(alert.replace("end for;", ""), dialect="snowflake")


def test_the_snowflake_alert_sends_each_new_finding_once(stand_in: StandIn) -> None:
    """Its statements, one after the other, in place of the block around them."""
    alert = (SCHEDULES / "snowflake_alert.sql").read_text()
    (create,) = re.findall(r"^create table .*?;", alert, re.M | re.S)
    (condition,) = re.findall(r"if \(exists \((.*?)\n    \)\)", alert, re.S)
    (query,) = re.findall(r"resultset := \((.*?)\n    \);", alert, re.S)
    (insert,) = re.findall(r"insert into .*?;", alert, re.S)
    findings = re.sub(
        "timestamp ('.*?')", r"to_timestamp_ntz(\1, 'YYYY-MM-DD HH24:MI')", FINDINGS
    )
    stand_in.rows(
        "drop database if exists flow; create database flow;"
        f" create schema flow.analytics; use schema flow.analytics; {findings};"
        f" {create}"
    )
    sent = []
    # The first run fails after it has sent a finding, before it remembers it.
    for run in range(4):
        new = len(stand_in.rows(condition))
        rows = stand_in.rows(query)
        assert len(rows) == new
        for number, row in enumerate(rows):
            sent.append(row["MESSAGE"])
            if run == 0 and number == 1:
                break
            stand_in.rows(insert.replace(":id", f"'{row['FINDING_ID']}'"))
    high, medium, low = (
        f"{severity}: A title. 10.0.0.1 did 'it'."
        for severity in ("HIGH", "MEDIUM", "LOW")
    )
    assert sent == [high, medium, medium, low]


@pytest.fixture(scope="module")
def snow(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, str]]:
    """Runs Snowflake's `snow` without the service; returns exit code and output."""
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


@pytest.mark.long
def test_snowflake_s_own_tool_deploys_and_runs_the_project(
    snow: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    """The tool takes the document's command, and sends the task's statements.

    It is downloaded, and started four times.
    """
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
    # Files that are not hidden are uploaded, as the document warns.
    assert sent["files"] == ["dbt_project.yml", "profiles.yml", "service.p8"]

    # Without the option it reads the target for DuckDB.
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
