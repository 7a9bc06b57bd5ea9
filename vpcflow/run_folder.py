"""The folder of the scheduled runs: their lock, their logs and the line of each."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

TIME = "%Y-%m-%dT%H:%M:%SZ"


class AtWorkError(Exception):
    """Another run holds the lock.

    Args:
        run: What that run wrote when it began; empty if it has not yet.
    """

    def __init__(self, run: dict[str, Any]) -> None:
        super().__init__("another run is at work")
        self.run = run


class RunFolder:
    """A folder with `lock`, `summary.jsonl` and a log for each run.

    The lock file holds what the run at work wrote when it began, and is empty after its
    end. If it is not empty and nobody holds the lock, that run was killed.

    Args:
        path: The folder.
        days: How long lines and logs are kept.

    Raises:
        OSError: the folder can't be made.
    """

    def __init__(self, path: Path, days: int) -> None:
        self.path = path
        self.days = days
        self.summary = path / "summary.jsonl"
        path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self, run: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Hold the lock until the block ends.

        Args:
            run: What the next run needs to know if this one is killed.

        Yields:
            The same of a run before this one that was killed, or an empty dictionary.

        Raises:
            AtWorkError: another run holds it.
        """
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AtWorkError(_content(lock)) from None
            killed = _content(lock)
            _replace(lock, run)
            yield killed
            _replace(lock, {})

    def append(self, line: dict[str, Any]) -> None:
        """Add a run's line to the summary and remove what is too old.

        Args:
            line: The run's result; `time` says when it began.
        """
        first = datetime.now(UTC) - timedelta(days=self.days)
        with self.summary.open("a+") as file:
            # A run that was skipped may write at the same time.
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            kept = [
                old for old in file if _parsed(old).get("time", "") >= f"{first:{TIME}}"
            ]
            file.truncate(0)
            file.writelines([*kept, json.dumps(line) + "\n"])
        for log in self.path.glob("*.log"):
            if log.stat().st_mtime < first.timestamp():
                log.unlink(missing_ok=True)

    def last(self) -> dict[str, Any]:
        """Return the line of the last run; an empty dictionary if there is none."""
        if not self.summary.exists():
            return {}
        lines = map(_parsed, self.summary.read_text().splitlines())
        runs = [line for line in lines if line.get("outcome") != "skipped"]
        return runs[-1] if runs else {}

    def new_log(self) -> Path:
        """Return the path of a log for this process."""
        return self.path / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.{os.getpid()}.log"


def _content(lock: Any) -> dict[str, Any]:
    lock.seek(0)
    return _parsed(lock.read())


def _parsed(line: str) -> dict[str, Any]:
    """Return an object; an empty one for a line that was cut off."""
    try:
        parsed = json.loads(line)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _replace(lock: Any, run: dict[str, Any]) -> None:
    lock.seek(0)
    lock.truncate(0)
    lock.write(json.dumps(run) if run else "")
    lock.flush()
