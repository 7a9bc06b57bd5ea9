"""Run the main job and plain SQL in turn, and print what each costs: `make bench`.

Every figure is of whole processes, as the operating system counts them. dbt's start-up
(the same commands on an empty folder) and the interpreter's (an empty script that
imports DuckDB) are measured in the same turns and taken off.
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
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

import sample_logs

ROOT = Path(__file__).parent.parent
END_DATE = date(2026, 6, 30)

# The samples, by what the report calls them.
FEW = "few records in 50 files"
LARGE = "many records in 50 files"
SMALL = "many records in 5,000 files"


@dataclass(frozen=True)
class Cost:
    """What processes cost: seconds on the clock and of CPU, and the largest's MB."""

    wall: float
    cpu: float
    memory: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.wall + other.wall,
            self.cpu + other.cpu,
            max(self.memory, other.memory),
        )


def main() -> int:
    """Run the benchmark.

    Returns:
        0; a job whose answers differ from the truth file raises an AssertionError.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--records-in-many-files", type=int, default=10_000_000)
    parser.add_argument("--days", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch))
        few, many = options.records, options.records_in_many_files
        folders = {
            name: bench.generate(str(number), records, options.days, files)
            for number, (name, records, files) in enumerate(
                [(FEW, few, 50), (LARGE, many, 50), (SMALL, many, 5_000)]
            )
        }
        empty = bench.scratch / "empty"
        empty.mkdir()

        costs: dict[str, list[Cost]] = {}
        for turn in range(options.turns):
            print(f"turn {turn + 1} of {options.turns}", file=sys.stderr, flush=True)
            jobs = [
                ("dbt start-up", bench.dbt(empty)),
                ("SQL start-up", bench.nothing()),
            ]
            for name, folder in folders.items():
                jobs.append((f"dbt, {name}", bench.dbt(folder)))
                jobs.append((f"SQL, {name}", bench.plain(folder)))
            for name, cost in jobs:
                costs.setdefault(name, []).append(cost)

    report({name: median(runs) for name, runs in costs.items()})
    return 0


def report(costs: dict[str, Cost]) -> None:
    """Print the costs as a table in Markdown, and the ratios under it."""
    print(f"DuckDB {duckdb.__version__}, {os.cpu_count()} cores\n")
    print("| | wall s | CPU s | peak MB |\n|---|---|---|---|")
    for name, cost in costs.items():
        print(f"| {name} | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.memory:.0f} |")

    def work(engine: str, files: str) -> float:
        return costs[f"{engine}, {files}"].cpu - costs[f"{engine} start-up"].cpu

    print("\nCPU, start-up taken off:")
    for files in (FEW, LARGE, SMALL):
        ratio = work("dbt", files) / work("SQL", files)
        print(f"- load and build to plain SQL, {files}: {ratio:.2f}")
    ratio = work("dbt", SMALL) / work("dbt", LARGE)
    print(f"- load and build, 5,000 files to 50 files of the same records: {ratio:.2f}")


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure by itself."""
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        statistics.median(cost.memory for cost in costs),
    )


class Bench:
    """A scratch folder, and the jobs that can be run in it."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.binaries = Path(sys.executable).parent
        shutil.copy(ROOT / "profiles.yml.example", scratch / "profiles.yml")

    def generate(self, name: str, records: int, days: int, files: int) -> Path:
        """Write the sample in about so many files."""
        folder = self.scratch / name
        sample_logs.generate(
            folder,
            end_date=END_DATE,
            days=days,
            records=records,
            records_per_file=records // files,
        )
        return folder

    def dbt(self, folder: Path) -> Cost:
        """Stage and build a folder into a new database."""
        database = self.new_database()
        environment = {
            "DBT_PROFILES_DIR": str(self.scratch),
            "DBT_TARGET_PATH": str(self.scratch / "target"),
            "DBT_LOG_PATH": str(self.scratch / "logs"),
            "VPC_FLOW_LOGS_LOCATION": str(folder),
            "VPC_FLOW_DUCKDB_PATH": str(database),
        }
        # Parsing again because the folder changed is no part of the job.
        dbt = str(self.binaries / "dbt")
        variables = ["--vars", json.dumps({"as_of": END_DATE.isoformat()})]
        self.run([dbt, "parse", *variables], environment)
        cost = self.run(
            [dbt, "run-operation", "stage_external_sources", *variables], environment
        ) + self.run([dbt, "build", *variables], environment)

        truth_file = folder / "truth.json"
        if truth_file.exists():
            truth = json.loads(truth_file.read_text())
            with duckdb.connect(str(database), read_only=True) as connection:
                for mart, expected in truth["marts"].items():
                    found = connection.execute(
                        f"select count(*) from {mart}"
                    ).fetchone()
                    assert found == (len(expected),), mart
        return cost

    def plain(self, folder: Path) -> Cost:
        """Answer the same questions of the same folder with plain SQL."""
        truth = json.loads((folder / "truth.json").read_text())
        words = [str(folder), str(self.new_database())]
        words += [str(truth[name]) for name in ("as_of", "lookback_days", "top_n")]
        cost = self.run([sys.executable, "-m", "bench.plain", *words], {})
        answers = json.loads((self.scratch / "output").read_text())
        assert answers == truth["marts"]
        return cost

    def nothing(self) -> Cost:
        """Start the interpreter and import DuckDB."""
        return self.run([sys.executable, "-c", "import duckdb"], {})

    def new_database(self) -> Path:
        """Return where the next job puts its database; the last one's is removed."""
        database = self.scratch / "bench.duckdb"
        for path in (database, self.scratch / "bench.duckdb.wal"):
            path.unlink(missing_ok=True)
        return database

    def run(self, command: list[str], environment: dict[str, str]) -> Cost:
        """Run a command; its output goes to a file in the scratch folder.

        Raises:
            RuntimeError: the command failed.
        """
        begun = time.monotonic()
        with (self.scratch / "output").open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError((self.scratch / "output").read_text())
        return Cost(
            time.monotonic() - begun,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss / 1024,
        )


if __name__ == "__main__":
    sys.exit(main())
