"""`vpcflow ask`: answers from the built tables, on DuckDB while others write to it."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

from vpcflow import snapshot
from vpcflow.cli import cli
from vpcflow.questions import read_questions, read_tables

from .conftest import ROOT, Project

Ask = Callable[..., Result]


@pytest.fixture
def ask(built: Project, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks the built sample, in this process."""
    return asker(built.variables(), monkeypatch)


def asker(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    # The command changes the working directory, which the next test needs as it was.
    monkeypatch.chdir(ROOT)

    def run(*words: str, exit_code: int = 0, **variables: str) -> Result:
        result = CliRunner().invoke(cli, ["ask", *words], env=environment | variables)
        assert result.exit_code == exit_code, result.output + repr(result.exception)
        return result

    return run


def rows_of(printed: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(printed)))


def expected_rows(project: Project, sql: str) -> list[list[str]]:
    rows = project.query(sql)
    return [["" if value is None else str(value) for value in row] for row in rows]


def test_without_a_name_everything_is_listed(ask: Ask) -> None:
    lines = ask(COLUMNS="80").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for question in read_questions().values():
        assert f"  {question.name} " in text
    for table in read_tables().values():
        assert table.name in text
        if table.is_mart:
            assert any(line.startswith(f"  {table.name} ") for line in lines)
            assert table.title, table.name


@pytest.mark.parametrize("name", read_questions())
def test_a_question_has_the_cookbooks_rows_in_its_order(
    ask: Ask, built: Project, name: str
) -> None:
    """All of them, with or without a condition; the cookbook shows the first."""
    question = read_questions()[name]
    first = expected_rows(built, question.sql)
    for words in ((), ("--where", "1 = 1")):
        head, *rows = rows_of(ask(name, "--csv", *words).stdout)
        assert rows[: len(first)] == first
    (only,) = rows_of(ask(name, "--csv", "--where", "1 = 0").stdout)
    assert only == head


def test_rows_are_filtered_limited_and_reduced_to_columns(
    ask: Ask, built: Project
) -> None:
    words = ("--where", "port = 3389 or port = 22", "--columns", "port, internal_addr")
    printed = ask("admin_exposure", *words, "--limit", "3", "--csv").stdout
    columns = "port, internal_addr"
    order = "last_seen_at desc, internal_addr, external_addr, port, protocol"
    wanted = f"select {columns} from admin_exposure order by {order} limit 3"
    assert rows_of(printed) == [
        ["port", "internal_addr"],
        *expected_rows(built, wanted),
    ]

    objects = json.loads(ask("top_services", "--json").stdout)
    assert [tuple(entry.values()) for entry in objects] == [
        tuple(str(v) if "_at" in name else v for name, v in row)
        for row in (
            list(zip(objects[0], values, strict=True))
            for values in built.query("select * from top_services order by rank")
        )
    ]
    assert (
        json.loads(ask("top_services", "--json", "--limit", "2").stdout)
        == (objects[:2])
    )
    assert json.loads(ask("top_services", "--json", "--where", "false").stdout) == []


def test_sql_of_ones_own_reads_and_nothing_else(ask: Ask) -> None:
    sql = "select count(*) as n, null as nothing from flow_records"
    assert rows_of(ask("--sql", sql, "--csv").stdout) == [
        ["n", "nothing"],
        ["20000", ""],
    ]
    for refused in ("drop table flow_records", "-- select\ndelete from admin_exposure"):
        assert "takes a query" in ask("--sql", refused, exit_code=2).stderr
    assert "The query failed" in ask("--sql", "select 1 +", exit_code=1).stderr


@pytest.mark.parametrize("width", [80, 100])
def test_tables_fit_the_terminal(ask: Ask, width: int) -> None:
    for table in read_tables().values():
        if table.is_mart:
            lines = ask(table.name, COLUMNS=str(width)).stdout.splitlines()
            assert max(map(len, lines)) <= width, table.name
            assert not any(line.endswith(" ") for line in lines)


def test_a_wide_table_keeps_the_columns_that_say_most(ask: Ask) -> None:
    head, _, *lines = ask("admin_exposure", COLUMNS="80").stdout.splitlines()
    # It is ordered by the last of these.
    for name in ("internal_addr", "external_addr", "port", "last_seen_at"):
        assert name in head
    assert "internal_owner" not in head
    assert any(line.startswith("Not shown (--columns chooses):") for line in lines)

    # One row that is too wide is turned on its side.
    printed = ask("admin_exposure_coverage", COLUMNS="80").stdout
    assert "records_between_public_addresses  " in printed
    assert "Not shown" not in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scaners"], "Did you mean scanners?"),
        (["talkers"], "top_talkers_by_source"),
        (["zzz"], "To list them all: python -m vpcflow ask"),
        (["scanners", "--columns", "nobody"], "The columns are external_addr, hosts"),
        (["scanners", "--sql", "select 1"], "not both"),
    ],
)
def test_a_mistake_is_answered_with_what_there_is(
    ask: Ask, words: list[str], message: str
) -> None:
    assert message in ask(*words, exit_code=2).stderr


