"""Each record counts once, whatever happens to the files and to the processes.

SIGKILL ends a process as a crash or the kernel's memory killer would. A power failure
is not tried: what survives it depends on the disk, and DuckDB flushes each commit.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import sample_logs

from .conftest import AS_OF, END_DATE, Project
from .processes import Command, kill_after, start_loading
from .test_main_job import MARTS, assert_marts_equal
from .test_staging import BROKEN, settings_for
from .text_files import make_text_of_some

STAGE = ["run-operation", "stage_external_sources"]
BUILD = ["run"]
ROLLUPS = [
    "int_traffic__daily_admin_flows",
    "int_traffic__daily_endpoint_bytes",
]
LATE = timedelta(hours=26)
# What dbt prints before its work begins.
PARSED = "Found "


class Site:
    """A project, a bucket that fills batch by batch, and commands that are killed."""

    def __init__(self, project: Project, sample: Path, chance: random.Random) -> None:
        self.project = project
        self.bucket = Path(project.location)
        self.sample = sample
        self.chance = chance
        self.delivered: list[Path] = []
        self.counted: list[Path] = []
        self.vanishing = self.bucket / "none"
        self.outputs = itertools.count()
        self.kills = 0
        # How long the work of a command takes: a guess until one has finished.
        self.seconds = {STAGE[0]: 1.0, BUILD[0]: 3.0}

    def deliver(self, files: list[Path]) -> None:
        """Put files into the bucket, and some that are there already once more.

        Those also get a copy elsewhere. Now and then all that is there moves elsewhere.
        What cannot be read is always there: links that lead nowhere or to a disk that
        fails, and a pipe. One of the new files may be gone once a run has listed it.
        """
        if self.chance.random() < 0.5:
            self.move()
        again = self.chance.sample(self.delivered, len(self.delivered) // 10)
        targets = [(file, file.relative_to(self.sample)) for file in files + again]
        targets += [(file, Path("copies") / file.name) for file in again]
        for file, place in targets:
            target = self.bucket / place
            target.parent.mkdir(parents=True, exist_ok=True)
            # As S3 does it: a reader sees all of an object, or nothing.
            shutil.copyfile(file, target.with_suffix(".part"))
            target.with_suffix(".part").rename(target)
        self.delivered += files
        self.vanishing = self.bucket / self.chance.choice(files).relative_to(
            self.sample
        )
        for name, (make, _) in BROKEN.items():
            if not os.path.lexists(self.bucket / name):
                make(self.bucket / name)

    def move(self) -> None:
        """Give the folder of AWS's tree another name, so that all paths are new."""
        for tree in list(self.bucket.glob("AWSLogs*")):
            tree.rename(self.bucket / f"AWSLogs{next(self.outputs)}")

    def start(self, words: list[str], **options: Any) -> Command:
        project = self.project
        if words == BUILD:
            words = [*words, "--vars", f"{{as_of: '{END_DATE}'}}"]
        return Command(
            words,
            project.variables(),
            project.target / f"output{next(self.outputs)}",
            **options,
        )

    def run(self, words: list[str], kill: bool = False) -> None:
        """Run a command to its end, or kill it at some moment of its work.

        Of the runs that are killed, half lose a file after they have listed it.
        """
        lost = self.vanishing.with_name("_lost")
        options: dict[str, Any] = {"batch_files": self.chance.randint(1, 12)}
        if kill and self.chance.random() < 0.5:
            options["vanishing"] = (self.vanishing, lost)
        command = self.start(words, **options)
        command.wait_for(PARSED)
        begun, usual = time.monotonic(), self.seconds[words[0]]
        if kill and command.kill_after(self.chance.uniform(0, usual)):
            self.kills += 1
        else:
            exit_code, printed = command.end()
            assert exit_code == 0, printed
            if not kill:
                self.seconds[words[0]] = time.monotonic() - begun
            if words == BUILD:
                self.counted = list(self.delivered)
        if lost.exists():
            lost.rename(self.vanishing)
        assert_no_file_is_half_loaded(self.project.database)

    def kill(self, words: list[str], times: int) -> None:
        """Kill a command so many times; each one starts where the last one ended."""
        target = self.kills + times
        while self.kills < target:
            self.run(words, kill=True)


def assert_no_file_is_half_loaded(database: Path) -> None:
    """The history names each file that has landed once, with all of its records."""
    with duckdb.connect(str(database)) as connection:
        if not connection.execute(
            "select 1 from duckdb_tables() where table_name = 'load_history'"
        ).fetchall():
            return
        assert not connection.execute(
            """
            from
                (
                    select metadata_filename, count(*) as landed
                    from landing.flow_logs group by all
                )
                full join landing.load_history using (metadata_filename)
            where
                landed is distinct from records
                or status not in ('loaded', 'copy', 'failed')
            """
        ).fetchall()


def delivery_time(file: Path) -> datetime:
    return datetime.strptime(file.name.split("_")[4], "%Y%m%dT%H%MZ")


