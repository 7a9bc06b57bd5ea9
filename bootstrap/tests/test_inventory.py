"""`inventory`: every address, rule and network, and what could not be read."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from flow_log_loader.listing import list_files
from pyarrow import parquet

from bootstrap import inventory, steps, verify
from bootstrap.permissions import actions_of, policies_of
from bootstrap.tests.faithful import Aws
from bootstrap.tests.world import (
    BUCKET,
    HOME,
    NAMES,
    OTHER,
    REGION,
    World,
    apply,
    base_settings,
    destroy,
    hooked,
    refusal,
    snapshot,
    their_bucket,
    writes,
)

NOW = datetime(2026, 11, 30, 13, 15, 7, 5, tzinfo=UTC)
AT = NOW.replace(microsecond=0, tzinfo=None)
# What the program calls in the account of a source.
OF_SOURCES = ("ec2", "elasticloadbalancing")
ROLE = f"arn:aws:iam::{OTHER}:role/admin"
DOCUMENT = base_settings(
    {
        "sources": [
            {"account_id": HOME, "regions": [REGION, "us-east-1"], "all": True},
            {"account_id": OTHER, "role_arn": ROLE, "regions": [REGION], "all": True},
        ]
    }
)


class Taken:
    """The tables of one snapshot.

    Args:
        world: The account.
        document: The settings.
    """

    def __init__(self, world: World, document: dict[str, Any] = DOCUMENT) -> None:
        self.files: dict[str, bytes] = {}
        d = world.deployment(document)
        self.parts = inventory.take(d, self.files.__setitem__, NOW)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Return the rows of one kind."""
        name = f"{kind}/20261130T131507Z_{NAMES.key}.parquet"
        return list(parquet.read_table(io.BytesIO(self.files[name])).to_pylist())

    def only(self, kind: str, **wanted: str) -> list[dict[str, Any]]:
        """Return the rows that have these values."""
        rows = self.rows(kind)
        return [r for r in rows if all(r[key] == v for key, v in wanted.items())]


def _network(world: World) -> dict[str, str]:
    """Make a VPC with a public and a private subnet, and what lives in it."""
    ec2: Any = world.aws.ec2
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", AmazonProvidedIpv6CidrBlock=True)
    found = {"vpc": vpc["Vpc"]["VpcId"]}
    ec2.associate_vpc_cidr_block(VpcId=found["vpc"], CidrBlock="100.64.0.0/20")
    for n, kind in enumerate(("public", "private")):
        made = ec2.create_subnet(VpcId=found["vpc"], CidrBlock=f"10.9.{n}.0/24")
        found[kind] = made["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=found["vpc"])
    table = ec2.create_route_table(VpcId=found["vpc"])["RouteTable"]["RouteTableId"]
    ec2.create_route(
        RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
    )
    ec2.associate_route_table(RouteTableId=table, SubnetId=found["public"])
    for kind, more in (
        (
            "Gateway",
            {"ServiceName": f"com.amazonaws.{REGION}.s3", "RouteTableIds": [table]},
        ),
        (
            "Interface",
            {
                "ServiceName": f"com.amazonaws.{REGION}.sqs",
                "SubnetIds": [found["public"]],
            },
        ),
    ):
        ec2.create_vpc_endpoint(VpcId=found["vpc"], VpcEndpointType=kind, **more)
    found["table"] = table
    group = ec2.create_security_group(
        GroupName="web", Description="d", VpcId=found["vpc"]
    )["GroupId"]
    ranges = [{"CidrIp": "203.0.113.0/24", "Description": "office"}]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {
                "IpProtocol": "tcp",
                "FromPort": 443,
                "ToPort": 444,
                "IpRanges": ranges,
                "UserIdGroupPairs": [{"GroupId": group}],
            }
        ],
    )
    ec2.create_managed_prefix_list(
        PrefixListName="offices",
        AddressFamily="IPv4",
        MaxEntries=5,
        Entries=[
            {"Cidr": "203.0.113.0/24", "Description": "Berlin"},
            {"Cidr": "198.51.100.7/32"},
        ],
    )
    interface = ec2.create_network_interface(
        SubnetId=found["public"],
        Groups=[group],
        PrivateIpAddress="10.9.0.10",
    )["NetworkInterface"]["NetworkInterfaceId"]
    tags = [{"Key": "Name", "Value": "front"}, {"Key": "team", "Value": "a"}]
    ec2.create_tags(Resources=[interface], Tags=tags)
    ec2.assign_private_ip_addresses(
        NetworkInterfaceId=interface, PrivateIpAddresses=["10.9.0.11"]
    )
    ec2.assign_ipv6_addresses(
        NetworkInterfaceId=interface, Ipv6Addresses=["2001:db8::7"]
    )
    address = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(
        AllocationId=address["AllocationId"], NetworkInterfaceId=interface
    )
    balancer = world.session.client("elbv2", region_name=REGION)
    ec2.create_subnet(VpcId=found["vpc"], CidrBlock="10.9.2.0/24")
    balancer.create_load_balancer(
        Name="lb",
        Subnets=[found["public"]],
        Type="application",
        Tags=[{"Key": "team", "Value": "b"}],
    )
    instance = ec2.run_instances(
        ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=found["private"]
    )["Instances"][0]["InstanceId"]
    return {
        **found,
        "group": group,
        "interface": interface,
        "public_ip": address["PublicIp"],
        "instance": instance,
    }


