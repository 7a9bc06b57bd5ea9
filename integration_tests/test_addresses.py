"""The address macros, held against Python's `ipaddress`."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from .conftest import Project

# The table of the design, tested for membership from the top.
SCOPES = [
    ("internal", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"),
    ("cgnat", "100.64.0.0/10"),
    ("loopback", "127.0.0.0/8 ::1/128"),
    ("link_local", "169.254.0.0/16 fe80::/10"),
    ("multicast", "224.0.0.0/4 ff00::/8"),
    (
        "documentation",
        "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
    ),
    (
        "reserved",
        "0.0.0.0/8 192.0.0.0/24 192.88.99.0/24 198.18.0.0/15 240.0.0.0/4 2001::/23",
    ),
    ("public", "0.0.0.0/0 2000::/3"),
    ("reserved", "::/0"),
]
NETWORKS = [
    (scope, ipaddress.ip_network(cidr))
    for scope, cidrs in SCOPES
    for cidr in cidrs.split()
]
# Where an IPv6 address holds an IPv4 address, and how far from its right end.
EMBEDDED = {
    ipaddress.ip_network("::ffff:0:0/96"): 0,
    ipaddress.ip_network("64:ff9b::/96"): 0,
    ipaddress.ip_network("2002::/16"): 80,
}
PRIVATE = [network for scope, network in NETWORKS if scope == "internal"][:3]

#: Entries of `internal_cidrs`: as text, with a name and an owner, and nested.
OWN: list[Any] = [
    "100.64.0.0/12",
    "8.8.8.8/32",
    {"cidr": "10.0.0.0/8", "name": "all", "owner": "it's ours"},
    {"cidr": "10.1.2.0/24", "owner": "team-pay"},
    {"cidr": "10.1.0.0/16", "name": "site", "owner": "team-site"},
    "10.1.3.0/24",
    {"cidr": "2600:1f14::/36", "name": "six"},
    {"cidr": "2600:1f14:0:1::/64", "name": "subnet", "owner": "team-six"},
]

# Everything that is no address, or is one in an unusual form.
TEXTS = """
- 10.1.2.999 10.0.0.1.5 010.0.0.1 10.0.0 10 10.0.0.1/32 10.0.0.0/8 1.2.3.4:5 0x0a.0.0.1
+10.0.0.1 10..0.1 .10.0.0.1 10.0.0.1. 1e1.0.0.1 256.1.1.1 0.0.0.0 255.255.255.255
\u0661\u0660.0.0.1 10.0.0.\uff11 unknown null :: ::1 ::1.2.3.4 ::0.0.0.1 1::2::3 ::: :1
1: 1:2:3:4:5:6:7:8 1:2:3:4:5:6:7:: 1:2:3:4:5:6:7:8:: ::2:3:4:5:6:7:8 1::3:4:5:6:7:8
1::2:3:4:5:6:7:8 12345:: ::00001 g:: fe80::1%eth0 FE80::1 2001:DB8::1 fC00::1
64:ff9b::10.0.0.1 ::ffff:10.0.0.1 ::FFFF:1.2.3.256 1:2:3:4:5:6:7:1.2.3.4
1:2:3:4:5:6:1.2.3.4 ::1.2.3 2002:a00:1:: 1:2:3:4:5:6:7: 1:2:3:4:5:6:7:8:9
0:0:0:0:0:ffff:c0a8:1 ::ffff:0:10.0.0.1 ::10.0.0.1:1 10.0.0.1::
""".split()
SPACED = ["", " ", "10.0.0.1 ", " 10.0.0.1", "10.0.0.1\n", "10.0.0 .1", "::1 ", "\t::1"]


def is_internal(text: str | None) -> bool:
    try:
        address = IPv4Address(text or "")
    except ValueError:
        return False
    return any(address in network for network in PRIVATE)


#: A network with its name and owner.
Named = tuple[IPv4Network | IPv6Network, Any, Any]


def networks_of(own: list[Any]) -> list[Named]:
    """Entries of `internal_cidrs` as networks with name and owner, innermost first."""
    entries = [{"cidr": entry} if isinstance(entry, str) else entry for entry in own]
    networks = [
        (ipaddress.ip_network(entry["cidr"]), entry.get("name"), entry.get("owner"))
        for entry in entries
    ]
    return sorted(networks, key=lambda entry: -entry[0].prefixlen)


def answer_of(text: str | None, networks: list[Named]) -> tuple[str, Any, Any]:
    """The scope of an address, and its network's name and owner."""
    if text in (None, "", "-"):
        return "none", None, None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "invalid", None, None
    if "%" in text:
        return "invalid", None, None
    return answer_of_address(address, networks)


def scope_of(text: str | None) -> str:
    """The scope of an address, without ranges of ours."""
    return answer_of(text, [])[0]


