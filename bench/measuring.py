"""What processes cost: seconds on the clock and of CPU, and memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, seconds of CPU, and the largest process's memory in MB."""

    wall: float
    cpu: float
    memory: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.wall + other.wall,
            self.cpu + other.cpu,
            max(self.memory, other.memory),
        )


class Costs(dict[str, Cost]):
    """Costs by the name of what was done; each is printed when it is added."""

    def __setitem__(self, what: str, cost: Cost) -> None:
        say(f"  {what}: {cost.wall:.1f} s, {cost.cpu:.1f} of CPU, {cost.memory:.0f} MB")
        super().__setitem__(what, cost)


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure by itself."""
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        statistics.median(cost.memory for cost in costs),
    )


def measure(command: list[str], environment: dict[str, str], output: Path) -> Cost:
    """Run a command from the project's root; its output goes to a file.

    Raises:
        RuntimeError: the command failed; the message is its output.
    """
    begun = time.monotonic()
    with output.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(output.read_text())
    return Cost(
        time.monotonic() - begun,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
    )


def aside(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a process of its own.

    Linux counts a new process's peak from the memory of the process that started it, so
    this one has to stay small.
    """
    with ProcessPoolExecutor(max_workers=1) as pool:
        return pool.submit(function, *arguments).result()


def say(message: str) -> None:
    """Print a line of progress to stderr; the report goes to stdout."""
    print(message, file=sys.stderr, flush=True)
