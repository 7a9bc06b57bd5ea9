"""Wait for the DuckDB file while another process has it open."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import duckdb

SECONDS_BETWEEN_TRIES = 0.5


class InUseError(Exception):
    """Another process has the file open; the message names it and what to do."""


def open_when_free(
    path: str,
    config: Mapping[str, Any],
    timeout: float,
    say: Callable[[str], None],
) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file, which one process at a time may do.

    Args:
        path: The file.
        config: DuckDB's configuration options.
        timeout: Seconds to wait for another process.
        say: Prints a line; called once, if the file is in use.

    Raises:
        InUseError: the other process still has it open after that time.
        duckdb.Error: the file cannot be opened for another reason.
    """
    begun, waiting = time.monotonic(), False
    while True:
        try:
            return duckdb.connect(path, config=dict(config))
        except duckdb.IOException as failure:
            if "Could not set lock" not in str(failure):
                raise
            found = re.search(r"is held in (.+? \(PID \d+\))", str(failure))
            holder = found[1] if found else "another process"
        if time.monotonic() - begun >= timeout:
            raise InUseError(
                f"{path} is in use by {holder}, still after {timeout:g} s. This command"
                " changed nothing. Run it again when that process has ended, or end"
                " that process. lock_timeout in profiles.yml sets how long to wait."
            )
        if not waiting:
            say(f"{path} is in use by {holder}: waiting for it, up to {timeout:g} s")
            waiting = True
        time.sleep(SECONDS_BETWEEN_TRIES)
