"""What campaigns and their look-alikes are made of: ends, conversations, findings."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .exchange import (
    ICMP,
    ICMP_V6,
    INTERNET_GATEWAY,
    SAME_VPC,
    TCP,
    Exchange,
    Values,
)
from .formats import Columns
from .network import FLOW_LOGS, OWN_IPV6, FlowLog, flow_log_named
from .vocabulary import ACCEPT, OK, REJECT, Vocabulary

_SYN, _RST_ACK, _SYN_FIN, _SYN_ACK_FIN = 2, 20, 3, 19
_FIRST_CLIENT_PORT, _CLIENT_PORTS = 32_768, 28_232
_FIRST_HOST_IPV6 = 0x10001
#: Addresses between two stories, of ours and of the public.
_OWN_BLOCK, _PUBLIC_BLOCK = 256, 1_024


@dataclass(frozen=True)
class Lane:
    """A flow log in which each story takes place, on addresses of its own.

    Args:
        format: What the truth calls the lane.
        flow_log: The flow log's name.
        public: The first public address of the stories.
        is_ipv6: Whether the addresses are IPv6.
    """

    format: str
    flow_log: str
    public: str
    is_ipv6: bool = False

    @property
    def described(self) -> FlowLog:
        """The flow log."""
        return flow_log_named(self.flow_log)

    def own(self, story: int, host: int) -> str:
        """Address of a host of ours, counted from 0."""
        first = f"{self.described.prefix}.96.1"
        if self.is_ipv6:
            vpc = FLOW_LOGS.index(self.described) << 64
            first = str(OWN_IPV6[vpc + _FIRST_HOST_IPV6])
        return _later(first, story * _OWN_BLOCK + host)

    def outside(self, story: int, peer: int) -> str:
        """A public address, counted from 0."""
        return _later(self.public, story * _PUBLIC_BLOCK + peer)

    def account(self, story: int) -> str:
        """The account of a story that has one of its own."""
        return f"7777{FLOW_LOGS.index(self.described):04}{story:04}"

    def protocol(self, protocol: int) -> int:
        """The protocol in this lane: that of IPv6 for ICMP."""
        return ICMP_V6 if protocol == ICMP and self.is_ipv6 else protocol


@dataclass(frozen=True)
class End:
    """The addresses at one end of conversations.

    Args:
        is_ours: Whether they are hosts of the VPC.
        first: The number of the first one in its story.
        count: How many.
        known: Well-known addresses in their place, one of IPv4 and one of IPv6.
    """

    is_ours: bool
    first: int = 0
    count: int = 1
    known: tuple[str, str] | None = None

    def addresses(self, lane: Lane, story: int) -> list[str]:
        """The addresses in a lane."""
        if self.known:
            return [self.known[lane.is_ipv6]]
        address = lane.own if self.is_ours else lane.outside
        return [address(story, self.first + number) for number in range(self.count)]


#: Entities of findings that are no address: the interface of `HOST`, and its account.
INTERFACE, ACCOUNT = "interface", "account"
#: A host of ours, and a public address. `hosts` and `peers` are further ones.
HOST, PEER = End(is_ours=True), End(is_ours=False)


def hosts(count: int) -> End:
    """Further hosts of ours."""
    return End(True, 1, count)


def peers(count: int) -> End:
    """Further public addresses."""
    return End(False, 1, count)


@dataclass(frozen=True)
class Carried:
    """What a conversation carries: packets and bytes from the client and the server.

    Args:
        sent: Packets and bytes of the request.
        received: The same of the reply; None if there is none.
        flags: TCP flags of the request and of the reply.
        action: Code of the action.
    """

    sent: tuple[int, int]
    received: tuple[int, int] | None = None
    flags: tuple[int, int] = (_SYN_FIN, _SYN_ACK_FIN)
    action: int = ACCEPT


REFUSED = Carried((1, 44), None, (_SYN, 0), REJECT)
UNANSWERED = Carried((1, 44), None, (_SYN, 0))
CLOSED = Carried((1, 44), (1, 40), (_SYN, _RST_ACK))
#: A health check or a greeting that is read; a login that fails; work.
CHECK = Carried((5, 300), (4, 400))
LOGIN = Carried((15, 2_500), (14, 3_500))
SESSION = Carried((40, 9_000), (60, 80_000))


@dataclass(frozen=True)
class Talk:
    """Conversations of one kind, as many as its longest argument has values.

    Args:
        client: Who opens them.
        server: Who answers.
        port: The server's port, or one for each conversation.
        carried: What each carries.
        protocol: The IANA number.
        times: How many conversations, if the ends and ports are fewer.
        every: Seconds between two starts.
        after: Seconds from the story's beginning to the first start.
        days: Days before the last one.
        is_one_connection: Whether all have the same client port.
        logged_by: Whether the client's interface logs them, and the server's.
    """

    client: End
    server: End
    port: int | Sequence[int]
    carried: Carried = SESSION
    protocol: int = TCP
    times: int = 1
    every: float = 20
    after: int = 0
    days: Sequence[int] = (1,)
    is_one_connection: bool = False
    logged_by: tuple[bool, bool] = (True, True)

    @property
    def ports(self) -> list[int]:
        """The server's ports."""
        return [self.port] if isinstance(self.port, int) else list(self.port)

    @property
    def count(self) -> int:
        """How many conversations there are on each day."""
        ends = self.client.count, self.server.count
        return max(*ends, len(self.ports), self.times)

    def records(
        self,
        lane: Lane,
        story: int,
        vocabulary: Vocabulary,
        interfaces: dict[str, int],
        begins: int,
    ) -> list[Columns]:
        """The core records of a day.

        Args:
            lane: Where.
            story: The story's number.
            vocabulary: Gets the addresses.
            interfaces: Number of the interface of each address of ours.
            begins: Epoch second at which the story begins.
        """
        clients = self.client.addresses(lane, story)
        servers = self.server.addresses(lane, story)
        number = np.arange(self.count)
        start = begins + self.after + (number * self.every).astype(np.int64)
        is_tcp = int(self.protocol == TCP)
        has_ports = int(any(self.ports))
        own_port = 7 * number * (not self.is_one_connection) % _CLIENT_PORTS
        (packets, size), flags = self.carried.sent, self.carried.flags
        reply_packets, reply_size = self.carried.received or (0, 0)
        exchange = Exchange(
            self.count,
            both={
                "protocol": lane.protocol(self.protocol),
                "start": start,
                "end": start + 59,
                "action": self.carried.action,
                "log_status": OK,
            },
            request={"packets": packets, "bytes": size, "tcp_flags": flags[0] * is_tcp},
            reply={
                "packets": reply_packets,
                "bytes": reply_size,
                "tcp_flags": flags[1] * is_tcp,
            },
        )
        client: tuple[Values, Values] = (
            vocabulary.codes(clients)[number % len(clients)],
            (_FIRST_CLIENT_PORT + own_port) * has_ports,
        )
        server: tuple[Values, Values] = (
            vocabulary.codes(servers)[number % len(servers)],
            np.array(self.ports)[number % len(self.ports)],
        )
        # A rejection is logged by the receiver alone, if it is ours.
        at_server = self.server.is_ours and self.logged_by[1]
        at_client = self.client.is_ours and self.logged_by[0]
        at_client &= not (at_server and self.carried.action == REJECT)
        is_inside = self.client.is_ours and self.server.is_ours
        seen: list[Columns] = []
        for is_logged, addresses, opens in (
            (at_client, clients, True),
            (at_server, servers, False),
        ):
            if is_logged:
                faces = np.array([interfaces[address] for address in addresses])
                both = exchange.seen(
                    faces[number % len(faces)],
                    client,
                    server,
                    opens=opens,
                    path=SAME_VPC if is_inside else INTERNET_GATEWAY,
                    counts=(opens or not at_client, not opens or not at_server),
                )
                seen += both if self.carried.received else both[:1]
        return seen


