"""A snapshot of who has which address and which rule admits what, as Parquet.

It only reads. Each kind is one table with one row per item, over all accounts and
regions of `bootstrap.yml`. The table ``snapshots`` is written last: it says which parts
could be read. What is missing in a part that could not be read is not gone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from bootstrap.aws import Account
from bootstrap.flow_logs import chunks
from bootstrap.steps import FAILURES, Deployment

Row = dict[str, Any]
# The most load balancers in one DescribeTags call.
BATCH = 20

TIME = pa.timestamp("us")
# Columns that are not text.
TYPES = {
    **dict.fromkeys(("attached_at", "created_at", "launched_at", "snapshot_at"), TIME),
    **dict.fromkeys(("from_port", "to_port"), pa.int32()),
    **dict.fromkeys(("is_complete", "is_default", "is_main", "is_primary"), pa.bool_()),
    "rows": pa.int64(),
}
PLACE = ("snapshot_at", "account_id", "region")
SNAPSHOTS = (*PLACE, "kind", "rows", "is_complete", "error")

# By kind: the call of EC2, and its items with their columns, in JMESPath.
EC2 = {
    "instances": (
        "describe_instances",
        """Reservations[].Instances[].{instance_id: InstanceId,
        instance_type: InstanceType, state: State.Name, launched_at: LaunchTime,
        vpc_id: VpcId, subnet_id: SubnetId, name: Tags, tags: Tags}""",
    ),
    "security_groups": (
        "describe_security_groups",
        """SecurityGroups[].{security_group_id: GroupId, vpc_id: VpcId,
        description: Description, name: GroupName, tags: Tags}""",
    ),
    # Ports are null for all ports, and the protocol is `-1` for all.
    "security_group_rules": (
        "describe_security_group_rules",
        """SecurityGroupRules[].{security_group_id: GroupId,
        rule_id: SecurityGroupRuleId,
        direction: (IsEgress && 'egress') || 'ingress', protocol: IpProtocol,
        from_port: FromPort, to_port: ToPort,
        peer_type: ((CidrIpv4 || CidrIpv6) && 'cidr')
            || (PrefixListId && 'prefix_list') || 'security_group',
        peer: CidrIpv4 || CidrIpv6 || PrefixListId || ReferencedGroupInfo.GroupId,
        description: Description, tags: Tags}""",
    ),
    "security_group_attachments": (
        "describe_network_interfaces",
        """NetworkInterfaces[].{interface_id: NetworkInterfaceId,
        security_group_id: Groups[].GroupId}""",
    ),
    # One row for each entry; `name` is that of the list.
    "prefix_lists": (
        "describe_managed_prefix_lists",
        """PrefixLists[].{prefix_list_id: PrefixListId, name: PrefixListName,
        owner_id: OwnerId, address_family: AddressFamily, cidr: '', description: '',
        tags: Tags}""",
    ),
    # Of an endpoint of type `Gateway`, one row for each route table that leads to it.
    "vpc_endpoints": (
        "describe_vpc_endpoints",
        """VpcEndpoints[].{endpoint_id: VpcEndpointId, endpoint_type: VpcEndpointType,
        service_name: ServiceName, state: State, vpc_id: VpcId,
        route_table_id: RouteTableIds, name: Tags, tags: Tags}""",
    ),
    "vpcs": (
        "describe_vpcs",
        """Vpcs[].{vpc_id: VpcId, cidr: [CidrBlock,
        CidrBlockAssociationSet[].CidrBlock,
        Ipv6CidrBlockAssociationSet[].Ipv6CidrBlock][],
        is_default: IsDefault, name: Tags, tags: Tags}""",
    ),
    "subnets": (
        "describe_subnets",
        """Subnets[].{subnet_id: SubnetId, vpc_id: VpcId, cidr: CidrBlock,
        ipv6_cidr: Ipv6CidrBlockAssociationSet[0].Ipv6CidrBlock,
        az_id: AvailabilityZoneId, availability_zone: AvailabilityZone,
        route_table_id: '', route_kind: '', name: Tags, tags: Tags}""",
    ),
    "route_tables": (
        "describe_route_tables",
        """RouteTables[].{route_table_id: RouteTableId, vpc_id: VpcId,
        is_main: Associations[].Main, kind: Routes, name: Tags, tags: Tags}""",
    ),
    # One row for each address.
    "interfaces": (
        "describe_network_interfaces",
        """NetworkInterfaces[].{interface_id: NetworkInterfaceId, address: @,
        address_type: '', private_address: '', is_primary: '',
        interface_type: InterfaceType, status: Status, description: Description,
        requester_id: RequesterId, owner_id: OwnerId, vpc_id: VpcId,
        subnet_id: SubnetId, az_id: AvailabilityZoneId,
        availability_zone: AvailabilityZone, instance_id: Attachment.InstanceId,
        attached_at: Attachment.AttachTime, security_group_ids: Groups[].GroupId,
        name: TagSet, tags: TagSet}""",
    ),
}
BALANCERS = {
    "elbv2": """LoadBalancers[].{load_balancer_id: LoadBalancerArn, type: Type,
        scheme: Scheme, dns_name: DNSName, vpc_id: VpcId, created_at: CreatedTime,
        name: LoadBalancerName, tags: LoadBalancerArn}""",
    "elb": """LoadBalancerDescriptions[].{load_balancer_id: LoadBalancerName,
        type: 'classic', scheme: Scheme, dns_name: DNSName, vpc_id: VPCId,
        created_at: CreatedTime, name: LoadBalancerName, tags: LoadBalancerName}""",
}
COLUMNS = {
    kind: tuple(
        part.split(":")[0].split()[-1]
        for part in items.partition("{")[2].split(",")
        if ":" in part
    )
    for kind, (_, items) in {**EC2, "load_balancers": ("", BALANCERS["elb"])}.items()
}


def _search(client: Any, call: str, items: str) -> Iterator[Row]:
    yield from client.get_paginator(call).paginate().search(items)


def _rows(a: Account, kind: str) -> Iterator[Row]:
    """Yield the rows of one kind; see `EC2`."""
    if kind == "load_balancers":
        yield from _load_balancers(a)
        return
    tables = list(_route_tables(a)) if kind == "subnets" else []
    for row in _search(a.ec2, *EC2[kind]):
        for column in ("from_port", "to_port"):
            if row.get(column) == -1:
                row[column] = None
        if kind == "interfaces":
            yield from _addresses(row)
        elif kind == "security_group_attachments":
            yield from _each(row, "security_group_id")
        elif kind == "vpc_endpoints":
            row["route_table_id"] = row["route_table_id"] or [None]
            yield from _each(row, "route_table_id")
        elif kind == "prefix_lists":
            for entry in _entries(a, row["prefix_list_id"]):
                yield {**row, **entry}
        elif kind == "vpcs":
            yield from _each({**row, "cidr": list(dict.fromkeys(row["cidr"]))}, "cidr")
        elif kind == "route_tables":
            main = any(row["is_main"] or ())
            yield {**row, "is_main": main, "kind": _kind_of(row["kind"])}
        elif kind == "subnets":
            yield {**row, **_route_of(row, tables)}
        else:
            yield row


def _each(row: Row, column: str) -> Iterator[Row]:
    return ({**row, column: value} for value in row[column] or ())


def _addresses(row: Row) -> Iterator[Row]:
    item = row.pop("address")
    row |= dict.fromkeys(("private_address", "is_primary"))
    for found in item.get("PrivateIpAddresses", []):
        address, primary = found["PrivateIpAddress"], bool(found.get("Primary"))
        held = {**row, "is_primary": primary}
        yield {**held, "address": address, "address_type": "private"}
        association = found.get("Association") or (
            item.get("Association") if primary else None
        )
        if association and association.get("PublicIp"):
            public = {"address": association["PublicIp"], "address_type": "public"}
            yield {**held, **public, "private_address": address}
    for found in item.get("Ipv6Addresses", []):
        yield {**row, "address": found["Ipv6Address"], "address_type": "ipv6"}
    for key in ("Ipv4Prefix", "Ipv6Prefix"):
        for found in item.get(f"{key}es", []):
            yield {**row, "address": found[key], "address_type": "prefix"}


def _entries(a: Account, prefix_list_id: str) -> Iterator[Row]:
    pages = a.ec2.get_paginator("get_managed_prefix_list_entries").paginate(
        PrefixListId=prefix_list_id
    )
    yield from pages.search("Entries[].{cidr: Cidr, description: Description}")


def _load_balancers(a: Account) -> Iterator[Row]:
    """Yield load balancers; an interface's description has ``ELB `` and the id."""
    for service, argument in (
        ("elbv2", "ResourceArns"),
        ("elb", "LoadBalancerNames"),
    ):
        client, key = getattr(a, service), {"elbv2": "ResourceArn"}.get(service)
        found = _search(client, "describe_load_balancers", BALANCERS[service])
        for batch in chunks(found, BATCH):
            names = [row["tags"] for row in batch]
            answer = client.describe_tags(**{argument: names})["TagDescriptions"]
            tags = {t[key or "LoadBalancerName"]: t["Tags"] for t in answer}
            for row in batch:
                identity = row["load_balancer_id"].rpartition(":loadbalancer/")[2]
                yield {**row, "load_balancer_id": identity, "tags": tags[row["tags"]]}