def rows_of(project: Project) -> dict[str, list[Any]]:
    """The rows of rollups and marts, without the time they were counted at."""
    queries = {mart: f"select * from {mart} order by all" for mart in MARTS} | {
        rollup: f"select * exclude (loaded_through_at) from {rollup} order by all"
        for rollup in ROLLUPS
    }
    return {name: project.query(sql) for name, sql in queries.items()}


def live_through(
    site: Site, truth: dict[str, Any], rounds: int, kills_a_round: int
) -> None:
    """Deliver, stage and build in rounds, kill each in every round, and compare.

    The files come in random order and in batches of random size, some of them once more
    later. The last round brings files of 26 hours before others that are counted.
    """
    chance = site.chance
    files = sorted(site.sample.rglob("*.log.*"))
    newest = max(delivery_time(file) for file in files)
    early = [file for file in files if delivery_time(file) <= newest - LATE]
    late = chance.sample(early, len(early) // 8)
    punctual = [file for file in files if file not in late]
    chance.shuffle(punctual)
    cuts = sorted(chance.sample(range(1, len(punctual)), rounds - 1))
    batches = [
        punctual[start:end]
        for start, end in itertools.pairwise([0, *cuts, len(punctual)])
    ]

    for number, batch in enumerate([*batches, late]):
        if batch is late:
            seen = max(delivery_time(file) for file in site.counted)
            assert late and all(seen - delivery_time(file) >= LATE for file in late)
        site.deliver(batch)
        site.kill(STAGE, kills_a_round)
        if number and chance.random() < 0.5:
            site.run(BUILD)
        site.run(STAGE)
        site.kill(BUILD, kills_a_round)
        if number >= rounds - 1 or chance.random() < 0.5:
            site.run(BUILD)

    project = site.project
    assert project.query("select count(*) from flow_records") == [(truth["records"],)]
    assert_marts_equal(project, truth)
    incremental = rows_of(project)
    project.dbt("run", "--full-refresh", allow_destructive_refresh=True, **AS_OF)
    assert rows_of(project) == incremental
    assert_marts_equal(project, truth)


@pytest.fixture
def seed() -> int:
    """Another one each time; pytest prints it for a test that fails."""
    chosen = int(os.environ.get("EXACTLY_ONCE_SEED") or random.randrange(10**6))
    print(f"EXACTLY_ONCE_SEED={chosen}")
    return chosen


def test_every_record_counts_once_whatever_happens(
    new_project: Callable[..., Project],
    sample: Path,
    truth: dict[str, Any],
    tmp_path: Path,
    seed: int,
) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(sample, mixed)
    files = make_text_of_some(mixed)
    site = Site(new_project(tmp_path / "bucket"), mixed, random.Random(seed))
    live_through(site, truth, rounds=1, kills_a_round=1)
    assert site.kills == 4
    statuses = site.project.query(
        "select status, count(*) from landing.load_history group by 1 order by 1"
    )
    assert [status for status, _ in statuses] == ["copy", "failed", "loaded"]
    assert ("loaded", files) in statuses


def test_two_builds_and_a_staging_run_at_once_wait_for_each_other(
    new_project: Callable[..., Project],
    sample: Path,
    truth: dict[str, Any],
    tmp_path: Path,
) -> None:
    site = Site(new_project(tmp_path), sample, random.Random(3))
    files = sorted(sample.rglob("*.parquet"))
    site.deliver(files[::2])
    site.run(STAGE)
    site.deliver(files[1::2])
    commands = [site.start(words) for words in (BUILD, STAGE, BUILD)]
    ends = [command.end() for command in commands]
    assert [exit_code for exit_code, _ in ends] == [0, 0, 0], ends
    waiting = [printed for _, printed in ends if "is in use by" in printed]
    pids = [command.process.pid for command in commands]
    assert waiting
    assert all(any(f"(PID {pid})" in printed for pid in pids) for printed in waiting)
    site.run(BUILD)
    assert_marts_equal(site.project, truth)


def test_a_run_that_has_waited_long_enough_names_the_process_and_stops(
    new_project: Callable[..., Project], sample: Path, tmp_path: Path
) -> None:
    project = new_project(tmp_path)
    profile = project.target / "profiles.yml"
    text = profile.read_text()
    assert "lock_timeout: 300" in text
    profile.write_text(text.replace("lock_timeout: 300", "lock_timeout: 1"))
    site = Site(project, sample, random.Random(3))
    site.deliver(sorted(sample.rglob("*.parquet"))[:3])
    site.run(STAGE)
    with duckdb.connect(str(project.database)):
        for words, expected in ((STAGE, 1), (BUILD, 2)):
            exit_code, printed = site.start(words).end()
            assert exit_code == expected
            assert f"(PID {os.getpid()}), still after 1 s" in printed
            assert "Traceback" not in printed
    site.run(STAGE)


def test_a_full_disk_stops_staging_and_the_next_run_finishes_it(
    new_project: Callable[..., Project],
    sample: Path,
    truth: dict[str, Any],
    tmp_path: Path,
) -> None:
    """No file may grow beyond what dbt's own files take: the database's would."""
    project = new_project(tmp_path)
    site = Site(project, sample, random.Random(3))
    files = sorted(sample.rglob("*.parquet"))
    site.deliver(files[:1])
    site.run(STAGE)
    of_dbt = [*project.target.glob("*.json"), *project.target.glob("*.gpickle")]
    largest = max(file.stat().st_size for file in of_dbt)
    site.deliver(files[1:])
    command = site.start(STAGE, batch_files=5, file_size=largest + 200_000)
    exit_code, printed = command.end()
    assert exit_code == 1, printed
    assert "File too large" in printed
    assert "Traceback" not in printed
    assert_no_file_is_half_loaded(site.project.database)
    site.run(STAGE)
    assert site.project.query("select count(*) from landing.flow_logs") == [
        (truth["records"],)
    ]


def test_a_rollup_whose_write_fails_halfway_keeps_its_rows(
    copied: Project, sample: Path, tmp_path: Path
) -> None:
    """The days are deleted by then; a check refuses the rows that replace them."""
    project = replace(copied, location=tmp_path / "more")
    Path(project.location).mkdir()
    shutil.copy(max(sample.rglob("*.parquet")), tmp_path / "more/late.parquet")
    rollup = "int_traffic__daily_interfaces"
    rows = f"select * from {rollup} order by all"
    before = project.query(rows)
    ((definition,),) = project.query(
        f"select sql from duckdb_tables() where table_name = '{rollup}'"
    )
    ((newest,),) = project.query(f"select max(loaded_through_at) from {rollup}")
    refusing = f", check (loaded_through_at <= '{newest}'::timestamp))"
    with duckdb.connect(str(project.database)) as connection:
        connection.execute(f"alter table {rollup} rename to copied")
        connection.execute(definition.rstrip("); ") + refusing)
        connection.execute(f"insert into {rollup} from copied")

    project.stage(allow_another_location=True)
    run = ["run", "--select", rollup]
    printed = project.dbt(*run, exit_code=1, **AS_OF)
    assert "CHECK constraint" in printed
    assert project.query(rows) == before

    with duckdb.connect(str(project.database)) as connection:
        connection.execute(f"drop table {rollup}")
        connection.execute(f"alter table copied rename to {rollup}")
    project.dbt(*run, **AS_OF)
    assert project.query(f"select sum(records) from {rollup}") == project.query(
        "select count(*) from flow_records where has_plausible_time"
    )
    assert project.query(rows) != before


@pytest.mark.long
def test_many_kills_of_the_loader_alone(
    new_project: Callable[..., Project],
    sample: Path,
    truth: dict[str, Any],
    tmp_path: Path,
    seed: int,
) -> None:
    """With text, copies, files that cannot be read, and a tree that moves meanwhile."""
    chance = random.Random(seed)
    mixed = tmp_path / "mixed"
    shutil.copytree(sample, mixed)
    make_text_of_some(mixed)
    files = sorted(mixed.rglob("*.log.*"))
    site = Site(new_project(tmp_path / "bucket"), mixed, chance)
    site.deliver(files[::2])
    site.deliver(files[1::2])
    settings = settings_for(site.bucket)
    begun = time.monotonic()
    start_loading(tmp_path / "unharmed.duckdb", settings, 3).join()
    usual = time.monotonic() - begun

    kills = 0
    while kills < 50:
        database = tmp_path / f"{kills}.duckdb"
        while kill_after(
            start_loading(database, settings, chance.randint(1, 5)),
            chance.uniform(0, usual),
        ):
            kills += 1
            if chance.random() < 0.2:
                site.move()
            # Not each time: the next run may find the write-ahead log as it was left.
            if chance.random() < 0.5:
                assert_no_file_is_half_loaded(database)
        assert_no_file_is_half_loaded(database)
        with duckdb.connect(str(database)) as connection:
            assert connection.sql("from landing.flow_logs").count("*").fetchall() == [
                (truth["records"],)
            ]
            connection.execute("from landing.load_history where status = 'copy'")
            assert connection.fetchall()


@pytest.mark.long
@pytest.mark.parametrize("repetition", range(3))
def test_every_record_counts_once_in_a_long_life(
    new_project: Callable[..., Project],
    tmp_path: Path,
    seed: int,
    repetition: int,
) -> None:
    sample = tmp_path / "sample"
    truth = sample_logs.generate(sample, end_date=END_DATE, records=100_000, seed=seed)
    make_text_of_some(sample)
    site = Site(new_project(tmp_path / "bucket"), sample, random.Random(seed))
    live_through(site, dict(truth), rounds=4, kills_a_round=2)
    assert site.kills >= 20