def test_every_address_rule_and_network_is_a_row(world: World) -> None:
    made = _network(world)
    world.recorder.start()

    taken = Taken(world)

    assert writes(world.recorder.calls) == []
    rows = taken.only("interfaces", interface_id=made["interface"])
    assert {(r["address"], r["address_type"], r["is_primary"]) for r in rows} == {
        ("10.9.0.10", "private", True),
        ("10.9.0.11", "private", False),
        (made["public_ip"], "public", True),
        ("2001:db8::7", "ipv6", None),
    }
    for row in rows:
        assert (row["snapshot_at"], row["account_id"]) == (AT, HOME)
        assert (row["vpc_id"], row["subnet_id"]) == (made["vpc"], made["public"])
        assert json.loads(row["security_group_ids"]) == [made["group"]]
        assert (row["name"], json.loads(row["tags"])["team"]) == ("front", "a")
    (instance,) = taken.only("instances", instance_id=made["instance"])
    assert (instance["subnet_id"], instance["state"]) == (made["private"], "running")
    assert taken.only("interfaces", instance_id=made["instance"])
    rules = taken.only("security_group_rules", security_group_id=made["group"])
    assert {
        (r["direction"], r["from_port"], r["to_port"], r["peer_type"], r["peer"])
        for r in rules
    } == {
        ("ingress", 443, 444, "cidr", "203.0.113.0/24"),
        ("ingress", 443, 444, "security_group", made["group"]),
        ("egress", None, None, "cidr", "0.0.0.0/0"),
        ("egress", None, None, "cidr", "::/0"),
    }
    attached = taken.only("security_group_attachments", security_group_id=made["group"])
    assert made["interface"] in [row["interface_id"] for row in attached]
    (group,) = taken.only("security_groups", security_group_id=made["group"])
    assert (group["name"], group["vpc_id"]) == ("web", made["vpc"])
    offices = taken.only("prefix_lists", name="offices", owner_id=HOME)
    assert {(r["cidr"], r["description"]) for r in offices} == {
        ("203.0.113.0/24", "Berlin"),
        ("198.51.100.7/32", None),
    }
    assert len({r["prefix_list_id"] for r in offices}) == 1
    endpoints = taken.only("vpc_endpoints", vpc_id=made["vpc"])
    assert {
        (r["endpoint_type"], r["service_name"].rpartition(".")[2], r["route_table_id"])
        for r in endpoints
    } == {("Gateway", "s3", made["table"]), ("Interface", "sqs", None)}
    kinds = {r["subnet_id"]: r["route_kind"] for r in taken.rows("subnets")}
    assert kinds[made["public"]] == "public"
    assert kinds[made["private"]] == "private"
    cidrs = {r["cidr"] for r in taken.only("vpcs", vpc_id=made["vpc"])}
    assert {"10.9.0.0/16", "100.64.0.0/20"} < cidrs
    assert any(":" in cidr for cidr in cidrs)
    (balancer,) = taken.rows("load_balancers")
    assert balancer["load_balancer_id"].startswith("app/lb/")
    assert (balancer["type"], json.loads(balancer["tags"])) == (
        "application",
        {"team": "b"},
    )


