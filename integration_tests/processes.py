"""dbt and its loader in processes that a test may kill, or let run side by side.

Each is a process of its own, forked from one that has imported dbt and parsed the
project already: both would take most of the time of a command.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
from flow_log_loader import listing, loading

ROOT = Path(__file__).parent.parent

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(
    ["integration_tests.processes", "integration_tests.preloaded"]
)


class Command:
    """A dbt command that runs.

    Args:
        words: The command and its options.
        environment: Variables besides those of this process, as they are now.
        output: The file that takes what it prints.
        batch_files: How many files staging loads in one transaction; None for what it
            does by itself.
        file_size: Bytes that no file may grow beyond, which is how a full disk looks to
            it; None for no such limit.
        vanishing: A file that staging finds, and the name that it gets before staging
            reads it.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        output: Path,
        batch_files: int | None = None,
        file_size: int | None = None,
        vanishing: tuple[Path, Path] | None = None,
    ) -> None:
        self.output = output
        self.process: BaseProcess = FORKSERVER.Process(
            target=_run,
            args=(
                *(words, os.environ | environment, output),
                *(batch_files, file_size, vanishing),
            ),
        )
        self.process.start()

    def wait_for(self, text: str) -> None:
        """Return when it has printed the text, or ended without."""
        while self.process.is_alive() and text not in self.printed():
            time.sleep(0.02)

    def kill_after(self, seconds: float) -> bool:
        """Send SIGKILL; return false if the command had come to its end before."""
        return kill_after(self.process, seconds)

    def end(self, timeout: float | None = None) -> tuple[int | None, str]:
        """Wait for its end; return the exit code and what it printed.

        Args:
            timeout: Seconds after which it is killed.
        """
        kill_after(self.process, timeout)
        return self.process.exitcode, self.printed()

    def printed(self) -> str:
        """Return what it has printed so far."""
        return self.output.read_text() if self.output.exists() else ""


def start_loading(
    database: Path, settings: loading.Settings, batch_files: int
) -> BaseProcess:
    """Start the loader alone, which costs a fraction of a dbt command."""
    process = FORKSERVER.Process(target=_load, args=(database, settings, batch_files))
    process.start()
    return process


def kill_after(process: BaseProcess, seconds: float | None) -> bool:
    """Send SIGKILL; return false if the process had come to its end before."""
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def _load(database: Path, settings: loading.Settings, batch_files: int) -> None:
    loading.BATCH_FILES = batch_files
    with duckdb.connect(str(database)) as connection:
        loading.Loader(connection.cursor(), settings, lambda line: None).run()


def _lose_after_listing(file: Path, lost: Path) -> None:
    def list_and_lose(*words: Any) -> listing.Listing:
        listed = listing.list_files(*words)
        if file.exists():
            file.rename(lost)
        return listed

    mock.patch.object(loading, "list_files", list_and_lose).start()


def _run(
    words: Sequence[str],
    environment: Mapping[str, str],
    output: Path,
    batch_files: int | None,
    file_size: int | None,
    vanishing: tuple[Path, Path] | None,
) -> None:
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(ROOT)
    if batch_files:
        loading.BATCH_FILES = batch_files
    if vanishing:
        _lose_after_listing(*vanishing)
    if file_size:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import cli

    from .preloaded import manifest_for

    # dbt looks here for options that it has deprecated, and would find pytest's.
    sys.argv = ["dbt", "--no-use-colors", *words]
    try:
        # What the command `dbt` calls; it ends with the command's exit code.
        manifest = manifest_for(words, environment)
        cli(sys.argv[1:], prog_name="dbt", obj={"manifest": manifest})
    finally:
        # What dbt leaves to the end of the interpreter, which this process has not.
        DuckDBConnectionManager.close_all_connections()
        sys.stdout.flush()
