"""`vpcflow demo`: sample logs up to now, loaded, built and asked."""

from __future__ import annotations

import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from sample_logs import generate
from sample_logs.enrichment import FOLDER as ENRICHMENT
from sample_logs.inventory import FOLDER as INVENTORY

from .ask import Ask, answer
from .built_tables import QueryError, Where, open_tables
from .dbt_commands import Dbt, Line, Result
from .progress import Progress
from .scheduled_run import BUILD, PARSE, STAGE, Loaded, read_loaded

LOCATION = "sample_data/"
TARGET = Where(target="local")


class DemoError(Exception):
    """The demo can't go on; the message says why."""


#: A table or a question of the cookbook, the columns of it that fit a screen, and how
#: many rows, by the heading.
ANSWERS = {
    "What looks like an attack?": (
        "findings_by_rule",
        "severity rule_id findings example",
        8,
    ),
    "Who is exposed on administrative ports?": (
        "admin_exposure",
        "internal_addr internal_host_name external_addr port evidence last_seen_at",
        5,
    ),
    "Which destinations receive most?": (
        "top_talkers_by_destination",
        "rank dstaddr total_bytes total_packets records total_bytes_deduplicated",
        3,
    ),
    "Which sources send most?": (
        "top_talkers_by_source",
        "rank srcaddr total_bytes total_packets records total_bytes_deduplicated",
        3,
    ),
    "Which network interfaces carry most?": (
        "top_talkers_by_interface",
        "rank interface_id total_bytes total_packets records",
        3,
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
        "VPC_FLOW_ENRICHMENT_LOCATION": f"{LOCATION}{ENRICHMENT}",
        "VPC_FLOW_INVENTORY_LOCATION": f"{LOCATION}{INVENTORY}",
    }
    try:
        is_of_a_sample = _holds_a_sample(database)
        now = datetime.now(UTC)
        sample = generate(
            Path(LOCATION),
            end_date=now.date(),
            until=now,
            attacks=True,
            inventory=True,
            overwrite=True,
        )
    except (DemoError, OSError) as failure:
        print(failure, file=sys.stderr)
        return 1
    print(
        f"Sample: {sample['records']:,} records of {len(sample['days'])} days in"
        f" {sample['files']} files, in {LOCATION}"
    )
    if is_of_a_sample:
        # Its files are gone: the new sample has others.
        for path in (database, database.with_name(database.name + ".wal")):
            path.unlink(missing_ok=True)
    log = Path(os.environ.get("DBT_LOG_PATH") or "logs") / "demo.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("w") as file, Progress(file, verbose) as progress:
            _load_and_build(progress)
    except DemoError as failure:
        print(f"{failure}\ndbt's log: {log}", file=sys.stderr)
        return 1
    print(f"dbt's log: {log}")
    _show_answers()
    _show_what_comes_next(database)
    return 0


def _holds_a_sample(database: Path) -> bool:
    """Return whether a sample was loaded into the database, and nothing else.

    Raises:
        DemoError: other flow logs were.
        QueryError: the database can't be opened.
    """
    if not database.exists():
        return False
    with open_tables(TARGET, print) as tables:
        try:
            rows = tables.query("select distinct location from landing.load_history")
        except QueryError:
            return False
    locations = {location for (location,) in rows.rows}
    if others := locations - {LOCATION}:
        raise DemoError(
            f"{database} holds flow logs from {', '.join(sorted(others))}, and the demo"
            " would mix its sample into them. Set VPC_FLOW_DUCKDB_PATH to another file."
        )
    return bool(locations)


def _load_and_build(progress: Progress) -> None:
    """Run dbt, and print a line for each step.

    Raises:
        DemoError: dbt failed.
    """
    loaded = Loaded()

    def hear(line: Line) -> None:
        nonlocal loaded
        loaded = read_loaded(line.text) or loaded
        progress.hear(line)

    dbt = Dbt(TARGET.dbt_options(), hear)

    def run(step: str, *words: str) -> tuple[Result, str]:
        progress.begin(step)
        begun = time.monotonic()
        result = dbt.run(*words)
        if result.exit_code:
            raise DemoError(f"{step} failed: {result.message}")
        return result, f"{time.monotonic() - begun:.0f} s"

    run("Parse", *PARSE)
    _, seconds = run("Load", *STAGE)
    print(f"Load: {loaded.files} new files, {loaded.records:,} records in {seconds}")
    built, seconds = run("Build", *BUILD)
    print(
        f"Build: {built.count('model', 'success')} models built,"
        f" {built.count('test', 'pass')} tests passed,"
        f" {built.count('test', 'warn')} warned, in {seconds}"
    )
    dbt.close_file()


def _show_answers() -> None:
    for question, (mart, columns, limit) in ANSWERS.items():
        print(f"\n{question}  ({mart})")
        ask = Ask(mart, columns=columns.split(), limit=limit, has_title=False)
        answer(ask, TARGET)


def _show_what_comes_next(database: Path) -> None:
    python, found = os.path.relpath(sys.executable), shutil.which("python")
    if found and Path(found).samefile(sys.executable):
        python = "python"
    ask = f"  {python} -m vpcflow ask"
    print(f"\nThe answers are tables in {database}. Ask more:")
    print(f"{ask}                 # lists the questions")
    print(f"{ask} findings --where \"severity = 'high'\"")
    print(f'{ask} admin_exposure --where "port = 3389"')
    print("Look at them in a browser: make app")
