"""The truth about admin ports: who on the public internet talks to them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .formats import NO_NUMBER, Columns
from .scopes import scope

_TCP, _UDP, _SSH_PORT = 6, 17, 22
_FIRST_EPHEMERAL_PORT = 1024
_SYN_ACK = 18


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


@dataclass
class _Contact:
    """What an internal and an external address exchanged over one admin port."""

    first_start: int
    last_start: int
    requests: int = 0
    replies: int = 0
    bytes: int = 0

    def count(self, record: _Record) -> None:
        self.first_start = min(self.first_start, record.start)
        self.last_start = max(self.last_start, record.start)
        self.bytes += record.bytes


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

    def add(self, columns: Columns, counted: NDArray[np.bool_]) -> None:
        """Looks at the records that `counted` marks: accepted, in the window."""
        ports = np.array(sorted(self._admin_ports))
        touched = counted & (
            np.isin(columns["dstport"], ports) | np.isin(columns["srcport"], ports)
        )
        for record in self._records(columns, touched):
            if self._is_request(record):
                contact = self._contact(
                    record.target, record.source, record.target_port, record
                )
                contact.requests += 1
                contact.count(record)
            elif self._is_reply(record):
                contact = self._contact(
                    record.source, record.target, record.source_port, record
                )
                contact.replies += 1
                contact.count(record)

    def result(self) -> list[dict[str, Any]]:
        """One row per internal and external address, port and protocol."""
        rows: list[dict[str, Any]] = []
        for key, contact in sorted(self._contacts.items(), key=lambda item: item[0]):
            internal, external, port, protocol = key
            evidence = _evidence(contact, port)
            if evidence is None:
                continue
            rows.append(
                {
                    "internal_addr": internal,
                    "external_addr": external,
                    "port": port,
                    "protocol": protocol,
                    "evidence": evidence,
                    "first_seen_at": _utc_text(contact.first_start),
                    "last_seen_at": _utc_text(contact.last_start),
                    "records": contact.requests + contact.replies,
                    "bytes": contact.bytes,
                }
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
        return map(
            _Record,
            (self._texts[code] for code in values("srcaddr")),
            (self._texts[code] for code in values("dstaddr")),
            values("srcport"),
            values("dstport"),
            values("protocol"),
            flags,
            values("start"),
            (size if size != NO_NUMBER else 0 for size in values("bytes")),
        )

    def _is_request(self, record: _Record) -> bool:
        if not self._is_admin(record.target_port, record.protocol):
            return False
        if scope(record.target) != "internal" or scope(record.source) != "public":
            return False
        if record.target_port < _FIRST_EPHEMERAL_PORT:
            return True
        # A high port of ours may be the ephemeral port of a client of ours: then
        # the peer is a server, by its low port or by its SYN-ACK.
        is_answer = record.flags is not None and record.flags & _SYN_ACK == _SYN_ACK
        return record.source_port >= _FIRST_EPHEMERAL_PORT and not is_answer

    def _is_reply(self, record: _Record) -> bool:
        return (
            self._is_admin(record.source_port, record.protocol)
            and scope(record.source) == "internal"
            and scope(record.target) == "public"
        )

    def _is_admin(self, port: int, protocol: int) -> bool:
        protocols = (_TCP,) if port == _SSH_PORT else (_TCP, _UDP)
        return port in self._admin_ports and protocol in protocols

    def _contact(
        self, internal: str, external: str, port: int, record: _Record
    ) -> _Contact:
        key = (internal, external, port, record.protocol)
        return self._contacts.setdefault(key, _Contact(record.start, record.start))


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
