"""Set-up of the Snowflake account and the operations after it, against the stand-in.

The operations run through the real dbt-snowflake adapter. Most run in this process,
where dbt has parsed once; two run as a command, for its exit status and its output.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import snowflake.connector.errors
import sqlfluff
import sqlglot
import yaml
from sqlglot import exp

from .conftest import ROOT
from .snowflake_project import KeyPair, SnowflakeProject
from .test_snowflake_stand_in import COPY, LANDING

GOLDEN = Path(__file__).parent / "golden"
BUCKET = "flow-logs"
LOCATION = f"s3://{BUCKET}/logs/"
READER = "arn:aws:iam::111111111111:role/reader"
SETUP = {"role_arn": READER, "locations": [LOCATION]}
LOADER, TRANSFORMER, ANALYST = (
    f"VPC_FLOW_LOGS_{name}" for name in ("LOADER", "TRANSFORMER", "ANALYST")
)
SERVICE = "VPC_FLOW_LOGS_SERVICE"
MARK = "Created by the dbt project vpc_flow_logs"
FUNCTION = "flow.analytics.ipv4_is_internal"
STAGE, TABLE = "flow.landing.flow_logs_stage", "flow.landing.flow_logs"
TEXTS = "flow.landing.text_logs"
TEXT_FORMAT = (
    "type = csv field_delimiter = none escape_unenclosed_field = none null_if = ()"
    " skip_blank_lines = true"
)
GRANTS = ("grants", "future grants")
CHANGES = re.compile(r"^(create|alter|drop|grant|revoke)\b", re.IGNORECASE)
#: The beginnings of statements that sqlglot has no rules for. sqlfluff parses them. A
#: test fails if one is missing here or not needed.
UNKNOWN_TO_SQLGLOT = (
    "alter pipe",
    "alter resource monitor",
    "alter storage integration",
    "alter user",
    "alter warehouse",
    "create resource monitor",
    "create role",
    "create user",
    "drop network policy",
    "drop pipe",
    "drop resource monitor",
    "drop user",
    "grant monitor on future",
    "grant role",
    "grant select on all",
    "grant select on future",
    "grant usage on all",
    "grant usage on future",
    "list @",
    "show pipes",
)


class Account:
    """A stand-in, and dbt operations on it."""

    def __init__(self, project: SnowflakeProject, folder: Path) -> None:
        self.project = project
        self.stand_in = project.stand_in
        self.s3 = project.s3
        self.folder = folder

    def run(
        self,
        operation: str,
        variables: dict[str, Any] | None = None,
        fails: bool = False,
        **arguments: Any,
    ) -> str:
        """Run an operation as the role FLOW_SETUP; return what it printed."""
        variables = {"setup_role": "flow_setup"} if variables is None else variables
        words = ["--quiet"] if "describe" in operation else []
        words += ["run-operation", operation, "--args", json.dumps(arguments)]
        return self.project.dbt(*words, fails=fails, **variables)

    def command(
        self, key: KeyPair, operation: str, **arguments: Any
    ) -> tuple[int | None, str]:
        """Run an operation by dbt's command; its exit status and what it printed."""
        login = {"USER": SERVICE, "PRIVATE_KEY_PATH": key.file, "ROLE": LOADER}
        given = ["run-operation", operation, "--args", json.dumps(arguments)]
        return self.project.command(login, "--quiet", *given).end(timeout=300)

    def recorded(self, operation: str, **named: Any) -> tuple[str, list[str]]:
        """Run an operation; return what it printed and its statements."""
        self.stand_in.clear_log()
        printed = self.run(operation, **named)
        return printed, [bare(sql) for sql in self.stand_in.statements()]

    def rows(self, sql: str, **arguments: Any) -> list[dict[str, Any]]:
        """Rows, with column names in lower case."""
        found = self.stand_in.rows(sql, **arguments)
        return [{key.lower(): value for key, value in row.items()} for row in found]

    def state(self) -> dict[str, list[dict[str, Any]]]:
        """What the account says of every object that set-up makes."""
        kinds = "warehouses, databases, schemas in account, integrations, roles, users"
        kinds += ", stages in account, pipes in account, user functions in account"
        kinds += ", network policies, resource monitors"
        asked = [f"show {kind}" for kind in kinds.split(", ")]
        for role in (LOADER, TRANSFORMER, ANALYST):
            asked += [
                f"show grants to role {role}",
                f"show future grants to role {role}",
            ]
        asked += [f"show grants to user {SERVICE}", f"desc user {SERVICE}"]
        asked.append("desc integration vpc_flow_logs")
        return {
            sql: [
                row for row in self.rows(sql) if row.get("name") != "INFORMATION_SCHEMA"
            ]
            for sql in asked
        }

    def properties(self, thing: str) -> dict[str, str]:
        """What DESC shows of a user or a network policy."""
        return {row["property"]: row["value"] for row in self.rows(f"desc {thing}")}

    def grants(self, role: str, future: bool = False) -> set[tuple[str, str, str]]:
        """The grants of a role."""
        kind = GRANTS[future]
        return {
            (
                row["privilege"],
                row.get("granted_on") or row["grant_on"],
                row["name"],
            )
            for row in self.rows(f"show {kind} to role {role}")
        }


