"""Records as columns, and both directions of conversations as records."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .formats import NO_NUMBER, Columns
from .vocabulary import NO_TEXT, Vocabulary

TCP, UDP, ICMP, ICMP_V6 = 6, 17, 1, 58

#: Values of `direction`, which stands for flow_direction.
INGRESS, EGRESS = 0, 1

#: Values of traffic_path: where an egress record leaves to.
SAME_VPC, INTERNET_GATEWAY, PRIVATE_GATEWAY = 1, 8, 3

#: A column, or one value for all records.
Values = NDArray[np.int64] | np.int64 | int

_NUMBERS = (
    "interface",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "tcp_flags",
    "direction",
    "traffic_path",
)
_TEXTS = ("srcaddr", "dstaddr", "action", "reject_reason", "log_status")


@dataclass(frozen=True)
class Words:
    """Codes of the fixed words that records hold."""

    accept: int
    reject: int
    ok: int
    nodata: int
    skipdata: int
    blocked_public_access: int

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "Words":
        """The words in `vocabulary`, which gets those it does not hold yet."""
        words = ("ACCEPT", "REJECT", "OK", "NODATA", "SKIPDATA", "BPA")
        return cls(*(vocabulary.code(word) for word in words))


def rows(count: int, **values: Values) -> Columns:
    """`count` records from columns or single values; the rest has no value.

    These *core* columns are named as in the format, except that `interface` (a
    number) stands for all fields that the interface decides, and `direction` is
    `INGRESS` or `EGRESS`. The pkt_ addresses are the plain ones unless given.
    Two columns are for the truth alone: `counts` is 1 for the one sighting of some
    traffic that counts once it is deduplicated, and `is_request` is 1 for what a
    client sends.
    """
    known: dict[str, Values] = dict.fromkeys(_NUMBERS, NO_NUMBER)
    known |= dict.fromkeys(_TEXTS, NO_TEXT)
    known |= {"counts": 1, "is_request": 1}
    known |= values
    known.setdefault("pkt_srcaddr", known["srcaddr"])
    known.setdefault("pkt_dstaddr", known["dstaddr"])
    return {name: np.broadcast_to(value, count) for name, value in known.items()}


@dataclass(frozen=True)
class Exchange:
    """Some conversations, and what each of their two directions carried.

    Args:
        count: How many conversations.
        both: Core columns that the request and the reply share.
        request: Core columns of the client's direction.
        reply: Core columns of the server's direction.
    """

    count: int
    both: dict[str, Values]
    request: dict[str, Values]
    reply: dict[str, Values]

    def seen(
        self,
        interface: Values,
        client: tuple[Values, Values],
        server: tuple[Values, Values],
        *,
        opens: bool,
        path: int,
        endpoint: Values | None = None,
        counts: tuple[bool, bool] = (True, True),
    ) -> list[Columns]:
        """The two records per conversation that an interface writes.

        Args:
            interface: Number of the interface.
            client: Address and port of the client, as seen there.
            server: Address and port of the server, as seen there.
            opens: Whether the request leaves the interface, rather than enters.
            path: traffic_path of the direction that leaves.
            endpoint: The server's real address, if `server` is only a hop.
            counts: Whether the request and the reply count here, and not at another
                interface that saw the same.
        """
        leaves: dict[str, Values] = {"direction": EGRESS, "traffic_path": path}
        enters: dict[str, Values] = {"direction": INGRESS}
        real = server[0] if endpoint is None else endpoint
        request = rows(
            self.count,
            interface=interface,
            srcaddr=client[0],
            srcport=client[1],
            dstaddr=server[0],
            dstport=server[1],
            pkt_dstaddr=real,
            counts=int(counts[0]),
            is_request=1,
            **self.both,
            **self.request,
            **(leaves if opens else enters),
        )
        reply = rows(
            self.count,
            interface=interface,
            srcaddr=server[0],
            srcport=server[1],
            dstaddr=client[0],
            dstport=client[1],
            pkt_srcaddr=real,
            counts=int(counts[1]),
            is_request=0,
            **self.both,
            **self.reply,
            **(enters if opens else leaves),
        )
        return [request, reply]


def joined(groups: list[Columns]) -> Columns:
    """All records of `groups`, ordered by start; the order of equals is kept."""
    order = np.argsort(np.concatenate([g["start"] for g in groups]), kind="stable")
    return {
        name: np.concatenate([group[name] for group in groups])[order]
        for name in groups[0]
    }
