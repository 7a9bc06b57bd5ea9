"""The truth about admin ports: who on the public internet talks to them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .formats import NO_NUMBER, Columns
from .scopes import scope
from .vocabulary import NO_TEXT

_TCP, _UDP, _SSH_PORT = 6, 17, 22
_FIRST_EPHEMERAL_PORT = 1024
_RST, _SYN_ACK = 4, 18
_DAY = 86_400
_INTERFACE = ("interface_id", "instance_id", "vpc_id", "account_id")


@dataclass(frozen=True)
class _Record:
    """The fields of a record that decide whether it shows an exposure."""

    source: str
    target: str
    source_port: int
    target_port: int
    protocol: int
    flags: int | None
    start: int
    bytes: int
    direction: str
    hop: str | None
    interface: tuple[str | None, ...]


@dataclass
class _Contact:
    """What an internal and an external address exchanged over one admin port."""

    requests: list[_Record] = field(default_factory=list)
    replies: list[_Record] = field(default_factory=list)

    def seen(self) -> list[_Record]:
        """What tells of it: records in between only on days without others."""
        return _nearest(self.requests) + _nearest(self.replies)

    def counted(self) -> list[_Record]:
        """What is added up: of those in between, what one interface saw."""
        return _once(self.requests) + _once(self.replies)


class ExposureCounter:
    """Finds accepted traffic between the public internet and our admin ports.

    Args:
        texts: The text of each code.
        admin_ports: 22 is looked at over TCP, every other port over TCP and UDP.
    """

    def __init__(self, texts: Sequence[str], admin_ports: Sequence[int]) -> None:
        self._texts = texts
        self._admin_ports = frozenset(admin_ports)
        self._contacts: dict[tuple[str, str, int, int], _Contact] = {}
        # Public addresses of our own interfaces: those of a VPC's IPv6 range.
        self._own: set[str] = set()

    def _add_own(self, columns: Columns, chosen: NDArray[np.bool_]) -> None:
        if "flow_direction" not in columns:
            return
        for key, direction in (("srcaddr", "egress"), ("dstaddr", "ingress")):
            code = self._texts.index(direction)
            codes = columns[key][chosen & (columns["flow_direction"] == code)]
            self._own.update(self._texts[code] for code in np.unique(codes))

    def add(self, columns: Columns, counted: NDArray[np.bool_]) -> None:
        """Looks at the records that `counted` marks: accepted, in the window."""
        self._add_own(columns, counted)
        ports = np.array(sorted(self._admin_ports))
        touched = counted & (
            np.isin(columns["dstport"], ports) | np.isin(columns["srcport"], ports)
        )
        for record in self._records(columns, touched):
            if self._is_request(record):
                key = record.target, record.source, record.target_port
                contact = self._contact(*key, record.protocol)
                contact.requests.append(record)
            elif self._is_reply(record):
                key = record.source, record.target, record.source_port
                contact = self._contact(*key, record.protocol)
                contact.replies.append(record)

    def result(self) -> list[dict[str, Any]]:
        """One row per internal and external address, port and protocol."""
        rows: list[dict[str, Any]] = []
        for key, contact in sorted(self._contacts.items(), key=lambda item: item[0]):
            internal, external, port, protocol = key
            evidence = _evidence(contact, port)
            if evidence is None or external in self._own:
                continue
            seen, counted = contact.seen(), contact.counted()
            newest = max(record.start for record in seen)
            latest = min(
                (record for record in seen if record.start == newest),
                key=lambda record: [text or "~" for text in record.interface],
            )
            rows.append(
                {
                    "internal_addr": internal,
                    "external_addr": external,
                    "port": port,
                    "protocol": protocol,
                    "evidence": evidence,
                    "is_refused": _is_refused(contact),
                    "first_seen_at": _utc_text(min(record.start for record in seen)),
                    "last_seen_at": _utc_text(newest),
                    "records": len(counted),
                    "bytes": sum(record.bytes for record in counted),
                    "internal_network": None,
                    "internal_owner": None,
                    "hop_addr": latest.hop,
                }
                | dict(zip(_INTERFACE, latest.interface, strict=True))
            )
        return rows

    def _records(
        self, columns: Columns, chosen: NDArray[np.bool_]
    ) -> Iterator[_Record]:
        def values(field: str) -> list[int]:
            column: list[int] = columns[field][chosen].tolist()
            return column

        # Flow logs of version 2 have no flags.
        flags: list[int | None] = [None] * int(chosen.sum())
        if "tcp_flags" in columns:
            flags = [f if f != NO_NUMBER else None for f in values("tcp_flags")]

        def texts(field: str) -> list[Any]:
            if field not in columns:
                return [None] * int(chosen.sum())
            codes = values(field)
            return [self._texts[code] if code != NO_TEXT else None for code in codes]

        prefix = "pkt_" if "pkt_srcaddr" in columns else ""
        sources, targets = texts(f"{prefix}srcaddr"), texts(f"{prefix}dstaddr")
        return map(
            _Record,
            sources,
            targets,
            values("srcport"),
            values("dstport"),
            values("protocol"),
            flags,
            values("start"),
            (size if size != NO_NUMBER else 0 for size in values("bytes")),
            texts("flow_direction"),
            map(_hop, texts("srcaddr"), texts("dstaddr"), sources, targets),
            zip(*(texts(name) for name in _INTERFACE), strict=True),
        )

    def _is_request(self, record: _Record) -> bool:
        if not self._is_admin(record.target_port, record.protocol):
            return False
        if not _is_from_public(record.target, record.source, record, "ingress"):
            return False
        if record.target_port < _FIRST_EPHEMERAL_PORT:
            return True
        # A high port of ours may be the ephemeral port of a client of ours: then
        # the peer is a server, by its low port or by its SYN-ACK.
        is_answer = record.flags is not None and record.flags & _SYN_ACK == _SYN_ACK
        return record.source_port >= _FIRST_EPHEMERAL_PORT and not is_answer

    def _is_reply(self, record: _Record) -> bool:
        return self._is_admin(record.source_port, record.protocol) and _is_from_public(
            record.source, record.target, record, "egress"
        )

    def _contact(
        self, internal: str, external: str, port: int, protocol: int
    ) -> _Contact:
        return self._contacts.setdefault(
            (internal, external, port, protocol), _Contact()
        )

    def _is_admin(self, port: int, protocol: int) -> bool:
        protocols = (_TCP,) if port == _SSH_PORT else (_TCP, _UDP)
        return port in self._admin_ports and protocol in protocols


def _is_from_public(ours: str, theirs: str, record: _Record, direction: str) -> bool:
    """Whether one end is ours and the other public; IPv6 is ours by the direction."""
    if scope(theirs) != "public":
        return False
    is_our_v6 = scope(ours) == "public" and record.direction == direction
    return scope(ours) == "internal" or (is_our_v6 and record.hop is None)


def _hop(source: str, target: str, real_source: str, real_target: str) -> str | None:
    if target != real_target:
        return target
    return source if source != real_source else None


def _nearest(records: list[_Record]) -> list[_Record]:
    days = {_day(record) for record in records if record.hop is None}
    return [
        record for record in records if record.hop is None or _day(record) not in days
    ]


def _once(records: list[_Record]) -> list[_Record]:
    nearest = _nearest(records)
    hops: dict[int, str] = {}
    for record in nearest:
        name = record.interface[0]
        if name is not None:
            hops[_day(record)] = min(name, hops.get(_day(record), name))
    return [
        record
        for record in nearest
        if record.hop is None or record.interface[0] == hops.get(_day(record))
    ]


def _day(record: _Record) -> int:
    return record.start // _DAY


def _is_refused(contact: _Contact) -> bool | None:
    """Whether replies carry RST and never SYN-ACK; None without flags, or over UDP."""
    seen = contact.seen()
    if seen[0].protocol != _TCP or all(record.flags is None for record in seen):
        return None
    flags = [record.flags or 0 for record in _nearest(contact.replies)]
    return any(f & _RST for f in flags) and not any(
        f & _SYN_ACK == _SYN_ACK for f in flags
    )


def _evidence(contact: _Contact, port: int) -> str | None:
    """What shows the exposure; None if nothing does."""
    if contact.requests and contact.replies:
        return "both"
    if contact.requests:
        return "request"
    # From a high port, a reply alone may come from a client of ours.
    return "reply" if port < _FIRST_EPHEMERAL_PORT else None


def _utc_text(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"
