"""The exact answers, added up from the records that were written.

This module knows nothing of how records are made. It sees the delivered columns
only and follows the definitions of the marts.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from .exposure import ExposureCounter
from .formats import NO_NUMBER, Columns

_DAY = 86_400
_TALKER_KEYS = {
    "top_talkers_by_destination": "dstaddr",
    "top_talkers_by_source": "srcaddr",
    "top_talkers_by_interface": "interface_id",
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
        self._exposures = ExposureCounter(texts, self._admin_ports)

    def add(self, columns: Columns) -> None:
        """Counts delivered records; a field that is not there has no value."""
        start = columns["start"]
        accepted = columns["action"] == self._accept
        self._records += len(start)
        for code, count in _counts(columns["log_status"]):
            self._statuses[self._texts[code]] += count
        self._add_days(start // _DAY, accepted, columns["bytes"])

        first, end = self._window
        counted = accepted & (start >= first) & (start < end)
        self._add_talkers(columns, counted)
        self._exposures.add(columns, counted)

    def result(self, files: int) -> Truth:
        """The answers over all records added; `files` is reported as it is."""
        days = [
            {
                "date": (date(1970, 1, 1) + timedelta(days=day)).isoformat(),
                "records": counter["records"],
                "accepted_records": counter["accepted_records"],
                "accepted_bytes": counter["accepted_bytes"],
            }
            for day, counter in sorted(self._days.items())
        ]
        marts = {mart: self._top_talkers(mart) for mart in _TALKER_KEYS}
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
        sizes: NDArray[np.int64],
    ) -> None:
        for day, count in _counts(days):
            of_day = accepted & (days == day)
            counter = self._days.setdefault(day, Counter())
            counter["records"] += count
            counter["accepted_records"] += int(of_day.sum())
            has_bytes = of_day & (sizes != NO_NUMBER)
            counter["accepted_bytes"] += int(sizes[has_bytes].sum())

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

    def _top_talkers(self, mart: str) -> list[dict[str, Any]]:
        key = _TALKER_KEYS[mart]
        sizes, packets, records = self._talkers[mart].tolist()
        talkers = [
            (-sizes[code], text, packets[code], records[code])
            for code, text in enumerate(self._texts)
            if records[code] and text != "-"
        ]
        return [
            {
                "rank": rank,
                key: text,
                "total_bytes": -negative_bytes,
                "total_packets": packet_sum,
                "records": count,
            }
            for rank, (negative_bytes, text, packet_sum, count) in enumerate(
                sorted(talkers)[: self._top_n], start=1
            )
        ]


def _counts(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    distinct, counts = np.unique(values, return_counts=True)
    return list(zip(distinct.tolist(), counts.tolist(), strict=True))
