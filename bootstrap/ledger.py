"""Which files were handed to Snowpipe: one small database, one run at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bootstrap.errors import BootstrapError


class Ledger:
    """The keys handed over within the look back.

    A key enters after Snowpipe took it: a run that dies in between hands the file
    over again, which Snowpipe ignores for 14 days by its path and name.

    Args:
        path: The database; made if missing.
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
        """Return whether this pipe was told of this key."""
        row = self._database.execute(
            "select 1 from handed_over where pipe = ? and key = ?", (pipe, key)
        ).fetchone()
        return row is not None

    def add(self, pipe: str, files: Iterable[tuple[str, str]]) -> None:
        """Note (key, modified at) pairs, all or none."""
        with self._database:
            self._database.executemany(
                "insert or ignore into handed_over values (?, ?, ?)",
                [(pipe, key, modified_at) for key, modified_at in files],
            )

    def forget_before(self, moment: str) -> None:
        """Drop keys modified before a moment, written in ISO 8601 and UTC."""
        with self._database:
            self._database.execute(
                "delete from handed_over where modified_at < ?", (moment,)
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends.

    Raises:
        BootstrapError: Another run holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A database's own lock, since it is one on every system.
    lock = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        lock.execute("begin exclusive")
    except sqlite3.OperationalError:
        lock.close()
        raise BootstrapError(
            f"another run holds {path}; this one has nothing to do"
        ) from None
    try:
        yield
    finally:
        lock.close()
