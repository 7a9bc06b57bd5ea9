"""`vpcflow run` and `vpcflow ask` on Snowflake's stand-in, on one built database."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from vpcflow.cli import cli
from vpcflow.prove import proofs

from .conftest import AS_OF, ROOT
from .snowflake_project import Bucket, KeyPair, SnowflakeProject, records_of
from .test_vpcflow_alert import FINDINGS
from .test_vpcflow_ask import asker
from .vpcflow_process import Ended, Vpcflow, age_window_marts

LOADER, TRANSFORMER = "RUN_LOADER", "RUN_TRANSFORMER"


class Account:
    """A bucket, a user with a key, and a profile in a folder of its own."""

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self.bucket, self.folder = bucket, folder
        self.stand_in = bucket.project.stand_in
        key = KeyPair(folder, "scheduler")
        self.stand_in.rows(
            f"create user scheduler type = service rsa_public_key = '{key.letters}'; "
            + "; ".join(
                f"create role {role}; grant role {role} to user scheduler"
                for role in (LOADER, TRANSFORMER)
            )
        )
        example = yaml.safe_load((ROOT / "profiles.yml.example").read_text())
        example["vpc_flow_logs"]["outputs"]["snowflake"] |= {
            "host": "127.0.0.1",
            "port": self.stand_in.port,
            "protocol": "http",
        }
        (folder / "profiles.yml").write_text(yaml.safe_dump(example))
        self.environment = os.environ | {
            "DBT_PROFILES_DIR": str(folder),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "VPC_FLOW_JOB_LOADER_ROLE": LOADER,
            "SNOWFLAKE_ACCOUNT": "standin",
            "SNOWFLAKE_USER": "scheduler",
            "SNOWFLAKE_PRIVATE_KEY_PATH": key.file,
            "SNOWFLAKE_ROLE": TRANSFORMER,
            "SNOWFLAKE_WAREHOUSE": "flow_wh",
            "SNOWFLAKE_DATABASE": "flow",
            "SNOWFLAKE_SCHEMA": "analytics",
        }

    def run(self, *select: str) -> Ended:
        words = ["run", "--target", "snowflake", "--vars", json.dumps(AS_OF)]
        words += ["--window-marts-every", "24"]
        words += [word for name in select for word in ("--select", name)]
        return Vpcflow(words, self.environment, self.folder).end()


@pytest.fixture(scope="module")
def account(
    snowflake: SnowflakeProject, small: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Account]:
    yield Account(Bucket(snowflake, small), tmp_path_factory.mktemp("account"))
    snowflake.stand_in.rows("drop user scheduler")


def test_runs_load_as_one_role_and_build_as_another(account: Account) -> None:
    """An empty bucket is a failure; then some files; then one more."""
    first = account.run("stg_vpc_flow__flow_logs")
    line = json.loads(first.out)
    assert (first.code, line["files"], line["records"]) == (1, 0, 0)
    assert line["reason"].startswith("Snowpipe has loaded no file")

    *most, last = account.bucket.files[:-1]
    account.bucket.announce(*most)
    account.stand_in.clear_log()
    line = json.loads(
        account.run("+admin_exposure", "+admin_attempts", "+int_health__files").out
    )
    assert line["outcome"] == "ok", line
    assert (line["files"], line["records"]) == (len(most), records_of(*most))
    roles: dict[str, set[Any]] = {"show pipes": set(), "create or replace": set()}
    for entry in account.stand_in.log():
        for statement, seen in roles.items():
            if entry["text"].strip().startswith(statement):
                seen.add(entry["role"])
    assert roles == {"show pipes": {LOADER}, "create or replace": {TRANSFORMER}}

    account.bucket.announce(last)
    line = json.loads(account.run("+int_health__files").out)
    assert (line["files"], line["records"]) == (1, records_of(last))

    # Nothing was loaded since: no statement needs a warehouse.
    account.stand_in.clear_log()
    ended = account.run("+int_health__files")
    line = json.loads(ended.out)
    assert (ended.code, line["outcome"], line["files"]) == (0, "ok", 0)
    assert line["reason"] == "nothing was loaded since the last run"
    assert line["steps"] == {"parse": 0}
    metadata = r"(?i)\s*(alter session|use |select system\$last_change_commit_time\()"
    for statement in account.stand_in.statements():
        assert re.match(metadata, statement), statement
    # Other models were asked for.
    assert "build" in json.loads(account.run("int_health__loads").out)["steps"]


def test_a_run_leaves_out_the_marts_of_the_window(account: Account) -> None:
    """After the test before this one; a later run builds them, also without records."""
    select = "+top_services", "+int_health__files"

    def run() -> dict[str, Any]:
        account.stand_in.clear_log()
        line: dict[str, Any] = json.loads(account.run(*select).out)
        assert line["outcome"] == "ok", line
        return line

    def is_built() -> bool:
        return any("top_services" in text for text in account.stand_in.statements())

    first = run()
    assert is_built()
    account.bucket.announce(account.bucket.files[-1])
    second = run()
    assert second["files"] == 1
    assert not is_built()
    assert second["window_marts"] == first["window_marts"]
    assert run()["steps"] == {"parse": 0}
    age_window_marts(account.folder / "logs/job/summary.jsonl", timedelta(days=1))
    run()
    assert is_built()
    assert run()["steps"] == {"parse": 0}


def test_a_question_is_answered_from_the_built_tables(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the test before this one; a query that takes too long is cancelled."""
    ask = asker(account.environment, monkeypatch)
    words = ("--target", "snowflake")
    account.stand_in.clear_log()
    rows = json.loads(ask("admin_exposure", "--json", *words).stdout)
    ((expected,),) = account.bucket.project.query("select count(*) from admin_exposure")
    assert len(rows) == expected > 5
    assert {"internal_addr", "evidence", "last_seen_at"} <= rows[0].keys()
    assert ask("scanners", *words, "--where", "hosts > 0").stderr == ""
    (timeouts,) = {
        text
        for text in account.stand_in.statements()
        if "statement_timeout_in_seconds" in text
    }
    assert timeouts.endswith("= 300")

    refused = ask("--sql", "select nobody from admin_exposure", *words, exit_code=1)
    assert "The query failed" in refused.stderr
    gone = {"SNOWFLAKE_PRIVATE_KEY_PATH": "/none.p8"}
    assert ask("scanners", *words, exit_code=1, **gone).stderr.startswith("Error: ")


