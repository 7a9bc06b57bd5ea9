"""Parquet objects as AWS delivers them: names, folders, types, compression."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .formats import FORMATS, NO_NUMBER, Columns, is_number, parquet_type, where
from .network import FLOW_LOGS, FlowLog

#: What a file is called until its last record is known, which gives it its name.
PARTIAL_SUFFIX = ".partial"

_ROW_GROUP = 131_072
# A record ends up to ten minutes after it starts, and AWS writes the file five later.
DELIVERY_SECONDS = 900
_DELIVERY_STEP = 300
_LATE_EVERY = 29


class FlowLogWriter:
    """Writes the records of one flow log to files of equal numbers of rows.

    It writes a large file in row groups, so that memory does not grow with the size of
    files.

    Args:
        out: The folder to write to, with the folders of a bucket.
        flow_log: The flow log; it decides the folders and the fields.
        texts: The text of each code.
        records_per_file: Rows in a file; the last one holds the rest.
        minutes_per_file: How much of the records' time a file covers at most; None
            for any.
        until: The latest time at which AWS may create a file that comes late; None
            for any.
    """

    def __init__(
        self,
        out: Path,
        flow_log: FlowLog,
        texts: pa.Array,
        records_per_file: int,
        minutes_per_file: int | None = None,
        until: datetime | None = None,
    ) -> None:
        self._out = out
        self._flow_log = flow_log
        self._texts = texts
        self._records_per_file = records_per_file
        self._seconds_per_file = 60 * minutes_per_file if minutes_per_file else None
        self._until = until
        self._slot = 0
        self._schema = pa.schema(
            [(field, parquet_type(field)) for field in FORMATS[flow_log.version]]
        )
        self._pending: list[Columns] = []
        self._pending_rows = 0
        self._file_rows = 0
        self._last_end = 0
        self._parquet: pq.ParquetWriter | None = None
        self.files = 0

    def add(self, columns: Columns) -> None:
        """Takes records, ordered by start, and writes what is complete.

        Raises:
            OSError: A file cannot be written.
        """
        if self._seconds_per_file is None:
            self._add(columns)
            return
        slots = columns["start"] // self._seconds_per_file
        for slot in np.unique(slots):
            if self._file_rows and slot != self._slot:
                self._finish_file()
            self._slot = int(slot)
            self._add(where(columns, slots == slot))

    def _add(self, columns: Columns) -> None:
        total, taken = len(columns["start"]), 0
        while taken < total:
            room = min(
                self._records_per_file - self._file_rows,
                _ROW_GROUP - self._pending_rows,
            )
            piece = {name: c[taken : taken + room] for name, c in columns.items()}
            rows = len(piece["start"])
            self._pending.append(piece)
            self._pending_rows += rows
            self._file_rows += rows
            taken += rows
            if self._pending_rows == _ROW_GROUP:
                self._write_row_group()
            if self._file_rows == self._records_per_file:
                self._finish_file()

    def close(self) -> None:
        """Writes what is left.

        Raises:
            OSError: A file cannot be written.
        """
        if self._file_rows:
            self._finish_file()

    def abandon(self) -> None:
        """Removes the unfinished file, after an error."""
        if self._parquet is not None:
            self._parquet.close()
            self._partial.unlink(missing_ok=True)

    @property
    def _partial(self) -> Path:
        return self._out / f"{self._flow_log.flow_log_id}{PARTIAL_SUFFIX}"

    def _write_row_group(self) -> None:
        columns = {
            name: np.concatenate([piece[name] for piece in self._pending])
            for name in self._schema.names
        }
        self._pending, self._pending_rows = [], 0
        self._last_end = max(self._last_end, int(columns["end"].max()))
        if self._parquet is None:
            # Without Arrow's own copy of the schema, as AWS writes files.
            self._parquet = pq.ParquetWriter(
                self._partial,
                self._schema,
                compression="gzip",
                compression_level=1,
                store_schema=False,
            )
        self._parquet.write_table(self._table(columns))

    def _finish_file(self) -> None:
        if self._pending:
            self._write_row_group()
        assert self._parquet is not None
        self._parquet.close()
        self._parquet = None
        path = self._out / object_key(self._flow_log, self._created_at(), self.files)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._partial.replace(path)
        self.files += 1
        self._file_rows = self._last_end = 0

    def _created_at(self) -> datetime:
        """Minutes after the last record's end; of a few files, hours after it."""
        if self._seconds_per_file is not None:
            covered = (self._slot + 1) * self._seconds_per_file
            return datetime.fromtimestamp(covered + DELIVERY_SECONDS, UTC)
        delivered = (self._last_end // _DELIVERY_STEP + 2) * _DELIVERY_STEP
        created = datetime.fromtimestamp(delivered, UTC)
        late = created + timedelta(hours=6 + 11 * (self.files % 4))
        # Counted from the flow log's number, so that small samples have late files too.
        turn = self.files + 5 * FLOW_LOGS.index(self._flow_log)
        if turn % _LATE_EVERY == 0 and (self._until is None or late <= self._until):
            return late
        return created

    def _table(self, columns: Columns) -> pa.Table:
        arrays = [
            _number_array(columns[name], self._schema.field(name).type)
            if is_number(name)
            else _text_array(columns[name], self._texts)
            for name in self._schema.names
        ]
        return pa.table(arrays, schema=self._schema)


def object_key(flow_log: FlowLog, created_at: datetime, number: int) -> str:
    """The path of a file below the bucket.

    Args:
        flow_log: The flow log that the file belongs to.
        created_at: The file's creation in UTC; it decides the folder.
        number: The file's place among those of the flow log.
    """
    account, region = flow_log.account_id, flow_log.region
    if flow_log.hive:
        folder = (
            f"AWSLogs/aws-account-id={account}/aws-service=vpcflowlogs"
            f"/aws-region={region}/{created_at:year=%Y/month=%m/day=%d/hour=%H}"
        )
    else:
        folder = f"AWSLogs/{account}/vpcflowlogs/{region}/{created_at:%Y/%m/%d}"
    time = f"{created_at:%Y%m%dT%H%MZ}"
    name = f"{account}_vpcflowlogs_{region}_{flow_log.flow_log_id}_{time}"
    digest = hashlib.sha256(f"{name}/{number}".encode()).hexdigest()[:8]
    return f"{folder}/{name}_{digest}.log.parquet"


def _number_array(values: NDArray[np.int64], data_type: pa.DataType) -> pa.Array:
    return pa.array(
        values.astype(data_type.to_pandas_dtype()), mask=values == NO_NUMBER
    )


def _text_array(codes: NDArray[np.int64], texts: pa.Array) -> pa.Array:
    return texts.take(pa.array(codes))
