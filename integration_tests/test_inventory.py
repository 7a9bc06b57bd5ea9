"""The inventory on both engines: what lands of it, and who had an address when."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flow_log_loader.lines import stage_lines

import sample_logs
from bootstrap.inventory import COLUMNS, PLACE, SNAPSHOTS, TYPES

from .conftest import AS_OF, END_DATE, ROOT, Project
from .snowflake_project import Bucket, SnowflakeProject
from .test_enrichment import settings_of

ALL_KINDS = {kind: (*PLACE, *columns) for kind, columns in COLUMNS.items()}
ALL_KINDS["snapshots"] = SNAPSHOTS
#: A kind that no model reads has no view.
VIEWS = sorted(path.stem for path in ROOT.glob("models/staging/inventory/*.sql"))
KINDS = {view.partition("__")[2]: ALL_KINDS[view.partition("__")[2]] for view in VIEWS}


#: The owners and what they name, besides the views.
#: A snapshot of AWS Config, of an account that nothing else is about.
CONFIG_ACCOUNT = "999988887777"
CONFIG_FILE = (
    f"AWSLogs/{CONFIG_ACCOUNT}/Config/eu-west-1/2026/3/30/ConfigSnapshot/"
    f"{CONFIG_ACCOUNT}_Config_eu-west-1_ConfigSnapshot_20260330T123015Z_1-2.json.gz"
)
CONFIG: dict[str, Any] = {
    "fileVersion": "1.0",
    "configurationItems": [
        {
            "resourceType": "AWS::EC2::NetworkInterface",
            "tags": {"Name": 'it\'s a "face"', "owner": "team-x"},
            "configuration": {
                "networkInterfaceId": "eni-c",
                "interfaceType": "interface",
                "status": "in-use",
                "description": "",
                "ownerId": CONFIG_ACCOUNT,
                "vpcId": "vpc-c",
                "subnetId": "subnet-c",
                "availabilityZone": "eu-west-1a",
                "attachment": {
                    "attachTime": "2026-03-07T23:46:28.000Z",
                    "instanceId": "i-c",
                },
                "privateIpAddresses": [
                    {
                        "primary": True,
                        "privateIpAddress": "10.250.1.1",
                        "association": {"publicIp": "54.0.0.1"},
                    },
                    {"primary": False, "privateIpAddress": "10.250.1.2"},
                ],
                "ipv6Addresses": [{"ipv6Address": "2600:1f14::c"}],
            },
        },
        {
            "resourceType": "AWS::EC2::Instance",
            "tags": {},
            "configuration": {
                "instanceId": "i-c",
                "instanceType": "t3.micro",
                "state": {"name": "running"},
                "launchTime": "2026-03-07T23:46:27.000Z",
                "vpcId": "vpc-c",
                "subnetId": "subnet-c",
            },
        },
        {
            "resourceType": "AWS::EC2::SecurityGroup",
            "tags": {},
            "configuration": {
                "groupId": "sg-c",
                "groupName": "web",
                "description": "of web",
                "vpcId": "vpc-c",
            },
        },
        {"resourceType": "AWS::EC2::Volume", "configuration": {}},
    ],
}
#: What the views have of it, without nulls.
FROM_CONFIG = {
    "interfaces": [
        "10.250.1.1 private None True",
        "10.250.1.2 private None False",
        "2600:1f14::c ipv6 None None",
        "54.0.0.1 public 10.250.1.1 True",
    ],
    "instances": ["i-c t3.micro running 2026-03-07 23:46:27 vpc-c subnet-c"],
    "security_groups": ["sg-c vpc-c of web web"],
    "subnets": [],
    "snapshots": ["instances 1 True", "interfaces 1 True", "security_groups 1 True"],
}
UNKNOWN = ("unknown", "unknown")
MODELS = (*VIEWS, "+address_owners", "+named_flow_records")
Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sample with its inventory."""
    folder = tmp_path_factory.mktemp("network")
    sample_logs.generate(
        folder,
        end_date=END_DATE,
        days=3,
        records=2_400,
        records_per_file=1_000,
        inventory=True,
    )
    config = folder / "_inventory" / CONFIG_FILE
    config.parent.mkdir(parents=True)
    config.write_bytes(gzip.compress(json.dumps(CONFIG).encode()))
    return folder


@pytest.fixture(scope="module")
def project(network: Path, new_project: Callable[..., Project]) -> Project:
    """The sample, staged; all that names an address."""
    location = str(network / "_inventory")
    project = new_project(network, VPC_FLOW_INVENTORY_LOCATION=location)
    project.stage()
    project.dbt("run", "--select", *MODELS, **AS_OF)
    return project


def rows_in_files(folder: Path, kind: str) -> set[tuple[Any, ...]]:
    """The rows of a kind as its files have them."""
    tables = [pq.read_table(file) for file in (folder / kind).glob("*.parquet")]
    found = pa.concat_tables(tables).to_pylist()
    return {tuple(row[column] for column in KINDS[kind]) for row in found}


def assert_views_have_all_rows(query: Query, folder: Path) -> None:
    for kind in KINDS:
        found = query(
            f"select * from stg_inventory__{kind}"
            f" where account_id != '{CONFIG_ACCOUNT}'"
        )
        assert set(found) == rows_in_files(folder, kind), kind
        assert len(found) == len(set(found)), kind


def test_the_views_have_the_columns_that_bootstrap_writes(built: Project) -> None:
    """Without an inventory they are there, and empty."""
    names = {pa.timestamp("us"): "TIMESTAMP", pa.int32(): "INTEGER"}
    names |= {pa.bool_(): "BOOLEAN", pa.int64(): "BIGINT"}
    for kind, columns in KINDS.items():
        assert built.query(
            f"select column_name, column_type from (describe stg_inventory__{kind})"
        ) == [
            (
                {"rows": "row_count"}.get(column, column),
                names.get(TYPES.get(column), "VARCHAR"),
            )
            for column in columns
        ]


