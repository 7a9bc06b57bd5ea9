"""All that an administrator does: from two empty accounts by `apply`, one file and
`dbt build` to the answers; then `destroy`, and both accounts are empty again.

AWS is moto's server, to which AWS's own refusals are added; Snowflake is the stand-in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Listener
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from moto.server import ThreadedMotoServer

import sample_logs
from bootstrap.tests.faithful import faithful
from bootstrap.tests.world import HOME, REGION, World, snapshot

from .conftest import ROOT, WITHOUT_UNIT_TESTS, Project
from .processes import Command
from .snowflake_stand_in import StandIn
from .test_main_job import MARTS, of_the_truth

BUCKET = "the-whole-diagram"
SETUP_ROLE = "FLOW_LOG_SETUP"
# What the stand-in's storage integrations name as Snowflake's own user.
SNOWFLAKE_USER = "arn:aws:iam::123456789001:user/abc1-b"
KINDS = (
    "databases, schemas in account, tables in account, views in account, stages in"
    " account, pipes in account, user functions in account, integrations, roles, users,"
    " warehouses"
).split(", ")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An empty AWS account; the environment leads every AWS client to it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with faithful() as aws, pytest.MonkeyPatch.context() as patch:
        aws.principals.add(SNOWFLAKE_USER)
        server.start()
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        # Servers of one process share their accounts.
        with urlopen(Request(f"{address}/moto-api/reset", method="POST")):
            pass
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "a-key",
            "AWS_SECRET_ACCESS_KEY": "a-secret",
            "AWS_DEFAULT_REGION": REGION,
            # moto would read a catalogue of machine images.
            "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
        }.items():
            patch.setenv(name, value)
        yield address
        server.stop()


@pytest.fixture(scope="module")
def stand_in(endpoint: str) -> Iterator[StandIn]:
    """An empty Snowflake account, but for the role that set-up needs beforehand."""
    with StandIn.start(s3_endpoint=endpoint) as found:
        found.rows(f"create role {SETUP_ROLE}")
        yield found


@pytest.fixture(scope="module")
def project(stand_in: StandIn, new_project: Callable[..., Project]) -> Project:
    """The project with a profile on the stand-in; the environment names the role."""
    found = new_project("not-used", DBT_TARGET="snowflake", SNOWFLAKE_ROLE=SETUP_ROLE)
    profile = stand_in.profile(
        password="not-checked",
        role="{{ env_var('SNOWFLAKE_ROLE') }}",
        warehouse="flow_wh",
        database="flow",
        schema="analytics",
    )
    outputs = {"target": "snowflake", "outputs": {"snowflake": profile}}
    text = yaml.safe_dump({"vpc_flow_logs": outputs})
    (found.target / "profiles.yml").write_text(text)
    return found


#: Asks for a process that has imported dbt already: importing it takes most of the
#: time of a command.
DBT = """\
#!{python}
import os, sys
from multiprocessing.connection import Client
with Client({address!r}) as server:
    server.send((sys.argv[1:], dict(os.environ)))
    exit_code, printed = server.recv()
sys.stdout.write(printed)
sys.exit(exit_code)
"""


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The command that the program calls."""
    folder = tmp_path_factory.mktemp("dbt")
    listener = Listener(str(folder / "socket"))
    script = folder / "dbt"
    script.write_text(DBT.format(python=sys.executable, address=listener.address))
    script.chmod(0o700)

    def serve() -> None:
        with suppress(OSError):
            while True:
                with listener.accept() as connection:
                    words, environment = connection.recv()
                    command = Command(words, environment, folder / "printed.txt")
                    connection.send(command.end())

    Thread(target=serve, daemon=True).start()
    yield script
    listener.close()