def bare(sql: str) -> str:
    """A statement without dbt's comment and without its indentation."""
    sql = re.sub(r"\s*/\* \{.*\} \*/\s*$", "", sql, flags=re.DOTALL)
    first, _, rest = sql.strip().partition("\n")
    rest = textwrap.indent(textwrap.dedent(rest), "    ")
    return f"{first}\n{rest}".rstrip().replace("\n\n", "\n")


def changes(statements: list[str]) -> list[str]:
    return [sql for sql in statements if CHANGES.match(sql)]


def statements_of(script: str) -> list[str]:
    """The statements of a script that set-up prints."""
    text = re.sub("(?m)^--.*$", "", script)
    return [bare(sql) for sql in text.strip().removesuffix(";").split(";\n")]


def assert_golden(name: str, text: str, *secrets: str) -> None:
    """Compare with the reviewed file; UPDATE_GOLDEN=1 writes it for a new review."""
    for number, secret in enumerate(secrets, 1):
        text = text.replace(secret, f"<public key {number}>")
    file = GOLDEN / f"{name}.sql"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def written(statements: list[str]) -> str:
    return ";\n\n".join(statements) + ";\n"


@pytest.fixture(scope="module")
def account(
    snowflake: SnowflakeProject, tmp_path_factory: pytest.TempPathFactory
) -> Account:
    """An account with an administrator's role, and a bucket with one file."""
    folder = tmp_path_factory.mktemp("operations")
    snowflake.s3.create_bucket(Bucket=BUCKET)
    duckdb.sql("select 1700000000 as start, '10.0.0.1' as srcaddr").write_parquet(
        str(folder / "one.parquet")
    )
    file = str(folder / "one.parquet")
    snowflake.s3.upload_file(file, BUCKET, "logs/day/one.parquet")
    for name, body in (("bad.parquet", b"bad"), ("two.log", b"srcaddr\n10.0.0.2\n")):
        snowflake.s3.put_object(Bucket=BUCKET, Key=f"logs/day/{name}", Body=body)
    snowflake.stand_in.rows("drop database if exists flow; create role flow_setup")
    return Account(snowflake, folder)


@pytest.fixture(scope="module")
def key(account: Account) -> KeyPair:
    return KeyPair(account.folder, "first")


@pytest.fixture(scope="module")
def first(account: Account, key: KeyPair) -> tuple[str, list[str]]:
    """The first set-up of the account."""
    return account.recorded("setup_snowflake", public_key=key.pem, **SETUP)


@pytest.fixture
def ready(account: Account, first: Any, key: KeyPair) -> Account:
    """The account after set-up, whatever the test before did."""
    account.run("setup_snowflake", public_key=key.pem, **SETUP)
    return account


