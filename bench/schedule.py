"""What a scheduled run costs that loads one more small file.

`python -m bench.schedule` runs dbt's three commands, one after the other, and
`vpcflow run`, in turns. Each has a database and a folder of its own, which get the same
files. The three commands include the unit tests, which `dbt build` ran on a schedule
before there was `vpcflow run`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

from sample_logs import generate

ROOT = Path(__file__).parent.parent
END_DATE = date(2026, 6, 30)
RECORDS = 100_000
ONE_MORE = 500

DBT = str(Path(sys.executable).with_name("dbt"))
WAYS = {
    "three commands": [
        [DBT, "run-operation", "stage_external_sources"],
        [DBT, "source", "freshness"],
        [DBT, "build", "--exclude", "tag:audit"],
    ],
    "vpcflow run": [[sys.executable, "-m", "vpcflow", "run"]],
}


class Cost(NamedTuple):
    """Seconds on the clock, and of CPU."""

    wall: float
    cpu: float


def main() -> int:
    """Run the benchmark and print its table; return 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.schedule")
    parser.add_argument("--turns", type=int, default=5, help="default 5")
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as scratch:
        costs = measure(Path(scratch), turns)
    print("| | wall s | CPU s |\n|---|---|---|")
    for way, cost in costs.items():
        print(f"| {way} | {cost.wall:.1f} | {cost.cpu:.1f} |")
    three, one = costs.values()
    print(f"\nvpcflow run: {one.wall / three.wall:.2f} of the wall clock,", end=" ")
    print(f"{one.cpu / three.cpu:.2f} of the CPU")
    return 0


def measure(scratch: Path, turns: int) -> dict[str, Cost]:
    """Return the median cost of each way.

    Args:
        scratch: An empty folder.
        turns: How many files are delivered, one after the other.
    """
    files = scratch / "files"
    # The last files of a flow log hold fewer records; each turn takes a full one.
    generate(
        files,
        end_date=END_DATE,
        days=1,
        records=ONE_MORE * turns * 20,
        records_per_file=ONE_MORE,
        seed=8,
    )
    more = sorted(files.rglob("*.parquet"))[:turns]
    for way in WAYS:
        folder = scratch / way
        generate(folder / "logs", end_date=END_DATE, records=RECORDS)
        shutil.copy(ROOT / "profiles.yml.example", folder / "profiles.yml")
        run(way, folder)
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for file in more:
        for way, found in costs.items():
            shutil.copy(file, scratch / way / "logs")
            found.append(run(way, scratch / way))
    return {
        way: Cost(*(statistics.median(figures) for figures in zip(*found, strict=True)))
        for way, found in costs.items()
    }


def run(way: str, folder: Path) -> Cost:
    """Do one scheduled run and return what it costs.

    Raises:
        subprocess.CalledProcessError: a command failed.
    """
    total = Cost(0, 0)
    for command in WAYS[way]:
        cost = process(command, folder)
        total = Cost(total.wall + cost.wall, total.cpu + cost.cpu)
    return total


def process(command: Sequence[str], folder: Path) -> Cost:
    """Run one command on a folder's database and return what it costs.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    variables = json.dumps({"as_of": END_DATE.isoformat()})
    environment = os.environ | {
        "DBT_PROFILES_DIR": str(folder),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs_of_dbt"),
        "VPC_FLOW_DUCKDB_PATH": str(folder / "flow.duckdb"),
        "VPC_FLOW_LOGS_LOCATION": str(folder / "logs"),
    }
    begun = time.monotonic()
    started = subprocess.Popen(
        [*command, "--vars", variables],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(started.pid, 0)
    started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode:
        raise subprocess.CalledProcessError(started.returncode, command)
    return Cost(time.monotonic() - begun, used.ru_utime + used.ru_stime)


if __name__ == "__main__":
    sys.exit(main())
