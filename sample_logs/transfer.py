"""What the transfer of the sample's bytes costs, by the invented network."""

import csv
import ipaddress
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from .enrichment import aws_ranges
from .inventory import GATEWAY_ENDPOINTS
from .network import FlowLog, Interface

#: The addresses of `holders`.
CHANGING = re.compile(r"10\.\d+\.18\.\d+")
Place = tuple[FlowLog, Interface]

_PRICES = Path(__file__).parent.parent / "seeds/transfer_prices.csv"
_GIGABYTE = 2**30
_AWS = [(ipaddress.ip_network(text), *known) for text, known in aws_ranges().items()]


def transfer_truth(
    pairs: Iterable[tuple[str, str, int]],
    interfaces: Sequence[tuple[FlowLog, Sequence[Interface]]],
) -> dict[str, dict[str, Any]]:
    """Return bytes, US dollars and what endpoints would save, by path.

    The hosts whose addresses change hands are left out.

    Args:
        pairs: Sender, receiver and the bytes that count.
        interfaces: The interfaces by flow log.
    """
    places: dict[str, list[Place]] = {}
    for flow_log, faces in interfaces:
        for face in faces:
            for address in filter(None, (face.address, face.address_v6)):
                places.setdefault(address, []).append((flow_log, face))
    # An address of two VPCs could be either's.
    known = {address: held[0] for address, held in places.items() if len(held) == 1}
    found: dict[str, list[Any]] = {}
    for source, destination, size in pairs:
        sender, receiver = known.get(source), known.get(destination)
        own = sender or receiver
        if CHANGING.fullmatch(source) or CHANGING.fullmatch(destination):
            continue
        if own is None or "nat" in {p[1].role for p in (sender, receiver) if p}:
            continue
        gigabytes = Decimal(size) / _GIGABYTE
        if sender and receiver:
            path, price, saved = _between(sender, receiver)
        else:
            outside = destination if sender else source
            path, price, saved = _outside(own, outside, sends=sender is not None)
        sums = found.setdefault(path, [0, Decimal(0), Decimal(0)])
        for at, value in enumerate((size, gigabytes * price, gigabytes * saved)):
            sums[at] += value
    return {
        path: {"bytes": size, "cost_usd": float(cost), "saving_usd": float(saving)}
        for path, (size, cost, saving) in sorted(found.items())
    }


def _between(one: Place, other: Place) -> tuple[str, Decimal, Decimal]:
    if one[0] is not other[0]:
        raise ValueError("the sample has no traffic between its VPCs")
    if one[1].az_id == other[1].az_id:
        return "same_zone", Decimal(0), Decimal(0)
    return "across_zones", _price("across_zones", one[0].region), Decimal(0)


def _outside(own: Place, outside: str, sends: bool) -> tuple[str, Decimal, Decimal]:
    """Path, price and saving of a gigabyte that an interface exchanges."""
    flow_log, face = own
    address, region = ipaddress.ip_address(outside), flow_log.region
    if not address.is_global:
        return "unknown", Decimal(0), Decimal(0)
    holding = [known for known in _AWS if address in known[0]]
    _, service, at = max(
        holding, key=lambda known: known[0].prefixlen, default=(None, "", "")
    )
    transfer = "internet" if at in ("", "GLOBAL") else "across_regions"
    price = _price(transfer, region) if sends else Decimal(0)
    if at == region or service == "CLOUDFRONT":
        price = Decimal(0)
    if at == region and service == "EC2":
        price = _price("public_address", region)
    if face.side == "public" or address.version == 6:
        return "internet", price, Decimal(0)
    if at == region and service.lower() in GATEWAY_ENDPOINTS.get(flow_log.name, ()):
        return "gateway_endpoint", Decimal(0), Decimal(0)
    gateway, saved = _price("nat_gateway", region), Decimal(0)
    if at == region and service in ("S3", "DYNAMODB"):
        saved = gateway
    elif at == region and service not in ("EC2", "CLOUDFRONT"):
        saved = gateway - _price("interface_endpoint", region)
    return "nat_gateway", gateway + price, saved


@cache
def _price(charge: str, region: str) -> Decimal:
    with _PRICES.open(encoding="utf-8") as file:
        rows = {
            row["region"]: Decimal(row["usd_per_gb"])
            for row in csv.DictReader(file)
            if row["charge"] == charge
        }
    return rows.get(region, rows["*"])