@pytest.fixture
def piped(ready: Account, key: KeyPair) -> Account:
    """With both tables of landing and their pipes, which the loader created."""
    login = {"user": SERVICE, "private_key_file": key.file, "role": LOADER}
    for table, kind, suffix, file_format in (
        (TABLE, "variant", "parquet", "type = parquet"),
        (TEXTS, "varchar", "log", TEXT_FORMAT),
    ):
        create = LANDING.replace("create table", "create table if not exists")
        ready.rows(create.format(table=table).replace("variant", kind), **login)
        copy = COPY.format(table=table, stage=f"{STAGE}/").replace("variant", kind)
        copy = copy.replace("type = parquet", file_format)
        copy = copy.replace("[.]parquet", f"[.]{suffix}")
        ready.rows(
            f"create pipe if not exists {table} auto_ingest = true as {copy}", **login
        )
    return ready


# ----- set-up


def test_set_up_runs_what_it_prints(
    first: tuple[str, list[str]], account: Account, key: KeyPair
) -> None:
    """It prints without a login; the reviewed SQL never replaces what holds data."""
    printed, statements = first
    account.stand_in.clear_log()
    script = account.run(
        "setup_snowflake", public_key=key.pem, print_only=True, **SETUP
    )
    assert account.stand_in.statements() == []
    script = script[script.index("use role") :]
    assert_golden("setup_snowflake", script, key.letters)
    reviewed = statements_of(script)
    assert [sql for sql in reviewed if not sql.startswith("use role")] == [
        sql for sql in statements if CHANGES.match(sql)
    ]
    replaced = [sql for sql in reviewed if "or replace" in sql]
    assert [sql.split()[3] for sql in replaced] == ["function"]
    assert "found: no FLOW among the" in printed
    assert printed.count(", as role FLOW_SETUP") == 1


def test_a_second_run_has_no_effect(ready: Account, key: KeyPair) -> None:
    """Every object, its time of creation, its properties and all grants stay."""
    before = ready.state()
    _, statements = ready.recorded("setup_snowflake", public_key=key.pem, **SETUP)
    assert ready.state() == before
    assert before["show warehouses"]
    assert {sql.split()[0] for sql in changes(statements)} == {"alter", "grant"}


def test_set_up_without_a_role_stops(account: Account, key: KeyPair) -> None:
    """The command fails before any statement."""
    account.stand_in.clear_log()
    exit_code, printed = account.command(key, "setup_snowflake", **SETUP)
    assert exit_code == 1
    assert "--vars 'setup_role: NAME'" in printed
    for operation in ("setup_roles", "setup_resource_monitor", "teardown_snowflake"):
        printed = account.run(operation, variables={}, fails=True)
        assert "--vars 'setup_role: NAME'" in printed
    assert account.stand_in.statements() == []


def test_another_engine_is_refused(account: Account) -> None:
    words = "run-operation", "pipe_status", "--target", "local"
    printed = account.project.dbt(*words, fails=True)
    assert "for Snowflake, and this target is duckdb" in printed


def test_malformed_roles_and_locations_are_refused(account: Account) -> None:
    gov = "arn:aws-us-gov:iam::111111111111:role/reader"
    for arguments, said in (
        ({"role_arn": "reader"}, "is not the ARN of a role"),
        ({"locations": ["https://flow-logs/"]}, "is not a place such as s3://"),
        ({"locations": ["s3://*"]}, "is not a place"),
        ({"locations": []}, "locations is empty"),
        (
            {"role_arn": gov.replace("us-gov", "cn")},
            "is not a place such as s3china://",
        ),
    ):
        printed = account.run("setup_integration", fails=True, **(SETUP | arguments))
        assert said in printed


def test_an_integration_keeps_its_external_id(ready: Account) -> None:
    before = json.loads(ready.run("describe_integration"))
    both = [LOCATION, "s3://other/logs"]
    printed, statements = ready.recorded(
        "setup_integration", role_arn=f"{READER}-2", locations=both
    )
    assert changes(statements) == [
        "alter storage integration vpc_flow_logs set\n    enabled = true"
        f"\n    storage_aws_role_arn = '{READER}-2'"
        f"\n    storage_allowed_locations = ('{LOCATION}', 's3://other/logs/')"
    ]
    after = json.loads(ready.run("describe_integration"))
    assert after["storage_aws_external_id"] == before["storage_aws_external_id"]
    assert after["storage_aws_external_id"] not in printed
    assert after["storage_allowed_locations"] == [LOCATION, "s3://other/logs/"]
    assert after["storage_aws_role_arn"] == f"{READER}-2"
    ready.rows("alter storage integration vpc_flow_logs set enabled = false")
    ready.run("setup_integration", **SETUP)
    assert json.loads(ready.run("describe_integration"))["enabled"] is True