def test_an_account_is_asked_what_only_it_proves(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in answers what it supports; an error is a no, with its reason."""
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    account.stand_in.rows(
        "use schema flow.analytics; drop view int_health__files; create table"
        " int_health__files as select count(*) as records from flow_records"
    )

    def asked() -> dict[str, list[str]]:
        result = CliRunner().invoke(cli, ["prove", "--target", "snowflake"])
        assert result.exit_code == 1, result.output
        answers: dict[str, list[str]] = {"yes": [], "no": []}
        for line in result.stdout.splitlines():
            answer, _, claim = line.partition(" ")
            answers[answer].append(claim.strip())
        return answers

    answers = asked()
    assert len(answers["yes"]) + len(answers["no"]) == len(proofs())
    # It has neither the function nor tasks.
    function, task = answers["no"]
    assert function.startswith("SHOW USER FUNCTIONS")
    assert "Unknown function SYSTEM$SUPPORTED_DBT_VERSIONS" in task
    document = (ROOT / "docs/not_verified_here.md").read_text()
    for proof in proofs():
        assert f"- {proof.claim}\n" in document
    account.stand_in.rows("insert into flow.analytics.int_health__files values (1)")
    assert "each record counts once: the query answers no" in asked()["no"]
    on_duckdb = CliRunner().invoke(cli, ["prove", "--target", "local"])
    assert on_duckdb.exit_code == 1


def test_alerts_are_sent_once(
    account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The database remembers which findings a receiver got."""
    findings = re.sub(
        "timestamp ('.*?')", r"to_timestamp_ntz(\1, 'YYYY-MM-DD HH24:MI')", FINDINGS
    )
    account.stand_in.rows(f"use schema flow.analytics; {findings}")
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    words = ["alert", "--target", "snowflake", "--file", str(tmp_path / "sent")]
    for sent in ("3 findings sent", "0 findings sent"):
        result = CliRunner().invoke(cli, [*words, "--rate", "100"])
        assert (result.exit_code, sent in result.stderr) == (0, True), result.output
    lines = (tmp_path / "sent").read_text().splitlines()
    assert json.loads(lines[0])["rule_id"] == "a_high_one"
    assert len(lines) == 3
