"""The truth about conversations: what two ends exchanged, each byte once.

The generator knows which sighting of some traffic counts and which end opened it; the
models have to find both out from the records.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .exchange import TCP, UDP
from .formats import NO_NUMBER, Columns

_SYN = 2
# Parts that are kept before they are added up: it bounds the memory.
_PARTS = 64

_KEYS = ["client", "server", "protocol", "port"]
_SUMS = ["client_bytes", "server_bytes", "packets"]
# Whether it holds for some of the records, and whether for all.
_FLAGS = ["has_syn", "has_packet_addresses"]


class ConversationCounter:
    """Adds up what counts once.

    Args:
        texts: The text of each code.
        top_n: Rows of each mart.
    """

    def __init__(self, texts: Sequence[str], top_n: int) -> None:
        self._texts = texts
        self._top_n = top_n
        self._parts: list[pa.Table] = []

    def add(self, core: Columns, columns: Columns, counted: NDArray[np.bool_]) -> None:
        """Takes records.

        Args:
            core: The records as they were made.
            columns: The same records as their format delivers them.
            counted: Which of them count: accepted, in the window, the one sighting.
        """
        count = int(counted.sum())
        if not count:
            return
        has_packet_addresses = "pkt_srcaddr" in columns
        prefix = "pkt_" if has_packet_addresses else ""
        source = columns[f"{prefix}srcaddr"][counted]
        target = columns[f"{prefix}dstaddr"][counted]
        is_request = core["is_request"][counted] == 1
        protocol = columns["protocol"][counted]
        port = np.where(
            is_request, columns["dstport"][counted], columns["srcport"][counted]
        )
        flags = columns.get("tcp_flags", np.zeros_like(core["start"]))[counted]
        flags = np.where(flags == NO_NUMBER, 0, flags)
        size = columns["bytes"][counted]
        start = columns["start"][counted]
        part = {
            "client": np.where(is_request, source, target),
            "server": np.where(is_request, target, source),
            "protocol": protocol,
            "port": np.where(np.isin(protocol, (TCP, UDP)), port, NO_NUMBER),
            "client_bytes": np.where(is_request, size, 0),
            "server_bytes": np.where(is_request, 0, size),
            "packets": columns["packets"][counted],
            "first": start,
            "last": start,
            "has_syn": ((protocol == TCP) & (flags & _SYN > 0)).astype(np.int64),
            "has_packet_addresses": np.full(count, int(has_packet_addresses)),
        }
        for flag in _FLAGS:
            part[f"all_{flag}"] = part[flag]
        self._parts.append(_summed(pa.table(part)))
        if len(self._parts) == _PARTS:
            self._parts = [_summed(pa.concat_tables(self._parts))]

    def results(self) -> dict[str, list[dict[str, Any]]]:
        """The marts, by name."""
        if not self._parts:
            return {"top_conversations": [], "top_services": []}
        totals = _summed(pa.concat_tables(self._parts))
        return {
            "top_conversations": self._top_conversations(totals),
            "top_services": self._top_services(totals),
        }

    def _top_conversations(self, totals: pa.Table) -> list[dict[str, Any]]:
        size = pc.add(totals["client_bytes"], totals["server_bytes"])
        # Ties go by text, so all that tie with the last place are looked at.
        last = np.sort(size.to_numpy())[-min(self._top_n, len(size))]
        rows = totals.filter(pc.greater_equal(size, int(last))).to_pylist()
        conversations = [
            {
                "client_addr": self._texts[row["client"]],
                "server_addr": self._texts[row["server"]],
                "protocol": row["protocol"],
                "server_port": _port(row["port"]),
                "orientation_method": _orientation(row),
                "total_bytes_deduplicated": row["client_bytes"] + row["server_bytes"],
                "client_bytes": row["client_bytes"],
                "server_bytes": row["server_bytes"],
                "total_packets": row["packets"],
                "first_seen_at": _utc_text(row["first"]),
                "last_seen_at": _utc_text(row["last"]),
                "dedup_basis": dedup_basis(
                    row["has_packet_addresses"], row["all_has_packet_addresses"]
                ),
            }
            for row in rows
        ]
        conversations.sort(
            key=lambda row: (
                -row["total_bytes_deduplicated"],
                row["client_addr"],
                row["server_addr"],
                row["protocol"],
                row["server_port"],
            )
        )
        return _ranked(conversations[: self._top_n])

    def _top_services(self, totals: pa.Table) -> list[dict[str, Any]]:
        sums = totals.group_by(["protocol", "port"]).aggregate(
            [(name, "sum") for name in _SUMS]
            + [("client", "count_distinct"), ("server", "count_distinct")]
            + [("has_packet_addresses", "max"), ("all_has_packet_addresses", "min")]
        )
        services = [
            {
                "protocol": row["protocol"],
                "server_port": _port(row["port"]),
                "total_bytes_deduplicated": row["client_bytes_sum"]
                + row["server_bytes_sum"],
                "total_packets": row["packets_sum"],
                "clients": row["client_count_distinct"],
                "servers": row["server_count_distinct"],
                "dedup_basis": dedup_basis(
                    row["has_packet_addresses_max"],
                    row["all_has_packet_addresses_min"],
                ),
            }
            for row in sums.to_pylist()
        ]
        services.sort(
            key=lambda row: (
                -row["total_bytes_deduplicated"],
                row["protocol"],
                row["server_port"] or NO_NUMBER,
            )
        )
        return _ranked(services[: self._top_n])


def dedup_basis(some: int, every: int) -> str:
    """What deduplicated bytes rest on.

    Args:
        some: 1 if one of the records has the pkt_ addresses.
        every: 1 if all of them have.
    """
    if every:
        return "packet_addresses"
    return "mixed" if some else "addresses"


def _summed(table: pa.Table) -> pa.Table:
    sums = table.group_by(_KEYS).aggregate(
        [(name, "sum") for name in _SUMS]
        + [("first", "min"), ("last", "max")]
        + [(flag, "max") for flag in _FLAGS]
        + [(f"all_{flag}", "min") for flag in _FLAGS]
    )
    return sums.rename_columns(
        [re.sub("_(sum|min|max)$", "", name) for name in sums.column_names]
    ).select(table.column_names)


def _orientation(row: dict[str, int]) -> str:
    if row["has_syn"]:
        return "tcp_flags"
    return "ports" if row["port"] != NO_NUMBER else "unknown"


def _port(port: int) -> int | None:
    return None if port == NO_NUMBER else port


def _ranked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"rank": rank} | row for rank, row in enumerate(rows, start=1)]


def _utc_text(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"