def test_a_stage_is_never_moved(ready: Account) -> None:
    both = [LOCATION, "s3://other/logs/"]
    printed, statements = ready.recorded("setup_stage", locations=LOCATION)
    assert changes(statements) == []
    printed = ready.run("setup_stage", fails=True, locations=["s3://other/logs/"])
    assert f"covers {LOCATION} through VPC_FLOW_LOGS" in printed
    ready.rows(f"drop stage {STAGE}")
    assert "add stage_url" in ready.run("setup_stage", fails=True, locations=both)
    ready.run("setup_stage", locations=both, stage_url=LOCATION.rstrip("/"))
    (stage,) = ready.rows("show stages in schema flow.landing")
    assert stage["url"] == LOCATION
    assert stage["storage_integration"] == "VPC_FLOW_LOGS"


def test_each_role_holds_what_it_needs_and_no_more(ready: Account) -> None:
    everyone = {
        ("USAGE", "WAREHOUSE", "FLOW_WH"),
        ("USAGE", "DATABASE", "FLOW"),
    }
    assert ready.grants(LOADER) == everyone | {
        ("USAGE", "SCHEMA", "FLOW.LANDING"),
        ("CREATE TABLE", "SCHEMA", "FLOW.LANDING"),
        ("CREATE PIPE", "SCHEMA", "FLOW.LANDING"),
        ("USAGE", "STAGE", STAGE.upper()),
        ("USAGE", "INTEGRATION", "VPC_FLOW_LOGS"),
    }
    assert ready.grants(LOADER, future=True) == set()
    assert ready.grants(TRANSFORMER, future=True) == {
        ("SELECT", "TABLE", "FLOW.LANDING.<TABLE>"),
        ("MONITOR", "PIPE", "FLOW.LANDING.<PIPE>"),
    }
    assert ready.grants(ANALYST) - {
        grant for grant in ready.grants(ANALYST) if grant[1] in ("TABLE", "VIEW")
    } == everyone | {
        ("USAGE", "SCHEMA", "FLOW.ANALYTICS"),
        ("USAGE", "FUNCTION", "FLOW.ANALYTICS.IPV4_IS_INTERNAL"),
    }
    assert ready.grants(ANALYST, future=True) == {
        ("SELECT", "TABLE", "FLOW.ANALYTICS.<TABLE>"),
        ("SELECT", "VIEW", "FLOW.ANALYTICS.<VIEW>"),
        ("USAGE", "FUNCTION", "FLOW.ANALYTICS.<FUNCTION>"),
    }


def test_grants_survive_a_rebuild_and_come_back_when_revoked(ready: Account) -> None:
    mart = "flow.analytics.admin_exposure"
    select = ("SELECT", "TABLE", mart.upper())
    for _ in range(2):
        ready.rows(f"create or replace table {mart} as select 1 as records")
        assert select in ready.grants(ANALYST)
    ready.rows(f"revoke select on table {mart} from role {ANALYST}")
    ready.rows(f"revoke role {LOADER} from role flow_setup")
    ready.run("setup_roles")
    held = ready.rows("show grants to role flow_setup")
    assert LOADER in [grant["name"] for grant in held]
    assert select in ready.grants(ANALYST)
    ready.rows(f"drop table {mart}")


def test_a_pipe_is_granted_by_its_name(piped: Account) -> None:
    """Snowflake refuses a grant on all pipes of a schema."""
    for pipe in (TABLE, TEXTS):
        piped.rows(f"revoke monitor on pipe {pipe} from role {TRANSFORMER}")
    piped.run("setup_roles")
    for pipe in (TABLE, TEXTS):
        assert ("MONITOR", "PIPE", pipe.upper()) in piped.grants(TRANSFORMER)


