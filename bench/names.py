"""What names, rules and costs of transfer add to a build: `python -m bench.names`.

It loads and builds records of many peers, with their tests, without and with enrichment
files and an inventory, which are all new. The files are those of ip-location-db:
`npm install @ip-location-db/asn @ip-location-db/asn-country` below a folder, which
`--packages` names. The inventory has the sample's 200 interfaces and 300 rules.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from bootstrap.inventory import COLUMNS, PLACE, SNAPSHOTS, parquet_of

from .detections import MANY_PEERS
from .jobs import END_DATE, Jobs
from .measuring import ROOT, aside, say

INTERFACES, GROUPS, RULES_OF_GROUP = 200, 20, 15
PORTS = (443, 80, 5432, 8080, 53, 3306, 6379, 123, 22)


def main() -> int:
    """Run the benchmark and print its report; return 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.names")
    parser.add_argument(
        "--packages", type=Path, default=ROOT / "node_modules", help="node_modules"
    )
    parser.add_argument("--turns", type=int, default=2, help="default 2")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="multiply the records of the sample"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        jobs = Jobs(Path(scratch), MANY_PEERS, options.scale, is_small=False)
        sources = write_sources(Path(scratch), options.packages)
        costs: dict[str, list[float]] = {"without": [], "with": []}
        for _ in range(options.turns):
            for way, cost in costs.items():
                cost.append(build(jobs, sources if way == "with" else {}))
                say(f"  {way}: {cost[-1]:.1f} s of CPU")
    without, whole = map(statistics.median, costs.values())
    print(
        f"{MANY_PEERS.name}: {without:.1f} s of CPU without, {whole:.1f} s with names,"
        f" rules and costs of transfer: {(whole - without) / whole:.3f} of the whole"
    )
    return 0


def build(jobs: Jobs, environment: dict[str, str]) -> float:
    """Load and build into a new database; return the CPU seconds."""
    jobs.new_database(jobs.folder.name)
    jobs.dbt(jobs.folder, "parse")
    return sum(cost.cpu for cost in jobs.stage_and(jobs.folder, "build", **environment))


def write_sources(scratch: Path, packages: Path) -> dict[str, str]:
    """Write an inventory and enrichment files; return the variables that name them."""
    enrichment, inventory = scratch / "enrichment", scratch / "inventory"
    enrichment.mkdir()
    for package in ("asn", "asn-country"):
        for version in (4, 6):
            name = f"{package}-ipv{version}.csv"
            path = packages / "@ip-location-db" / package / name
            (enrichment / name).symlink_to(path.resolve(strict=True))
    aside(write_inventory, inventory)
    return {
        "VPC_FLOW_ENRICHMENT_LOCATION": str(enrichment),
        "VPC_FLOW_INVENTORY_LOCATION": str(inventory),
    }


def write_inventory(folder: Path) -> None:
    """Write three snapshots of the network that `bench.peers` invents."""
    midnight = datetime.combine(END_DATE, time())
    for day in (30, 15, 0):
        at = midnight - timedelta(days=day)
        place = {"snapshot_at": at, "account_id": "123456789012", "region": "eu-west-1"}
        rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in COLUMNS}
        for kind, row in inventory(midnight - timedelta(days=60)):
            rows[kind].append(place | {"vpc_id": "vpc-bench"} | row)
        files = {
            kind: ((*PLACE, *columns), rows[kind]) for kind, columns in COLUMNS.items()
        }
        parts = [
            place | {"kind": kind, "rows": len(found), "is_complete": True}
            for kind, found in rows.items()
        ]
        files["snapshots"] = (tuple(SNAPSHOTS), parts)
        for kind, (columns, found) in files.items():
            path = folder / kind / f"{at:%Y%m%dT%H%M%SZ}_bench.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(parquet_of(columns, found))


def inventory(launched: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    """The kinds and rows of a snapshot; `launched` is when its instances started."""
    yield "vpcs", {"cidr": "10.0.0.0/16"}
    for number in range(4):
        subnet = {"subnet_id": f"subnet-{number}", "az_id": f"euw1-az{number % 3 + 1}"}
        route = {"cidr": f"10.0.{number}.0/24", "route_kind": "public"}
        yield "subnets", subnet | route | {"route_table_id": "rtb-public"}
    for group in range(GROUPS):
        yield (
            "security_groups",
            {"security_group_id": f"sg-{group}", "name": f"g{group}"},
        )
        for rule in range(RULES_OF_GROUP):
            yield "security_group_rules", rule_of(group, rule)
    for number in range(INTERFACES):
        third, fourth = divmod(number, 50)
        interface = {"interface_id": f"eni-{4096 + number:017x}"}
        group_id = f"sg-{number % GROUPS}"
        host = {
            "name": f"host-{number}",
            "tags": json.dumps({"Name": f"host-{number}"}),
        }
        yield (
            "interfaces",
            interface
            | host
            | {
                "address": f"10.0.{third}.{10 + fourth}",
                "address_type": "private",
                "is_primary": True,
                "interface_type": "interface",
                "status": "in-use",
                "subnet_id": f"subnet-{third}",
                "az_id": f"euw1-az{third % 3 + 1}",
                "instance_id": f"i-{number:017x}",
                "attached_at": launched,
                "security_group_ids": json.dumps([group_id]),
            },
        )
        yield "security_group_attachments", interface | {"security_group_id": group_id}


def rule_of(group: int, rule: int) -> dict[str, Any]:
    """A rule of a group: all egress, the web from anywhere, or a port from inside."""
    found: dict[str, Any] = {
        "rule_id": f"sgr-{group}-{rule}",
        "security_group_id": f"sg-{group}",
        "direction": "ingress",
        "protocol": "tcp",
        "peer_type": "cidr",
        "tags": "{}",
    }
    if rule == 0:
        return found | {"direction": "egress", "protocol": "-1", "peer": "0.0.0.0/0"}
    if rule < 4:
        port, peer = (
            (443, "0.0.0.0/0"),
            (80, "0.0.0.0/0"),
            (8080, "52.10.0.0/16"),
        )[rule - 1]
        return found | {"from_port": port, "to_port": port, "peer": peer}
    port = PORTS[(group + rule) % len(PORTS)]
    found |= {
        "protocol": "udp" if port in (53, 123) else "tcp",
        "from_port": port,
        "to_port": port,
    }
    if rule < 10:
        peer = f"sg-{(group + rule) % GROUPS}"
        return found | {"peer_type": "security_group", "peer": peer}
    return found | {"peer": f"10.0.{rule % 4}.0/24"}


if __name__ == "__main__":
    sys.exit(main())