@pytest.mark.parametrize(
    ("routes", "kind"),
    [
        ([], "private"),
        ([{"DestinationCidrBlock": "10.0.0.0/8", "GatewayId": "igw-1"}], "private"),
        ([{"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1"}], "public"),
        ([{"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}], "nat"),
        ([{"DestinationCidrBlock": "0.0.0.0/0", "TransitGatewayId": "t"}], "transit"),
        (
            [
                {
                    "DestinationIpv6CidrBlock": "::/0",
                    "EgressOnlyInternetGatewayId": "eigw-1",
                }
            ],
            "egress_only",
        ),
        (
            [
                {
                    "DestinationCidrBlock": "0.0.0.0/0",
                    "NatGatewayId": "nat-1",
                    "State": "blackhole",
                }
            ],
            "private",
        ),
    ],
)
def test_the_kind_of_a_route_table_is_that_of_its_default_route(
    routes: list[dict[str, str]], kind: str
) -> None:
    assert inventory._kind_of(routes) == kind


def test_all_accounts_and_regions_are_in_one_snapshot(world: World) -> None:
    taken = Taken(world)

    found = {(r["account_id"], r["region"]) for r in taken.rows("vpcs")}
    assert found == {(HOME, REGION), (HOME, "us-east-1"), (OTHER, REGION)}
    parts = taken.rows("snapshots")
    assert len(parts) == 3 * len(inventory.COLUMNS)
    assert all(part["is_complete"] for part in parts)
    # The last file says that all others are there.
    assert list(taken.files)[-1].startswith("snapshots/")
    for part in parts:
        rows = taken.rows(part["kind"])
        here = (part["account_id"], part["region"])
        assert part["rows"] == sum((r["account_id"], r["region"]) == here for r in rows)


def test_what_cannot_be_read_is_marked_and_the_rest_is_there(
    aws: Aws, tmp_path: Path
) -> None:
    del aws
    world = World(tmp_path, own_clients=True)
    document = json.loads(json.dumps(DOCUMENT))
    # A closed account, and a call that is denied in one region.
    document["sources"].append({**document["sources"][1], "account_id": "1" * 12})

    def refuse(model: Any, params: Any, **_: Any) -> Any:
        if model.name != "DescribeInstances" or "us-east-1" not in params["url"]:
            return None
        return refusal("UnauthorizedOperation", "no")

    with hooked(world.session.events, "before-call.ec2.*", refuse):
        taken = Taken(world, document)

    broken = [part for part in taken.rows("snapshots") if not part["is_complete"]]
    assert {(p["account_id"], p["region"], p["kind"]) for p in broken} == {
        (HOME, "us-east-1", "instances"),
        *(("1" * 12, REGION, kind) for kind in inventory.COLUMNS),
    }
    by_kind = {part["kind"]: part for part in broken if part["account_id"] == HOME}
    assert "The caller needs ec2:DescribeInstances" in by_kind["instances"]["error"]
    assert (HOME, "us-east-1") in {
        (row["account_id"], row["region"]) for row in taken.rows("vpcs")
    }


def test_the_read_only_policy_is_enough(world: World) -> None:
    d = world.deployment(DOCUMENT)
    apply(d)
    world.recorder.start()
    Taken(world)
    steps.plan(d)
    list(verify.check(d))

    for account in (HOME, OTHER):
        policy: Any = policies_of(d.settings)[account]["read_only"]
        allowed = {action for s in policy["Statement"] for action in s["Action"]}
        for service, call in world.recorder.services:
            if service == "sts" or (account == OTHER and service not in OF_SOURCES):
                continue
            assert set(actions_of(call, service)) <= allowed


def test_loaders_of_flow_logs_pass_the_files_by(tmp_path: Path) -> None:
    sources = Path(__file__).parents[2] / "models/staging/_staging__sources.yml"
    tables = yaml.safe_load(sources.read_text("utf-8"))["sources"][0]["tables"]
    # Of Snowflake's pipe; the other loader lists the files itself.
    (pattern,) = (
        table["external"]["pattern"] for table in tables if table["name"] == "flow_logs"
    )
    inside = f"_inventory/interfaces/20261130T131507Z_{NAMES.key}.parquet"
    log = f"AWSLogs/{HOME}/vpcflowlogs/{REGION}/2026/11/30/a.log.parquet"
    for key in (inside, log):
        (tmp_path / key).parent.mkdir(parents=True)
        (tmp_path / key).touch()

    assert re.fullmatch(pattern, log)
    assert not re.fullmatch(pattern, inside)
    assert [file.name for file in list_files(str(tmp_path)).files] == [log]


def test_destroy_deletes_the_files_of_this_deployment_only(world: World) -> None:
    their_bucket(world)
    before = snapshot(world)
    d = world.applied(create=False)
    theirs = "vpc/_inventory/vpcs/20261130T131507Z_other-1234.parquet"
    for key in (theirs, f"vpc/_inventory/vpcs/20261130T131507Z_{NAMES.key}.parquet"):
        world.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")

    destroy(d)

    answer: Any = world.aws.s3.list_object_versions(Bucket=BUCKET)
    assert [item["Key"] for item in answer["Versions"]] == [theirs]
    assert snapshot(world) == before