def test_the_quota_carries_the_hourly_schedule() -> None:
    """Runs of three minutes, 720 a month, by the defaults; the document's own figures.

    A warehouse runs until it suspends, and each start is billed a minute at least.
    """
    variables = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]
    assert variables["warehouse_size"] == "x-small"
    rates = {1: 1.0, 2: 1.35}
    idle = variables["warehouse_auto_suspend"]

    def credits_a_month(minutes: int, generation: int) -> float:
        seconds = max(minutes * 60 + idle, 60)
        return 720 * seconds / 3600 * rates[generation]

    table = re.findall(
        r"^\| (\d+) minutes? \| (\d+) \| (\d+) \|$",
        (ROOT / "docs/snowflake.md").read_text(),
        re.MULTILINE,
    )
    assert [minutes for minutes, *_ in table] == ["1", "2", "3"]
    for minutes, *documented in table:
        expected = [credits_a_month(int(minutes), generation) for generation in rates]
        assert [int(number) for number in documented] == [round(n) for n in expected]
    needed = credits_a_month(3, variables["warehouse_generation"])
    assert needed <= variables["warehouse_credit_quota"] < 2 * needed


def test_only_what_set_up_created_is_altered(ready: Account, key: KeyPair) -> None:
    settings = {
        "setup_role": "flow_setup",
        "warehouse_size": "Small",
        "warehouse_auto_suspend": 120,
        "warehouse_statement_timeout": 600,
    }
    ready.run("setup_warehouse", variables=settings)
    (warehouse,) = ready.rows("show warehouses like 'flow_wh'")
    assert (warehouse["size"], warehouse["auto_suspend"]) == ("Small", "120")
    for cidrs in (["192.0.2.0/24"], ["192.0.2.9/32", "198.51.100.0/24"]):
        changed = settings | {"service_user_cidrs": cidrs}
        ready.run("setup_user", variables=changed)
        policy = ready.properties(f"network policy {SERVICE}_NETWORK")
        assert policy["ALLOWED_IP_LIST"] == ",".join(cidrs)
        user = ready.properties(f"user {SERVICE}")
        assert user["NETWORK_POLICY"] == f"{SERVICE}_NETWORK"

    integration = "storage integration vpc_flow_logs"
    for theirs, operation in (
        ("warehouse flow_wh", ("setup_warehouse", {})),
        (f"user {SERVICE.lower()}", ("setup_user", {"public_key": key.pem})),
        (integration, ("setup_integration", SETUP | {"role_arn": f"{READER}-3"})),
    ):
        ready.rows(f"alter {theirs} set comment = 'the team has it'")
        name, arguments = operation
        before = ready.state()
        printed, statements = ready.recorded(name, **arguments)
        assert f"left as it is: {theirs}, which this project did not" in printed
        assert not [sql for sql in changes(statements) if sql.startswith("alter")]
        assert ready.state() == before
        ready.rows(f"alter {theirs} set comment = '{MARK}'")
    mine = f"create or replace function {FUNCTION}(ip varchar) returns boolean"
    mine += " language sql immutable comment = {} as $$ false $$"
    ready.rows(mine.format("'the team has it'"))
    assert "left as it is: function" in ready.run("setup_functions")
    ready.rows(mine.format(f"'{MARK}, version 1'"))
    ready.run("setup_functions")
    (row,) = ready.rows(f"select {FUNCTION}('10.0.0.1') as is_internal")
    assert row["is_internal"] is True


def test_the_account_administrator_sets_the_monitor(ready: Account) -> None:
    administrator = {"setup_role": "accountadmin"}
    _, statements = ready.recorded("setup_resource_monitor", variables=administrator)
    script = written(changes(statements))
    assert_golden("setup_resource_monitor", script)
    before = ready.state()
    ready.run("setup_resource_monitor", variables=administrator)
    assert ready.state() == before
    (warehouse,) = ready.rows("show warehouses like 'flow_wh'")
    assert warehouse["resource_monitor"] == "FLOW_WH_MONITOR"


