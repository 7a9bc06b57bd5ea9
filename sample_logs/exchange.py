"""Records as columns, and both directions of conversations as records."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .formats import NO_NUMBER, Columns
from .vocabulary import EGRESS, INGRESS, NO_TEXT

TCP, UDP, ICMP, ICMP_V6 = 6, 17, 1, 58

#: Values of traffic_path: where an egress record leaves to.
SAME_VPC, INTERNET_GATEWAY, PRIVATE_GATEWAY = 1, 8, 3

#: A column, or one value for all records.
Values = NDArray[np.int64] | np.int64 | int

_WITHOUT_VALUES: dict[str, Values] = {
    **dict.fromkeys("interface srcport dstport protocol packets".split(), NO_NUMBER),
    **dict.fromkeys("bytes start end tcp_flags traffic_path".split(), NO_NUMBER),
    **dict.fromkeys("srcaddr dstaddr action reject_reason".split(), NO_TEXT),
    **dict.fromkeys("log_status flow_direction".split(), NO_TEXT),
    "counts": 1,
    "is_request": 1,
}


def rows(count: int, **values: Values) -> Columns:
    """`count` records from columns or single values; the rest has no value.

    These *core* columns have the format's names, but for three. `interface` is the
    number of the interface, which decides many fields. Two are for the truth alone:
    `counts` is 1 for the one record of a packet that counts once it is deduplicated,
    and `is_request` is 1 for what a client sends. The pkt_ addresses are the plain
    ones unless given.
    """
    known = _WITHOUT_VALUES | values
    known.setdefault("pkt_srcaddr", known["srcaddr"])
    known.setdefault("pkt_dstaddr", known["dstaddr"])
    return {
        name: value if isinstance(value, np.ndarray) else np.full(count, value)
        for name, value in known.items()
    }


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
        """The two records of each conversation that an interface writes.

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
        leaves: dict[str, Values] = {"flow_direction": EGRESS, "traffic_path": path}
        enters: dict[str, Values] = {"flow_direction": INGRESS}
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