def answer_of_address(
    address: IPv4Address | IPv6Address, networks: list[Named]
) -> tuple[str, Any, Any]:
    for network, name, owner in networks:
        if address in network:
            return "internal", name, owner
    for network, shift in EMBEDDED.items():
        if address in network:
            return answer_of_address(
                IPv4Address(int(address) >> shift & 0xFFFFFFFF), networks
            )
    scope = next(scope for scope, network in NETWORKS if address in network)
    return scope, None, None


def edges(network: IPv4Network | IPv6Network) -> list[str]:
    """First and last address of a range, and their neighbours, in two forms."""
    kind = type(network[0])
    numbers = [
        int(end) + step for end in (network[0], network[-1]) for step in (-1, 0, 1)
    ]
    inside = [kind(n) for n in numbers if 0 <= n < 2**network.max_prefixlen]
    return [text for address in inside for text in (str(address), address.exploded)]


def random_addresses(count: int) -> list[str]:
    chance = random.Random(5)
    starts = [network[0] for _, network in NETWORKS if network.version == 6]
    starts += [network[0] for network in EMBEDDED]
    texts = []
    for _ in range(count // 2):
        texts.append(str(IPv4Address(chance.getrandbits(32))))
        low = chance.getrandbits(128) >> chance.choice([0, 3, 16, 48, 64, 96, 112])
        texts.append(str(IPv6Address(int(chance.choice(starts)) | low)))
    return texts


#: The macros' answers for the addresses in `addresses`.
QUERY = """
with scopes as (
    with {{ with_address_scopes('addresses', {'address': 'scope'}) }}
    select address, scope from scoped
),
{{ parse_addresses('scopes', {'address': 'address'}) }}
select
    address,
    {{ ipv4_is_internal('address') }},
    scope,
    {{ internal_network('name', 'address_hex', 'address_ipv4') }},
    {{ internal_network('owner', 'address_hex', 'address_ipv4') }}
from parsed
"""


def all_addresses(own: list[Any]) -> list[str | None]:
    """100,000 random ones, the edges of every range, and what is no address."""
    addresses: list[str | None] = [None, *TEXTS, *SPACED, *random_addresses(100_000)]
    for network in [
        *(network for _, network in NETWORKS),
        *(network for network, _, _ in networks_of(own)),
        *EMBEDDED,
    ]:
        addresses += edges(network)
    return addresses


def assert_python_agrees(found: list[tuple[Any, ...]], own: list[Any]) -> None:
    """Rows of QUERY: the address, whether it is internal, its scope and network."""
    assert len(found) > 100_000
    networks = networks_of(own)
    expected = [
        (text, is_internal(text), *answer_of(text, networks)) for text, *_ in found
    ]
    wrong = [pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1]]
    assert wrong[:10] == []
    # No answer is always the same.
    assert {row[2] for row in expected} >= {scope for scope, _ in SCOPES} | {
        "none",
        "invalid",
    }
    assert {row[1] for row in expected} == {True, False}
    assert {row[3:] for row in expected} >= {entry[1:] for entry in networks}


def answers(
    project: Project, addresses: list[str | None], own: list[Any]
) -> list[tuple[Any, ...]]:
    """What QUERY gives on DuckDB."""
    rendered = project.dbt("--quiet", "compile", "--inline", QUERY, internal_cidrs=own)
    with duckdb.connect() as connection:
        connection.register("addresses", pa.table({"address": addresses}))
        return connection.execute(rendered).fetchall()


@pytest.fixture(scope="module")
def project(
    new_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """Without files: the macros render without them."""
    return new_project(tmp_path_factory.mktemp("nothing"))


@pytest.mark.parametrize("own", [[], OWN], ids=["none", "own"])
def test_scopes_and_networks_agree_with_python(
    project: Project, own: list[Any]
) -> None:
    addresses = all_addresses(own)
    found = answers(project, addresses, own)
    assert len(found) == len(addresses)
    assert_python_agrees(found, own)


def test_ranges_of_ours_may_leave_no_public_address(project: Project) -> None:
    found = answers(project, ["8.8.8.8", ".8.8.8", "2600::1"], ["0.0.0.0/0"])
    assert {(address, scope) for address, _, scope, *_ in found} == {
        ("8.8.8.8", "internal"),
        (".8.8.8", "invalid"),
        ("2600::1", "public"),
    }


@pytest.mark.parametrize(
    ("cidr", "why"),
    [
        ("10.0.0.0", "is not a range"),
        ("10.0.0/8", "is not a range"),
        ("2600::/129", "is not a range"),
        ("2600:1f14::1/36", "has bits set beyond its length"),
    ],
)
def test_a_range_that_is_none_stops_with_a_message(
    project: Project, cidr: str, why: str
) -> None:
    query = "{{ cidr_range('" + cidr + "') }}"
    printed = project.dbt("compile", "--inline", query, exit_code=2)
    assert f"'{cidr}' {why}" in printed
