"""Run the main job and plain SQL in turn, and print what each costs: `make bench`.

Every figure is of whole processes, as the operating system counts them. dbt's start-up
(the same commands on an empty folder) and the interpreter's (an empty script that
imports DuckDB) are measured in the same turns and taken off where the report says so.
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
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import yaml

from .plain import Model, Steps

ROOT = Path(__file__).parent.parent
END_DATE = date(2026, 6, 30)
VARIABLES = ("--vars", json.dumps({"as_of": END_DATE.isoformat()}))
MARTS = ("run", "--select", "path:models/marts")

# Records of the one more file of an incremental run, and how many files come so, one
# after the other: dbt's start-up, which varies, takes most of such a run.
ONE_MORE = 100_000
DELIVERIES = 5

QUICKSTART = "quickstart's shape"
QUESTIONS = "the same four questions of the typed view"

# What has the packages of requirements-bench.txt.
OTHERS = ROOT / ".venv" / "others" / "bin" / "python"

# What these cost differs by the scopes of both addresses of every record.
SCOPES = {
    "every record's scopes": ("src_scope", "dst_scope"),
    "every record's addresses": ("srcaddr", "dstaddr"),
}


@dataclass(frozen=True)
class Sample:
    """Records over so many days, in about so many files, measured so many times.

    `key` names it on the command line.
    """

    key: str
    records: int
    days: int
    files: int
    turns: int
    with_quickstart: bool = False
    others: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the report calls it."""
        return (
            f"{self.records / 1e6:g} M records of {self.days} days"
            f" in {self.files:,} files"
        )


# flowlogs_reader takes minutes for a million records.
ENGINES = ("duckdb", "polars", "chdb")
SMALL_FILES = {
    files: Sample(f"{files}-files", 10_000_000, 40, files, 1)
    for files in (5_000, 20_000)
}
LARGE_FILES = Sample("10m", 10_000_000, 40, 50, 1, with_quickstart=True, others=ENGINES)
SHORT_HISTORY = Sample("5m", 5_000_000, 40, 50, 1)
LONG_HISTORY = Sample("50m", 50_000_000, 400, 200, 1)
SAMPLES = [
    Sample("1m", 1_000_000, 40, 50, 3, others=(*ENGINES, "flowlogs_reader")),
    SHORT_HISTORY,
    LARGE_FILES,
    *SMALL_FILES.values(),
    LONG_HISTORY,
]


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


# By the sample's name, and by what was done by whom.
Costs = dict[str, dict[str, Cost]]


class Told(dict[str, Cost]):
    """Costs that are told as they come."""

    def __setitem__(self, what: str, cost: Cost) -> None:
        say(f"  {what}: {cost.wall:.1f} s, {cost.cpu:.1f} of CPU, {cost.memory:.0f} MB")
        super().__setitem__(what, cost)