def test_the_function_is_the_projects_own_macro(ready: Account) -> None:
    texts = ["10.0.0.1", "172.16.0.1", "172.32.0.1", "192.168.255.255", "8.8.8.8", "-"]
    texts += ["", "::1", "10.1.2.999", "10.0.0.1.5", "010.0.0.1", "10.0.0.1\n"]
    values = ", ".join("('" + text.replace("\n", "\\n") + "')" for text in texts)
    rows = ready.rows(
        "select ip, flow.analytics.ipv4_is_internal(ip) as is_internal"
        f" from (values {values}, (null)) as addresses (ip)"
    )
    assert len(rows) == len(texts) + 1

    def expected(text: str | None) -> bool:
        ranges = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
        try:
            address = ipaddress.IPv4Address(text or "")
        except ValueError:
            return False
        return any(address in ipaddress.ip_network(each) for each in ranges)

    for row in rows:
        assert row["is_internal"] is expected(row["ip"]), row


# ----- the service user


def test_the_service_user_has_keys_and_no_password(
    ready: Account, key: KeyPair
) -> None:
    """The second key is valid while the first one is replaced."""

    def login(file: str) -> str:
        return ready.rows(
            "select current_role() as role", user=SERVICE, private_key_file=file
        )[0]["role"]

    (user,) = ready.rows(f"show users like '{SERVICE}'")
    assert user["type"] == "SERVICE"
    assert login(key.file) == TRANSFORMER
    with pytest.raises(snowflake.connector.errors.Error):
        ready.rows("select 1", user=SERVICE, password="anything")

    second = KeyPair(ready.folder, "second")
    ready.run("setup_user", public_key_2=second.pem)
    assert login(second.file) == login(key.file) == TRANSFORMER
    ready.run("setup_user", public_key=second.pem, public_key_2="")
    assert login(second.file) == TRANSFORMER
    with pytest.raises(snowflake.connector.errors.Error):
        login(key.file)
    assert ready.properties(f"user {SERVICE}")["RSA_PUBLIC_KEY"] == second.letters


def test_a_malformed_key_is_refused(ready: Account, key: KeyPair) -> None:
    private = Path(key.file).read_text()
    printed = ready.run("setup_user", fails=True, public_key=private)
    assert "is no RSA public key" in printed
    assert private.splitlines()[1] not in printed


# ----- the days after


def test_programs_get_one_line_of_json(piped: Account, key: KeyPair) -> None:
    """The command prints nothing else."""
    exit_code, printed = piped.command(key, "describe_pipe")
    assert exit_code == 0
    (line,) = printed.splitlines()
    pipe = json.loads(line)
    assert pipe.pop("definition").startswith(f"copy into {TABLE}")
    assert pipe.pop("notification_channel").startswith("arn:aws:sqs:us-east-1:")
    assert pipe == {
        "name": TABLE.upper(),
        "exists": True,
        "execution_state": "RUNNING",
    }
    (line,) = piped.run("describe_integration").splitlines()
    integration = json.loads(line)
    assert integration.pop("storage_aws_iam_user_arn").startswith("arn:aws:iam::")
    assert integration.pop("storage_aws_external_id")
    assert integration == {
        "name": "VPC_FLOW_LOGS",
        "exists": True,
        "enabled": True,
        "storage_aws_role_arn": READER,
        "storage_allowed_locations": [LOCATION],
    }
    assert json.loads(piped.run("describe_account_parameters")) == {
        "PREVENT_UNLOAD_TO_INLINE_URL": "false",
        "REQUIRE_STORAGE_INTEGRATION_FOR_STAGE_CREATION": "false",
        "REQUIRE_STORAGE_INTEGRATION_FOR_STAGE_OPERATION": "false",
    }


