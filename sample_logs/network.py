"""The invented network: accounts, flow logs, network interfaces, addresses.

It is the same for every seed, so that a later run can replace the files of an earlier
one. Each interface belongs to one flow log: overlapping flow logs would write the same
traffic twice, and the right sums would depend on how a reader treats that.
"""

import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .formats import FORMATS

#: How many interfaces each role has in a VPC.
ROLE_SIZES = {
    "web": 6,
    "app": 10,
    "db": 3,
    "runner": 2,
    "bastion": 1,
    "windows": 1,
    "backup": 1,
    "nat": 1,
    "primary": 1,
    "replica": 5,
}
_PUBLIC_ROLES = frozenset(("web", "bastion", "windows", "nat"))
_REPLICATED_VPC = "prod"
#: The IPv6 addresses of all VPCs.
OWN_IPV6 = ipaddress.IPv6Network("2600:1f14:7a0::/56")


def identifier(prefix: str, *parts: object) -> str:
    """An AWS-like identifier, `<prefix>-<17 hex digits>`; equal parts, equal ids."""
    text = "/".join(str(part) for part in (prefix, *parts))
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:17]}"


@dataclass(frozen=True)
class Interface:
    """A network interface; an empty text means that it has no such value.

    `account_id` is empty for the account of the flow log. In a VPC that several
    accounts share, an interface has the account of its owner.
    """

    interface_id: str
    role: str
    address: str
    address_v6: str
    subnet_id: str
    instance_id: str
    az_id: str
    ecs_service: str
    account_id: str = ""

    @property
    def side(self) -> str:
        """Whether its subnet is `public`, with an internet gateway, or `private`."""
        return "public" if self.role in _PUBLIC_ROLES else "private"


@dataclass(frozen=True)
class FlowLog:
    """A flow log over one VPC.

    Args:
        name: The VPC's name; its identifiers are hashes of it.
        account_id: Twelve digits, possibly with a leading zero.
        region: The AWS region.
        version: A key of `formats.FORMATS`.
        hive: Whether files go to Hive-style hourly partitions.
        interval: Longest span of a record, in seconds.
        prefix: The first two octets of the VPC's private addresses.
        weight: Share of all records, relative to the other flow logs.
    """

    name: str
    account_id: str
    region: str
    version: int
    hive: bool
    interval: int
    prefix: str
    weight: int

    @property
    def flow_log_id(self) -> str:
        """The `fl-` identifier in file names."""
        return identifier("fl", self.name)

    @property
    def vpc_id(self) -> str:
        """The `vpc-` identifier."""
        return identifier("vpc", self.name)

    @property
    def has_packet_addresses(self) -> bool:
        """Whether its records have the pkt_ addresses."""
        return "pkt_srcaddr" in FORMATS[self.version]

    @cached_property
    def interfaces(self) -> list[Interface]:
        """All interfaces of the VPC; the list index is their number."""
        return list(self._interfaces())

    def _interfaces(self) -> Iterator[Interface]:
        vpc_number = FLOW_LOGS.index(self)
        parts = zip(self.region.split("-"), (2, 1, 1), strict=True)
        zone = "".join(part[:n] for part, n in parts)
        for role, size in ROLE_SIZES.items():
            if role == "replica" and self.name != _REPLICATED_VPC:
                continue
            side = "public" if role in _PUBLIC_ROLES else "private"
            for number in range(size):
                # Replicas get the hosts 7 to 11: as text .10 sorts before .7.
                host = number + 7 + 20 * (list(ROLE_SIZES).index(role) % 9)
                third = 0 if side == "public" else 16 + (role == "replica")
                v6 = int(OWN_IPV6[0]) + (vpc_number << 64) + host
                containers = self.version == 8 and role in ("web", "app")
                yield Interface(
                    interface_id=identifier("eni", self.name, role, number),
                    role=role,
                    address=f"{self.prefix}.{third}.{host}",
                    address_v6=str(ipaddress.IPv6Address(v6)) if role == "web" else "",
                    subnet_id=identifier("subnet", self.name, side, number % 2),
                    instance_id=(
                        ""
                        if role == "nat"
                        else identifier("i", self.name, role, number)
                    ),
                    az_id=f"{zone}-az{1 + number % 2}",
                    ecs_service=role if containers else "",
                )

    def interface(self, role: str, number: int = 0) -> int:
        """The number of an interface by its role.

        Raises:
            KeyError: The VPC has no such interface.
        """
        numbers = [i for i, face in enumerate(self.interfaces) if face.role == role]
        if number >= len(numbers):
            raise KeyError(f"{self.name} has no {role} interface {number}")
        return numbers[number]


