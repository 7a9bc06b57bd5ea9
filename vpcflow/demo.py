"""`vpcflow demo`: sample logs up to yesterday, loaded, built and asked."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.console import Console

from sample_logs import generate
from sample_logs.target import TRUTH_FILE

from . import tables as show
from .ask import Ask, answer
from .built_tables import QueryError, Where, open_tables
from .dbt_commands import Dbt, Line, Result, close_duckdb
from .progress import Progress
from .scheduled_run import BUILD, STAGE, Loaded, read_loaded

LOCATION = "sample_data/"
TARGET = Where(target="local")


class DemoError(Exception):
    """A step failed; the message says which and why."""


#: A mart, the columns of it that fit a screen, and how many rows, by the question.
ANSWERS = {
    "Who is exposed on administrative ports?": (
        "admin_exposure",
        "internal_addr external_addr port evidence records first_seen_at last_seen_at",
        10,
    ),
    "Which destinations receive most?": (
        "top_talkers_by_destination",
        "rank dstaddr total_bytes total_packets records total_bytes_deduplicated",
        5,
    ),
    "Which sources send most?": (
        "top_talkers_by_source",
        "rank srcaddr total_bytes total_packets records total_bytes_deduplicated",
        5,
    ),
    "Which network interfaces carry most?": (
        "top_talkers_by_interface",
        "rank interface_id total_bytes total_packets records",
        5,
    ),
}


def show_demo(verbose: bool) -> int:
    """Run the demo.

    Args:
        verbose: Whether to print dbt's lines to stderr.

    Returns:
        The exit code, as the command's help lists it.
    """
    database = Path(os.environ.get("VPC_FLOW_DUCKDB_PATH", "vpc_flow_logs.duckdb"))
    os.environ |= {
        "VPC_FLOW_LOGS_LOCATION": LOCATION,
        "VPC_FLOW_DUCKDB_PATH": str(database),
    }
    console = show.console()
    others = _other_locations(database)
    if others:
        print(
            f"{database} holds flow logs from {', '.join(others)}, and the demo would"
            " mix its sample into them. Set VPC_FLOW_DUCKDB_PATH to another file.",
            file=sys.stderr,
        )
        return 1
    # The last whole day: no record is later than now, and every hour shows the same.
    end = datetime.now(UTC).date() - timedelta(days=1)
    _write_sample(end, database, console)
    log = Path(os.environ.get("DBT_LOG_PATH") or "logs") / "demo.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("w") as file, Progress(file, verbose) as progress:
            _load_and_build(end, progress, console)
    except DemoError as failure:
        print(f"{failure}\ndbt's log: {log}", file=sys.stderr)
        return 1
    finally:
        close_duckdb()
    console.print(f"dbt's log: {log}")
    _show_answers(console)
    _show_what_comes_next(database, console)
    return 0


def _other_locations(database: Path) -> list[str]:
    """Return the locations other than the sample's that the database has files of."""
    if not database.exists():
        return []
    try:
        with open_tables(TARGET, print) as tables:
            rows = tables.query("select distinct location from landing.load_history")
    except QueryError:
        return []
    return [location for (location,) in rows.rows if location != LOCATION]


def _write_sample(end: date, database: Path, console: Console) -> None:
    """Write the sample unless there is one that ends on that day."""
    file = Path(LOCATION) / TRUTH_FILE
    truth = json.loads(file.read_text()) if file.exists() else {}
    if truth.get("as_of") != end.isoformat():
        truth = generate(Path(LOCATION), end_date=end, overwrite=file.exists())
        # What was loaded from the files that the new sample replaces.
        for path in (database, database.with_name(database.name + ".wal")):
            path.unlink(missing_ok=True)
    console.print(
        f"Sample: {truth['records']:,} records in {truth['files']} files, the week to"
        f" {end}, in {LOCATION}"
    )


def _load_and_build(end: date, progress: Progress, console: Console) -> None:
    """Run dbt, and print a line for each step.

    Raises:
        DemoError: dbt failed.
    """
    # A flow log of the sample gets a file every few hours, where AWS writes one every
    # few minutes: no file counts as late before a day has passed.
    variables = {"as_of": end.isoformat(), "late_after_minutes": 1440}
    options = [*TARGET.dbt_options(), "--vars", json.dumps(variables)]
    loaded = Loaded()

    def hear(line: Line) -> None:
        nonlocal loaded
        loaded = read_loaded(line.text) or loaded
        progress.hear(line)

    dbt = Dbt(options, hear)

    def run(step: str, *words: str) -> tuple[Result, str]:
        progress.begin(step)
        begun = time.monotonic()
        result = dbt.run(*words)
        if result.exit_code:
            raise DemoError(f"{step} failed: {result.message}")
        return result, f"{time.monotonic() - begun:.0f} s"

    run("Parse", "parse")
    _, seconds = run("Load", *STAGE)
    console.print(
        f"Load: {loaded.files} new files, {loaded.records:,} records in {seconds}"
    )
    built, seconds = run("Build", *BUILD)
    console.print(
        f"Build: {built.count('model', 'success')} models built,"
        f" {built.count('test', 'pass')} tests passed,"
        f" {built.count('test', 'warn')} warned, in {seconds}"
    )


def _show_answers(console: Console) -> None:
    for question, (mart, columns, limit) in ANSWERS.items():
        console.print(f"\n{question}  ({mart})")
        answer(Ask(mart, columns=columns.split(), limit=limit), TARGET)


def _show_what_comes_next(database: Path, console: Console) -> None:
    python = shutil.which("python")
    if python is None or not Path(python).samefile(sys.executable):
        python = os.path.relpath(sys.executable)
    else:
        python = "python"
    console.print(
        f"\nThe answers are tables in {database}. Ask more:\n"
        f"  {python} -m vpcflow ask                    # lists the questions\n"
        f"  {python} -m vpcflow ask new_exposure\n"
        f'  {python} -m vpcflow ask admin_exposure --where "port = 3389"'
    )