def _route_tables(a: Account) -> Iterator[Row]:
    items = (
        "RouteTables[].{id: RouteTableId, vpc: VpcId, routes: Routes, of: Associations}"
    )
    yield from _search(a.ec2, "describe_route_tables", items)


def _route_of(subnet: Row, tables: list[Row]) -> Row:
    """Return the route table of a subnet: its own, or the main one of the VPC."""
    own = [
        t for t in tables for x in t["of"] if x.get("SubnetId") == subnet["subnet_id"]
    ]
    main = [
        t
        for t in tables
        for x in t["of"]
        if x.get("Main") and t["vpc"] == subnet["vpc_id"]
    ]
    table: Row = next(iter([*own, *main]), {})
    kind = _kind_of(table["routes"]) if table else None
    return {"route_table_id": table.get("id"), "route_kind": kind}


def _kind_of(routes: list[Row]) -> str:
    """Return where a route table's default route leads.

    VPC guide, "Subnet types": ``public`` to an internet gateway; ``nat`` to a NAT
    gateway or instance; ``transit`` to a transit gateway or peering; ``egress_only``
    for IPv6; ``private`` without a default route.
    """
    found = set()
    for route in routes:
        cidr = route.get("DestinationCidrBlock", route.get("DestinationIpv6CidrBlock"))
        if cidr not in ("0.0.0.0/0", "::/0") or route.get("State") == "blackhole":
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