def test_the_days_after(piped: Account) -> None:
    """The statements of each operation are reviewed; this test reads their output."""
    piped.stand_in.clear_log()
    before = json.loads(piped.run("describe_load"))
    assert before == {
        "name": TABLE.upper(),
        "exists": True,
        "newest_file": None,
        "newest_loaded_at": None,
    }
    assert "no file failed" in piped.run("load_errors")
    assert "no usage" in piped.run("pipe_usage")
    sent = piped.run("refresh_pipe")
    assert f"handed to {TABLE}: 2" in sent and f"handed to {TEXTS}: 1" in sent
    again = piped.run(
        "refresh_pipe", prefix="day/", modified_after="2026-01-31T00:00:00Z"
    )
    assert f"{TABLE}: 0" in again and f"{TEXTS}: 0" in again
    for pipe in (TABLE, TEXTS):
        assert f"\n{pipe}\n  executionState: RUNNING" in piped.run("pipe_status")
    after = json.loads(piped.run("describe_load"))
    assert after["newest_file"] == f"{LOCATION}day/two.log"
    errors = piped.run("load_errors", days=7)
    assert f"{LOCATION}day/bad.parquet" in errors
    assert "one.parquet" not in errors
    usage = piped.run("pipe_usage")
    today = datetime.now(UTC).date()
    assert re.search(rf"^{today}: 2 files, \d+ bytes", usage, re.M)
    listed = piped.run("list_stage", path="day/")
    assert f"{LOCATION}day/one.parquet" in listed
    assert "files: 3" in listed
    preview = piped.run("preview_stage", path="day/one.parquet")
    (record,) = [line for line in preview.splitlines() if line.endswith("}")]
    file, number, fields = record.split(" ")
    # An account may number rows from 0 or from 1.
    assert (file, number in "01") == ("logs/day/one.parquet", True)
    assert json.loads(fields) == {"start": 1700000000, "srcaddr": "10.0.0.1"}
    valid = piped.run("validate_integration", file="day/one.parquet")
    assert valid.count(": success") == 2
    refused = piped.run("validate_integration", fails=True, file="day/none.parquet")
    assert "NoSuchKey" in refused
    statements = [bare(sql) for sql in piped.stand_in.statements()]
    where = "\n    prefix = 'day/'\n    modified_after = '2026-01-31T00:00:00Z'"
    assert changes(statements) == [
        f"alter pipe {pipe} refresh{options}"
        for options in ("", where)
        for pipe in (TABLE, TEXTS)
    ]
    script = written(list(dict.fromkeys(statements)))
    # What depends on the day.
    assert_golden("days_after", re.sub(r"\d{19}", f"{10**18}", script))


def test_a_failed_file_is_loaded_by_the_statement_that_is_printed(
    piped: Account,
) -> None:
    """sf:user-guide/data-load-snowpipe-ts: the pipe does not try it again."""
    piped.run("refresh_pipe")
    printed = piped.run("load_errors")
    statements = re.findall(r"Once it is mended:\n(.*?);\n", printed, re.DOTALL)
    assert_golden("load_by_hand", written(statements))
    (bad,) = statements
    with pytest.raises(snowflake.connector.errors.Error, match=r"bad\.parquet"):
        piped.rows(bad)

    file = str(piped.folder / "one.parquet")
    piped.s3.upload_file(file, BUCKET, "logs/day/bad.parquet")
    assert f"files handed to {TABLE}: 0" in piped.run("refresh_pipe")
    assert [load["status"] for load in piped.rows(bad)] == ["LOADED"]
    assert piped.rows(
        f"select metadata_filename as file, count(*) as records from {TABLE}"
        " group by 1 order by 1"
    ) == [
        {"file": "logs/day/bad.parquet", "records": 1},
        {"file": "logs/day/one.parquet", "records": 1},
    ]
    assert "no file failed" in piped.run("load_errors")


def test_without_a_set_up_role_the_profile_decides(piped: Account) -> None:
    printed, statements = piped.recorded("pipe_status", variables={})
    assert "it needs vpc_flow_logs_loader" in printed
    assert not [sql for sql in statements if sql.startswith("use role")]


# ----- teardown


