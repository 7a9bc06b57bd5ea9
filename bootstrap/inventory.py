"""A snapshot of who has which address and which rule admits what, as Parquet.

It only reads. Each kind is one table with one row per item, over all accounts and
regions of `bootstrap.yml`. The table ``snapshots`` is written last: it says which parts
could be read. What is missing in a part that could not be read is not gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from bootstrap.aws import Account
from bootstrap.flow_logs import chunks
from bootstrap.steps import FAILURES, Deployment

Row = dict[str, Any]
TIME = pa.timestamp("us")
# The most load balancers in one DescribeTags call.
BATCH = 20


@dataclass(frozen=True)
class Table:
    """One kind of item.

    Args:
        columns: The columns after ``snapshot_at``, ``account_id`` and ``region``; text,
            unless `TYPES` has another type.
        read: Yields the rows of one account and region.
    """

    columns: tuple[str, ...]
    read: Callable[[Account], Iterable[Row]]


TYPES = {
    "attached_at": TIME,
    "created_at": TIME,
    "from_port": pa.int32(),
    "is_complete": pa.bool_(),
    "is_default": pa.bool_(),
    "is_main": pa.bool_(),
    "is_primary": pa.bool_(),
    "launched_at": TIME,
    "rows": pa.int64(),
    "snapshot_at": TIME,
    "to_port": pa.int32(),
}
PLACE = ("snapshot_at", "account_id", "region")
SNAPSHOTS = (*PLACE, "kind", "rows", "is_complete", "error")


def _pages(client: Any, call: str, key: str, **arguments: Any) -> Iterator[Any]:
    for page in client.get_paginator(call).paginate(**arguments):
        yield from page[key]


def _tagged(item: Any, key: str = "Tags") -> Row:
    """Return the columns of an item's tags; they are an object in JSON."""
    tags = {tag["Key"]: tag.get("Value", "") for tag in item.get(key) or ()}
    return {"name": tags.get("Name"), "tags": json.dumps(tags, sort_keys=True)}


def _time(value: datetime | None) -> datetime | None:
    return value.astimezone(UTC).replace(tzinfo=None) if value else None


def _interfaces(a: Account) -> Iterator[Row]:
    """Yield a row for each address of an interface."""
    key = "NetworkInterfaces"
    for item in _pages(a.ec2, "describe_network_interfaces", key):
        attachment = item.get("Attachment", {})
        groups = [group["GroupId"] for group in item.get("Groups", [])]
        row = {
            "interface_id": item["NetworkInterfaceId"],
            "interface_type": item.get("InterfaceType"),
            "status": item.get("Status"),
            "description": item.get("Description"),
            "requester_id": item.get("RequesterId"),
            "owner_id": item.get("OwnerId"),
            "vpc_id": item.get("VpcId"),
            "subnet_id": item.get("SubnetId"),
            "az_id": item.get("AvailabilityZoneId"),
            "availability_zone": item.get("AvailabilityZone"),
            "instance_id": attachment.get("InstanceId"),
            "attached_at": _time(attachment.get("AttachTime")),
            "security_group_ids": json.dumps(sorted(groups)),
            **_tagged(item, "TagSet"),
        }
        for address in item.get("PrivateIpAddresses", []):
            private, primary = address["PrivateIpAddress"], bool(address.get("Primary"))
            yield {
                **row,
                "address": private,
                "address_type": "private",
                "is_primary": primary,
            }
            association = address.get("Association")
            if primary and not association:
                association = item.get("Association")
            public = (association or {}).get("PublicIp")
            if public:
                yield {
                    **row,
                    "address": public,
                    "address_type": "public",
                    "private_address": private,
                    "is_primary": primary,
                }
        for address in item.get("Ipv6Addresses", []):
            yield {**row, "address": address["Ipv6Address"], "address_type": "ipv6"}
        for version in ("4", "6"):
            for prefix in item.get(f"Ipv{version}Prefixes", []):
                held = prefix[f"Ipv{version}Prefix"]
                yield {**row, "address": held, "address_type": "prefix"}


def _instances(a: Account) -> Iterator[Row]:
    for reservation in _pages(a.ec2, "describe_instances", "Reservations"):
        for item in reservation["Instances"]:
            yield {
                "instance_id": item["InstanceId"],
                "instance_type": item.get("InstanceType"),
                "state": item.get("State", {}).get("Name"),
                "launched_at": _time(item.get("LaunchTime")),
                "vpc_id": item.get("VpcId"),
                "subnet_id": item.get("SubnetId"),
                **_tagged(item),
            }