def _plain(column: str, value: Any) -> Any:
    """Return a value as its column has it; lists and tags are JSON."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    if column in ("name", "tags") and not isinstance(value, str):
        tags = {tag["Key"]: tag.get("Value", "") for tag in value or ()}
        return (
            tags.get("Name") if column == "name" else json.dumps(tags, sort_keys=True)
        )
    return json.dumps(sorted(value)) if isinstance(value, list) else value


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
    Part = tuple[Row, list[Row]]

    def part(
        kind: str, place: tuple[str, str], read: Callable[[], Iterable[Row]]
    ) -> Part:
        here = dict(zip(PLACE, (at, *place), strict=True))
        try:
            rows = [
                {**here, **{key: _plain(key, value) for key, value in row.items()}}
                for row in read()
            ]
            done: Row = {"rows": len(rows), "is_complete": True}
        except FAILURES as error:
            what = f"{kind} in {place[0]} {place[1]}"
            rows, said = [], str(d.explained(error, what))
            done = {"is_complete": False, "error": said}
        return {**here, "kind": kind, **done}, rows

    def look(a: Account, _: object) -> list[Part]:
        place = a.account_id, a.region
        return [part(k, place, partial(_rows, a, k)) for k in COLUMNS]

    def unreadable(place: tuple[str, str], error: Exception) -> list[Part]:
        def read() -> list[Row]:
            raise error

        return [part(kind, place, read) for kind in COLUMNS]

    found = d.everywhere(look, unreadable)
    name = f"{at:%Y%m%dT%H%M%SZ}_{d.names.key}.parquet"
    for kind, columns in COLUMNS.items():
        rows = [row for one, rows in found if one["kind"] == kind for row in rows]
        write(f"{kind}/{name}", parquet_of((*PLACE, *columns), rows))
    parts = [one for one, _ in found]
    write(f"snapshots/{name}", parquet_of(SNAPSHOTS, parts))
    return parts


def parquet_of(columns: Iterable[str], rows: list[Row]) -> bytes:
    """Return rows as a Parquet file with these columns; `TYPES` has their types."""
    fields = [(column, TYPES.get(column, pa.string())) for column in columns]
    buffer = BytesIO()
    table = pa.Table.from_pylist(rows, pa.schema(fields))
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
