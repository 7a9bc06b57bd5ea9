"""What the health models must say of a sample, read from its files.

This module knows nothing of how records are made. It follows the descriptions of the
models, with Python's own arithmetic.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

#: The defaults of the project's variables.
GAP_AFTER_MINUTES, SILENT_AFTER_HOURS = 60, 24

_NAME = re.compile(
    r"(?P<account_id>\d+)_vpcflowlogs_(?P<region>[^_]+)_(?P<flow_log_id>fl-[^_]+)"
    r"_(?P<created_at>\d{8}T\d{4}Z)_[^_]+\.log\.parquet"
)


def health(out: Path, malformed: Collection[str], as_of: date) -> dict[str, Any]:
    """The rows of the health models, times as text; for all days up to `as_of`.

    Args:
        out: The folder that stands for the bucket.
        malformed: Paths below it of the files that cannot be read.
        as_of: The UTC date that stands for today.
    """
    now = datetime(as_of.year, as_of.month, as_of.day) + timedelta(days=1)
    flow_logs: dict[str, dict[str, Any]] = {}
    created: dict[str, set[datetime]] = defaultdict(set)
    lags: dict[str, list[int]] = defaultdict(list)
    interfaces: dict[tuple[str, str], _Interface] = defaultdict(_Interface)
    for path in sorted(out.rglob("*.parquet")):
        match = _NAME.fullmatch(path.name)
        assert match, path
        flow_log_id = match["flow_log_id"]
        created_at = datetime.strptime(match["created_at"], "%Y%m%dT%H%MZ")
        row = flow_logs.setdefault(
            flow_log_id,
            {"flow_log_id": flow_log_id}
            | {name: match[name] for name in ("account_id", "region")}
            | dict.fromkeys(("failed_files", "files", "records"), 0)
            | dict.fromkeys(("nodata_records", "skipdata_records"), 0)
            | dict.fromkeys(("newest_file_created_at", "newest_record_ended_at")),
        )
        if str(path.relative_to(out)) in malformed:
            row["failed_files"] += 1
            continue
        table = pq.read_table(
            path, columns=["interface_id", "start", "end", "log_status"]
        )
        for record in table.to_pylist():
            key = (flow_log_id, record["interface_id"])
            interfaces[key].add(record, created_at)
        if created_at >= now:
            continue
        created[flow_log_id].add(created_at)
        row["files"] += 1
        row["records"] += table.num_rows
        for status, field in (("NODATA", "nodata"), ("SKIPDATA", "skipdata")):
            count = pc.sum(pc.equal(table["log_status"], status)).as_py()
            row[f"{field}_records"] += count
        newest = _time(pc.max(table["end"]).as_py())
        lags[flow_log_id].append(_seconds(newest, created_at))
        row["newest_record_ended_at"] = max(
            row["newest_record_ended_at"] or "", str(newest)
        )
        row["newest_file_created_at"] = str(max(created[flow_log_id]))

    earliest = now - timedelta(hours=SILENT_AFTER_HOURS)
    silent = {key for key, seen in interfaces.items() if seen.newest < earliest}
    gaps = {id_: _gaps(id_, sorted(times)) for id_, times in sorted(created.items())}
    for flow_log_id, row in flow_logs.items():
        row["gaps"] = len(gaps[flow_log_id])
        row |= _percentiles("delivery_lag", lags[flow_log_id])
        row["interfaces"] = sum(key[0] == flow_log_id for key in interfaces)
        row["silent_interfaces"] = sum(key[0] == flow_log_id for key in silent)
    return {
        "flow_log_health": [row for _, row in sorted(flow_logs.items())],
        "account_health": _accounts(flow_logs.values(), lags, interfaces, silent),
        "delivery_gaps": [gap for rows in gaps.values() for gap in rows],
        "eni_health": [
            {"flow_log_id": key[0], "interface_id": key[1], "is_silent": key in silent}
            | seen.row()
            for key, seen in sorted(interfaces.items())
        ],
        "failed_files": sorted(malformed),
    }


class _Interface:
    """What one flow log says about one network interface."""

    def __init__(self) -> None:
        self.newest = self.newest_file = _time(0)
        self.statuses: Counter[str] = Counter()
        self.lags: dict[date, int] = {}

    def add(self, record: dict[str, Any], created_at: datetime) -> None:
        ended_at, day = _time(record["end"]), _time(record["start"]).date()
        self.newest = max(self.newest, ended_at)
        self.newest_file = max(self.newest_file, created_at)
        self.statuses[record["log_status"]] += 1
        lag = _seconds(ended_at, created_at)
        self.lags[day] = max(self.lags.get(day, lag), lag)

    def row(self) -> dict[str, Any]:
        return {
            "newest_record_ended_at": str(self.newest),
            "newest_file_created_at": str(self.newest_file),
            "records": self.statuses.total(),
            "skipdata_records": self.statuses["SKIPDATA"],
            "skipdata_share": self.statuses["SKIPDATA"] / self.statuses.total(),
        } | _percentiles("longest_delivery_lag", self.lags.values())


def _accounts(
    flow_logs: Iterable[dict[str, Any]],
    lags: dict[str, list[int]],
    interfaces: Collection[tuple[str, str]],
    silent: Collection[tuple[str, str]],
) -> list[dict[str, Any]]:
    rows = []
    by_account: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for flow_log in flow_logs:
        by_account[flow_log["account_id"], flow_log["region"]].append(flow_log)
    for (account_id, region), members in sorted(by_account.items()):
        ids = {row["flow_log_id"] for row in members}
        row: dict[str, Any] = {"account_id": account_id, "region": region}
        row["flow_logs"] = len(ids)
        for name in ("newest_file_created_at", "newest_record_ended_at"):
            row[name] = max(member[name] for member in members)
        for name in ("gaps", "failed_files", "files", "records", "skipdata_records"):
            row[name] = sum(member[name] for member in members)
        row["skipdata_share"] = row["skipdata_records"] / row["records"]
        row["interfaces"] = len(
            {eni for flow_log, eni in interfaces if flow_log in ids}
        )
        row["silent_interfaces"] = len(
            {eni for flow_log, eni in silent if flow_log in ids}
        )
        row |= _percentiles("delivery_lag", [lag for id_ in ids for lag in lags[id_]])
        rows.append(row)
    return rows


def _percentiles(name: str, values: Iterable[int]) -> dict[str, int]:
    """The two percentiles of a lag, between its neighbours, in whole seconds."""
    ordered = sorted(values)
    result = {}
    for percent in (50, 95):
        below, hundredths = divmod(percent * (len(ordered) - 1), 100)
        above = min(below + 1, len(ordered) - 1)
        exact = 100 * ordered[below] + hundredths * (ordered[above] - ordered[below])
        result[f"{name}_p{percent}_seconds"] = (exact + 50) // 100
    return result


def _gaps(flow_log_id: str, times: list[datetime]) -> list[dict[str, Any]]:
    pairs = [
        (before, after, int((after - before).total_seconds() // 60))
        for before, after in pairwise(times)
    ]
    if not pairs or median(minutes for *_, minutes in pairs) > GAP_AFTER_MINUTES / 2:
        return []
    return [
        {
            "flow_log_id": flow_log_id,
            "gap_started_at": str(before),
            "gap_ended_at": str(after),
            "gap_minutes": minutes,
        }
        for before, after, minutes in pairs
        if minutes > GAP_AFTER_MINUTES
    ]


def _seconds(earlier: datetime, later: datetime) -> int:
    return int((later - earlier).total_seconds())


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