@dataclass(frozen=True)
class Found:
    """A finding that a story gives.

    Args:
        rule: The rule's name.
        entity: The entity's address, or `INTERFACE` or `ACCOUNT`.
        peer: The peer, if the finding has one.
        port: The port, if the finding has one.
        protocol: The protocol, if the finding has one.
    """

    rule: str
    entity: End | str
    peer: End | None = None
    port: int | None = None
    protocol: int | None = TCP


@dataclass(frozen=True)
class Story:
    """A campaign or a look-alike.

    Args:
        title: What happens.
        talks: Its conversations.
        finds: The findings that must come. A look-alike has none, unless an entry of
            detection_suppressions covers them.
        looks_like: The rule that must not fire; empty for a campaign.
        suppressed: The reason of the entry that covers all findings of `HOST`.
        skipped: SKIPDATA records of the interface of `HOST`.
        has_own_account: Whether all hosts are of an account that nothing else has.
        variable: Name of the variable that allows `HOST` port 443 alone.
        formats: The only lanes of the story; none means all. Many records or hosts may
            be too many, and a rule may need tcp_flags.
    """

    title: str
    talks: tuple[Talk, ...] = ()
    finds: tuple[Found, ...] = ()
    looks_like: str = ""
    suppressed: str = ""
    skipped: int = 0
    has_own_account: bool = False
    variable: str = ""
    formats: tuple[str, ...] = ()

    @property
    def hours(self) -> int:
        """How many hours the story lasts, at least."""
        seconds = [talk.after + talk.count * talk.every for talk in self.talks]
        return int(max(seconds, default=0) // 3_600)


def _later(first: str, count: int) -> str:
    return str(ipaddress.ip_address(first) + count)