def test_teardown_needs_the_databases_name(ready: Account) -> None:
    for arguments in ({}, {"confirm": True}, {"confirm": "other"}):
        ready.stand_in.clear_log()
        printed = ready.run("teardown_snowflake", fails=True, **arguments)
        assert "--args '{confirm: flow}'" in printed
        assert changes([bare(sql) for sql in ready.stand_in.statements()]) == []


def test_teardown_takes_back_everything_in_order(piped: Account, key: KeyPair) -> None:
    """First without the data, then with it, each twice. Set-up works in between."""

    def left() -> dict[str, list[str]]:
        kinds = "databases warehouses roles users integrations resource monitors"
        kinds = kinds.replace("resource monitors", "resource-monitors").split()
        return {
            kind: [
                row["name"]
                for row in piped.rows(f"show {kind.replace('-', ' ')}")
                if row["name"].startswith(("FLOW", "VPC"))
            ]
            for kind in kinds
        }

    administrator = {"setup_role": "accountadmin"}
    piped.run("setup_resource_monitor", variables=administrator)
    described = json.loads(piped.run("describe_teardown"))
    printed, statements = piped.recorded("teardown_snowflake", confirm="FLOW")
    assert described["confirm"] == "flow"
    assert described["drops"] == re.findall("run: (drop .*)", printed)
    assert json.loads(piped.run("describe_teardown"))["drops"] == []
    assert "left for ACCOUNTADMIN: drop resource monitor" in printed
    assert f"kept: {TABLE}" in printed
    assert left() == {
        "databases": ["FLOW"],
        "warehouses": [],
        "roles": ["FLOW_SETUP"],
        "users": [],
        "integrations": [],
        "resource-monitors": ["FLOW_WH_MONITOR"],
    }
    assert piped.rows(f"select count(*) as records from {TABLE}")
    kept = changes(statements)

    piped.run("setup_snowflake", public_key=key.pem, **SETUP)
    printed, statements = piped.recorded(
        "teardown_snowflake",
        variables=administrator,
        confirm="flow",
        drop_landing_table=True,
    )
    dropped = changes(statements)
    assert left() == {
        "databases": [],
        "warehouses": [],
        "roles": ["FLOW_SETUP"],
        "users": [],
        "integrations": [],
        "resource-monitors": [],
    }
    printed, statements = piped.recorded(
        "teardown_snowflake",
        variables=administrator,
        confirm="flow",
        drop_landing_table=True,
    )
    assert changes(statements) == []
    assert_golden("teardown_snowflake", written(kept))
    assert_golden("teardown_snowflake_with_data", written(dropped))


def test_teardown_keeps_what_others_made(ready: Account) -> None:
    ready.rows(
        "create schema flow.others; alter role vpc_flow_logs_analyst"
        " set comment = 'ours since last year'"
    )
    printed = ready.run("teardown_snowflake", confirm="flow", drop_landing_table=True)
    assert "kept: database flow, which also holds flow.others" in printed
    assert "left as it is: role vpc_flow_logs_analyst" in printed
    assert ready.rows(f"show roles like '{ANALYST}'")
    ready.rows("drop database flow; drop role vpc_flow_logs_analyst")


# ----- the reviewed statements


def golden_statements() -> list[str]:
    texts = [path.read_text() for path in sorted(GOLDEN.glob("*.sql"))]
    return list(dict.fromkeys(sql for text in texts for sql in statements_of(text)))


def test_the_reviewed_statements_parse_in_snowflakes_dialect() -> None:
    """By sqlfluff, and by sqlglot except for those listed above."""
    unknown = []
    for sql in golden_statements():
        parsed = sqlfluff.parse(sql + "\n", dialect="snowflake")
        assert "unparsable" not in json.dumps(parsed), sql
        try:
            known = not isinstance(
                sqlglot.parse_one(sql, read="snowflake"), exp.Command
            )
        except sqlglot.errors.ParseError:
            known = False
        if not known:
            unknown.append(sql)
    assert [s for s in unknown if not s.startswith(UNKNOWN_TO_SQLGLOT)] == []
    for start in UNKNOWN_TO_SQLGLOT:
        assert any(sql.startswith(start) for sql in unknown), start