def _load_balancers(a: Account) -> Iterator[Row]:
    """Yield load balancers; an interface's description has ``ELB `` and the id."""
    found = list(_pages(a.elbv2, "describe_load_balancers", "LoadBalancers"))
    for batch in chunks(found, BATCH):
        arns = [item["LoadBalancerArn"] for item in batch]
        answer = a.elbv2.describe_tags(ResourceArns=arns)
        tags = {t["ResourceArn"]: t for t in answer["TagDescriptions"]}
        for item in batch:
            arn = item["LoadBalancerArn"]
            yield {
                "load_balancer_id": arn.partition(":loadbalancer/")[2],
                "type": item.get("Type"),
                "scheme": item.get("Scheme"),
                "dns_name": item.get("DNSName"),
                "vpc_id": item.get("VpcId"),
                "created_at": _time(item.get("CreatedTime")),
                **_tagged(tags.get(arn, {})),
                "name": item.get("LoadBalancerName"),
            }
    classic = "LoadBalancerDescriptions"
    for batch in chunks(_pages(a.elb, "describe_load_balancers", classic), BATCH):
        names = [item["LoadBalancerName"] for item in batch]
        described: Any = a.elb.describe_tags(LoadBalancerNames=names)
        tags = {t["LoadBalancerName"]: t for t in described["TagDescriptions"]}
        for item in batch:
            name = item["LoadBalancerName"]
            yield {
                "load_balancer_id": name,
                "type": "classic",
                "scheme": item.get("Scheme"),
                "dns_name": item.get("DNSName"),
                "vpc_id": item.get("VPCId"),
                "created_at": _time(item.get("CreatedTime")),
                **_tagged(tags.get(name, {})),
                "name": name,
            }


def _security_groups(a: Account) -> Iterator[Row]:
    for item in _pages(a.ec2, "describe_security_groups", "SecurityGroups"):
        yield {
            "security_group_id": item["GroupId"],
            "vpc_id": item.get("VpcId"),
            "description": item.get("Description"),
            **_tagged(item),
            "name": item.get("GroupName"),
        }


def _security_group_rules(a: Account) -> Iterator[Row]:
    """Yield rules; ports are null for all ports, and protocol is ``-1`` for all."""
    key = "SecurityGroupRules"
    for item in _pages(a.ec2, "describe_security_group_rules", key):
        peers = {
            "cidr": item.get("CidrIpv4") or item.get("CidrIpv6"),
            "prefix_list": item.get("PrefixListId"),
            "security_group": item.get("ReferencedGroupInfo", {}).get("GroupId"),
        }
        kind, peer = next(((k, v) for k, v in peers.items() if v), (None, None))
        ports = {name: item.get(name) for name in ("FromPort", "ToPort")}
        yield {
            "security_group_id": item["GroupId"],
            "rule_id": item["SecurityGroupRuleId"],
            "direction": "egress" if item.get("IsEgress") else "ingress",
            "protocol": item.get("IpProtocol"),
            "from_port": None if ports["FromPort"] == -1 else ports["FromPort"],
            "to_port": None if ports["ToPort"] == -1 else ports["ToPort"],
            "peer_type": kind,
            "peer": peer,
            "description": item.get("Description"),
            "tags": _tagged(item)["tags"],
        }


def _security_group_attachments(a: Account) -> Iterator[Row]:
    key = "NetworkInterfaces"
    for item in _pages(a.ec2, "describe_network_interfaces", key):
        for group in item.get("Groups", []):
            yield {
                "security_group_id": group["GroupId"],
                "interface_id": item["NetworkInterfaceId"],
            }


def _subnets(a: Account) -> Iterator[Row]:
    tables = list(_pages(a.ec2, "describe_route_tables", "RouteTables"))
    by_subnet, main = {}, {}
    for table in tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId"):
                by_subnet[association["SubnetId"]] = table
            elif association.get("Main"):
                main[table["VpcId"]] = table
    for item in _pages(a.ec2, "describe_subnets", "Subnets"):
        held = by_subnet.get(item["SubnetId"]) or main.get(item["VpcId"])
        ipv6 = item.get("Ipv6CidrBlockAssociationSet", [])
        yield {
            "subnet_id": item["SubnetId"],
            "vpc_id": item["VpcId"],
            "cidr": item.get("CidrBlock"),
            "ipv6_cidr": next((x["Ipv6CidrBlock"] for x in ipv6), None),
            "az_id": item.get("AvailabilityZoneId"),
            "availability_zone": item.get("AvailabilityZone"),
            "route_table_id": held["RouteTableId"] if held else None,
            "route_kind": _kind_of(held) if held else None,
            **_tagged(item),
        }


def _vpcs(a: Account) -> Iterator[Row]:
    """Yield a row for each range of a VPC."""
    for item in _pages(a.ec2, "describe_vpcs", "Vpcs"):
        found = [x["CidrBlock"] for x in item.get("CidrBlockAssociationSet", [])]
        ipv6 = item.get("Ipv6CidrBlockAssociationSet", [])
        found += [x["Ipv6CidrBlock"] for x in ipv6]
        for cidr in dict.fromkeys([item["CidrBlock"], *found]):
            yield {
                "vpc_id": item["VpcId"],
                "cidr": cidr,
                "is_default": bool(item.get("IsDefault")),
                **_tagged(item),
            }


def _route_tables(a: Account) -> Iterator[Row]:
    for item in _pages(a.ec2, "describe_route_tables", "RouteTables"):
        associations = item.get("Associations", [])
        yield {
            "route_table_id": item["RouteTableId"],
            "vpc_id": item["VpcId"],
            "is_main": any(found.get("Main") for found in associations),
            "kind": _kind_of(item),
            **_tagged(item),
        }