def test_before_the_first_run_the_next_step_is_named(ask: Ask, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.duckdb")
    printed = ask("scanners", exit_code=1, VPC_FLOW_DUCKDB_PATH=missing).stderr
    assert "Load and build first: python -m vpcflow run" in printed


# ----- while another process has the file


def hold(path: str, is_ready: Any, release: Any) -> None:
    """Commit a row, begin a transaction that does not, and wait."""
    connection = duckdb.connect(path)
    connection.execute("create table marks as select 'committed' as mark")
    connection.execute("begin; insert into marks values ('not committed')")
    is_ready.set()
    release.wait(60)


@contextmanager
def held(database: Path) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")
    is_ready, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(str(database), is_ready, release))
    process.start()
    assert is_ready.wait(60)
    yield process.pid or 0
    release.set()
    process.join()


@pytest.fixture
def in_use(built: Project, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A copy of the built file that another process writes to, and that process."""
    database = tmp_path / built.database.name
    shutil.copy(built.database, database)
    with held(database) as process:
        yield database, process


def test_what_was_committed_is_answered_while_another_process_writes(
    ask: Ask, in_use: tuple[Path, int]
) -> None:
    database, process = in_use
    words = ("--sql", "select * from marks", "--csv")
    result = ask(*words, VPC_FLOW_DUCKDB_PATH=str(database))
    assert rows_of(result.stdout) == [["mark"], ["committed"]]
    assert f"(PID {process}): reading a copy of its last commit" in result.stderr
    # Views refer to the tables by the file's name.
    ask("flow_records", "--limit", "1", VPC_FLOW_DUCKDB_PATH=str(database))


def test_without_space_for_a_copy_it_waits(
    ask: Ask, in_use: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    database, _ = in_use
    monkeypatch.setattr(
        "vpcflow.snapshot.shutil.disk_usage",
        lambda _: shutil._ntuple_diskusage(0, 0, 9),
    )
    words = ("scanners", "--timeout", "0.1")
    result = ask(*words, exit_code=75, VPC_FLOW_DUCKDB_PATH=str(database))
    assert "No copy could be made: waiting" in result.stderr
    assert "wait longer with --timeout" in result.stderr


def test_the_file_is_free_after_the_query(
    ask: Ask, built: Project, tmp_path: Path
) -> None:
    database = tmp_path / built.database.name
    shutil.copy(built.database, database)
    ask("scanners", VPC_FLOW_DUCKDB_PATH=str(database))
    # DuckDB would refuse this while the file is open for reading.
    duckdb.connect(str(database)).close()


@pytest.mark.parametrize(
    "meanwhile", ["checkpoint", "update numbers set n = n + 1; checkpoint"]
)
def test_a_copy_that_a_checkpoint_crossed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    database, folder = tmp_path / "flow.duckdb", tmp_path / "copy"
    folder.mkdir()
    connection = duckdb.connect(str(database))
    connection.execute("create table numbers as select range as n from range(100000)")
    connection.execute("checkpoint; update numbers set n = n + 1")
    copied = []
    copyfile = shutil.copyfile

    def copy_slowly(source: Path, to: Path) -> None:
        copyfile(source, to)
        copied.append(source.suffix)
        if copied == [".wal"]:
            connection.execute(meanwhile)

    monkeypatch.setattr("vpcflow.snapshot.shutil.copyfile", copy_slowly)
    copy = snapshot.copy_last_commit(database, folder, timeout=10)
    assert copied.count(".duckdb") == 2
    ((expected,),) = connection.execute("select sum(n) from numbers").fetchall()
    connection.close()
    assert copy
    with duckdb.connect(str(copy), read_only=True) as copied_tables:
        assert copied_tables.execute("select sum(n) from numbers").fetchall() == [
            (expected,)
        ]


def test_a_commit_during_the_copy_is_left_out_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, folder = tmp_path / "flow.duckdb", tmp_path / "copy"
    folder.mkdir()
    connection = duckdb.connect(str(database))
    connection.execute("create table numbers as select range as n from range(100000)")
    copyfile = shutil.copyfile

    def copy_slowly(source: Path, to: Path) -> None:
        copyfile(source, to)
        # Large enough that DuckDB writes its blocks into the file before the commit.
        connection.execute("insert into numbers select range from range(500000)")

    connection.execute("insert into numbers values (-1)")
    monkeypatch.setattr("vpcflow.snapshot.shutil.copyfile", copy_slowly)
    copy = snapshot.copy_last_commit(database, folder, timeout=0)
    connection.close()
    assert copy
    with duckdb.connect(str(copy), read_only=True) as copied_tables:
        ((rows,),) = copied_tables.execute("select count(*) from numbers").fetchall()
    assert rows == 100_001


@pytest.mark.long
def test_copies_are_whole_while_a_process_writes_and_checkpoints(
    tmp_path: Path,
) -> None:
    """For 30 seconds; each commit of the writer leaves one number in all rows."""
    database = tmp_path / "flow.duckdb"
    connection = duckdb.connect(str(database))
    make = "create or replace table numbers as select {n} as n from range(300000)"
    connection.execute(make.format(n=0))
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            statement = "update numbers set n = {n}" if n % 3 else make
            connection.execute(statement.format(n=n))
            if n % 5 == 0:
                connection.execute("checkpoint")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        numbers = set()
        for number in range(60):
            folder = tmp_path / str(number)
            folder.mkdir()
            copy = snapshot.copy_last_commit(database, folder, timeout=30)
            assert copy
            with duckdb.connect(str(copy), read_only=True) as copied:
                found = copied.execute("select count(*), min(n), max(n) from numbers")
                ((rows, least, greatest),) = found.fetchall()
            assert (rows, least) == (300_000, greatest)
            numbers.add(least)
            shutil.rmtree(folder)
    finally:
        stop.set()
        writer.join()
    assert len(numbers) > 10