def main() -> int:
    """Run the benchmark.

    Returns:
        0; different answers of the two raise an AssertionError.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="multiplies the records and files of every sample",
    )
    parser.add_argument(
        "--largest", type=int, default=50, help="leaves out samples of more M records"
    )
    parser.add_argument(
        "--sample",
        action="append",
        choices=[sample.key for sample in SAMPLES],
        help="measures this sample alone, or these",
    )
    parser.add_argument(
        "--costs",
        type=Path,
        help="keeps the costs in this file, and compares with those of earlier runs",
    )
    options = parser.parse_args()

    costs: Costs = {}
    if options.costs and options.costs.exists():
        for name, of_sample in json.loads(options.costs.read_text()).items():
            costs[name] = {what: Cost(**cost) for what, cost in of_sample.items()}
    for sample in SAMPLES:
        if sample.records > options.largest * 1_000_000:
            continue
        if options.sample and sample.key not in options.sample:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            bench = Bench(Path(scratch), sample, options.scale)
            turns = [bench.turn() for _ in range(sample.turns)]
            costs[sample.name] = {
                what: median([turn[what] for turn in turns]) for what in turns[0]
            } | bench.others()
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


def ratios(costs: Costs) -> None:
    """Print what the costs come to, each ratio on a line."""
    print("\nCPU, start-up taken off:")
    for name, of_sample in costs.items():
        for what in ("load and build", "one more file", "marts alone"):
            ratio = work(of_sample, "dbt", what) / work(of_sample, "SQL", what)
            print(f"- {name}, {what}: {ratio:.2f} of plain SQL")
        scopes, addresses = (of_sample[what].cpu for what in SCOPES)
        ratio = (scopes - addresses) / work(of_sample, "dbt", "load alone")
        print(f"- {name}, scopes of every record: {ratio:.2f} of the load alone")
        if QUICKSTART in of_sample:
            ours = work(of_sample, "dbt", "load alone") + of_sample[QUESTIONS].cpu
            ratio = of_sample[QUICKSTART].cpu / ours
            print(
                f"- {name}, load and four questions: {ratio:.2f} times cheaper than it"
            )
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
        print("Whole processes:")
        ratio = long["dbt, scheduled build"].wall / short["dbt, scheduled build"].wall
        print(f"- scheduled build, wall: {ratio:.2f} on ten times the history")


def work(costs: dict[str, Cost], engine: str, what: str) -> float:
    """Return CPU seconds without those of the start-up."""
    start_up = f"{what}, start-up" if engine == "dbt" else "start-up"
    return costs[f"{engine}, {what}"].cpu - costs[f"{engine}, {start_up}"].cpu


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure by itself."""
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        statistics.median(cost.memory for cost in costs),
    )


