"""The jobs that the benchmark measures, on one sample in a scratch folder."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from .measuring import ROOT, Cost, Costs, aside, measure, median, say
from .peers import write_many_peers

END_DATE = date(2026, 6, 30)
LOOKBACK_DAYS, TOP_N = 30, 10
VARIABLES = ("--vars", json.dumps({"as_of": END_DATE.isoformat()}))
WINDOW = (END_DATE.isoformat(), str(LOOKBACK_DAYS), str(TOP_N))

# Records of the one more file of an incremental run, and how many such files come, one
# after the other: dbt's start-up, which varies, is most of such a run.
ONE_MORE = 100_000
DELIVERIES = 3

QUICKSTART = "quickstart's shape"


@dataclass(frozen=True)
class Sample:
    """Records over so many days, in about so many files, measured so many times.

    `key` is its name on the command line.
    """

    key: str
    records: int
    days: int
    files: int
    turns: int = 1
    has_many_peers: bool = False
    with_quickstart: bool = False

    @property
    def name(self) -> str:
        """Its name in the report."""
        peers = "many" if self.has_many_peers else "few"
        return (
            f"{self.records / 1e6:g} M records of {self.days} days"
            f" in {self.files:,} files, {peers} peers"
        )


class Jobs:
    """A scratch folder with one sample, and the jobs to run in it.

    Args:
        scratch: An empty folder.
        sample: The sample, which is written to it.
        scale: Multiplies the sample's records and files.
        is_small: Whether dbt has the settings for a small machine.
        words: Further words for the generator.
    """

    def __init__(
        self,
        scratch: Path,
        sample: Sample,
        scale: float,
        is_small: bool,
        words: Sequence[str] = (),
    ) -> None:
        self.scratch = scratch
        self.sample = sample
        profile = (ROOT / "profiles.yml.example").read_text()
        if is_small:
            for setting in ("threads:", "memory_limit:", "block_allocator_memory:"):
                assert f"# {setting}" in profile
                profile = profile.replace(f"# {setting}", setting)
        (scratch / "profiles.yml").write_text(profile)

        say(f"writing {sample.name}")
        records, files = int(sample.records * scale), max(1, int(sample.files * scale))
        self.folder = scratch / "logs"
        self.write(self.folder, sample.days, records, files, *words)
        # A file of the generator is of one flow log; the busiest has a fifth of all.
        one_more = int(ONE_MORE * scale)
        self.more = []
        for number in range(DELIVERIES):
            more = scratch / f"more_{number}"
            if sample.has_many_peers:
                self.write(more, 1, one_more, 1)
            else:
                self.write(more, 1, 5 * one_more, 5, "--seed", str(8 + number))
            self.more.append(
                max(more.rglob("*.parquet"), key=lambda file: file.stat().st_size)
            )
        self.start_up = scratch / "start_up"
        self.write(self.start_up, 1, 100, 1)

    def write(
        self, out: Path, days: int, records: int, files: int, *words: str
    ) -> None:
        """Write sample logs."""
        if self.sample.has_many_peers:
            aside(write_many_peers, out, END_DATE, days, records, files)
            return
        command = ["-m", "sample_logs", "--out", str(out), *words]
        command += ["--end-date", END_DATE.isoformat(), "--days", str(days)]
        command += ["--records", str(records), "--records-per-file"]
        self.python(*command, str(records // files))

    def run(self) -> Costs:
        """Do everything once and return what each job cost."""
        costs = Costs()

        self.new_database("start_up")
        self.dbt(self.start_up, "parse")
        stage, build = self.stage_and(self.start_up, "build")
        costs["dbt, load and build, start-up"] = stage + build
        costs["dbt, load alone, start-up"] = stage
        costs["SQL, start-up"] = self.python("-c", "import duckdb")

        database = self.new_database("logs")
        self.dbt(self.folder, "parse")
        stage, build = self.stage_and(self.folder, "build")
        costs["dbt, load and build"] = stage + build
        costs["dbt, load alone"] = stage
        plain = self.new_database("plain")
        costs["SQL, load and build"] = self.plain(f"{self.folder}/**/*.parquet")
        aside(self.compare, database, self.answers())
        if not self.sample.has_many_peers:
            aside(self.check_against_truth, database)
        self.say_sizes(database, plain)

        deliveries = [self.delivery(number) for number in range(DELIVERIES)]
        aside(self.compare, database, self.answers())
        for what in deliveries[0]:
            costs[what] = median([delivery[what] for delivery in deliveries])
        for number in range(DELIVERIES):
            shutil.rmtree(self.folder / f"one_more_{number}")

        if self.sample.with_quickstart:
            quickstart = self.new_database("quickstart")
            costs[QUICKSTART] = self.python(
                "-m", "bench.quickstart", str(self.folder), str(quickstart), *WINDOW
            )
            say(f"  its database: {quickstart.stat().st_size / 1e6:.0f} MB")
        return costs

    def delivery(self, number: int) -> dict[str, Cost]:
        """Have one more file in all marts, by dbt and by plain SQL.

        dbt runs no tests here, since plain SQL has none.
        """
        costs = {}
        stage, run = self.stage_and(self.start_up, "run")
        costs["dbt, one more file, start-up"] = stage + run
        added = self.folder / f"one_more_{number}" / self.more[number].name
        # The file of many peers has the same name each time.
        added = added.with_name(added.name.replace("_00000000", f"_{number:08x}f"))
        added.parent.mkdir()
        shutil.copy(self.more[number], added)
        stage, run = self.stage_and(self.folder, "run")
        costs["dbt, one more file"] = stage + run
        costs["SQL, one more file"] = self.plain(str(added))
        return costs

    def stage_and(
        self, location: Path, *words: str, **environment: str
    ) -> tuple[Cost, Cost]:
        """Run the two commands of the main job; the second has these words."""
        return (
            self.dbt(
                location, "run-operation", "stage_external_sources", **environment
            ),
            self.dbt(location, *words, **environment),
        )

    def dbt(self, location: Path, *words: str, **environment: str) -> Cost:
        """Run a dbt command on a folder and the database of the same name."""
        return measure(
            [str(Path(sys.executable).with_name("dbt")), *words, *VARIABLES],
            {
                "DBT_PROFILES_DIR": str(self.scratch),
                "DBT_TARGET_PATH": str(self.scratch / f"target_of_{location.name}"),
                "DBT_LOG_PATH": str(self.scratch / "logs_of_dbt"),
                "VPC_FLOW_LOGS_LOCATION": str(location),
                "VPC_FLOW_DUCKDB_PATH": str(self.database(location.name)),
                **environment,
            },
            self.scratch / "output",
        )

    def python(self, *words: str) -> Cost:
        """Run Python."""
        return measure([sys.executable, *words], {}, self.scratch / "output")

    def plain(self, files: str) -> Cost:
        """Load the files and answer the questions with plain SQL."""
        return self.python(
            "-m", "bench.plain", str(self.database("plain")), files, *WINDOW
        )

    def answers(self) -> dict[str, Any]:
        """Return what plain SQL has just answered."""
        found: dict[str, Any] = json.loads((self.scratch / "output").read_text())
        return found

    def check_against_truth(self, database: Path) -> None:
        """Compare marts with the sample's truth, row by row."""
        truth = json.loads((self.folder / "truth.json").read_text())
        with duckdb.connect(str(database), read_only=True) as connection:
            for mart, rows in truth["marts"].items():
                names = ", ".join(rows[0])
                found = connection.execute(f"select {names} from {mart}").fetchall()
                expected = [tuple(map(str, row.values())) for row in rows]
                assert sorted(tuple(map(str, row)) for row in found) == sorted(expected)

    def compare(self, database: Path, answers: dict[str, Any]) -> None:
        """Compare the marts of talkers with the answers of plain SQL."""
        with duckdb.connect(str(database), read_only=True) as connection:
            for mart, expected in answers.items():
                key = {"destination": "dstaddr", "source": "srcaddr"}.get(
                    mart.rpartition("_")[2], "interface_id"
                )
                rows = connection.execute(
                    f"select rank, {key}, total_bytes, total_packets, records"
                    f" from {mart} order by rank"
                ).fetchall()
                assert [list(row) for row in rows] == expected, mart

    def say_sizes(self, database: Path, plain: Path) -> None:
        """Print the sizes of the databases, and of a landed record."""
        ours, theirs = database.stat().st_size, plain.stat().st_size
        say(f"  dbt stores {ours / 1e6:.0f} MB, {ours / theirs:.2f} of plain SQL")
        blocks, records = aside(self.landed, database)
        say(f"  landing takes {blocks * 2**18 / records:.1f} bytes a record")

    def landed(self, database: Path) -> tuple[int, int]:
        """Return the blocks (256 KiB) and the records of the landing table."""
        with duckdb.connect(str(database), read_only=True) as connection:
            found = connection.execute(
                "select count(distinct block_id),"
                " (select count(*) from landing.flow_logs)"
                " from pragma_storage_info('landing.flow_logs')"
            ).fetchone()
        assert found
        return found[0], found[1]

    def new_database(self, owner: str) -> Path:
        """Return where the next database of an owner goes; the last one is removed."""
        database = self.database(owner)
        shutil.rmtree(database.parent, ignore_errors=True)
        database.parent.mkdir()
        return database

    def database(self, owner: str) -> Path:
        """Return where the database of an owner is."""
        return self.scratch / f"database_of_{owner}" / "flow.duckdb"
