"""What a scheduled run costs that loads one more small file.

`python -m bench.schedule` runs dbt's three commands, one after the other, and
`vpcflow run`, in turns. Each has a database and a folder of its own, which get the same
files. The three commands include the unit tests, which `dbt build` ran on a schedule
before there was `vpcflow run`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from datetime import date
from functools import reduce
from operator import add
from pathlib import Path

from sample_logs import generate

from .measuring import ROOT, Cost, Costs, measure, median

END_DATE = date(2026, 6, 30)
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


def main() -> int:
    """Run the benchmark and print its table; return 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.schedule")
    parser.add_argument("--turns", type=int, default=5, help="default 5")
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as scratch:
        costs = compare(Path(scratch), turns)
    print("| | wall s | CPU s | peak MB |\n|---|---|---|---|")
    for way, cost in costs.items():
        print(f"| {way} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.memory:.0f} |")
    three, one = costs.values()
    ratios = f"{one.wall / three.wall:.2f} of the wall clock, {one.cpu / three.cpu:.2f}"
    print(f"\nvpcflow run takes {ratios} of the CPU")
    return 0


def compare(scratch: Path, turns: int) -> dict[str, Cost]:
    """Return the median cost of each way.

    Args:
        scratch: An empty folder.
        turns: How many files are delivered, one after the other.

    Raises:
        RuntimeError: a command failed.
    """
    more = scratch / "more"
    # Most of a flow log's files are full; the last holds what is left.
    generate(
        more,
        end_date=END_DATE,
        days=1,
        records=ONE_MORE * turns * 20,
        records_per_file=ONE_MORE,
        seed=8,
    )
    for way in WAYS:
        generate(scratch / way / "files", end_date=END_DATE)
        shutil.copy(ROOT / "profiles.yml.example", scratch / way / "profiles.yml")
        run(way, scratch / way)
    costs: dict[str, list[Cost]] = {way: [] for way in WAYS}
    for number, file in enumerate(sorted(more.rglob("*.parquet"))[:turns]):
        turn = Costs()
        for way, found in costs.items():
            shutil.copy(file, scratch / way / "files")
            turn[f"{number + 1}, {way}"] = cost = run(way, scratch / way)
            found.append(cost)
    return {way: median(found) for way, found in costs.items()}


def run(way: str, folder: Path) -> Cost:
    """Do one scheduled run and return what it costs.

    Raises:
        RuntimeError: a command failed.
    """
    variables = json.dumps({"as_of": END_DATE.isoformat()})
    environment = {
        "DBT_PROFILES_DIR": str(folder),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "VPC_FLOW_DUCKDB_PATH": str(folder / "flow.duckdb"),
        "VPC_FLOW_LOGS_LOCATION": str(folder / "files"),
    }
    output = folder / "printed.txt"
    costs = (
        measure([*command, "--vars", variables], environment, output)
        for command in WAYS[way]
    )
    return reduce(add, costs)


if __name__ == "__main__":
    sys.exit(main())
