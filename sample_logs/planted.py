"""Cases that every sample holds: exposures, and what only looks like one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from .exchange import (
    EGRESS,
    ICMP,
    ICMP_V6,
    INGRESS,
    INTERNET_GATEWAY,
    SAME_VPC,
    TCP,
    UDP,
    Words,
    joined,
    rows,
)
from .formats import NO_NUMBER, Columns
from .network import FLOW_LOGS
from .site import Site
from .vocabulary import NO_TEXT, Vocabulary

#: From this many records on, the planted cases are among them.
SMALLEST_SAMPLE = 2_000

_SYN, _SYN_ACK, _SYN_FIN, _SYN_ACK_FIN = 2, 18, 3, 19
_EPOCH = date(1970, 1, 1)

#: An address and a port.
Endpoint = tuple[str, int]


@dataclass(frozen=True)
class Case:
    """One planted record.

    `days_back` counts from the last day and `minute` from its midnight, both in
    UTC; `interface` is a role in the VPC that `site` names, and `number` one of its
    interfaces. `counts` is false for a sighting of what another case describes.
    """

    site: str
    interface: str
    days_back: int
    minute: int
    source: Endpoint = ("-", NO_NUMBER)
    target: Endpoint = ("-", NO_NUMBER)
    protocol: int = NO_NUMBER
    size: int = NO_NUMBER
    flags: int = NO_NUMBER
    direction: int = NO_NUMBER
    real_source: str = ""
    real_target: str = ""
    action: str = "ACCEPT"
    status: str = "OK"
    number: int = 0
    is_request: bool = True
    counts: bool = True


def cases() -> list[Case]:
    """All planted records; the order does not matter."""
    return [
        *_exposures(),
        *_no_exposures(),
        *_nat_gateways(),
        *_one_of_each_kind(),
    ]


def plant(
    site: Site, vocabulary: Vocabulary, words: Words, end_date: date, days: int
) -> dict[date, Columns]:
    """The planted records of one site, as core columns, by UTC day of start.

    A sample with too few days holds the older cases on its first day.
    """
    groups: dict[date, list[Columns]] = {}
    for case in cases():
        if case.site == site.flow_log.name:
            day = end_date - timedelta(days=min(case.days_back, days - 1))
            record = _record(case, site, vocabulary, words, day)
            groups.setdefault(day, []).append(record)
    return {day: joined(records) for day, records in groups.items()}


def _record(
    case: Case, site: Site, vocabulary: Vocabulary, words: Words, day: date
) -> Columns:
    start = (day - _EPOCH).days * 86_400 + case.minute * 60 + 7
    has_traffic = case.status == "OK"
    own = f"{site.flow_log.prefix}."
    stays = case.source[0].startswith(own) and case.target[0].startswith(own)
    path = SAME_VPC if stays else INTERNET_GATEWAY
    return rows(
        1,
        interface=site.flow_log.interface(case.interface, case.number),
        srcaddr=vocabulary.code(case.source[0]),
        srcport=case.source[1],
        dstaddr=vocabulary.code(case.target[0]),
        dstport=case.target[1],
        pkt_srcaddr=vocabulary.code(case.real_source or case.source[0]),
        pkt_dstaddr=vocabulary.code(case.real_target or case.target[0]),
        protocol=case.protocol,
        packets=1 + case.size // 900 if has_traffic else NO_NUMBER,
        bytes=case.size,
        start=start,
        end=start + site.flow_log.interval - 1,
        tcp_flags=case.flags,
        direction=case.direction,
        traffic_path=path if case.direction == EGRESS else NO_NUMBER,
        action=vocabulary.code(case.action) if has_traffic else NO_TEXT,
        log_status=vocabulary.code(case.status),
        counts=int(case.counts),
        is_request=int(case.is_request),
    )


def _address(site: str, role: str, version: int = 4) -> str:
    flow_log = next(log for log in FLOW_LOGS if log.name == site)
    face = flow_log.interfaces()[flow_log.interface(role)]
    return face.address if version == 4 else face.address_v6


@dataclass(frozen=True)
class _Talk:
    """A request at one interface, and the reply to it.

    `opens` says whether the request leaves the interface; `endpoint` is the real
    address of a server behind a hop; `counts` says whether the request and the reply
    count here, and not at another interface.
    """

    site: str
    interface: str
    client: Endpoint
    server: Endpoint
    protocol: int = TCP
    opens: bool = False
    minute: int = 600
    size: int = 4_321
    flags: tuple[int, int] = (_SYN, _SYN_ACK)
    endpoint: str = ""
    number: int = 0
    counts: tuple[bool, bool] = (True, True)

    def request(self, days_back: int = 1) -> Case:
        return Case(
            site=self.site,
            interface=self.interface,
            days_back=days_back,
            minute=self.minute,
            source=self.client,
            target=self.server,
            protocol=self.protocol,
            size=self.size,
            flags=self.flags[0] if self.protocol == TCP else 0,
            direction=EGRESS if self.opens else INGRESS,
            real_target=self.endpoint,
            number=self.number,
            counts=self.counts[0],
        )

    def reply(self, days_back: int = 1) -> Case:
        return Case(
            site=self.site,
            interface=self.interface,
            days_back=days_back,
            minute=self.minute,
            source=self.server,
            target=self.client,
            protocol=self.protocol,
            size=2 * self.size,
            flags=self.flags[1] if self.protocol == TCP else 0,
            direction=INGRESS if self.opens else EGRESS,
            real_source=self.endpoint,
            number=self.number,
            is_request=False,
            counts=self.counts[1],
        )

    def both(self) -> list[Case]:
        return [self.request(), self.reply()]


def _exposures() -> Iterator[Case]:
    def from_internet(
        site: str, role: str, client: Endpoint, port: int, protocol: int = TCP
    ) -> _Talk:
        return _Talk(site, role, client, (_address(site, role), port), protocol)

    yield from from_internet("prod", "app", ("45.155.204.17", 51_812), 22).both()
    yield from from_internet("containers", "app", ("80.94.95.112", 40_022), 22).both()
    yield from from_internet("office", "windows", ("193.32.162.40", 3_390), 3389).both()
    yield from from_internet("retail", "windows", ("141.98.10.60", 49_990), 3389).both()
    udp = from_internet("payments", "windows", ("179.43.128.9", 60_001), 3389, UDP)
    yield from udp.both()

    # Request and reply on different days: still one combination with both.
    slow = from_internet("warehouse", "db", ("103.145.13.77", 33_333), 22)
    yield from (slow.request(days_back=3), slow.reply(days_back=2))

    # Nobody answered, or the other half was lost: each half alone.
    yield from_internet("prod", "db", ("194.26.29.5", 44_100), 22).request()
    yield from_internet("research", "app", ("5.188.206.14", 44_200), 22).reply()
    yield from_internet("prod", "app", ("146.88.240.4", 44_300), 3389).request()


def _no_exposures() -> Iterator[Case]:
    bastion, app = _address("prod", "bastion"), _address("prod", "app")
    for role, opens in (("bastion", True), ("app", False)):
        yield from _Talk(
            "prod",
            role,
            (bastion, 50_022),
            (app, 22),
            opens=opens,
            minute=611,
            counts=(opens, not opens),
        ).both()

    # git over SSH: the public side is the server.
    runner = _address("office", "runner")
    yield from _Talk(
        "office", "runner", (runner, 41_418), ("140.82.113.4", 22), opens=True
    ).both()

    # A reply from 3389 alone may be anybody's ephemeral port.
    lonely = _address("warehouse", "app"), 3389
    client = "87.236.176.2", 50_100
    yield _Talk("warehouse", "app", client, lonely).reply()

    # UDP 22 is not SSH.
    udp_22 = _address("payments", "app"), 22
    yield from _Talk("payments", "app", ("20.55.48.1", 50_200), udp_22, UDP).both()

    # Carrier NAT is neither ours nor the public internet, on either end.
    yield from _Talk("prod", "app", ("100.127.0.9", 50_300), (app, 22)).both()
    pod = "100.64.7.7", 22
    yield from _Talk("containers", "app", ("20.55.48.2", 50_400), pod).both()

    # A VPC's IPv6 addresses are globally routable: public on both ends.
    web_v6 = _address("payments", "web", 6), 22
    client_v6 = "2a02:8108:77::5", 50_500
    yield from _Talk("payments", "web", client_v6, web_v6).both()

    for number, port in enumerate((22, 3389, 23, 445)):
        scan = _Talk("prod", "app", ("20.55.48.3", 50_600 + number), (app, port))
        yield replace(scan.request(), action="REJECT")


def _nat_gateways() -> Iterator[Case]:
    # 3389 as the ephemeral port of a NAT gateway. Version 2 has no flags: only the
    # server's low port tells. Version 5 has them: the answer carries SYN-ACK.
    for site, server, flags in (
        ("prod", ("104.18.9.9", 443), (_SYN, _SYN_ACK)),
        ("payments", ("104.18.9.10", 8443), (_SYN, _SYN_ACK)),
        ("retail", ("104.18.9.11", 8443), (_SYN_FIN, _SYN_ACK_FIN)),
    ):
        gateway = _address(site, "nat"), 3389
        yield from _Talk(site, "nat", gateway, server, opens=True, flags=flags).both()

    # One download in full: the instance, the gateway's private and public side.
    client, gateway_address = _address("payments", "app"), _address("payments", "nat")
    server = "3.5.140.77", 443
    talk = _Talk("payments", "app", (client, 40_100), server, opens=True, minute=30)
    yield from talk.both()
    private = (gateway_address, 443)
    hop = _Talk(
        "payments",
        "nat",
        (client, 40_100),
        private,
        minute=30,
        endpoint=server[0],
        counts=(False, False),
    )
    yield from hop.both()
    public = (gateway_address, 61_007)
    yield from replace(
        hop, client=public, server=server, opens=True, endpoint=""
    ).both()


def _one_of_each_kind() -> Iterator[Case]:
    for log in FLOW_LOGS:
        # In the last minutes of the day: its file lies in the next day's folder.
        yield Case(log.name, "web", 0, 23 * 60 + 58, status="NODATA")
    yield Case("prod", "web", 1, 601, status="SKIPDATA")
    yield Case("payments", "web", 1, 602, status="SKIPDATA")

    web, web_v6 = _address("prod", "web"), _address("prod", "web", 6)
    for protocol, client, server in (
        (ICMP, ("81.2.69.160", 0), (web, 0)),
        (UDP, ("81.2.69.160", 55_100), (web, 443)),
        (TCP, ("2a02:8108:77::6", 55_200), (web_v6, 443)),
        (ICMP_V6, ("2a02:8108:77::6", 0), (web_v6, 0)),
    ):
        yield from _Talk("prod", "web", client, server, protocol).both()
    for server, protocol in ((("8.8.4.4", 53), UDP), (("129.6.15.29", 123), UDP)):
        yield from _Talk(
            "prod", "app", (_address("prod", "app"), 40_300), server, protocol, True
        ).both()

    # Equal sums of bytes at several replicas, which nothing else talks to.
    log = next(log for log in FLOW_LOGS if log.name == "prod")
    primary = _address("prod", "primary")
    replicas = [face for face in log.interfaces() if face.role == "replica"]
    for number, face in enumerate(replicas):
        talk = _Talk(
            "prod",
            "primary",
            (primary, 40_400),
            (face.address, 5432),
            opens=True,
            size=123_456_789,
            counts=(True, False),
        )
        yield from talk.both()
        yield from replace(
            talk, interface="replica", number=number, opens=False, counts=(False, True)
        ).both()
