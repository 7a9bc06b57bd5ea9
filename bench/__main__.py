"""Run the main job and plain SQL in turn, and print what each costs: `make bench`.

Every figure is of whole processes, as the operating system counts them. dbt's start-up
(the same commands on a hundred records) and Python's (an empty script that imports
DuckDB) are measured in the same turns, and the ratios leave them out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from .jobs import QUICKSTART, Jobs, Sample
from .measuring import Cost, median

MILLION = 1_000_000
LARGE_FILES = Sample("10m", 10 * MILLION, 40, 50, with_quickstart=True)
SMALL_FILES = {
    files: Sample(f"{files}-files", 10 * MILLION, 40, files)
    for files in (5_000, 20_000)
}
SHORT_HISTORY = Sample("5m", 5 * MILLION, 40, 50)
LONG_HISTORY = Sample("50m", 50 * MILLION, 400, 200)
SAMPLES = [
    Sample("1m", MILLION, 40, 50, turns=3),
    Sample("1m-peers", MILLION, 40, 50, turns=3, has_many_peers=True),
    SHORT_HISTORY,
    LARGE_FILES,
    Sample("10m-peers", 10 * MILLION, 40, 50, has_many_peers=True),
    *SMALL_FILES.values(),
    LONG_HISTORY,
    Sample("50m-peers", 50 * MILLION, 40, 200, has_many_peers=True),
]


def main() -> int:
    """Run the benchmark.

    Returns:
        0; an AssertionError ends it if the answers differ.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="multiply the records and files of every sample",
    )
    parser.add_argument(
        "--largest",
        type=int,
        default=1,
        help="leave out samples of more million records (default 1; all: 50)",
    )
    parser.add_argument(
        "--small",
        action="store_true",
        help="give dbt the settings for a small machine",
    )
    parser.add_argument(
        "--sample",
        action="append",
        choices=[sample.key for sample in SAMPLES],
        help="measure this sample alone; may be repeated",
    )
    parser.add_argument(
        "--costs",
        type=Path,
        help="keep the costs in this file, and compare with those of earlier runs",
    )
    options = parser.parse_args()

    # By the sample's name, and by the name of the job.
    costs: dict[str, dict[str, Cost]] = {}
    if options.costs and options.costs.exists():
        for name, of_sample in json.loads(options.costs.read_text()).items():
            costs[name] = {what: Cost(**cost) for what, cost in of_sample.items()}
    for sample in SAMPLES:
        is_chosen = not options.sample or sample.key in options.sample
        is_larger = sample.records > options.largest * MILLION
        if not is_chosen or (is_larger and not options.sample):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            jobs = Jobs(Path(scratch), sample, options.scale, options.small)
            turns = [jobs.run() for _ in range(sample.turns)]
        costs[sample.name] = {
            what: median([turn[what] for turn in turns]) for what in turns[0]
        }
        table(sample.name, costs[sample.name])
        if options.costs:
            options.costs.write_text(json.dumps(costs, default=vars))
    ratios(costs)
    return 0


def table(name: str, costs: dict[str, Cost]) -> None:
    """Print the costs of one sample as a table in Markdown."""
    print(f"\n{name}:\n\n| | wall s | CPU s | peak MB |\n|---|---|---|---|")
    for what, cost in costs.items():
        print(f"| {what} | {cost.wall:.1f} | {cost.cpu:.1f} | {cost.memory:.0f} |")
    sys.stdout.flush()


def ratios(costs: dict[str, dict[str, Cost]]) -> None:
    """Print the ratios, each on a line."""
    print("\nCPU without start-up:")
    for name, of_sample in costs.items():
        for what in ("load and build", "one more file"):
            ratio = work(of_sample, "dbt", what) / work(of_sample, "SQL", what)
            print(f"- {name}, {what}: {ratio:.2f} of plain SQL")
        if QUICKSTART in of_sample:
            ratio = of_sample[QUICKSTART].cpu / work(of_sample, "SQL", "load and build")
            print(f"- {name}, the quickstart's shape: {ratio:.1f} of plain SQL")
    large = costs.get(LARGE_FILES.name)
    for files, sample in SMALL_FILES.items():
        if large and sample.name in costs:
            small = work(costs[sample.name], "dbt", "load and build")
            ratio = small / work(large, "dbt", "load and build")
            print(f"- {files:,} files, load and build: {ratio:.2f} of 50 files")
    if SHORT_HISTORY.name in costs and LONG_HISTORY.name in costs:
        short, long = costs[SHORT_HISTORY.name], costs[LONG_HISTORY.name]
        ratio = work(long, "dbt", "one more file") / work(short, "dbt", "one more file")
        print(f"- one more file: {ratio:.2f} on ten times the history")


def work(costs: dict[str, Cost], engine: str, what: str) -> float:
    """Return the CPU seconds of a job without those of the start-up."""
    start_up = f"{what}, start-up" if engine == "dbt" else "start-up"
    return costs[f"{engine}, {what}"].cpu - costs[f"{engine}, {start_up}"].cpu


if __name__ == "__main__":
    sys.exit(main())
