"""Copy a DuckDB file that another process is writing to, as of its last commit.

DuckDB writes a commit to the write-ahead log (WAL). From time to time a checkpoint
moves the log's content into the file: it writes to free blocks, then replaces the
header, then empties the log. Until the header changes, no block changes that the header
or the log refers to: DuckDB needs them to recover from a crash.

The log is copied first, so that it refers to no block that is newer than the copy. If a
checkpoint ran meanwhile, the header has changed or the log is shorter, and the copy is
made again.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

#: The file's main header and the two database headers, of which one is current.
HEADER_BYTES = 3 * 4096
#: The logs that exist during a checkpoint or a recovery.
LOGS_OF_A_CHECKPOINT = (".wal.checkpoint", ".wal.recovery")

SECONDS_BETWEEN_TRIES = 0.2


def copy_last_commit(database: Path, folder: Path, timeout: float) -> Path | None:
    """Copy the file and its log into a folder, under their names.

    The copy keeps its name because views may refer to tables by it.

    Args:
        database: The DuckDB file.
        folder: An empty folder.
        timeout: Seconds in which to try again when a checkpoint gets in the way.

    Returns:
        The copy; None if no copy was whole within that time, or the folder's disk has
        too little space for one.

    Raises:
        OSError: a file cannot be read or written.
    """
    begun = time.monotonic()
    copy = folder / database.name
    while True:
        if shutil.disk_usage(folder).free < 2 * database.stat().st_size:
            return None
        if _copy(database, copy):
            return copy
        if time.monotonic() - begun > timeout:
            return None
        time.sleep(SECONDS_BETWEEN_TRIES)


def _copy(database: Path, copy: Path) -> bool:
    """Copy once; return whether no checkpoint ran meanwhile."""
    before = _state(database)
    _log(copy).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        shutil.copyfile(_log(database), _log(copy))
    shutil.copyfile(database, copy)
    after = _state(database)
    if before is None or after is None:
        return False
    return (
        before.header == after.header
        and before.log_inode in (None, after.log_inode)
        and before.log_bytes <= after.log_bytes
    )


class _State(NamedTuple):
    """What a checkpoint changes."""

    header: bytes
    log_inode: int | None
    log_bytes: int


def _state(database: Path) -> _State | None:
    """Return None during a checkpoint."""
    logs = (database.with_name(database.name + end) for end in LOGS_OF_A_CHECKPOINT)
    if any(log.exists() for log in logs):
        return None
    with database.open("rb") as file:
        header = file.read(HEADER_BYTES)
    try:
        found = _log(database).stat()
    except FileNotFoundError:
        return _State(header, None, 0)
    return _State(header, found.st_ino, found.st_size)


def _log(database: Path) -> Path:
    return database.with_name(database.name + ".wal")
