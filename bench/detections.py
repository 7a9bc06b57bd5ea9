"""What the detections cost and find: `python -m bench.detections`.

It prints

- their part of the CPU of load and build, on records of many peers
- what they cost in a scheduled run that loads one more file, on 40 and on 400 days
- the findings in everyday traffic of the generator, which has no attacks

CPU is without the start-up, which is that of the same commands on a hundred records.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import duckdb

from .jobs import Jobs, Sample
from .measuring import Cost, aside, say

#: The models that the detections alone need.
DETECTIONS = [
    *("path:models/detections", "path:models/intermediate/detections"),
    *("int_traffic__hourly_logins", "findings"),
]
MILLION = 1_000_000
MANY_PEERS = Sample("10m-peers", 10 * MILLION, 40, 50, has_many_peers=True)
#: As many records a day.
HISTORIES = [
    Sample("40-days", MILLION, 40, 40, has_many_peers=True),
    Sample("400-days", 10 * MILLION, 400, 400, has_many_peers=True),
]
EVERYDAY = Sample("everyday", 20 * MILLION, 40, 200)


def main() -> int:
    """Run the benchmark and print its report; return 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.detections")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="multiply the records of every sample"
    )
    parser.add_argument(
        "--part",
        action="append",
        choices=["cost", "history", "everyday"],
        help="measure this alone; may be repeated",
    )
    options = parser.parse_args()
    parts = options.part or ["cost", "history", "everyday"]
    if "cost" in parts:
        with tempfile.TemporaryDirectory() as scratch:
            load, other, own = first_build(jobs(scratch, MANY_PEERS, options.scale))
        print(
            f"{MANY_PEERS.name}: detections {own:.1f} s of CPU, load {load:.1f} s,"
            f" the rest of the build {other:.1f} s;"
            f" {own / (load + other + own):.3f} of load and build"
        )
    if "history" in parts:
        costs = []
        for sample in HISTORIES:
            with tempfile.TemporaryDirectory() as scratch:
                costs.append(scheduled_run(jobs(scratch, sample, options.scale)))
            print(f"{sample.name}, one more file: detections {costs[-1]:.2f} s of CPU")
        print(f"ten times the history: {costs[1] / costs[0]:.2f}")
    if "everyday" in parts:
        with tempfile.TemporaryDirectory() as scratch:
            everyday(jobs(scratch, EVERYDAY, options.scale, "--benign"))
    return 0


def jobs(scratch: str, sample: Sample, scale: float, *words: str) -> Jobs:
    """Return the jobs on a sample."""
    return Jobs(Path(scratch), sample, scale, is_small=False, words=words)


def build(jobs: Jobs, location: Path) -> tuple[Cost, Cost, Cost]:
    """Load and build; return the costs of loading, of the rest, and of detections."""
    jobs.new_database(location.name)
    jobs.dbt(location, "parse")
    load, other = jobs.stage_and(location, "build", "--exclude", *DETECTIONS)
    return load, other, jobs.dbt(location, "build", "--select", *DETECTIONS)


def first_build(jobs: Jobs) -> tuple[float, float, float]:
    """Return the CPU seconds of `build`, without the start-up."""
    start_up = build(jobs, jobs.start_up)
    load, other, own = (
        whole.cpu - begin.cpu
        for whole, begin in zip(build(jobs, jobs.folder), start_up, strict=True)
    )
    return load, other, own


def scheduled_run(jobs: Jobs) -> float:
    """Return the CPU seconds of detections after one more file: the median of three."""
    build(jobs, jobs.start_up)
    build(jobs, jobs.folder)
    costs = []
    for number, more in enumerate(jobs.more):
        start_up = jobs.dbt(jobs.start_up, "run", "--select", *DETECTIONS)
        shutil.copy(more, jobs.folder / f"{number}_{more.name}")
        jobs.stage_and(jobs.folder, "run", "--exclude", *DETECTIONS)
        run = jobs.dbt(jobs.folder, "run", "--select", *DETECTIONS)
        say(f"  one more file: {run.cpu:.1f} s of CPU, start-up {start_up.cpu:.1f}")
        costs.append(run.cpu - start_up.cpu)
    return statistics.median(costs)


def everyday(jobs: Jobs) -> None:
    """Print the findings in a sample, by the version of the records' format."""
    jobs.new_database(jobs.folder.name)
    jobs.stage_and(jobs.folder, "run", "--select", "+findings")
    for row in aside(_findings, jobs.database(jobs.folder.name)):
        print(*row, sep=" | ")


def _findings(database: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(
            """
            with records as (
                select version, count(*) as records from flow_records group by version
            ),

            ends as (
                select distinct version, interface_id, srcaddr, dstaddr
                from flow_records
            ),

            entities as (
                select version, unnest([srcaddr, dstaddr, interface_id]) as entity
                from ends
            ),

            found as (
                select distinct version, finding_id, rule_id
                from findings
                inner join entities on findings.entity = entities.entity
            )

            select
                'version ' || version,
                any_value(records.records) || ' records',
                count(found.finding_id) || ' findings',
                string_agg(distinct found.rule_id, ', ')
            from records
            left join found using (version)
            group by version
            order by version
            """
        ).fetchall()


if __name__ == "__main__":
    sys.exit(main())