def _kind_of(table: Any) -> str:
    """Return where a route table's default route leads.

    VPC guide, "Subnet types": ``public`` to an internet gateway; ``nat`` to a NAT
    gateway or instance; ``transit`` to a transit gateway or peering; ``egress_only``
    for IPv6; ``private`` without a default route.
    """
    found = set()
    for route in table.get("Routes", []):
        target = route.get("DestinationCidrBlock") or route.get(
            "DestinationIpv6CidrBlock"
        )
        if target not in ("0.0.0.0/0", "::/0") or route.get("State") == "blackhole":
            continue
        if str(route.get("GatewayId", "")).startswith("igw-"):
            found.add("public")
        elif route.get("EgressOnlyInternetGatewayId"):
            found.add("egress_only")
        elif route.get("TransitGatewayId") or route.get("VpcPeeringConnectionId"):
            found.add("transit")
        else:
            found.add("nat")
    order = ("public", "nat", "transit", "egress_only")
    return next((kind for kind in order if kind in found), "private")


TAGS = ("name", "tags")
TABLES = {
    "interfaces": Table(
        (
            *("interface_id", "address", "address_type", "private_address"),
            *("is_primary", "interface_type", "status", "description"),
            *("requester_id", "owner_id", "vpc_id", "subnet_id", "az_id"),
            *("availability_zone", "instance_id", "attached_at"),
            *("security_group_ids", *TAGS),
        ),
        _interfaces,
    ),
    "instances": Table(
        (
            *("instance_id", "instance_type", "state", "launched_at", "vpc_id"),
            *("subnet_id", *TAGS),
        ),
        _instances,
    ),
    "load_balancers": Table(
        (
            *("load_balancer_id", "type", "scheme", "dns_name", "vpc_id"),
            *("created_at", *TAGS),
        ),
        _load_balancers,
    ),
    "security_groups": Table(
        ("security_group_id", "vpc_id", "description", *TAGS), _security_groups
    ),
    "security_group_rules": Table(
        (
            *("security_group_id", "rule_id", "direction", "protocol", "from_port"),
            *("to_port", "peer_type", "peer", "description", "tags"),
        ),
        _security_group_rules,
    ),
    "security_group_attachments": Table(
        ("security_group_id", "interface_id"), _security_group_attachments
    ),
    "subnets": Table(
        (
            *("subnet_id", "vpc_id", "cidr", "ipv6_cidr", "az_id"),
            *("availability_zone", "route_table_id", "route_kind", *TAGS),
        ),
        _subnets,
    ),
    "vpcs": Table(("vpc_id", "cidr", "is_default", *TAGS), _vpcs),
    "route_tables": Table(
        ("route_table_id", "vpc_id", "is_main", "kind", *TAGS), _route_tables
    ),
}


def take(
    d: Deployment, write: Callable[[str, bytes], None], now: datetime
) -> list[Row]:
    """Read every account and region, and write a file for each kind.

    Args:
        d: The deployment.
        write: Writes a file; it takes a path such as
            ``interfaces/20261130T131500Z_<deployment>.parquet``.
        now: The time of the snapshot, in UTC.

    Returns:
        The rows of ``snapshots``: one for each account, region and kind, with
        ``is_complete`` and the error.
    """
    at = now.replace(microsecond=0, tzinfo=None)

    def place(account: str, region: str) -> Row:
        return dict(zip(PLACE, (at, account, region), strict=True))

    def look(a: Account, _: object) -> Iterator[tuple[Row, list[Row]]]:
        here = place(a.account_id, a.region)
        for kind, table in TABLES.items():
            try:
                rows = [{**here, **row} for row in table.read(a)]
                done = {"rows": len(rows), "is_complete": True}
                yield {**here, "kind": kind, **done}, rows
            except FAILURES as error:
                yield failed(here, kind, error), []

    def failed(here: Row, kind: str, error: Exception) -> Row:
        what = f"{kind} in {here['account_id']} {here['region']}"
        said = str(d.explained(error, what))
        return {**here, "kind": kind, "is_complete": False, "error": said}

    def unreadable(
        where: tuple[str, str], error: Exception
    ) -> list[tuple[Row, list[Row]]]:
        return [(failed(place(*where), kind, error), []) for kind in TABLES]

    found = d.everywhere(look, unreadable)
    name = f"{at:%Y%m%dT%H%M%SZ}_{d.names.key}.parquet"
    for kind, table in TABLES.items():
        rows = [row for part, rows in found if part["kind"] == kind for row in rows]
        write(f"{kind}/{name}", _parquet((*PLACE, *table.columns), rows))
    parts = [part for part, _ in found]
    write(f"snapshots/{name}", _parquet(SNAPSHOTS, parts))
    return parts


def _parquet(columns: Iterable[str], rows: list[Row]) -> bytes:
    fields = [(column, TYPES.get(column, pa.string())) for column in columns]
    buffer = BytesIO()
    table = pa.Table.from_pylist(rows, pa.schema(fields))
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
