"""Enrichment files that fit the invented network, and what is true of its addresses.

Organisations are invented. AS numbers are those for documentation (RFC 5398).
"""

import ipaddress
import json
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from .network import AWS_SERVICES, CLIENT_PREFIXES, OWN_IPV6

#: The folder beside the sample's logs. Staging of flow logs passes over it.
FOLDER = "_enrichment"

_COUNTRIES = "US DE GB FR JP BR IN ZA AU NL SE KR".split()
_CLOUD = (64496, "Example Cloud, Inc.", "US")
_HOSTING = (64499, "Example Hosting B.V.", "NL")
_OTHERS = {
    # Where campaigns come from.
    "45.80.0.0/15": _HOSTING,
    "89.240.0.0/15": _HOSTING,
    "2a0d:5600::/32": _HOSTING,
    "2a00:1450::/32": (64497, "Example Search LLC", "IE"),
    "2a02:8108::/32": (64498, 'Example "Home" Broadband', "DE"),
    str(OWN_IPV6.supernet(new_prefix=36)): _CLOUD,
}
#: The more specific of two ranges counts.
_AWS_IPV6 = {str(OWN_IPV6.supernet(new_prefix=36)): ("EC2", "us-west-2")}
#: By name: the kind, and ranges that hold clients.
LISTS = {
    "spamhaus_drop_v4": ("threat", ["77.88.128.0/17", "45.33.0.0/20"]),
    "tor_exits": ("tor", ["185.220.0.0/18"]),
    "partners": ("own", ["84.17.45.201", "91.205.230.0/24", "2a02:8108::/48"]),
}

Network = IPv4Network | IPv6Network


def networks() -> dict[str, tuple[int, str, str]]:
    """AS number, organisation and country by network."""
    known = {f"{prefix}.0.0/16": _CLOUD for prefix in AWS_SERVICES}
    for number, prefix in enumerate(CLIENT_PREFIXES.split()):
        place = number % len(_COUNTRIES)
        known[f"{prefix}.0.0/16"] = (
            65_536 + place,
            f"Example Telecom {place + 1}",
            _COUNTRIES[place],
        )
    return known | _OTHERS


def aws_ranges() -> dict[str, tuple[str, str]]:
    """AWS service and region by network; AMAZON holds the others."""
    known = dict(_AWS_IPV6)
    for prefix, service in AWS_SERVICES.items():
        outer = IPv4Network(f"{prefix}.0.0/16").supernet()
        known.setdefault(str(outer), ("AMAZON", "GLOBAL"))
        known[f"{prefix}.0.0/16"] = (service, "us-east-1")
    return known


def write_enrichment(out: Path) -> dict[str, Any]:
    """Write the files in their makers' formats, and return what is true of a network.

    Raises:
        OSError: A file cannot be written.
    """
    folder = out / FOLDER
    folder.mkdir(exist_ok=True)
    numbers, countries = [], []
    for network, (asn, organisation, country) in networks().items():
        parsed = ipaddress.ip_network(network)
        ends = f"{parsed[0]},{parsed[-1]}"
        quoted = organisation.replace('"', '""')
        numbers.append(f'{ends},{asn},"{quoted}"')
        countries.append(f"{ends},{country}")
    document: dict[str, Any] = {"syncToken": "1"}
    for version, array in ((4, "prefixes"), (6, "ipv6_prefixes")):
        key = "ip_prefix" if version == 4 else "ipv6_prefix"
        document[array] = [
            {key: network, "region": region, "service": service}
            for network, (service, region) in aws_ranges().items()
            if ipaddress.ip_network(network).version == version
        ]
    texts = {
        "asn.csv": numbers,
        "country.csv": countries,
        "ip-ranges.json": [json.dumps(document, indent=2)],
    }
    for name, (kind, ranges) in LISTS.items():
        if name.startswith("spamhaus"):
            texts[f"{name}.json"] = [json.dumps({"cidr": each}) for each in ranges]
        else:
            texts[f"{name}.txt"] = [f"# kind: {kind}", *ranges]
    for name, lines in texts.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {
        "networks": {name: [*known] for name, known in networks().items()},
        "aws": {name: [*known] for name, known in aws_ranges().items()},
        "lists": {name: ranges for name, (_, ranges) in LISTS.items()},
    }