# The account ids are those of AWS's own examples. 012345678901 has a leading zero;
# 172.20/16 and 172.31/16 are in 172.16/12, but not in 172.16/16.
FLOW_LOGS = (
    FlowLog("prod", "111122223333", "us-east-1", 2, False, 600, "10.0", 25),
    FlowLog("payments", "111122223333", "us-east-1", 5, False, 60, "10.20", 20),
    FlowLog("containers", "111122223333", "us-east-1", 8, False, 60, "172.20", 15),
    FlowLog("office", "012345678901", "eu-west-1", 2, False, 600, "192.168", 12),
    FlowLog("research", "012345678901", "us-east-1", 12, False, 600, "10.48", 8),
    FlowLog("warehouse", "444455556666", "us-east-1", 2, True, 600, "172.31", 11),
    FlowLog("retail", "444455556666", "eu-west-1", 5, True, 60, "10.96", 9),
)


def flow_log_named(name: str) -> FlowLog:
    """The flow log of that name."""
    return next(flow_log for flow_log in FLOW_LOGS if flow_log.name == name)


#: Real, globally routable prefixes. Several are next to a range that is not public
# (172.15 and 172.32, 192.167, 100.63 and 100.128, 11.x, 203.1).
CLIENT_PREFIXES = (
    "2.16 5.9 11.7 24.48 31.13 45.33 62.210 73.92 77.88 81.2 86.12 89.160 92.40 "
    "99.84 100.63 100.128 121.58 126.7 138.68 151.101 163.172 172.15 172.32 "
    "176.31 185.220 188.166 191.96 192.167 194.87 203.1 212.58 217.72 223.25"
)

#: Addresses outside of every VPC by the name of their pool.
OUTSIDE_ADDRESSES = {
    "services": (
        "52.216.12.44 52.216.131.9 52.217.4.70 54.239.28.85 52.94.236.248 "
        "13.224.14.91 13.225.78.30 104.16.132.229 142.250.74.46 151.101.1.69 "
        "172.217.16.142 199.232.33.63 3.5.140.2 18.204.77.10 34.117.59.81"
    ).split(),
    "services_v6": [f"2a00:1450:4001:{80 + i}::200e" for i in range(6)],
    "git": ["140.82.112.3", "140.82.121.4", "172.65.251.78"],
    "ntp": ["129.6.15.28", "162.159.200.1", "216.239.35.0"],
    "resolvers": ["8.8.8.8", "1.1.1.1", "9.9.9.9"],
    # Staff: the only public peers of SSH and RDP beside the planted ones.
    "admins": ["84.17.45.201", "84.17.45.202", "91.205.230.17", "46.114.3.88"],
    "on_premises": [f"10.250.{i}.{7 * i + 3}" for i in range(1, 13)],
    "cgnat": [f"100.{64 + 9 * i}.{i}.{i + 20}" for i in range(8)],
}

#: AWS services by the first two octets of their addresses.
AWS_SERVICES = {
    "52.216": "S3",
    "52.217": "S3",
    "3.5": "S3",
    "54.239": "AMAZON",
    "52.94": "DYNAMODB",
    "13.224": "CLOUDFRONT",
    "13.225": "CLOUDFRONT",
    "18.204": "EC2",
}


def aws_service(address: str) -> str:
    """The AWS service that owns a public address, or `-`."""
    return AWS_SERVICES.get(".".join(address.split(".", 2)[:2]), "-")


def backup_target(flow_log: FlowLog) -> str:
    """Where a VPC's backups go: S3 for some, a private vault for the others."""
    number = FLOW_LOGS.index(flow_log)
    return f"52.216.200.{number}" if number % 3 == 2 else f"10.251.0.{number + 1}"


def client_addresses(rng: np.random.Generator, size: int) -> list[str]:
    """Up to `size` distinct public IPv4 addresses in a random order."""
    prefixes = np.array(
        [int(ipaddress.IPv4Address(f"{p}.0.0")) for p in CLIENT_PREFIXES.split()]
    )
    drawn = rng.choice(prefixes, size) + rng.integers(1, 65535, size)
    distinct = rng.permutation(np.unique(drawn))
    return [str(ipaddress.IPv4Address(int(number))) for number in distinct]


def client_v6_addresses(rng: np.random.Generator, size: int) -> list[str]:
    """`size` public IPv6 addresses, as clients at home have them."""
    network = int(ipaddress.IPv6Address("2a02:8108::"))
    hosts = rng.integers(1, 2**62, size)
    return [str(ipaddress.IPv6Address(network + (int(h) << 20) + 1)) for h in hosts]
