"""A VPC on moto with 300 rules of security groups, its traffic, and what is true of it.

Each rule is made together with the traffic that uses it, so what could be closed is
known. `Site.admits` evaluates rules with Python's `ipaddress`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from moto.ec2 import ec2_backends

from bootstrap import inventory
from bootstrap.tests.world import (
    HOME,
    REGION,
    World,
    base_settings,
    hooked,
    refusal,
)

from .cases import FILE_NAME, PROTOCOLS, _type
from .conftest import END_DATE

LAST = datetime(END_DATE.year, END_DATE.month, END_DATE.day, tzinfo=UTC)
#: Of the window; the week after it is held out.
DAYS = 21
RULES = 300
NUMBERS = PROTOCOLS | {"-1": None}
AS_RANGE = "45.60.0.0/18"
LIST_RANGES = ("185.12.64.0/22", "185.60.216.0/22")
#: Networks of clients without an interface of ours.
OFFICES = ("81.2.69.142", "81.2.70.7", "89.160.20.112")
V6_HOSTS = ("2a02:8108:1::7", "2a02:8109:2::8", "2a00:1450:4001::9")
V6_NETWORK = "2a02:8108:5::/64"


class Spec(NamedTuple):
    """What a rule admits, as `vpcflow doors` has it."""

    protocol: str
    from_port: int | None
    to_port: int | None
    peer: str


class Flow(NamedTuple):
    """Accepted traffic that the client opened."""

    at: int
    client: str
    server: str
    protocol: str
    port: int


@dataclass
class Rule:
    """A rule as AWS describes it, with the new rules that it should get.

    `new` is empty for a rule that could be removed, and None for one that should stay.
    """

    group: str
    direction: str
    spec: Spec
    new: set[Spec] | None = None
    rule_id: str = ""


@dataclass
class Site:
    """The VPC, its rules and its traffic.

    Args:
        world: The account on moto.
        folder: Gets the flow logs, `_inventory` and `_enrichment`.
    """

    world: World
    folder: Path
    chance: random.Random = field(default_factory=lambda: random.Random(21))
    rules: list[Rule] = field(default_factory=list)
    #: The groups of each interface, and the interfaces of addresses.
    groups: dict[str, list[str]] = field(default_factory=dict)
    interfaces: dict[str, str] = field(default_factory=dict)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: All rules that AWS has, of default groups too.
    rule_ids: set[str] = field(default_factory=set)
    #: Draws the flows of a service on a day.
    services: list[Callable[[int], Iterator[Flow]]] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    held_out: list[Flow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ec2: Any = self.world.aws.ec2
        vpc = self.ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        self.vpc = vpc
        self.subnets = [
            self.ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{n}.0/24")["Subnet"]
            for n in range(6)
        ]
        made = self.ec2.create_managed_prefix_list(
            PrefixListName="partners",
            AddressFamily="IPv4",
            MaxEntries=5,
            Entries=[{"Cidr": cidr} for cidr in LIST_RANGES],
        )
        self.partners = made["PrefixList"]["PrefixListId"]
        self.lists[self.partners] = LIST_RANGES
        self._build()

    # ----- what AWS has

    def group(self, name: str) -> str:
        """Create a group without rules."""
        group = self.ec2.create_security_group(
            GroupName=name, Description=name, VpcId=self.vpc
        )["GroupId"]
        self.ec2.revoke_security_group_egress(
            GroupId=group,
            SecurityGroupRuleIds=[
                rule["SecurityGroupRuleId"] for rule in self.described(group)
            ],
        )
        return str(group)

    def interface(self, address: str, *groups: str, v6: str = "") -> None:
        """Create an interface with an address of a subnet."""
        subnet = self.subnets[int(address.split(".")[2])]["SubnetId"]
        more = {"Ipv6Addresses": [{"Ipv6Address": v6}]} if v6 else {}
        made = self.ec2.create_network_interface(
            SubnetId=subnet, PrivateIpAddress=address, Groups=[*groups], **more
        )["NetworkInterface"]["NetworkInterfaceId"]
        self.groups[made] = [*groups]
        self.interfaces[address] = made
        if v6:
            self.interfaces[v6] = made

    def add(
        self, group: str, direction: str, spec: Spec, new: Iterable[Spec] | None = None
    ) -> None:
        """Create a rule; see `Rule` for what is to become of it."""
        self.add_all(group, direction, {spec: None if new is None else {*new}})

    def add_all(
        self, group: str, direction: str, specs: dict[Spec, set[Spec] | None]
    ) -> None:
        """Create rules in one call."""
        authorize = getattr(self.ec2, f"authorize_security_group_{direction}")
        authorize(GroupId=group, IpPermissions=[permission(spec) for spec in specs])
        ids = {
            spec_of(rule): rule["SecurityGroupRuleId"]
            for rule in self.described(group)
            if rule["IsEgress"] == (direction == "egress")
        }
        self.rules += [
            Rule(group, direction, spec, new, ids[spec]) for spec, new in specs.items()
        ]

    def described(self, group: str = "") -> list[dict[str, Any]]:
        """The rules as AWS describes them."""
        chosen = [{"Name": "group-id", "Values": [group]}] if group else []
        pages = self.ec2.get_paginator("describe_security_group_rules").paginate(
            Filters=chosen
        )
        return [rule for page in pages for rule in page["SecurityGroupRules"]]

    def current(self) -> list[Rule]:
        """The rules of our groups as AWS has them now."""
        return [
            Rule(
                rule["GroupId"],
                "egress" if rule["IsEgress"] else "ingress",
                spec_of(rule),
                rule_id=rule["SecurityGroupRuleId"],
            )
            for rule in self.described()
        ]

    # ----- the services

    def _build(self) -> None:
        self.clients = []
        for n in range(6):
            group = self.group(f"clients-{n}")
            addresses = [f"10.20.{2 + k}.{20 + n}" for k in range(2)]
            for address in addresses:
                self.interface(address, group)
            self.clients.append((group, addresses))
        uses: dict[str, set[Spec]] = {group: set() for group, _ in self.clients}
        peers = (
            "subnet group office offices internet partners network v6_hosts"
            " v6_network visitors passersby"
        ).split()
        ports = ("one", "wide", "pair", "apart", "many", "late", "all")
        number = 0
        for kind in peers:
            for width in ports:
                if kind in ("group", "passersby") and width in ("many", "late"):
                    continue
                number += 1
                self._service(number, kind, width, uses)
        for group, _ in self.clients:
            new = uses[group]
            self.add(group, "egress", Spec("-1", None, None, "0.0.0.0/0"), new)
        self._ping()
        self._shared()
        self._translated()
        self._unknown()
        self._pad()

    def _service(
        self, number: int, kind: str, width: str, uses: dict[str, set[Spec]]
    ) -> None:
        """Create a server, its rule, and who uses it."""
        base = 2000 + 20 * number
        subnet = number % 2
        server = f"10.20.{subnet}.{10 + number}"
        group = self.group(f"service-{number}")
        v6 = f"2600:1f14:20::{number}" if kind.startswith("v6") else ""
        self.interface(server, group, v6=v6)
        protocol = "udp" if number % 5 == 0 else "tcp"
        tight = number % 3 == 0
        clients, narrow, wide = self._clients(kind, number)
        if kind in ("internet", "visitors", "passersby"):
            tight = True
        used, first, last = {
            "one": ([base], base, base),
            "wide": ([base], base - 3, base + 9),
            "pair": ([base, base + 1], base, base + 1),
            "apart": ([base, base + 4], base, base + 8),
            "many": ([*range(base, base + 14)], base, base + 15),
            "late": ([base, base + 4], base, base + 8),
            "all": ([base], 0, 0),
        }[width]
        if tight and len(narrow) > 1:
            tight = False
        peer = narrow[0] if tight else wide
        spec = Spec(protocol, first, last, peer)
        if width == "all":
            spec = Spec("-1", None, None, peer)
        ranges = {
            "pair": [(base, base + 1)],
            "many": [(base, base + 15)],
            "late": [(base, base + 8)],
        }.get(width, [(port, port) for port in used])
        new = {Spec(protocol, *ends, target) for ends in ranges for target in narrow}
        self.add(group, "ingress", spec, None if new == {spec} else new)
        if kind == "group":
            ours = self.clients[number % 2][0]
            cidr = f"10.20.{subnet}.0/24"
            uses[ours] |= {Spec(protocol, *ends, cidr) for ends in ranges}

        def draw(day: int) -> Iterator[Flow]:
            # One port is new in the last quarter of the window.
            now = used[:1] if width == "late" and day < -3 else used
            for n, client in enumerate(clients(day)):
                port = now[(5 * day + n) % len(now)]
                at = int((LAST + timedelta(days=day)).timestamp()) + 60 * n
                yield Flow(at, client, v6 or server, protocol, port)

        self.services.append(draw)

    def _clients(
        self, kind: str, number: int
    ) -> tuple[Callable[[int], list[str]], list[str], str]:
        """The clients of a day, the narrowest peers that hold all, and a wide one."""
        chance = self.chance

        def inside(*cidrs: str) -> Callable[[int], list[str]]:
            def some(day: int) -> list[str]:
                del day
                found = []
                for n in range(4):
                    net = ip_network(cidrs[n % len(cidrs)])
                    size = min(net.num_addresses, 2**30)
                    found.append(str(net[chance.randrange(1, size - 1)]))
                return found

            return some

        anywhere = "0.0.0.0/0"
        if kind == "subnet":
            cidr = f"10.20.{4 + number % 2}.0/24"
            return inside(cidr), [cidr], "10.0.0.0/8"
        if kind == "group":
            group, addresses = self.clients[number % 2]
            return (lambda _: addresses), [group], "10.0.0.0/8"
        if kind == "office":
            return (lambda _: [OFFICES[0]] * 2), [f"{OFFICES[0]}/32"], "81.2.69.0/24"
        if kind == "offices":
            return (lambda _: [*OFFICES]), [f"{a}/32" for a in OFFICES], anywhere
        if kind == "partners":
            return inside(*LIST_RANGES), [self.partners], anywhere
        if kind == "network":
            return inside(AS_RANGE), [AS_RANGE], anywhere
        if kind == "v6_hosts":
            return (lambda _: [*V6_HOSTS]), [f"{a}/128" for a in V6_HOSTS], "::/0"
        if kind == "v6_network":
            return inside(V6_NETWORK), [V6_NETWORK], "::/0"
        if kind == "visitors":
            # Few, but always others.
            numbers = range(40, 60)

            def visitor(day: int) -> list[str]:
                number = numbers[(day + DAYS + 1) // 3]
                return [f"62.{number}.7.{number}"] * 2

            return visitor, [anywhere], anywhere
        if kind == "passersby":
            # Each comes on one day, long ago.
            came = {-20: "63.9.9.1", -18: "64.9.9.2", -16: "65.9.9.3"}
            return (
                lambda day: [came[day]] * 2 if day in came else [],
                [anywhere],
                anywhere,
            )
        spread = tuple(f"{n}.{n}.0.0/16" for n in range(50, 90, 3))
        return (
            lambda day: [inside(spread[(day + n) % 14])(day)[0] for n in range(4)],
            [anywhere],
            anywhere,
        )

    def _ping(self) -> None:
        """Requests and replies begin in the same second: who pings is unknown."""
        group = self.group("pinged")
        self.interface("10.20.0.200", group)
        pinging = self.group("pinging")
        self.interface("10.20.3.200", pinging)
        wide = Spec("icmp", None, None, "10.0.0.0/8")
        self.add(group, "ingress", wide, {wide._replace(peer=pinging)})
        out = Spec("icmp", 8, None, "10.20.0.200/32")
        self.add(pinging, "egress", out)

        def draw(day: int) -> Iterator[Flow]:
            at = int((LAST + timedelta(days=day)).timestamp())
            yield Flow(at, "10.20.3.200", "10.20.0.200", "icmp", 0)

        self.services.append(draw)

    def _shared(self) -> None:
        """Two groups of an interface admit the same."""
        groups = [self.group("shared-1"), self.group("shared-2")]
        self.interface("10.20.1.210", *groups)
        self.shared = []
        for group in groups:
            self.add(group, "ingress", Spec("tcp", 8443, 8443, "10.20.4.0/24"))
            self.shared.append(self.rules[-1].rule_id)
        # For IPv6 alone, although ::/0 has ::ffff:0:0/96.
        self.add(groups[0], "ingress", Spec("-1", None, None, "::/0"), ())

        def draw(day: int) -> Iterator[Flow]:
            at = int((LAST + timedelta(days=day)).timestamp())
            yield Flow(at, "10.20.4.99", "10.20.1.210", "tcp", 8443)

        self.services.append(draw)

    def _translated(self) -> None:
        """IPv6 networks whose addresses contain one of IPv4: NAT64 and 6to4."""
        group = self.group("translated")
        client = "2600:1f14:20::240"
        self.interface("10.20.1.240", group, v6=client)
        servers = {"64:ff9b::/96": "64:ff9b::808:808", "2002::/16": "2002:808:808::1"}
        for cidr, server in servers.items():
            spec = Spec("tcp", 443, 443, cidr)
            self.add(group, "egress", spec, {spec._replace(peer=f"{server}/128")})

        def draw(day: int) -> Iterator[Flow]:
            at = int((LAST + timedelta(days=day)).timestamp())
            for server in servers.values():
                yield Flow(at, client, server, "tcp", 443)

        self.services.append(draw)

    def _unknown(self) -> None:
        """An instance that is not logged keeps its rules; a group that nothing has."""
        dark = self.group("dark")
        self.add(dark, "ingress", Spec("tcp", 22, 22, "0.0.0.0/0"))
        self.interface("10.20.3.220", dark)
        instance = self.ec2.run_instances(
            ImageId="ami-12345678",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": self.subnets[5]["SubnetId"],
                    "Groups": [dark],
                }
            ],
        )["Instances"][0]
        # moto would have it attached now, after the logs.
        (attached,) = instance["NetworkInterfaces"]
        moto = ec2_backends[HOME][REGION].enis[attached["NetworkInterfaceId"]]
        moto.attach_time = LAST - timedelta(days=DAYS)
        orphan = self.group("orphan")
        self.add(orphan, "ingress", Spec("tcp", 22, 22, "10.0.0.0/8"), ())

    def _pad(self) -> None:
        """Rules that nothing uses, until there are 300. Replies are no use of one."""
        unused = [
            ("ingress", Spec("tcp", 1024, 1999, "0.0.0.0/0")),
            ("ingress", Spec("tcp", 32768, 65535, "0.0.0.0/0")),
            ("egress", Spec("tcp", 32768, 65535, "0.0.0.0/0")),
            ("ingress", Spec("udp", 1, 1000, "::/0")),
            ("ingress", Spec("icmp", 8, None, "10.99.0.0/16")),
            ("ingress", Spec("50", None, None, self.partners)),
            ("egress", Spec("tcp", 443, 443, self.partners)),
            ("ingress", Spec("tcp", 22, 22, self.clients[0][0])),
        ]
        left = RULES - 1 - len(self.rules)
        used = {rule.group for rule in self.rules if rule.new}
        for group in sorted(used - {self.clients[0][0]}):
            for direction in ("ingress", "egress"):
                specs = [spec for way, spec in unused if way == direction][:left]
                left -= len(specs)
                if specs:
                    self.add_all(group, direction, {spec: set() for spec in specs})
        assert not left

    # ----- traffic

    def write(self) -> None:
        """Write the logs of the window, and draw the week after it."""
        for day in range(-DAYS, 8):
            flows = [flow for service in self.services for flow in service(day)]
            (self.flows if day <= 0 else self.held_out).extend(flows)
        records = [record for flow in self.flows for record in self._records(flow)]
        for day in range(-DAYS, 1):
            at = int((LAST + timedelta(days=day)).timestamp())
            records += [_record(interface, at) for interface in self.groups]
        for n, server in enumerate([*self.interfaces][::7]):
            flow = Flow(int(LAST.timestamp()) + n, "45.9.9.9", server, "tcp", 3306)
            if ":" not in server:
                (record,) = self._records(flow, "REJECT")
                records.append(record)
        columns = list(records[0])
        table = pa.table(
            {c: pa.array([r.get(c) for r in records], _type(c)) for c in columns}
        )
        pq.write_table(table, self.folder / FILE_NAME.format("fl-1"))
        lists = self.folder / "_enrichment"
        lists.mkdir()
        net = ip_network(AS_RANGE)
        (lists / "asn.tsv").write_text(f"{net[0]}\t{net[-1]}\t64500\tDE\tPARTNER\n")

    def _records(self, flow: Flow, action: str = "ACCEPT") -> Iterator[dict[str, Any]]:
        """What each interface of ours logs: a request, and the reply if it accepts."""
        client_port = 40000 + flow.at % 9000 if flow.port else 0
        for address in (flow.client, flow.server):
            if interface := self.interfaces.get(address):
                ends = (flow.client, client_port), (flow.server, flow.port)
                for (src, srcport), (dst, dstport) in (ends, ends[::-1]):
                    yield _record(
                        interface,
                        flow.at,
                        srcaddr=src,
                        srcport=srcport,
                        dstaddr=dst,
                        dstport=dstport,
                        protocol=NUMBERS[flow.protocol],
                        packets=1,
                        bytes=100,
                        action=action,
                        log_status="OK",
                    )
                    if action == "REJECT":
                        return

    # ----- the truth

    def admitting(self, flow: Flow, rules: list[Rule]) -> list[list[Rule]]:
        """For each end that is ours, the rules that admit a flow."""
        found = []
        for address, peer, direction in (
            (flow.server, flow.client, "ingress"),
            (flow.client, flow.server, "egress"),
        ):
            if interface := self.interfaces.get(address):
                of_interface = self.groups[interface]
                found.append(
                    [
                        rule
                        for rule in rules
                        if rule.group in of_interface
                        and rule.direction == direction
                        and self.admits(rule.spec, flow, peer)
                    ]
                )
        return found

    def admits(self, spec: Spec, flow: Flow, peer: str) -> bool:
        """Whether a rule admits a flow: protocol, port, and the other end."""
        if spec.protocol not in ("-1", flow.protocol):
            return False
        if flow.protocol in ("tcp", "udp") and spec.from_port is not None:
            assert spec.to_port is not None
            if not spec.from_port <= flow.port <= spec.to_port:
                return False
        if spec.peer.startswith("sg-"):
            interface = self.interfaces.get(peer, "")
            return spec.peer in self.groups.get(interface, [])
        cidrs = self.lists.get(spec.peer, (spec.peer,))
        return any(ip_address(peer) in ip_network(cidr) for cidr in cidrs)

    # ----- the inventory

    def take(self, now: datetime, incomplete: bool = False) -> None:
        """Write a snapshot to the folder."""

        def write(name: str, content: bytes) -> None:
            path = self.folder / "_inventory" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

        def refuse(**_: Any) -> Any:
            return refusal("UnauthorizedOperation", "no") if incomplete else None

        event = "before-call.ec2.DescribeSecurityGroupRules"
        with hooked(self.world.session.events, event, refuse):
            inventory.take(self.world.deployment(base_settings()), write, now)


def _record(interface: str, at: int, **values: Any) -> dict[str, Any]:
    """A record; without values it is of an interface without traffic."""
    empty = dict.fromkeys(("srcport", "dstport", "protocol", "packets", "bytes"))
    return {
        "version": 2,
        "account_id": HOME,
        "interface_id": interface,
        **dict.fromkeys(("srcaddr", "dstaddr"), "-"),
        **empty,
        "start": at,
        "end": at + 30,
        "action": "-",
        "log_status": "NODATA",
    } | values


def permission(spec: Spec) -> dict[str, Any]:
    """A rule as EC2 takes it."""
    ranges, name = ("UserIdGroupPairs", "GroupId")
    if spec.peer.startswith("pl-"):
        ranges, name = "PrefixListIds", "PrefixListId"
    elif ":" in spec.peer:
        ranges, name = "Ipv6Ranges", "CidrIpv6"
    elif "/" in spec.peer:
        ranges, name = "IpRanges", "CidrIp"
    ports = {"FromPort": spec.from_port, "ToPort": spec.to_port}
    return {
        "IpProtocol": spec.protocol,
        **{key: -1 if port is None else port for key, port in ports.items()},
        ranges: [{name: spec.peer}],
    }


def spec_of(rule: dict[str, Any]) -> Spec:
    """A rule that EC2 describes."""
    ports = (rule.get(name, -1) for name in ("FromPort", "ToPort"))
    first, last = (None if port == -1 else port for port in ports)
    peer = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("PrefixListId")
    peer = peer or rule["ReferencedGroupInfo"]["GroupId"]
    return Spec(rule["IpProtocol"], first, last, peer)


def made(world: World, folder: Path) -> Site:
    """Make the site, its logs and three snapshots.

    A rule is younger than the logs. The newest snapshot lacks the rules.
    """
    site = Site(world, folder)
    site.write()
    site.take(LAST - timedelta(days=7))
    group = site.rules[0].group
    site.add(group, "ingress", Spec("tcp", 7, 7, "0.0.0.0/0"))
    site.rule_ids = {rule["SecurityGroupRuleId"] for rule in site.described()}
    site.take(LAST + timedelta(hours=6))
    site.take(LAST + timedelta(hours=7), incomplete=True)
    return site


def applied(world: World, folder: Path) -> None:
    """Call EC2 with the files of `vpcflow doors`, in the order of `commands.sh`."""
    script = folder / HOME / REGION / "commands.sh"
    ec2: Any = world.aws.ec2
    for line in script.read_text().splitlines():
        words = line.split()
        if words[0] == "aws":
            content = json.loads((script.parent / words[-1][7:]).read_text())
            getattr(ec2, words[2].replace("-", "_"))(**content)
