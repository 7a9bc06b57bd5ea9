"""Records that every sample holds: exposures, and traffic that only looks like one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import compress

from .exchange import (
    ICMP,
    ICMP_V6,
    INTERNET_GATEWAY,
    SAME_VPC,
    TCP,
    UDP,
    Exchange,
    Values,
    rows,
)
from .formats import Columns, joined, midnight, where
from .network import flow_log_named
from .site import Site
from .vocabulary import ACCEPT, NODATA, OK, REJECT, SKIPDATA, Vocabulary

#: Samples of fewer records have no planted ones.
SMALLEST_SAMPLE = 2_000
#: The flow logs with a SKIPDATA record at `ROLE_WITHOUT_TRAFFIC`, and its minute.
SKIPDATA_MINUTES = {"prod": 601, "payments": 602}
ROLE_WITHOUT_TRAFFIC = "web"

_SYN, _SYN_ACK, _SYN_FIN, _SYN_ACK_FIN = 2, 18, 3, 19
_REQUEST, _REPLY = (True, False), (False, True)

#: An address and a port.
Endpoint = tuple[str, int]


@dataclass(frozen=True)
class Conversation:
    """A request and its reply, as one interface of a VPC records them.

    Args:
        site: The flow log's name.
        role: The role of the interface; `number` is its place among those.
        client: The client's address and port.
        server: The server's, as seen at this interface.
        protocol: The IANA number.
        opens: Whether the request leaves the interface.
        minute: Minute of the day, in UTC, at which both start.
        size: Bytes of the request; the reply has twice as many.
        flags: TCP flags of the request and of the reply.
        endpoint: The server's real address, if `server` is only a hop.
        counts: Whether the request and the reply count here, and not at another
            interface.
        number: The interface's place among those of its role.
        days_back: Days before the last one.
        recorded: Whether there are records of the request and of the reply.
        action: The code of the action.
    """

    site: str
    role: str
    client: Endpoint
    server: Endpoint
    protocol: int = TCP
    opens: bool = False
    minute: int = 600
    size: int = 4_321
    flags: tuple[int, int] = (_SYN, _SYN_ACK)
    endpoint: str = ""
    counts: tuple[bool, bool] = (True, True)
    number: int = 0
    days_back: int = 1
    recorded: tuple[bool, bool] = (True, True)
    action: int = ACCEPT

    def records(self, site: Site, vocabulary: Vocabulary, day: date) -> list[Columns]:
        """The core records of the conversation on that day."""

        def carried(size: int, flags: int) -> dict[str, Values]:
            tcp_flags = flags if self.protocol == TCP else 0
            return {"bytes": size, "packets": 1 + size // 900, "tcp_flags": tcp_flags}

        flow_log = site.flow_log
        start = midnight(day) + self.minute * 60 + 7
        exchange = Exchange(
            1,
            both={
                "protocol": self.protocol,
                "start": start,
                "end": start + flow_log.interval - 1,
                "action": self.action,
                "log_status": OK,
            },
            request=carried(self.size, self.flags[0]),
            reply=carried(2 * self.size, self.flags[1]),
        )
        (client, client_port), (server, server_port) = self.client, self.server
        own = f"{flow_log.prefix}."
        stays = client.startswith(own) and server.startswith(own)
        both = exchange.seen(
            flow_log.interface(self.role, self.number),
            (vocabulary.code(client), client_port),
            (vocabulary.code(server), server_port),
            opens=self.opens,
            path=SAME_VPC if stays else INTERNET_GATEWAY,
            endpoint=vocabulary.code(self.endpoint or server),
            counts=self.counts,
        )
        return list(compress(both, self.recorded))


def plant(
    site: Site, vocabulary: Vocabulary, end_date: date, days: int, end: int
) -> dict[date, Columns]:
    """The planted core records of one site that start before `end`, by UTC day.

    A sample with too few days has the older records on its first day.
    """
    name = site.flow_log.name
    groups: dict[date, list[Columns]] = {}

    def day_of(days_back: int) -> date:
        return end_date - timedelta(days=min(days_back, days - 1))

    for conversation in (
        *_exposures(),
        *_no_exposures(),
        *_nat_gateways(),
        *_other_kinds(),
    ):
        if conversation.site == name:
            day = day_of(conversation.days_back)
            groups.setdefault(day, []).extend(
                conversation.records(site, vocabulary, day)
            )
    # In the last minutes of the sample. Of a whole day, the file of this record is in
    # the next day's folder.
    empty = [(NODATA, end - 113)]
    if name in SKIPDATA_MINUTES:
        minute = SKIPDATA_MINUTES[name]
        empty.append((SKIPDATA, midnight(day_of(1)) + minute * 60 + 7))
    for status, start in empty:
        record = rows(
            1,
            interface=site.flow_log.interface(ROLE_WITHOUT_TRAFFIC),
            start=start,
            end=start + site.flow_log.interval - 1,
            log_status=status,
        )
        day = datetime.fromtimestamp(start, UTC).date()
        groups.setdefault(day, []).append(record)
    planted = {day: joined(records) for day, records in groups.items()}
    return {day: where(group, group["start"] < end) for day, group in planted.items()}


def _address(site: str, role: str, version: int = 4) -> str:
    flow_log = flow_log_named(site)
    face = flow_log.interfaces[flow_log.interface(role)]
    return face.address if version == 4 else face.address_v6


def _exposures() -> Iterator[Conversation]:
    def from_internet(
        site: str, role: str, client: Endpoint, port: int, protocol: int = TCP
    ) -> Conversation:
        return Conversation(site, role, client, (_address(site, role), port), protocol)

    yield from_internet("prod", "app", ("45.155.204.17", 51_812), 22)
    yield from_internet("containers", "app", ("80.94.95.112", 40_022), 22)
    yield from_internet("office", "windows", ("193.32.162.40", 3_390), 3389)
    yield from_internet("retail", "windows", ("141.98.10.60", 49_990), 3389)
    yield from_internet("payments", "windows", ("179.43.128.9", 60_001), 3389, UDP)

    # Request and reply on different days make one exposure with both.
    slow = from_internet("warehouse", "db", ("103.145.13.77", 33_333), 22)
    yield replace(slow, days_back=3, recorded=_REQUEST)
    yield replace(slow, days_back=2, recorded=_REPLY)

    # Nobody answered, or the other record was lost: each half alone.
    for half, recorded in (
        (from_internet("prod", "db", ("194.26.29.5", 44_100), 22), _REQUEST),
        (from_internet("research", "app", ("5.188.206.14", 44_200), 22), _REPLY),
        (from_internet("prod", "app", ("146.88.240.4", 44_300), 3389), _REQUEST),
    ):
        yield replace(half, recorded=recorded)


def _no_exposures() -> Iterator[Conversation]:
    bastion, app = _address("prod", "bastion"), _address("prod", "app")
    for role, opens in (("bastion", True), ("app", False)):
        yield Conversation(
            "prod",
            role,
            (bastion, 50_022),
            (app, 22),
            opens=opens,
            minute=611,
            counts=(opens, not opens),
        )

    # git over SSH: the public side is the server.
    runner = _address("office", "runner")
    yield Conversation(
        "office", "runner", (runner, 41_418), ("140.82.113.4", 22), opens=True
    )

    # A reply from 3389 alone may be anybody's ephemeral port.
    lonely = _address("warehouse", "app"), 3389
    client = "87.236.176.2", 50_100
    yield Conversation("warehouse", "app", client, lonely, recorded=_REPLY)

    # UDP 22 is not SSH.
    udp_22 = _address("payments", "app"), 22
    yield Conversation("payments", "app", ("20.55.48.1", 50_200), udp_22, UDP)

    # Carrier NAT is neither ours nor the public internet, on either end.
    yield Conversation("prod", "app", ("100.127.0.9", 50_300), (app, 22))
    yield Conversation("containers", "app", ("20.55.48.2", 50_400), ("100.64.7.7", 22))

    # A VPC's IPv6 addresses are globally routable: public on both ends.
    web_v6 = _address("payments", "web", 6), 22
    yield Conversation("payments", "web", ("2a02:8108:77::5", 50_500), web_v6)

    for number, port in enumerate((22, 3389, 23, 445)):
        scanner = "20.55.48.3", 50_600 + number
        scan = Conversation("prod", "app", scanner, (app, port), action=REJECT)
        yield replace(scan, recorded=_REQUEST)


def _nat_gateways() -> Iterator[Conversation]:
    # 3389 as the ephemeral port of a NAT gateway. Version 2 has no flags: only the low
    # port shows the server. Version 5 has them: the answer carries SYN-ACK.
    for site, server, flags in (
        ("prod", ("104.18.9.9", 443), (_SYN, _SYN_ACK)),
        ("payments", ("104.18.9.10", 8443), (_SYN, _SYN_ACK)),
        ("retail", ("104.18.9.11", 8443), (_SYN_FIN, _SYN_ACK_FIN)),
    ):
        gateway = _address(site, "nat"), 3389
        yield Conversation(site, "nat", gateway, server, opens=True, flags=flags)

    # A whole download: at the instance, then at the gateway's private and public side.
    client, gateway_address = _address("payments", "app"), _address("payments", "nat")
    server = "3.5.140.77", 443
    conversation = Conversation(
        "payments", "app", (client, 40_100), server, opens=True, minute=30
    )
    yield conversation
    at_gateway = replace(conversation, role="nat", counts=(False, False))
    private = gateway_address, 443
    yield replace(at_gateway, server=private, opens=False, endpoint=server[0])
    yield replace(at_gateway, client=(gateway_address, 61_007))


def _other_kinds() -> Iterator[Conversation]:
    web, web_v6 = _address("prod", "web"), _address("prod", "web", 6)
    for protocol, client, server in (
        (ICMP, ("81.2.69.160", 0), (web, 0)),
        (UDP, ("81.2.69.160", 55_100), (web, 443)),
        (TCP, ("2a02:8108:77::6", 55_200), (web_v6, 443)),
        (ICMP_V6, ("2a02:8108:77::6", 0), (web_v6, 0)),
    ):
        yield Conversation("prod", "web", client, server, protocol)
    app = _address("prod", "app"), 40_300
    for server in (("8.8.4.4", 53), ("129.6.15.29", 123)):
        yield Conversation("prod", "app", app, server, UDP, opens=True)

    # Equal sums of bytes at several replicas, which have no other traffic.
    primary = _address("prod", "primary"), 40_400
    faces = flow_log_named("prod").interfaces
    replicas = [face.address for face in faces if face.role == "replica"]
    for number, address in enumerate(replicas):
        sent = Conversation(
            "prod",
            "primary",
            primary,
            (address, 5432),
            opens=True,
            size=123_456_789,
            counts=_REQUEST,
        )
        yield sent
        yield replace(sent, role="replica", number=number, opens=False, counts=_REPLY)
