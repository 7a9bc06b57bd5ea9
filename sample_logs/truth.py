"""The exact answers, added up from the records that were written.

This module knows nothing of how records are made. It sees the delivered columns and
follows the definitions of the marts; from the generator it takes which sighting of
some traffic counts, and which end opened it.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from .conversations import ConversationCounter, dedup_basis
from .exposure import ExposureCounter
from .formats import NO_NUMBER, Columns

_DAY = 86_400
_TALKER_KEYS = {
    "top_talkers_by_destination": "dstaddr",
    "top_talkers_by_source": "srcaddr",
    "top_talkers_by_interface": "interface_id",
}
_ADDRESS_KEYS = {
    mart: key for mart, key in _TALKER_KEYS.items() if key != "interface_id"
}


class Truth(TypedDict):
    """What `truth.json` holds: counts of records, sizes in bytes, times in UTC."""

    as_of: str
    lookback_days: int
    top_n: int
    admin_ports: list[int]
    records: int
    files: int
    records_by_log_status: dict[str, int]
    days: list[dict[str, Any]]
    marts: dict[str, list[dict[str, Any]]]
    health: NotRequired[dict[str, Any]]


class TruthCounter:
    """Adds up records, a part at a time.

    Args:
        texts: The text of each code; complete from the start.
        as_of: The UTC date that stands for today.
        lookback_days: Days before `as_of` that the marts look at.
        top_n: Rows of each top-talkers mart.
        admin_ports: Ports whose exposure is reported.
    """

    def __init__(
        self,
        texts: Sequence[str],
        as_of: date,
        lookback_days: int,
        top_n: int,
        admin_ports: Sequence[int],
    ) -> None:
        self._texts = texts
        self._as_of = as_of
        self._lookback_days = lookback_days
        self._top_n = top_n
        self._admin_ports = sorted(set(admin_ports))
        midnight = int(
            datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC).timestamp()
        )
        self._window = (midnight - lookback_days * _DAY, midnight + _DAY)
        self._accept = texts.index("ACCEPT")
        self._records = 0
        self._statuses: Counter[str] = Counter()
        self._days: dict[int, Counter[str]] = {}
        # Sums of bytes, packets and records by the code of the key.
        self._talkers = {
            mart: np.zeros((3, len(texts)), dtype=np.int64) for mart in _TALKER_KEYS
        }
        # Bytes, each once, and which addresses have records with and without pkt_
        # addresses.
        self._deduplicated = {
            mart: np.zeros(len(texts), dtype=np.int64) for mart in _ADDRESS_KEYS
        }
        self._bases = {
            mart: np.zeros((2, len(texts)), dtype=np.bool_) for mart in _ADDRESS_KEYS
        }
        self._conversations = ConversationCounter(texts, top_n)
        self._exposures = ExposureCounter(texts, self._admin_ports)

    def add(self, columns: Columns, core: Columns) -> None:
        """Counts records; a field that is not there has no value.

        Args:
            columns: The records as their format delivers them.
            core: The same records as they were made.
        """
        start = columns["start"]
        accepted = columns["action"] == self._accept
        self._records += len(start)
        for code, count in _counts(columns["log_status"]):
            self._statuses[self._texts[code]] += count
        once = accepted & (core["counts"] == 1)
        self._add_days(start // _DAY, accepted, once, columns["bytes"])

        first, end = self._window
        in_window = (start >= first) & (start < end)
        self._add_talkers(columns, accepted & in_window)
        self._add_deduplicated(columns, accepted & in_window, once & in_window)
        self._conversations.add(core, columns, once & in_window)
        self._exposures.add(columns, accepted & in_window)

    def result(self, files: int) -> Truth:
        """The answers over all records added; `files` is reported as it is."""
        days = [
            {
                "date": (date(1970, 1, 1) + timedelta(days=day)).isoformat(),
                "records": counter["records"],
                "accepted_records": counter["accepted_records"],
                "accepted_bytes": counter["accepted_bytes"],
                "deduplicated_bytes": counter["deduplicated_bytes"],
            }
            for day, counter in sorted(self._days.items())
        ]
        marts = {mart: self._top_talkers(mart) for mart in _TALKER_KEYS}
        marts |= self._conversations.results()
        marts["admin_exposure"] = self._exposures.result()
        return {
            "as_of": self._as_of.isoformat(),
            "lookback_days": self._lookback_days,
            "top_n": self._top_n,
            "admin_ports": self._admin_ports,
            "records": self._records,
            "files": files,
            "records_by_log_status": dict(sorted(self._statuses.items())),
            "days": days,
            "marts": marts,
        }

    def _add_days(
        self,
        days: NDArray[np.int64],
        accepted: NDArray[np.bool_],
        once: NDArray[np.bool_],
        sizes: NDArray[np.int64],
    ) -> None:
        has_bytes = sizes != NO_NUMBER
        for day, count in _counts(days):
            of_day = days == day
            counter = self._days.setdefault(day, Counter())
            counter["records"] += count
            counter["accepted_records"] += int((accepted & of_day).sum())
            for name, counted in (("accepted", accepted), ("deduplicated", once)):
                size = sizes[counted & of_day & has_bytes].sum()
                counter[f"{name}_bytes"] += int(size)

    def _add_talkers(self, columns: Columns, counted: NDArray[np.bool_]) -> None:
        has_bytes = counted & (columns["bytes"] != NO_NUMBER)
        sizes = columns["bytes"][has_bytes]
        packets = columns["packets"][has_bytes]
        packets = np.where(packets == NO_NUMBER, 0, packets)
        for mart, key in _TALKER_KEYS.items():
            codes = columns[key][has_bytes]
            for sums, values in zip(
                self._talkers[mart], (sizes, packets, np.ones_like(sizes)), strict=True
            ):
                np.add.at(sums, codes, values)

    def _add_deduplicated(
        self,
        columns: Columns,
        accepted: NDArray[np.bool_],
        once: NDArray[np.bool_],
    ) -> None:
        has_bytes = columns["bytes"] != NO_NUMBER
        has_packet_addresses = "pkt_srcaddr" in columns
        for mart, key in _ADDRESS_KEYS.items():
            real = f"pkt_{key}" if has_packet_addresses else key
            counted = once & has_bytes
            codes = columns[real][counted]
            np.add.at(self._deduplicated[mart], codes, columns["bytes"][counted])
            basis = self._bases[mart][int(has_packet_addresses)]
            basis[codes] = True
            basis[columns[key][accepted & has_bytes]] = True

    def _top_talkers(self, mart: str) -> list[dict[str, Any]]:
        key = _TALKER_KEYS[mart]
        sizes, packets, records = self._talkers[mart].tolist()
        talkers = [
            (-sizes[code], text, code)
            for code, text in enumerate(self._texts)
            if records[code] and text != "-"
        ]
        top = sorted(talkers)[: self._top_n]
        return [
            {
                "rank": rank,
                key: text,
                "total_bytes": sizes[code],
                "total_packets": packets[code],
                "records": records[code],
            }
            | (self._once(mart, code) if mart in _ADDRESS_KEYS else {})
            for rank, (_, text, code) in enumerate(top, start=1)
        ]

    def _once(self, mart: str, code: int) -> dict[str, Any]:
        without, having = self._bases[mart][:, code].tolist()
        return {
            "total_bytes_deduplicated": int(self._deduplicated[mart][code]),
            "dedup_basis": dedup_basis(having, not without),
        }


def _counts(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    distinct, counts = np.unique(values, return_counts=True)
    return list(zip(distinct.tolist(), counts.tolist(), strict=True))
