"""`vpcflow demo`: a few lines, the answers, and nobody's data touched."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

import duckdb
import pytest

from .vpcflow_process import Ended, Vpcflow, copy_project

OWN = """
    create schema landing;
    create table landing.load_history as select 's3://my-bucket/' as location
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("demo") / "project")


def demo(checkout: Path, database: str = "flow.duckdb") -> Ended:
    return run(checkout, "demo", VPC_FLOW_DUCKDB_PATH=database)


def run(checkout: Path, *words: str, **variables: str) -> Ended:
    """Run a command in the activated environment."""
    environment = {
        "DBT_PROJECT_DIR": str(checkout),
        "VPC_FLOW_DUCKDB_PATH": "flow.duckdb",
        "COLUMNS": "100",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    return Vpcflow(words, os.environ | environment | variables, checkout.parent).end()


@pytest.fixture(scope="module")
def shown(checkout: Path) -> Ended:
    return demo(checkout)


def test_the_demo_shows_what_it_did_and_the_answers(
    shown: Ended, checkout: Path
) -> None:
    assert (shown.code, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) < 70
    sample = json.loads((checkout / "sample_data/truth.json").read_text())
    records = f"{sample['records']:,} records"
    assert lines[0].startswith(
        f"Sample: {records} of 10 days in {sample['files']} files"
    )
    assert re.fullmatch(
        rf"Load: {sample['files']} new files, {records} in \d+ s", lines[1]
    )
    # All but int_records__unread, which Snowflake alone has.
    models = len(list((checkout / "models").rglob("*.sql"))) - 1
    assert re.fullmatch(
        rf"Build: {models} models built, \d\d+ tests passed, 0 warned, in \d+ s",
        lines[2],
    )
    assert lines[3:5] == ["dbt's log: logs/demo.log", ""]
    assert "PASS" in (checkout / "logs/demo.log").read_text()
    # The question that matters most comes first, and each has rows.
    heads = [line for line in lines if line.endswith(")") and "?  (" in line]
    assert lines.index(heads[0]) == 5
    assert len(heads) == 5
    with duckdb.connect(str(checkout / "flow.duckdb"), read_only=True) as connection:
        rules = connection.execute(
            "select distinct rule_id from findings where severity = 'high'"
        ).fetchall()
        newest = connection.execute(
            "select internal_addr from admin_exposure order by last_seen_at desc"
        ).fetchone()
    assert lines[8].split()[:2] in [["high", rule] for (rule,) in rules]
    assert newest and lines[lines.index(heads[1]) + 3].startswith(newest[0])


def test_the_demo_names_the_next_commands(shown: Ended, checkout: Path) -> None:
    commands = re.findall(
        r"^  \S*python -m vpcflow (ask.*?)(?: +#.*)?$", shown.out, re.M
    )
    assert len(commands) == 3
    for command in commands:
        ended = run(checkout, *shlex.split(command))
        assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("sql", "message"),
    [(OWN, "holds flow logs from s3://my-bucket/"), (None, "can't be opened")],
)
def test_a_database_of_ones_own_is_left_alone(
    shown: Ended, checkout: Path, sql: str | None, message: str
) -> None:
    """The message says what to do; so it does for a file that is no database."""
    database = checkout / "own.duckdb"
    database.unlink(missing_ok=True)
    if sql:
        with duckdb.connect(str(database)) as connection:
            connection.execute(sql)
    else:
        database.write_text("This is no database of DuckDB's. " * 1000)
    content = database.read_bytes()
    ended = demo(checkout, "own.duckdb")
    assert ended.code == 1
    assert message in ended.err
    assert database.read_bytes() == content