class Bench:
    """A scratch folder with one sample, and the jobs that can be run in it."""

    def __init__(self, scratch: Path, sample: Sample, scale: float) -> None:
        self.scratch = scratch
        self.sample = sample
        self.binaries = Path(sys.executable).parent
        profile = ROOT / "profiles.yml.example"
        shutil.copy(profile, scratch / "profiles.yml")
        local = yaml.safe_load(profile.read_text())["vpc_flow_logs"]["outputs"]["local"]
        self.settings = {name: str(value) for name, value in local["settings"].items()}
        self.config = local["config_options"]

        say(f"writing {sample.name}")
        records, files = int(sample.records * scale), max(1, int(sample.files * scale))
        self.folder = scratch / "logs"
        self.write(self.folder, sample.days, records, records // files)
        self.truth = json.loads((self.folder / "truth.json").read_text())
        # A file is of one flow log; the busiest has a fifth of the records.
        one_more = int(ONE_MORE * scale)
        self.more = []
        for number in range(DELIVERIES + 1):
            more, seed = scratch / f"more_{number}", str(8 + number)
            self.write(more, 1, 5 * one_more, one_more, "--seed", seed)
            self.more.append(
                max(more.rglob("*.parquet"), key=lambda file: file.stat().st_size)
            )
        self.empty = scratch / "empty"
        self.empty.mkdir()

    def write(
        self, out: Path, days: int, records: int, in_a_file: int, *words: str
    ) -> None:
        """Write a sample."""
        command = [sys.executable, "-m", "sample_logs", "--out", str(out), *words]
        command += ["--end-date", END_DATE.isoformat(), "--days", str(days)]
        command += ["--records", str(records), "--records-per-file", str(in_a_file)]
        self.process(command, {})

    def turn(self) -> dict[str, Cost]:
        """Do everything once and return what each thing cost."""
        costs = Told()

        self.new_database("empty")
        self.dbt(self.empty, "parse")
        # That test fails where no file ever was; what comes after it would be skipped.
        stage, build = self.stage_and(
            self.empty, "build", "--exclude", "assert_files_still_arrive"
        )
        costs["dbt, load alone, start-up"] = stage
        costs["dbt, load and build, start-up"] = stage + build
        costs["dbt, marts alone, start-up"] = self.dbt(self.empty, *MARTS)
        costs["SQL, start-up"] = self.process(
            [sys.executable, "-c", "import duckdb"], {}
        )

        database = self.new_database("logs")
        self.dbt(self.folder, "parse")
        stage, build = self.stage_and(self.folder, "build")
        costs["dbt, load alone"] = stage
        costs["dbt, load and build"] = stage + build
        first = self.models()
        aside(self.check_against_truth, database)
        for what, columns in SCOPES.items():
            words = [str(database), json.dumps(self.settings), *columns]
            costs[what] = self.process(
                [sys.executable, "-m", "bench.scopes", *words], {}
            )
        if self.sample.with_quickstart:
            costs[QUESTIONS] = self.ask("--over", str(database))
        plain = self.new_database("plain")
        everything = f"{self.folder}/AWSLogs/**/*.parquet"
        costs["SQL, load and build"] = self.plain(everything, first, is_first=True)

        deliveries = [self.delivery(number) for number in range(DELIVERIES)]
        for what in deliveries[0]:
            costs[what] = median([delivery[what] for delivery in deliveries])

        costs["dbt, marts alone"] = self.dbt(self.folder, *MARTS)
        marts = self.models()
        costs["SQL, marts alone"] = self.plain("", marts)
        aside(self.compare, database, plain, marts)
        say(f"  stores {database.stat().st_size / 1e6:.0f} MB,")
        say(f"  plain SQL {plain.stat().st_size / 1e6:.0f} MB")

        self.deliver(DELIVERIES)
        _, costs["dbt, scheduled build"] = self.stage_and(self.folder, "build")
        for number in range(DELIVERIES + 1):
            shutil.rmtree(self.folder / f"one_more_{number}")

        if self.sample.with_quickstart:
            quickstart = self.new_database("quickstart")
            costs[QUICKSTART] = self.ask(str(self.folder), str(quickstart))
            say(f"  the quickstart's shape {quickstart.stat().st_size / 1e6:.0f} MB")
        return costs

    def delivery(self, number: int) -> dict[str, Cost]:
        """Have one more file in all marts, by dbt and by plain SQL.

        Without the tests, which plain SQL has none of.
        """
        costs = {}
        stage, run = self.stage_and(self.empty, "run")
        costs["dbt, one more file, start-up"] = stage + run
        added = self.deliver(number)
        stage, run = self.stage_and(self.folder, "run")
        costs["dbt, one more file"] = stage + run
        costs["SQL, one more file"] = self.plain(str(added), self.models())
        return costs

    def deliver(self, number: int) -> Path:
        """Put one more file into the folder."""
        added = self.folder / f"one_more_{number}" / self.more[number].name
        added.parent.mkdir()
        shutil.copy(self.more[number], added)
        return added

    def stage_and(self, location: Path, *words: str) -> tuple[Cost, Cost]:
        """Run the two commands of the main job; the second has these words."""
        return (
            self.dbt(location, "run-operation", "stage_external_sources"),
            self.dbt(location, *words),
        )

    def dbt(self, location: Path, *words: str) -> Cost:
        """Run a dbt command on a folder and the database of the same name."""
        return self.process(
            [str(self.binaries / "dbt"), *words, *VARIABLES],
            {
                "DBT_PROFILES_DIR": str(self.scratch),
                "DBT_TARGET_PATH": str(self.scratch / f"target_of_{location.name}"),
                "DBT_LOG_PATH": str(self.scratch / "logs_of_dbt"),
                "VPC_FLOW_LOGS_LOCATION": str(location),
                "VPC_FLOW_DUCKDB_PATH": str(self.database(location.name)),
            },
        )

    def models(self) -> list[Model]:
        """Return the models of dbt's last run on the logs, in its order."""
        target = self.scratch / "target_of_logs"
        nodes = json.loads((target / "manifest.json").read_text())["nodes"]
        results = json.loads((target / "run_results.json").read_text())["results"]
        found: list[Model] = []
        for result in results:
            node = nodes.get(result["unique_id"], {})
            if node.get("resource_type") != "model":
                continue
            key = node["config"]["unique_key"] or []
            found.append(
                Model(
                    name=node["name"],
                    sql=result["compiled_code"],
                    materialized=node["config"]["materialized"],
                    unique_key=[key] if isinstance(key, str) else key,
                )
            )
        return found

    def plain(self, files: str, models: list[Model], is_first: bool = False) -> Cost:
        """Load the files and run the models with plain SQL, as dbt just did."""
        steps = Steps(
            database=str(self.database("plain")),
            settings=self.settings,
            config=self.config,
            folder=str(self.folder),
            files=files,
            copied_at=aside(self.loaded_at, self.database("logs")),
            is_first=is_first,
            models=models,
        )
        path = self.scratch / "steps.json"
        path.write_text(json.dumps(steps))
        return self.process([sys.executable, "-m", "bench.plain", str(path)], {})

    def ask(self, *words: str) -> Cost:
        """Answer the quickstarts' four questions, of what the words say."""
        window = [str(self.truth[name]) for name in ("as_of", "lookback_days", "top_n")]
        command = [sys.executable, "-m", "bench.quickstart", *words, *window]
        cost = self.process(command, {})
        self.check_talkers()
        return cost

    def others(self) -> dict[str, Cost]:
        """Answer the questions about talkers once with each other engine."""
        costs = Told()
        for engine in self.sample.others:
            python = Path(sys.executable) if engine == "duckdb" else OTHERS
            if not python.exists():
                say(f"  without {engine}, which `make bench` installs")
                continue
            words = [str(python), "bench/others.py", engine, str(self.folder)]
            for name in ("as_of", "lookback_days", "top_n"):
                words.append(str(self.truth[name]))
            costs[f"{engine}, top talkers from the files"] = self.process(words, {})
            self.check_talkers()
        return costs

    def check_talkers(self) -> None:
        """Compare the answers about talkers that a process printed with the truth."""
        answers = json.loads((self.scratch / "output").read_text())
        assert answers
        for mart, rows in answers.items():
            expected = [list(row.values())[:5] for row in self.truth["marts"][mart]]
            assert rows == expected, mart

    def loaded_at(self, database: Path) -> str:
        """Return when the newest file was loaded."""
        with duckdb.connect(str(database), read_only=True) as connection:
            newest = connection.execute(
                "select max(loaded_at)::varchar from landing.load_history"
            ).fetchone()
        assert newest
        return str(newest[0])

    def check_against_truth(self, database: Path) -> None:
        """Compare the marts that the generator knows with its truth, row by row."""
        with duckdb.connect(str(database), read_only=True) as connection:
            for mart, rows in self.truth["marts"].items():
                names = ", ".join(rows[0])
                found = connection.execute(f"select {names} from {mart}").fetchall()
                expected = [tuple(map(str, row.values())) for row in rows]
                assert sorted(tuple(map(str, row)) for row in found) == sorted(expected)

    def compare(self, ours: Path, plain: Path, marts: list[Model]) -> None:
        """Compare each answer, the rows of the marts that tell no load time."""
        answers = [
            model["name"]
            for model in marts
            if model["name"].startswith(("admin_", "top_"))
        ]
        assert len(answers) == 8, answers
        with duckdb.connect() as connection:
            connection.execute(f"attach '{ours}' as ours (read_only)")
            connection.execute(f"attach '{plain}' as plain (read_only)")
            for name in answers:
                columns = [
                    column
                    for column, *_ in connection.execute(
                        f"describe ours.main.{name}"
                    ).fetchall()
                ]
                selected = f"select {', '.join(columns)} from"
                for one, other in (("ours", "plain"), ("plain", "ours")):
                    surplus = connection.execute(
                        f"{selected} {one}.main.{name}"
                        f" except all {selected} {other}.main.{name}"
                    ).fetchall()
                    assert not surplus, (name, one, surplus[0])

    def new_database(self, owner: str) -> Path:
        """Return where the next database of an owner goes; the last is removed.

        All have the same name, because the models' statements hold it.
        """
        database = self.database(owner)
        shutil.rmtree(database.parent, ignore_errors=True)
        database.parent.mkdir()
        return database

    def database(self, owner: str) -> Path:
        """Return where the database of an owner is."""
        return self.scratch / f"database_of_{owner}" / "flow.duckdb"

    def process(self, command: list[str], environment: dict[str, str]) -> Cost:
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


def aside(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a process of its own, whose memory is no one else's.

    A process counts as its peak what the one that started it had, which therefore must
    stay small.
    """
    with ProcessPoolExecutor(max_workers=1) as pool:
        return pool.submit(function, *arguments).result()


def say(message: str) -> None:
    """Print a line about what goes on, beside the report."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
