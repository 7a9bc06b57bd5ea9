"""The inventory of the invented network, as `bootstrap inventory` writes it."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from . import holders
from .exchange import ICMP_V6, TCP, UDP
from .kinds import KINDS
from .network import FlowLog, Interface, identifier

#: The folder beside the sample's logs. Staging of flow logs passes over it.
FOLDER = "_inventory"
SNAPSHOT_SUFFIX = "_sample.parquet"
_ANYWHERE = ("0.0.0.0/0", "::/0")
#: Ranges of the pools outside that are not the internet.
_RANGES = {
    "on_premises": ("10.250.0.0/16",),
    "cgnat": ("100.64.0.0/10",),
    "admins": ("84.17.45.0/24", "91.205.230.0/24", "46.114.3.0/24"),
}
#: Services with a gateway endpoint in the private subnets of a VPC.
GATEWAY_ENDPOINTS = {"prod": ("s3",), "payments": ("dynamodb",)}
_PROTOCOLS = {TCP: "tcp", UDP: "udp"}

Row = dict[str, Any]


def write_inventory(
    out: Path,
    interfaces: Sequence[tuple[FlowLog, Sequence[Interface]]],
    days: list[date],
    end: int,
) -> dict[str, Any]:
    """Write the snapshots, and return what is true of the addresses.

    Args:
        out: The folder of the sample.
        interfaces: The interfaces that stay as they are, by flow log.
        days: The days of the sample, sorted.
        end: The epoch second before which all records start.

    Returns:
        `snapshots`, their times; `interfaces`, the name, owner and addresses of each
        that stays as it is; `held`, whose an address of a record was, for `holders`.

    Raises:
        OSError: A file cannot be written.
    """
    # Imported here, since only this needs the modules of AWS.
    from bootstrap.inventory import COLUMNS, PLACE, SNAPSHOTS, parquet_of

    changing = datetime.combine(holders.day_of(days), time())
    times = [datetime.combine(days[0], time(6))]
    times += [changing + timedelta(hours=hour) for hour in holders.HOURS]
    last = datetime.fromtimestamp(end, UTC).replace(tzinfo=None)
    for at in times:
        if at > last:
            continue
        hour = (at - changing) / timedelta(hours=1)
        lost = set()
        rows: dict[str, list[Row]] = {kind: [] for kind in COLUMNS}
        for flow_log, faces in interfaces:
            if hour == holders.INCOMPLETE and flow_log.name in holders.SITES:
                lost.add((flow_log.account_id, flow_log.region))
            place = {"snapshot_at": at, "region": flow_log.region}
            for kind, row in (
                *_rows(flow_log, faces, days[0]),
                *_changing_rows(flow_log, changing, hour),
            ):
                rows[kind].append({"account_id": flow_log.account_id} | place | row)
        parts = list(_parts(rows, lost))
        name = f"{at:%Y%m%dT%H%M%SZ}{SNAPSHOT_SUFFIX}"
        for kind, columns in COLUMNS.items():
            found = [row for row in rows[kind] if _place_of(row) not in lost]
            _write(out, kind, name, parquet_of((*PLACE, *columns), found))
        _write(out, "snapshots", name, parquet_of(SNAPSHOTS, parts))
    return {
        "snapshots": [f"{at}" for at in times if at <= last],
        "interfaces": {
            face.interface_id: {
                "name": name_of(flow_log, faces, face),
                "owner": owner_of(face),
                "addresses": [a for a in (face.address, face.address_v6) if a],
            }
            for flow_log, faces in interfaces
            for face in faces
        },
        "held": [
            row
            for flow_log, _ in interfaces
            for row in holders.truth(flow_log, changing.date(), end)
        ],
    }


def name_of(flow_log: FlowLog, faces: Sequence[Interface], face: Interface) -> str:
    """The tag `Name` of an interface and its instance."""
    return f"{flow_log.name}-{face.role}-{faces.index(face)}"


def _place_of(row: Row) -> tuple[str, str]:
    return row["account_id"], row["region"]


def _changing_rows(
    flow_log: FlowLog, midnight: datetime, hour: float
) -> Iterator[tuple[str, Row]]:
    """The rows of the hosts whose addresses change hands, at an hour of that day."""
    if flow_log.name not in holders.SITES:
        return
    vpc = {"vpc_id": flow_log.vpc_id}
    for holder in holders.HOLDERS:
        attached, held = holder.attached(hour), holder.held(hour)
        if not held:
            continue
        face = holders.interfaces_of(flow_log)[0]
        tags = _named(holder.name) if holder.name else {"name": None, "tags": "{}"}
        interface = (
            vpc
            | tags
            | {
                "interface_id": holders.interface_id(flow_log, holder),
                "interface_type": "interface",
                "status": "in-use" if attached else "available",
                "description": "",
                "owner_id": flow_log.account_id,
                "subnet_id": face.subnet_id,
                **_zone(flow_log, face),
                "security_group_ids": json.dumps([_group_id(flow_log, "app")]),
            }
        )
        if attached:
            instance_id = identifier("i", flow_log.name, attached[0])
            since = midnight + timedelta(hours=attached[1])
            interface |= {"instance_id": instance_id, "attached_at": since}
            name = _named(attached[0], owner=holders.owner_of(attached[0]))
            host = vpc | {"subnet_id": face.subnet_id} | name
            yield "instances", host | _running(instance_id, since)
        for number, one in enumerate(held):
            is_primary = number == 0 if one.kind == "private" else None
            address = f"{flow_log.prefix}.{one.address}"
            yield "interfaces", interface | _address(address, one.kind, is_primary)
        group = {"security_group_id": _group_id(flow_log, "app")}
        attachment = {"interface_id": interface["interface_id"]} | group
        yield "security_group_attachments", attachment


def owner_of(face: Interface) -> str:
    """The tag `owner` of an interface."""
    return f"team-{face.role}"


def _write(out: Path, kind: str, name: str, content: bytes) -> None:
    path = out / FOLDER / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _parts(rows: dict[str, list[Row]], lost: set[tuple[str, str]]) -> Iterator[Row]:
    """The rows of `snapshots`; the parts of the places `lost` could not be read."""
    places = {
        tuple(row[column] for column in ("snapshot_at", "account_id", "region"))
        for found in rows.values()
        for row in found
    }
    for at, account, region in sorted(places):
        for kind, found in rows.items():
            here = [row for row in found if _place_of(row) == (account, region)]
            is_lost = (account, region) in lost
            yield {
                "snapshot_at": at,
                "account_id": account,
                "region": region,
                "kind": kind,
                "rows": None if is_lost else len(here),
                "is_complete": not is_lost,
                "error": "the region did not answer" if is_lost else None,
            }


def _rows(
    flow_log: FlowLog, faces: Sequence[Interface], first_day: date
) -> Iterator[tuple[str, Row]]:
    """The kinds and rows of a VPC."""
    vpc = {"vpc_id": flow_log.vpc_id}
    cidr = f"{flow_log.prefix}.0.0/16"
    yield "vpcs", vpc | {"cidr": cidr, "is_default": False} | _named(flow_log.name)
    for side in ("public", "private"):
        table = identifier("rtb", flow_log.name, side)
        kind = {"kind": _route_kind(side), "is_main": side == "private"}
        name = _named(f"{flow_log.name}-{side}")
        yield "route_tables", vpc | {"route_table_id": table} | kind | name
    subnets = {face.subnet_id: face for face in faces}
    for number, (subnet_id, face) in enumerate(subnets.items()):
        side = face.side
        third = {"public": "0.0/24", "private": "16.0/20"}[side]
        subnet = {
            "subnet_id": subnet_id,
            "cidr": f"{flow_log.prefix}.{third}",
            **_zone(flow_log, face),
            "route_table_id": identifier("rtb", flow_log.name, side),
            "route_kind": _route_kind(side),
            **_named(f"{flow_log.name}-{side}-{number % 2 + 1}"),
        }
        yield "subnets", vpc | subnet
    for service in GATEWAY_ENDPOINTS.get(flow_log.name, ()):
        endpoint = {
            "endpoint_id": identifier("vpce", flow_log.name, service),
            "endpoint_type": "Gateway",
            "service_name": f"com.amazonaws.{flow_log.region}.{service}",
            "state": "available",
            "route_table_id": identifier("rtb", flow_log.name, "private"),
        }
        yield "vpc_endpoints", vpc | endpoint | _named(f"{flow_log.name}-{service}")
    for role in dict.fromkeys(face.role for face in faces):
        group = {"security_group_id": _group_id(flow_log, role)}
        words = {"name": role, "description": f"Hosts of {role}", "tags": "{}"}
        yield "security_groups", vpc | group | words
        for row in _rules(flow_log, role):
            yield "security_group_rules", group | row
    launched = datetime.combine(first_day, time()) - timedelta(days=30)
    for face in faces:
        account = {"account_id": face.account_id or flow_log.account_id}
        group_id = _group_id(flow_log, face.role)
        named = _named(name_of(flow_log, faces, face), owner=owner_of(face))
        is_gateway = face.role == "nat"
        gateway = identifier("nat", flow_log.name)
        host = account | vpc | {"subnet_id": face.subnet_id} | named
        interface = host | {
            "interface_id": face.interface_id,
            "interface_type": "nat_gateway" if is_gateway else "interface",
            "status": "in-use",
            "description": f"Interface for NAT Gateway {gateway}" if is_gateway else "",
            "owner_id": account["account_id"],
            **_zone(flow_log, face),
            "instance_id": face.instance_id or None,
            "attached_at": launched,
            "security_group_ids": json.dumps([group_id]),
        }
        addresses = {face.address: "private", face.address_v6: "ipv6"}
        for address, family in addresses.items():
            if address:
                is_primary = True if family == "private" else None
                yield "interfaces", interface | _address(address, family, is_primary)
        attached = {"interface_id": face.interface_id, "security_group_id": group_id}
        yield "security_group_attachments", account | attached
        if face.instance_id:
            yield "instances", host | _running(face.instance_id, launched)


def _address(address: str, kind: str, is_primary: bool | None) -> Row:
    return {"address": address, "address_type": kind, "is_primary": is_primary}


def _running(instance_id: str, since: datetime) -> Row:
    kind = {"instance_type": "m7g.large", "state": "running"}
    return {"instance_id": instance_id, "launched_at": since} | kind


def _rules(flow_log: FlowLog, role: str) -> Iterator[Row]:
    """The rules of a role's group: what its everyday clients need, and all egress."""
    found: list[tuple[str, str, int | None, str, str]] = []
    for peer in _ANYWHERE:
        found.append(("egress", "-1", None, "cidr", peer))
    for kind in KINDS:
        if kind.server.removesuffix("_v6") != role:
            continue
        client = kind.client.removesuffix("_v6")
        if any(face.role == client for face in flow_log.interfaces):
            peers = [("security_group", _group_id(flow_log, client))]
        else:
            peers = [("cidr", cidr) for cidr in _RANGES.get(client, _ANYWHERE)]
        for protocol, port in kind.ports:
            # ICMP has types where others have ports: all of them.
            word = _PROTOCOLS.get(protocol, "icmpv6" if protocol == ICMP_V6 else "icmp")
            number = port if protocol in _PROTOCOLS else None
            found += [("ingress", word, number, *peer) for peer in peers]
    for direction, word, number, peer_type, peer in dict.fromkeys(found):
        rule = identifier("sgr", flow_log.name, role, direction, word, number, peer)
        yield {
            "rule_id": rule,
            "direction": direction,
            "protocol": word,
            "from_port": number,
            "to_port": number,
            "peer_type": peer_type,
            "peer": peer,
            "tags": "{}",
        }


def _group_id(flow_log: FlowLog, role: str) -> str:
    return identifier("sg", flow_log.name, role)


def _zone(flow_log: FlowLog, face: Interface) -> Row:
    letter = "abc"[int(face.az_id[-1]) - 1]
    return {"az_id": face.az_id, "availability_zone": flow_log.region + letter}


def _named(name: str, **tags: str) -> Row:
    return {"name": name, "tags": json.dumps({"Name": name, **tags}, sort_keys=True)}


def _route_kind(side: str) -> str:
    return {"public": "public", "private": "nat"}[side]
