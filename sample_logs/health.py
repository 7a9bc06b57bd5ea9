"""What the health models must say of a sample, read from its files.

This module knows nothing of how records are made. It follows the descriptions of the
models, with Python's own arithmetic.
"""

import re
from collections import defaultdict
from collections.abc import Collection
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
    seen: dict[tuple[str, str], tuple[datetime, datetime]] = {}
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
        ends = table.group_by("interface_id").aggregate([("end", "max")])
        for name, end in zip(*ends.to_pydict().values(), strict=True):
            key = (flow_log_id, name)
            ended_at, newest_file = seen.get(key, (_time(0), created_at))
            seen[key] = max(ended_at, _time(end)), max(newest_file, created_at)
        if created_at >= now:
            continue
        created[flow_log_id].add(created_at)
        row["files"] += 1
        row["records"] += table.num_rows
        for status, field in (("NODATA", "nodata"), ("SKIPDATA", "skipdata")):
            count = pc.sum(pc.equal(table["log_status"], status)).as_py()
            row[f"{field}_records"] += count
        newest = str(_time(pc.max(table["end"]).as_py()))
        row["newest_record_ended_at"] = max(row["newest_record_ended_at"] or "", newest)
        row["newest_file_created_at"] = str(max(created[flow_log_id]))

    earliest = now - timedelta(hours=SILENT_AFTER_HOURS)
    return {
        "flow_log_health": [row for _, row in sorted(flow_logs.items())],
        "delivery_gaps": [
            gap
            for flow_log_id, times in sorted(created.items())
            for gap in _gaps(flow_log_id, sorted(times))
        ],
        "silent_interfaces": [
            {
                "flow_log_id": flow_log_id,
                "interface_id": interface_id,
                "newest_record_ended_at": str(ended_at),
                "newest_file_created_at": str(newest_file),
            }
            for (flow_log_id, interface_id), (ended_at, newest_file) in sorted(
                seen.items()
            )
            if ended_at < earliest
        ],
        "failed_files": sorted(malformed),
    }


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


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
