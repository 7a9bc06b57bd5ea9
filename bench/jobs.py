"""The jobs that the benchmark measures, on one sample in a scratch folder."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import yaml

from .measuring import ROOT, Cost, Costs, aside, measure, median, say
from .plain import Model, Steps

END_DATE = date(2026, 6, 30)
VARIABLES = ("--vars", json.dumps({"as_of": END_DATE.isoformat()}))
MARTS = ("run", "--select", "path:models/marts")

# Records of the one more file of an incremental run, and how many such files come, one
# after the other: dbt's start-up, which varies, is most of such a run.
ONE_MORE = 100_000
DELIVERIES = 5

QUICKSTART = "quickstart's shape"
QUESTIONS = "the same four questions of the typed view"


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
    with_quickstart: bool = False

    @property
    def name(self) -> str:
        """Its name in the report."""
        return (
            f"{self.records / 1e6:g} M records of {self.days} days"
            f" in {self.files:,} files"
        )


class Jobs:
    """A scratch folder with one sample, and the jobs to run in it.

    Args:
        scratch: An empty folder.
        sample: The sample, which is written to it.
        scale: Multiplies the sample's records and files.
    """

    def __init__(self, scratch: Path, sample: Sample, scale: float) -> None:
        self.scratch = scratch
        self.sample = sample
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
        """Write sample logs."""
        command = ["-m", "sample_logs", "--out", str(out), *words]
        command += ["--end-date", END_DATE.isoformat(), "--days", str(days)]
        command += ["--records", str(records), "--records-per-file", str(in_a_file)]
        self.python(*command)

    def run(self) -> Costs:
        """Do everything once and return what each job cost."""
        costs = Costs()

        self.new_database("empty")
        self.dbt(self.empty, "parse")
        # That test fails where no file ever came, and dbt skips what depends on it.
        stage, build = self.stage_and(
            self.empty, "build", "--exclude", "assert_files_still_arrive"
        )
        costs["dbt, load and build, start-up"] = stage + build
        costs["dbt, load alone, start-up"] = stage
        costs["dbt, marts alone, start-up"] = self.dbt(self.empty, *MARTS)
        costs["SQL, start-up"] = self.python("-c", "import duckdb")

        database = self.new_database("logs")
        self.dbt(self.folder, "parse")
        stage, build = self.stage_and(self.folder, "build")
        costs["dbt, load and build"] = stage + build
        costs["dbt, load alone"] = stage
        models = self.models()
        aside(self.check_against_truth, database)
        if self.sample.with_quickstart:
            costs[QUESTIONS] = self.ask("--over", str(database))
        plain = self.new_database("plain")
        everything = f"{self.folder}/AWSLogs/**/*.parquet"
        costs["SQL, load and build"] = self.plain(everything, models, is_first=True)

        deliveries = [self.delivery(number) for number in range(DELIVERIES)]
        for what in deliveries[0]:
            costs[what] = median([delivery[what] for delivery in deliveries])

        costs["dbt, marts alone"] = self.dbt(self.folder, *MARTS)
        marts = self.models()
        costs["SQL, marts alone"] = self.plain("", marts)
        aside(self.compare, database, plain, marts)
        for owner, file in (("dbt", database), ("plain SQL", plain)):
            say(f"  {owner} stores {file.stat().st_size / 1e6:.0f} MB")

        self.deliver(DELIVERIES)
        _, costs["dbt, scheduled build"] = self.stage_and(self.folder, "build")
        for number in range(DELIVERIES + 1):
            shutil.rmtree(self.folder / f"one_more_{number}")

        if self.sample.with_quickstart:
            quickstart = self.new_database("quickstart")
            costs[QUICKSTART] = self.ask(str(self.folder), str(quickstart))
            say(f"  its database: {quickstart.stat().st_size / 1e6:.0f} MB")
        return costs

    def delivery(self, number: int) -> dict[str, Cost]:
        """Have one more file in all marts, by dbt and by plain SQL.

        dbt runs no tests here, since plain SQL has none.
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
        return measure(
            [str(Path(sys.executable).with_name("dbt")), *words, *VARIABLES],
            {
                "DBT_PROFILES_DIR": str(self.scratch),
                "DBT_TARGET_PATH": str(self.scratch / f"target_of_{location.name}"),
                "DBT_LOG_PATH": str(self.scratch / "logs_of_dbt"),
                "VPC_FLOW_LOGS_LOCATION": str(location),
                "VPC_FLOW_DUCKDB_PATH": str(self.database(location.name)),
            },
            self.scratch / "output",
        )

    def python(self, *words: str) -> Cost:
        """Run Python."""
        return measure([sys.executable, *words], {}, self.scratch / "output")

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
        return self.python("-m", "bench.plain", str(path))

    def ask(self, *words: str) -> Cost:
        """Answer the quickstarts' four questions, and compare them with the truth."""
        window = [str(self.truth[name]) for name in ("as_of", "lookback_days", "top_n")]
        cost = self.python("-m", "bench.quickstart", *words, *window)
        answers = json.loads((self.scratch / "output").read_text())
        for mart, rows in answers.items():
            expected = [list(row.values())[:5] for row in self.truth["marts"][mart]]
            assert rows == expected, mart
        return cost

    def loaded_at(self, database: Path) -> str:
        """Return when the newest file was loaded."""
        with duckdb.connect(str(database), read_only=True) as connection:
            newest = connection.execute(
                "select max(loaded_at)::varchar from landing.load_history"
            ).fetchone()
        assert newest
        return str(newest[0])

    def check_against_truth(self, database: Path) -> None:
        """Compare marts with the sample's truth, row by row."""
        with duckdb.connect(str(database), read_only=True) as connection:
            for mart, rows in self.truth["marts"].items():
                names = ", ".join(rows[0])
                found = connection.execute(f"select {names} from {mart}").fetchall()
                expected = [tuple(map(str, row.values())) for row in rows]
                assert sorted(tuple(map(str, row)) for row in found) == sorted(expected)

    def compare(self, ours: Path, plain: Path, marts: list[Model]) -> None:
        """Compare the rows of each answer in the two databases."""
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
                # Contracts give the models' columns another order.
                columns = ", ".join(connection.table(f"ours.main.{name}").columns)
                rows = f"select {columns} from {{}}.main.{name}"
                for one, other in (("ours", "plain"), ("plain", "ours")):
                    surplus = connection.execute(
                        f"{rows.format(one)} except all {rows.format(other)}"
                    ).fetchall()
                    assert not surplus, (name, one, surplus[0])

    def new_database(self, owner: str) -> Path:
        """Return where the next database of an owner goes; the last one is removed."""
        database = self.database(owner)
        shutil.rmtree(database.parent, ignore_errors=True)
        database.parent.mkdir()
        return database

    def database(self, owner: str) -> Path:
        """Return where the database of an owner is.

        All have the same name, which is in the models' compiled statements.
        """
        return self.scratch / f"database_of_{owner}" / "flow.duckdb"
