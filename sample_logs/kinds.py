"""The kinds of everyday conversation: between whom, how often, how many bytes."""

from dataclasses import dataclass

from .exchange import ICMP, ICMP_V6, TCP, UDP


@dataclass(frozen=True)
class Kind:
    """A kind of conversation.

    Args:
        share: The part of all records, 0 to 1.
        client: The pool that opens the conversation.
        server: The pool that answers.
        ports: (protocol, server port), equally likely; repeat one to weigh it.
        sent: Median bytes of a record from the client.
        received: Median bytes of a record from the server.
        spread: Standard deviation of the logarithm of the bytes.
        nat: Whether the client goes through the VPC's NAT gateway.
        sites: Names of the flow logs that see it; empty for all.
    """

    share: float
    client: str
    server: str
    ports: tuple[tuple[int, int], ...]
    sent: float
    received: float
    spread: float = 1.2
    nat: bool = False
    sites: tuple[str, ...] = ()


_HTTPS, _HTTP, _QUIC = (TCP, 443), (TCP, 80), (UDP, 443)
_SSH, _DATABASES = (TCP, 22), ((TCP, 5432), (TCP, 3306), (TCP, 6379))
_DNS, _RDP = ((UDP, 53), (UDP, 53), (TCP, 53)), ((TCP, 3389), (UDP, 3389))

# Servers beyond the NAT gateway listen below 1024 only: the gateway picks source
# ports from 1024 on, 3389 among them, and records of version 2 do not show who opened
# a connection between two high ports.
KINDS = (
    Kind(0.20, "internet", "web", (_HTTPS, _HTTPS, _HTTPS, _HTTP), 2e3, 2e4),
    Kind(0.03, "internet", "web", (_QUIC,), 2e3, 3e4),
    Kind(0.04, "internet_v6", "web_v6", (_HTTPS, _HTTPS, _QUIC), 2e3, 2e4),
    Kind(0.01, "web_v6", "services_v6", (_HTTPS,), 3e3, 1e4),
    Kind(0.005, "internet_v6", "web_v6", ((ICMP_V6, 0),), 208, 208, 0.3),
    Kind(0.005, "internet", "web", ((ICMP, 0),), 168, 168, 0.3),
    Kind(0.14, "app", "services", (_HTTPS, _HTTPS, _HTTP), 4e3, 2e4, 1.5, True),
    Kind(0.02, "app", "ntp", ((UDP, 123),), 76, 76, 0.1, True),
    Kind(0.02, "app", "resolvers", _DNS, 80, 200, 0.4, True),
    Kind(0.012, "runner", "git", (_SSH,), 6e3, 4e5, 1.0, True),
    Kind(0.12, "app", "db", _DATABASES, 5e3, 3e4),
    Kind(0.08, "web", "app", ((TCP, 8080),), 4e3, 2e4),
    Kind(0.01, "bastion", "app", (_SSH,), 4e3, 9e3),
    Kind(0.03, "on_premises", "app", (_HTTPS, (TCP, 445)), 5e3, 2e4),
    Kind(0.01, "cgnat", "app", ((TCP, 8080), _SSH), 3e3, 9e3),
    Kind(0.004, "admins", "bastion", (_SSH,), 8e3, 2e4, sites=("prod", "retail")),
    Kind(0.004, "admins", "windows", _RDP, 2e4, 3e5, sites=("office",)),
    Kind(0.005, "backup", "vault", (_HTTPS,), 4e8, 2e5, 0.3),
)
