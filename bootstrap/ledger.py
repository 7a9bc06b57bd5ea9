"""The files that were sent to Snowpipe, and a lock for one run at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bootstrap.errors import BootstrapError


class Ledger:
    """The keys that were sent within the look-back.

    A key is added after Snowpipe accepts it. If a run stops in between, the next one
    sends the file again, which Snowpipe ignores for 14 days.

    Args:
        path: The SQLite database; created if missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
        self._database = sqlite3.connect(path)
        self._database.execute(
            "create table if not exists handed_over ("
            "pipe text not null, key text not null, modified_at text not null, "
            "primary key (pipe, key)) without rowid"
        )

    def has(self, pipe: str, key: str) -> bool:
        """Return whether the key was sent to this pipe."""
        row = self._database.execute(
            "select 1 from handed_over where pipe = ? and key = ?", (pipe, key)
        ).fetchone()
        return row is not None

    def add(self, pipe: str, files: Iterable[tuple[str, str]]) -> None:
        """Add (key, modified at) pairs, all or none."""
        with self._database:
            self._database.executemany(
                "insert or ignore into handed_over values (?, ?, ?)",
                [(pipe, key, modified_at) for key, modified_at in files],
            )

    def forget_before(self, moment: str) -> None:
        """Delete keys modified before a time, in ISO 8601 and UTC."""
        with self._database:
            self._database.execute(
                "delete from handed_over where modified_at < ?", (moment,)
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, even a killed one.

    Raises:
        BootstrapError: Another run holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The lock of a SQLite database works on every system.
    lock = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        lock.execute("begin exclusive")
    except sqlite3.OperationalError:
        lock.close()
        raise BootstrapError(
            f"another run is active and holds {path}; wait until it ends"
        ) from None
    try:
        yield
    finally:
        lock.close()
