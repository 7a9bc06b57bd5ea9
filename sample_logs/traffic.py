"""Everyday traffic, drawn at random: conversations, scans, empty intervals."""

import numpy as np
from numpy.typing import NDArray

from .exchange import (
    INTERNET_GATEWAY,
    PRIVATE_GATEWAY,
    SAME_VPC,
    TCP,
    Exchange,
    Values,
    rows,
)
from .formats import Columns
from .kinds import KINDS, Kind
from .site import Pool, Site
from .vocabulary import ACCEPT, BPA, INGRESS, NO_TEXT, NODATA, OK, REJECT, SKIPDATA

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_ACCEPTED: dict[str, Values] = {"action": ACCEPT, "log_status": OK}
_NODATA_SHARE, _SKIPDATA_SHARE, _REPLICATION_SHARE = 0.03, 0.002, 0.02
_MOST_SKIPPED = 5
_SCANNED_PORTS = np.array([22, 22, 3389, 3389, 23, 23, 445, 445, 80, 1433, 5900])

# A record's flags are those of its interval, combined with "or". A record of a
# connection's middle has none, since AWS does not record a lone ACK.
_REQUEST_FLAGS = np.array([2, 2, 3, 3, 0])
_REPLY_FLAGS = np.array([18, 18, 19, 19, 0])
_SYN = 2


