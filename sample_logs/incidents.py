"""Faults in delivery, for those who try the health models.

With incidents, a file comes every half hour, every interface has a record every day,
and no records are lost, but for what is planted here:

- three hours of one flow log that were never delivered, from 18 hours before the end
- an interface that stops 36 hours before the end
- two SKIPDATA records (those of `planted`)
- three files that cannot be read
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .exchange import rows
from .formats import Columns, joined, midnight, utc_text, where
from .network import flow_log_named
from .planted import ROLE_WITHOUT_TRAFFIC, SKIPDATA_MINUTES
from .site import Site
from .vocabulary import NODATA
from .writer import DELIVERY_SECONDS, object_key

#: How much of the time of records one file covers.
MINUTES_PER_FILE = 30
#: Hours before the end that a sample with incidents begins, at least.
FEWEST_HOURS = 48

_GAP_FLOW_LOG, _GAP_HOURS = "prod", (18, 15)
_SILENT_FLOW_LOG, _SILENT_ROLE, _SILENT_HOURS = "payments", "db", 36
_MALFORMED_FLOW_LOG, _MALFORMED_HOURS = "payments", 12


class Incidents:
    """Takes records away and adds some.

    Args:
        end: Epoch second at which the sample ends.
    """

    def __init__(self, end: int) -> None:
        self._end = end
        self._gap = [end - 3600 * hours for hours in _GAP_HOURS]

    def delivered(self, site: Site, records: Columns) -> Columns:
        """The core records of a site that are delivered."""
        start = records["start"]
        kept = np.ones(len(start), dtype=bool)
        if site.flow_log.name == _GAP_FLOW_LOG:
            kept &= (start < self._gap[0]) | (start >= self._gap[1])
        if site.flow_log.name == _SILENT_FLOW_LOG:
            silent = site.flow_log.interface(_SILENT_ROLE)
            stops = self._end - 3600 * _SILENT_HOURS
            kept &= (records["interface"] != silent) | (start < stops)
        return where(records, kept)

    def with_heartbeats(
        self, site: Site, day: date, planted: Columns | None
    ) -> Columns:
        """A day's planted core records, and a NODATA for every file.

        The interfaces take turns, and each has at least one a day.
        """
        start = midnight(day) + 60 * np.arange(5, 24 * 60, MINUTES_PER_FILE)
        start = start[start < self._end]
        heartbeats = rows(
            len(start),
            interface=np.arange(len(start)) % len(site.flow_log.interfaces),
            start=start,
            end=start + site.flow_log.interval - 1,
            log_status=NODATA,
        )
        return joined([heartbeats] if planted is None else [planted, heartbeats])

    def write_malformed(self, out: Path) -> list[str]:
        """Write the files that cannot be read; return their paths below `out`.

        Raises:
            OSError: A file cannot be written.
        """
        flow_log = flow_log_named(_MALFORMED_FLOW_LOG)
        whole = min(out.rglob(f"*_{flow_log.flow_log_id}_*.parquet")).read_bytes()
        first = datetime.fromtimestamp(self._end - 3600 * _MALFORMED_HOURS, UTC)
        names = []
        for number, content in enumerate(
            (whole[: len(whole) // 2], b"version,account_id\n", _digits_in_text())
        ):
            created_at = first + timedelta(minutes=5 * number)
            name = object_key(flow_log, created_at, -1 - number)
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            names.append(name)
        return sorted(names)

    def truth(self, failed_files: list[str]) -> dict[str, Any]:
        """What the health models must find, and nothing else.

        Args:
            failed_files: What `write_malformed` returned.
        """
        # The last file before the gap covers the half hour before it, the first one
        # after it the half hour that follows.
        before = self._gap[0] + DELIVERY_SECONDS
        after = self._gap[1] + 60 * MINUTES_PER_FILE + DELIVERY_SECONDS
        return {
            "delivery_gaps": [
                {
                    "flow_log_id": flow_log_named(_GAP_FLOW_LOG).flow_log_id,
                    "gap_started_at": utc_text(before),
                    "gap_ended_at": utc_text(after),
                    "gap_minutes": (after - before) // 60,
                }
            ],
            "silent_interfaces": [_interface(_SILENT_FLOW_LOG, _SILENT_ROLE)],
            "skipdata_records": [
                _interface(name, ROLE_WITHOUT_TRAFFIC) for name in SKIPDATA_MINUTES
            ],
            "failed_files": failed_files,
        }


def _interface(flow_log: str, role: str) -> dict[str, str]:
    described = flow_log_named(flow_log)
    face = described.interfaces[described.interface(role)]
    return {
        "flow_log_id": described.flow_log_id,
        "interface_id": face.interface_id,
    }


def _digits_in_text() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"interface_id": ["eni-1"], "bytes": ["1200"]})
    pq.write_table(table, sink, store_schema=False)
    return bytes(sink.getvalue())
