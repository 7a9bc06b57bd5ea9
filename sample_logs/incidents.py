"""What goes wrong on the way, for those who try the health models.

With incidents, a file comes every half hour, every interface has a record every day,
and no records are lost, but for what is planted here:

- three hours of one flow log that were never delivered, on the last day
- an interface that writes nothing any more, from the noon before the last day on
- two SKIPDATA records (those of `planted`)
- three files that cannot be read
"""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .exchange import Words, joined, rows
from .formats import Columns
from .network import FLOW_LOGS, FlowLog
from .site import Site
from .writer import object_key

#: How much of the time of records one file covers.
MINUTES_PER_FILE = 30
#: An incident begins on the day before the last.
FEWEST_DAYS = 2

_GAP_FLOW_LOG, _GAP_HOURS = "prod", (6, 9)
_SILENT_FLOW_LOG, _SILENT_ROLE = "payments", "db"
_MALFORMED_FLOW_LOG = "payments"


class Incidents:
    """Takes records away and adds some.

    Args:
        end_date: The last UTC day.
        words: Codes of the fixed words.
    """

    def __init__(self, end_date: date, words: Words) -> None:
        self._midnight = int(datetime.combine(end_date, time(), UTC).timestamp())
        self._end_date = end_date
        self._words = words

    def everyday(self, records: Columns) -> Columns:
        """Everyday core records without the SKIPDATA ones."""
        return _where(records, records["log_status"] != self._words.skipdata)

    def delivered(self, site: Site, records: Columns) -> Columns:
        """The core records of a site that get through."""
        start = records["start"]
        kept = np.ones(len(start), dtype=bool)
        if site.flow_log.name == _GAP_FLOW_LOG:
            first, end = (self._midnight + 3600 * hour for hour in _GAP_HOURS)
            kept &= (start < first) | (start >= end)
        if site.flow_log.name == _SILENT_FLOW_LOG:
            silent = site.flow_log.interface(_SILENT_ROLE)
            noon = self._midnight - 12 * 3600
            kept &= (records["interface"] != silent) | (start < noon)
        return _where(records, kept)

    def with_heartbeats(
        self, site: Site, day: date, planted: Columns | None
    ) -> Columns:
        """A day's planted core records, and a NODATA for every file.

        The interfaces take turns, and each has at least one a day.
        """
        midnight = int(datetime.combine(day, time(), UTC).timestamp())
        start = midnight + 60 * np.arange(5, 24 * 60, MINUTES_PER_FILE)
        heartbeats = rows(
            len(start),
            interface=np.arange(len(start)) % len(site.interfaces),
            start=start,
            end=start + site.flow_log.interval - 1,
            log_status=self._words.nodata,
        )
        return joined([heartbeats] if planted is None else [planted, heartbeats])

    def write_malformed(self, out: Path) -> list[str]:
        """Writes the files that cannot be read; returns their paths below `out`.

        Raises:
            OSError: A file cannot be written.
        """
        flow_log = _flow_log(_MALFORMED_FLOW_LOG)
        whole = min(out.rglob(f"*_{flow_log.flow_log_id}_*.parquet")).read_bytes()
        names = []
        for number, content in enumerate(
            (whole[: len(whole) // 2], b"version,account_id\n", _digits_in_text())
        ):
            noon = datetime.combine(self._end_date, time(12), UTC)
            created_at = noon + timedelta(minutes=5 * number)
            name = object_key(flow_log, created_at, -1 - number)
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            names.append(name)
        return sorted(names)


def _where(records: Columns, kept: np.ndarray) -> Columns:
    return {name: column[kept] for name, column in records.items()}


def _flow_log(name: str) -> FlowLog:
    return next(flow_log for flow_log in FLOW_LOGS if flow_log.name == name)


def _digits_in_text() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"interface_id": ["eni-1"], "bytes": ["1200"]})
    pq.write_table(table, sink, store_schema=False)
    return bytes(sink.getvalue())