class Bulk:
    """The everyday traffic of one site.

    Args:
        site: The flow log that sees the traffic.
        rng: The only source of chance.
    """

    def __init__(self, site: Site, rng: np.random.Generator) -> None:
        self._site = site
        self._rng = rng

    def records(
        self, count: int, times: tuple[Floats, Floats], part: tuple[float, float]
    ) -> list[Columns]:
        """Exactly `count` records, in groups, unordered.

        Args:
            count: How many.
            times: Shares of a day's traffic, and the epoch second by which each share
                of it has started.
            part: The shares between which these records start.
        """
        groups: list[Columns] = []
        left = count

        def starts(share: float, size: int) -> Integers:
            """Starts of as many units of `size` records as make up the share."""
            nonlocal left
            # Rounded at random; else small samples would never hold the rare kinds.
            wanted = int(count * share / size + self._rng.random())
            units = min(wanted, left // size)
            left -= units * size
            return np.interp(self._rng.uniform(*part, units), *times).astype(np.int64)

        for kind in KINDS:
            if kind.sites and self._site.flow_log.name not in kind.sites:
                continue
            inside = (
                self._pool(kind.client).is_inside + self._pool(kind.server).is_inside
            )
            groups += self._conversations(
                kind, starts(kind.share, 6 if kind.nat else 2 * inside)
            )
        if "replica" in self._site.pools:
            size = 4 * len(self._pool("replica").addresses)
            groups += self._replication(starts(_REPLICATION_SHARE, size))
        groups.append(self._without_traffic(NODATA, starts(_NODATA_SHARE, 1)))
        # AWS skips intervals, however many records they have.
        skipped = min(_SKIPDATA_SHARE, _MOST_SKIPPED / max(count, 1))
        groups.append(self._without_traffic(SKIPDATA, starts(skipped, 1)))
        groups.append(self._scans(starts(1.0, 1)))
        return groups

    def _pool(self, name: str) -> Pool:
        return self._site.pools[name]

    def _pick(self, name: str, count: int) -> tuple[Integers, Integers]:
        """Addresses and interfaces from a pool, its first members most often."""
        pool = self._pool(name)
        skewed = self._rng.random(count) ** 2
        index = (skewed * len(pool.addresses)).astype(np.int64)
        return pool.addresses[index], pool.interfaces[index]

    def _sizes(self, median: float, spread: float, count: int) -> dict[str, Integers]:
        size = median * self._rng.lognormal(0.0, spread, count)
        # A packet holds at most 1460 bytes of TCP payload; small talk far less.
        packets = 1 + (size / (1400 if median > 1e4 else 500)).astype(np.int64)
        return {
            "packets": packets,
            "bytes": np.maximum(size.astype(np.int64), 40 * packets),
        }

    def _ends(self, start: Integers) -> Integers:
        span = self._site.flow_log.interval
        return start + self._rng.integers(1, span, len(start))

    def _conversations(self, kind: Kind, start: Integers) -> list[Columns]:
        """Both directions of each conversation, at every interface on its way."""
        count = len(start)
        client_address, client_interface = self._pick(kind.client, count)
        server_address, server_interface = self._pick(kind.server, count)
        choice = self._rng.integers(0, len(kind.ports), count)
        protocol, server_port = np.array(kind.ports)[choice].T
        is_tcp, has_ports = protocol == TCP, server_port > 0
        client_port = self._rng.integers(32768, 61000, count) * has_ports
        stage = self._rng.integers(0, len(_REQUEST_FLAGS), count)
        exchange = Exchange(
            count,
            both={
                "protocol": protocol,
                "start": start,
                "end": self._ends(start),
                **_ACCEPTED,
            },
            request={
                "tcp_flags": _REQUEST_FLAGS[stage] * is_tcp,
                **self._sizes(kind.sent, kind.spread, count),
            },
            reply={
                "tcp_flags": _REPLY_FLAGS[stage] * is_tcp,
                **self._sizes(kind.received, kind.spread, count),
            },
        )
        client = (client_address, client_port)
        server = (server_address, server_port)
        if kind.nat:
            return exchange.seen(
                client_interface, client, server, opens=True, path=SAME_VPC
            ) + self._behind_nat(exchange, client, server, has_ports)

        seen: list[Columns] = []
        path = self._path(kind)
        at_client = self._pool(kind.client).is_inside
        at_server = self._pool(kind.server).is_inside
        if at_client:
            seen += exchange.seen(
                client_interface,
                client,
                server,
                opens=True,
                path=path,
                counts=(True, not at_server),
            )
        if at_server:
            seen += exchange.seen(
                server_interface,
                client,
                server,
                opens=False,
                path=path,
                counts=(not at_client, True),
            )
        return seen

    def _path(self, kind: Kind) -> int:
        if self._pool(kind.client).is_inside and self._pool(kind.server).is_inside:
            return SAME_VPC
        if kind.client in ("on_premises", "cgnat"):
            return PRIVATE_GATEWAY
        return INTERNET_GATEWAY

    def _behind_nat(
        self,
        exchange: Exchange,
        client: tuple[Integers, Integers],
        server: tuple[Integers, Integers],
        has_ports: NDArray[np.bool_],
    ) -> list[Columns]:
        """What the NAT gateway's interface writes, for its private and public side.

        Without the pkt_ addresses, nothing shows that the client's interface wrote the
        same. So these records count as well, but for what the client sends to the
        gateway: the client's own interface is logged.
        """
        counts = not self._site.flow_log.has_packet_addresses
        gateway = self._pool("nat")
        interface, address = gateway.interfaces[0], gateway.addresses[0]
        port = self._rng.integers(1024, 65536, exchange.count) * has_ports
        return [
            *exchange.seen(
                interface,
                client,
                (address, server[1]),
                opens=False,
                path=SAME_VPC,
                endpoint=server[0],
                counts=(False, counts),
            ),
            *exchange.seen(
                interface,
                (address, port),
                server,
                opens=True,
                path=INTERNET_GATEWAY,
                counts=(counts, counts),
            ),
        ]

    def _replication(self, start: Integers) -> list[Columns]:
        """A database's primary sends the same to each replica, which sends it back.

        A replica has no other traffic, so their sums of bytes are equal: ties.
        """
        primary, replicas = self._pool("primary"), self._pool("replica")
        count = len(start)
        size = self._sizes(1e8, 0.3, count)
        seen: list[Columns] = []
        for address, interface in zip(
            replicas.addresses, replicas.interfaces, strict=True
        ):
            exchange = Exchange(
                count,
                both={
                    "protocol": TCP,
                    "start": start,
                    "end": self._ends(start),
                    **_ACCEPTED,
                    **size,
                },
                request={"tcp_flags": _REQUEST_FLAGS[0]},
                reply={"tcp_flags": _REPLY_FLAGS[0]},
            )
            port = self._rng.integers(32768, 61000, count)
            for observer, opens in ((primary.interfaces[0], True), (interface, False)):
                seen += exchange.seen(
                    observer,
                    (primary.addresses[0], port),
                    (address, 5432),
                    opens=opens,
                    path=SAME_VPC,
                    counts=(opens, not opens),
                )
        return seen

    def _without_traffic(self, status: int, start: Integers) -> Columns:
        """NODATA or SKIPDATA: an interval of an interface, and nothing else."""
        _, interface = self._pick("everyone", len(start))
        end = start + self._site.flow_log.interval - 1
        return rows(
            len(start), interface=interface, start=start, end=end, log_status=status
        )

    def _scans(self, start: Integers) -> Columns:
        """Requests of scanners on the internet, all of them rejected."""
        count = len(start)
        target, interface = self._pick("everyone", count)
        packets = self._rng.integers(1, 4, count)
        blocked = self._rng.random(count) < 0.05
        return rows(
            count,
            interface=interface,
            srcaddr=self._pick("scanners", count)[0],
            dstaddr=target,
            srcport=self._rng.integers(1024, 65536, count),
            dstport=self._rng.choice(_SCANNED_PORTS, count),
            protocol=TCP,
            packets=packets,
            bytes=packets * self._rng.choice([40, 44, 60], count),
            start=start,
            end=self._ends(start),
            tcp_flags=_SYN,
            flow_direction=INGRESS,
            action=REJECT,
            reject_reason=np.where(blocked, BPA, NO_TEXT),
            log_status=OK,
        )