@pytest.fixture(scope="module")
def bootstrap(project: Project, dbt: Path) -> Callable[..., str]:
    """Runs the program as an administrator does, and returns its standard output."""
    config = project.target / "bootstrap.yml"
    document = {
        "name": "vpc-flow-logs",
        "bucket": {
            "name": BUCKET,
            "region": REGION,
            "account_id": HOME,
            "prefix": "vpc",
        },
        "sources": [{"account_id": HOME, "regions": [REGION], "all": True}],
        "snowflake": {"setup_role": SETUP_ROLE, "dbt": {"executable": str(dbt)}},
        "wait_seconds": 0,
    }
    config.write_text(yaml.safe_dump(document))
    environment = os.environ | {
        "DBT_PROFILES_DIR": str(project.target),
        # Not the build's, whose variables are others: dbt would parse all again.
        "DBT_TARGET_PATH": str(project.target / "bootstrap"),
        "DBT_LOG_PATH": str(project.target / "logs"),
        **project.environment,
    }

    def run(*words: str, exit_code: int = 0) -> str:
        finished = subprocess.run(
            [sys.executable, "-m", "bootstrap", *words, "--config", str(config)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert finished.returncode == exit_code, finished.stdout + finished.stderr
        return finished.stdout

    return run


def in_snowflake(stand_in: StandIn) -> dict[str, list[str]]:
    """The names of everything in the account."""
    return {
        kind: sorted(str(row["name"]) for row in stand_in.rows(f"show {kind}"))
        for kind in KINDS
    }


def one_file(folder: Path, day: Any) -> tuple[Path, dict[str, Any]]:
    """A file that holds a day's sample of every format, and the truth about it."""
    sample_logs.generate(folder, end_date=day, days=1, records=2_000)
    tables = [pq.read_table(f, partitioning=None) for f in folder.rglob("*.parquet")]
    file = folder / "one.parquet"
    pq.write_table(pa.concat_tables(tables, promote_options="default"), file)
    return file, json.loads((folder / "truth.json").read_text())


@pytest.mark.long
def test_from_two_empty_accounts_to_the_answers_and_back(
    stand_in: StandIn, project: Project, bootstrap: Callable[..., str], tmp_path: Path
) -> None:
    world = World(tmp_path / "state", own_clients=True)
    aws_before, snowflake_before = snapshot(world), in_snowflake(stand_in)
    assert aws_before["buckets"] == {}

    bootstrap("apply", "--yes")

    logs = {"FLOW_LOGS", "TEXT_LOGS"}
    for kind, names in (
        ("pipes", logs),
        ("tables", {*logs, "ENRICHMENT_LINES", "INVENTORY_ROWS"}),
    ):
        made = stand_in.rows(f"show {kind} in schema flow.landing")
        assert {row["name"] for row in made} == names
        assert {row["owner"] for row in made} == {"VPC_FLOW_LOGS_LOADER"}

    now = datetime.now(UTC)
    yesterday = (now - timedelta(days=1)).date()
    file, truth = one_file(tmp_path / "sample", yesterday)
    (flow_log,) = world.aws.ec2.describe_flow_logs()["FlowLogs"]
    key = (
        f"vpc/AWSLogs/{HOME}/vpcflowlogs/{REGION}/{now:%Y/%m/%d}/{HOME}_vpcflowlogs_"
        f"{REGION}_{flow_log['FlowLogId']}_{now:%Y%m%dT%H%M}Z_0a1b2c3d.log.parquet"
    )
    world.aws.s3.upload_file(str(file), BUCKET, key)
    assert stand_in.poll() == [f"s3://{BUCKET}/{key}"]
    project.environment["SNOWFLAKE_ROLE"] = "VPC_FLOW_LOGS_TRANSFORMER"
    project.dbt("build", *WITHOUT_UNIT_TESTS, as_of=str(yesterday))

    for mart, expected in truth["marts"].items():
        found = [
            of_the_truth(
                {
                    name.lower(): str(value) if name.lower().endswith("_at") else value
                    for name, value in row.items()
                },
                expected,
            )
            for row in stand_in.rows(
                f"select * from flow.analytics.{mart} order by {MARTS[mart]}"
            )
        ]
        assert found == expected, mart
    links = json.loads(bootstrap("verify", "--json"))
    assert {link["state"] for link in links} == {"ok"}

    # What is compared in the end shows all that was made.
    assert all(
        during != snowflake_before[kind]
        for kind, during in in_snowflake(stand_in).items()
    )
    aws_during = snapshot(world)
    for kind in ("buckets", "roles", "flow logs"):
        assert aws_during[kind] != aws_before[kind]

    bootstrap("destroy", "--yes", "--delete-data", "--with-snowflake")

    assert snapshot(world) == aws_before
    assert in_snowflake(stand_in) == snowflake_before
