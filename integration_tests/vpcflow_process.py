"""`python -m vpcflow` in a process that a test may kill."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from vpcflow.run_folder import TIME

from .processes import FORKSERVER, ROOT


def copy_project(to: Path) -> Path:
    """Copy the project as `make setup` leaves a fresh clone, without `.venv`."""
    ignored = (".*", "logs", "target", "*.duckdb*", "sample_data", "__pycache__")
    shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(*ignored))
    shutil.copy(ROOT / "profiles.yml.example", to / "profiles.yml")
    return to


def age_window_marts(summary: Path, age: timedelta) -> None:
    """Let the last run say that the marts of the window were built so long ago."""
    *lines, last = map(json.loads, summary.read_text().splitlines())
    last["window_marts"]["built_at"] = f"{datetime.now(UTC) - age:{TIME}}"
    summary.write_text("\n".join(map(json.dumps, [*lines, last])) + "\n")


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int | None
    out: str
    err: str


class Vpcflow:
    """A command that runs, forked from a process that has imported dbt.

    Args:
        words: The words after `python -m vpcflow`.
        environment: All of its variables.
        folder: A folder for what it prints.
    """

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.out, self.err = folder / "stdout.txt", folder / "stderr.txt"
        self.process = FORKSERVER.Process(
            target=_run, args=(words, dict(environment), self.out, self.err)
        )
        self.process.start()

    def wait_for(self, file: Path, text: str) -> None:
        """Return when a file holds a text; fail if the command ends before."""
        while not (file.exists() and text in file.read_text()):
            assert self.process.is_alive(), self.err.read_text()
            time.sleep(0.02)

    def end(self, timeout: float = 300) -> Ended:
        """Wait for the command's end, which is killed after so many seconds."""
        self.process.join(timeout)
        self.process.kill()
        self.process.join()
        return Ended(self.process.exitcode, self.out.read_text(), self.err.read_text())


def _run(
    words: Sequence[str], environment: Mapping[str, str], out: Path, err: Path
) -> None:
    for path, number in ((out, 1), (err, 2)):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    sys.argv = ["vpcflow", *words]
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    from vpcflow.cli import main

    try:
        main()
    finally:
        # What dbt leaves to the end of the interpreter, which this process has not.
        DuckDBConnectionManager.close_all_connections()
        sys.stdout.flush()
        sys.stderr.flush()
