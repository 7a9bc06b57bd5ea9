"""Take the lines of dbt: into a log file, and in short to the terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console
from rich.status import Status

from .dbt_commands import Line


class Progress:
    """Writes dbt's lines into a log, and shows on a terminal how far dbt has got.

    Args:
        log: Takes the lines.
        verbose: Whether to print all of them to stderr as well.
    """

    def __init__(self, log: TextIO, verbose: bool) -> None:
        self._log = log
        self._verbose = verbose
        # On a stderr that is no terminal it prints nothing.
        self._status = Status("", console=Console(stderr=True, quiet=verbose))
        self._step = ""

    def __enter__(self) -> Progress:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def begin(self, step: str) -> None:
        """Show what the lines from now on belong to."""
        self._step = step
        self._status.update(step)

    def hear(self, line: Line) -> None:
        """Take a line."""
        print(line.text, file=self._log, flush=True)
        if self._verbose:
            print(line.text, file=sys.stderr)
        elif line.of:
            self._status.update(f"{self._step}: {line.at} of {line.of}")