def assert_aws_config_is_read(query: Query) -> None:
    """Its items are rows like those of other snapshots."""
    columns = {
        "interfaces": "address, address_type, private_address, is_primary",
        "instances": "instance_id, instance_type, state, launched_at, vpc_id,"
        " subnet_id",
        "security_groups": "security_group_id, vpc_id, description, name",
        "subnets": "subnet_id",
        "snapshots": "kind, row_count, is_complete",
    }
    for kind, expected in FROM_CONFIG.items():
        found = query(
            f"select {columns[kind]} from stg_inventory__{kind}"
            f" where account_id = '{CONFIG_ACCOUNT}' and region = 'eu-west-1'"
            " and extract(second from snapshot_at) = 15 order by 1"
        )
        assert [" ".join(map(str, row)) for row in found] == expected, kind
    assert query(
        "select distinct interface_id, instance_id, name, owner, attached_at,"
        " held_until from interfaces_over_time where vpc_id = 'vpc-c'"
    ) == [
        (
            *("eni-c", "i-c", 'it\'s a "face"', "team-x"),
            *(datetime(2026, 3, 7, 23, 46, 28), None),
        )
    ]


def assert_records_have_their_owners(query: Query, network: Path) -> None:
    """Each end of each record as in the truth; unknown where nothing is proved."""
    truth = json.loads((network / "truth.json").read_text())["inventory"]
    known = {
        address: (face["name"], face["owner"])
        for face in truth["interfaces"].values()
        for address in face["addresses"]
    }
    held = {
        (row["address"], datetime.fromisoformat(row["seen_at"])): (
            row["name"],
            row["owner"],
        )
        for row in truth["held"]
    }
    first_snapshot = datetime.fromisoformat(truth["snapshots"][0])
    unseen = set(held)
    for started_at, *ends in query(
        "select started_at, srcaddr, src_name, src_owner, dstaddr, dst_name, dst_owner"
        " from named_flow_records"
    ):
        for address, name, owner in (ends[:3], ends[3:]):
            key = (address, started_at.replace(second=0))
            if key in held:
                unseen.discard(key)
                assert (name, owner) == held[key], key
            elif address is None:
                assert (name, owner) == (None, None)
            elif ":" in address and started_at < first_snapshot:
                # An address of IPv6 may have come later than its interface.
                expected = known.get(address, UNKNOWN)
                assert (name, owner) in (expected, UNKNOWN), (address, started_at)
            else:
                assert (name, owner) == known.get(address, UNKNOWN), (
                    address,
                    started_at,
                )
    assert not unseen


def test_records_have_their_owners_on_duckdb(project: Project, network: Path) -> None:
    """Staging of flow logs passes over the inventory."""
    assert_views_have_all_rows(project.query, network / "_inventory")
    assert project.query(
        "select count(*) from landing.load_history"
        " where metadata_filename like '%_inventory%'"
    ) == [(0,)]
    assert_aws_config_is_read(project.query)
    assert_records_have_their_owners(project.query, network)


def test_records_have_their_owners_on_snowflake(
    snowflake: SnowflakeProject, project: Project, network: Path
) -> None:
    """Snapshots are added, and those that are gone stay landed."""
    bucket = Bucket(snowflake, network)
    bucket.put(*(network / "AWSLogs").rglob("*.parquet"))
    inventory = network / "_inventory"
    files = sorted(path for path in inventory.rglob("*.*") if path.is_file())
    earlier, later = files[::2], files[1::2]
    url = f"{bucket.url}_inventory/"
    bucket.put(*earlier)
    snowflake.stage_lines(url, "inventory_rows")
    assert " SKIP" in snowflake.stage_lines(url, "inventory_rows")
    for file in earlier:
        key = str(file.relative_to(network))
        snowflake.s3.delete_object(Bucket=bucket.name, Key=key)
    bucket.put(*later)
    snowflake.stage_lines(url, "inventory_rows")
    snowflake.dbt("run", "--select", *MODELS, **AS_OF)
    assert_views_have_all_rows(snowflake.query, inventory)
    assert_aws_config_is_read(snowflake.query)
    assert_records_have_their_owners(snowflake.query, network)
    owners = "select * from address_owners order by address, owned_from, interface_id"
    assert snowflake.query(owners) == project.query(owners)


def test_snapshots_that_are_gone_stay_landed(network: Path, tmp_path: Path) -> None:
    """And files of other names are none; a half-written one is read again."""
    folder = tmp_path / "_inventory" / "vpcs"
    folder.mkdir(parents=True)
    first, second = sorted((network / "_inventory/vpcs").iterdir())[:2]
    settings = settings_of(tmp_path, "inventory_rows")

    def landed(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
        stage_lines(connection, settings, print)
        return connection.execute(
            "select metadata_filename, count(value) from landed group by 1 order by 1"
        ).fetchall()

    shutil.copy(first, folder)
    (folder / "flow_logs.log.parquet").write_bytes(first.read_bytes())
    (folder / second.name).write_bytes(second.read_bytes()[:100])
    with duckdb.connect() as connection:
        half = landed(connection)
        assert half == [
            (f"_inventory/vpcs/{first.name}", 7),
            (f"_inventory/vpcs/{second.name}", 0),
        ]
        assert landed(connection) == half
        (folder / first.name).unlink()
        shutil.copy(second, folder)
        assert landed(connection) == [(name, 7) for name, _ in half]
