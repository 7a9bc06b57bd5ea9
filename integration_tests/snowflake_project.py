"""The project on Snowflake's stand-in, by dbt in this process or by its command."""

from __future__ import annotations

import contextlib
import io
import json
import random
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from dbt_common.behavior_flags import BehaviorFlagRendered

from .conftest import ROOT
from .processes import Command
from .snowflake_stand_in import StandIn

# dbt asks the stack for the module that set a flag, at each flag of each command, which
# takes half the time of a command below pytest's deep stack. Nothing here shows it.
BehaviorFlagRendered._default_source = staticmethod(lambda: "dbt")

#: Builds the marts whose rows the sample's truth lists, and what they read.
RUN = ("run", "--select", "+admin_exposure", "+path:models/marts/network")


class SnowflakeProject:
    """A stand-in and dbt on it, with the database FLOW and the schema ANALYTICS.

    dbt runs in this process and parses once. A variable that dbt reads while it parses
    needs a command of its own.
    """

    def __init__(self, stand_in: StandIn, s3: Any, folder: Path) -> None:
        self.stand_in = stand_in
        self.s3 = s3
        self.target = folder
        names = {"database": "flow", "schema": "analytics", "warehouse": "flow_wh"}
        outputs = {
            "snowflake": stand_in.profile(password="not-checked", **names),
            "local": {"type": "duckdb", "path": ":memory:"},
        }
        self._write_profiles(folder, outputs)
        parsed = dbtRunner().invoke(["--quiet", "parse", *self._places(folder)])
        assert isinstance(parsed.result, Manifest), parsed.exception
        self.manifest = parsed.result
        self._runner = dbtRunner(manifest=self.manifest)

    @staticmethod
    def _write_profiles(folder: Path, outputs: dict[str, Any]) -> None:
        profiles = {"vpc_flow_logs": {"target": "snowflake", "outputs": outputs}}
        folder.mkdir(exist_ok=True)
        (folder / "profiles.yml").write_text(yaml.safe_dump(profiles))

    @staticmethod
    def _places(folder: Path) -> list[str]:
        return [
            *("--project-dir", str(ROOT), "--profiles-dir", str(folder)),
            *("--target-path", str(folder / "target")),
            *("--log-path", str(folder / "logs"), "--log-level-file", "none"),
        ]

    def try_dbt(self, *words: str, **variables: Any) -> tuple[bool, str]:
        """Run a dbt command; return whether it succeeded, and what it printed."""
        given = ["--no-use-colors", *words, "--vars", json.dumps(variables)]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            result = self._runner.invoke([*given, *self._places(self.target)])
        return result.success, printed.getvalue() + str(result.exception or "")

    def dbt(self, *words: str, fails: bool = False, **variables: Any) -> str:
        """Run a dbt command; return what it printed."""
        succeeded, printed = self.try_dbt(*words, **variables)
        assert succeeded != fails, printed
        return printed

    def operation(self, name: str, **arguments: Any) -> str:
        return self.dbt("run-operation", name, "--args", json.dumps(arguments))

    def stage(self, fails: bool = False, **variables: Any) -> str:
        words = "run-operation", "stage_external_sources"
        return self.dbt(*words, fails=fails, **variables)

    def stage_lines(self, url: str, table: str = "enrichment_lines") -> str:
        """Stage other files than flow logs below a URL; return what dbt printed."""
        stage = f"flow.landing.{table.split('_')[0]}_stage"
        self.query(f"create stage if not exists {stage} url = '{url}'")
        name = f"source.vpc_flow_logs.vpc_flow.{table}"
        external = self.manifest.sources[name].external
        assert external
        external.location = f"@{stage}/"
        try:
            return self.stage()
        finally:
            external.location = ""

    def command(
        self,
        login: dict[str, str],
        *words: str,
        folder: str = "1",
        **variables: Any,
    ) -> Command:
        """Start dbt as a user does, with the profile that the project offers.

        Args:
            login: Values of `SNOWFLAKE_…` variables, by the end of their names.
            words: The command line; the target is added.
            folder: Holds the command's files. What one command has parsed, the next one
                in the folder reads, if profile, login and variables are the same.
            variables: The values of `--vars`.
        """
        place = self.target / folder
        example = yaml.safe_load((ROOT / "profiles.yml.example").read_text())
        output = example["vpc_flow_logs"]["outputs"]["snowflake"]
        here = {"host": "127.0.0.1", "port": self.stand_in.port, "protocol": "http"}
        self._write_profiles(place, {"snowflake": output | here})
        names = {"ACCOUNT": "standin", "DATABASE": "flow", "SCHEMA": "analytics"}
        names |= {"WAREHOUSE": "flow_wh"} | login
        words = (*words, "--target", "snowflake", "--vars", json.dumps(variables))
        environment = {f"SNOWFLAKE_{key}": names[key] for key in names}
        return Command(
            [*words, *self._places(place)], environment, place / "printed.txt"
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        found = self.stand_in.rows(f"use schema flow.analytics; {sql}")
        return [tuple(row.values()) for row in found]

    def rows(self, relation: str, order_by: str) -> list[dict[str, Any]]:
        """A relation as in the truth file, where times are text."""
        return [
            {
                name.lower(): str(value) if name.endswith("_AT") else value
                for name, value in row.items()
            }
            for row in self.stand_in.rows(
                "use schema flow.analytics;"
                f" select * from {relation} order by {order_by}"
            )
        ]


#: What an account may set, and what no answer may depend on.
ACCOUNT_SETTINGS = {
    "date_input_format": ("AUTO", "DD/MM/YYYY"),
    "timestamp_input_format": ("AUTO", "DD/MM/YYYY HH24:MI:SS"),
    "timestamp_type_mapping": ("TIMESTAMP_NTZ", "TIMESTAMP_LTZ"),
    "timezone": ("UTC", "America/Los_Angeles", "Pacific/Auckland"),
    "edition": ("STANDARD", "ENTERPRISE"),
    "first_row_number": (0, 1),
    "row_numbers_restart": (False, True),
}


def any_account() -> dict[str, Any]:
    """Settings of some account, at random; pytest prints them for a test that fails."""
    chosen = {key: random.choice(ACCOUNT_SETTINGS[key]) for key in ACCOUNT_SETTINGS}
    print(chosen)
    return chosen


class Bucket:
    """A bucket and its stage, in an empty database."""

    _numbers = count(1)

    def __init__(self, project: SnowflakeProject, folder: Path) -> None:
        self.project = project
        self.name = name = f"flow-logs-{next(self._numbers)}"
        self.folder = folder
        self.url = f"s3://{name}/"
        self.files = sorted(
            path
            for path in folder.rglob("*")
            # The inventory is in a folder beside them.
            if is_log(path) and "_inventory" not in path.parts
        )
        project.s3.create_bucket(Bucket=name)
        project.stand_in.forget_failures()
        project.stand_in.account(**any_account())
        project.stand_in.rows(
            "drop database if exists flow; create database flow;"
            " create schema flow.landing; create schema flow.analytics;"
            f" create stage flow.landing.flow_logs_stage url = '{self.url}'"
        )

    def put(self, *files: Path) -> list[str]:
        """Upload files, without an event; return their URLs."""
        keys = [str(file.relative_to(self.folder)) for file in files]
        for file, key in zip(files, keys, strict=True):
            self.project.s3.upload_file(str(file), self.name, key)
        return [self.url + key for key in keys]

    def announce(self, *files: Path) -> None:
        """Upload files and send the pipe an event for each."""
        for file, url in zip(files, self.put(*files), strict=True):
            pipe = "FLOW_LOGS" if file.suffix == ".parquet" else "TEXT_LOGS"
            assert self.project.stand_in.event(url) == [f"FLOW.LANDING.{pipe}"]


def is_log(file: Path) -> bool:
    """Whether a file is a flow log by its name, Parquet or text."""
    name = file.name.lower()
    return file.is_file() and name.endswith((".parquet", ".log", ".log.gz"))


def records_of(*files: Path) -> int:
    return sum(pq.read_metadata(file).num_rows for file in files)


class KeyPair:
    """An RSA key pair: the private key's file, and the public key's text."""

    def __init__(self, folder: Path, name: str) -> None:
        key = rsa.generate_private_key(65537, 2048)
        self.file = str(folder / f"{name}.p8")
        Path(self.file).write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = key.public_key().public_bytes(serialization.Encoding.PEM, form)
        self.pem = public.decode()

    @property
    def letters(self) -> str:
        """The public key as Snowflake takes it."""
        return "".join(self.pem.splitlines()[1:-1])
