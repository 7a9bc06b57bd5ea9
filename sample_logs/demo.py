"""`make demo`: sample logs that end today, loaded, built and asked."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from .generation import generate
from .target import TRUTH_FILE

LOCATION = "sample_data/"
#: What fits on a screen of a mart that has more columns.
COLUMNS = {
    "admin_exposure": (
        "internal_addr, external_addr, port, protocol, evidence, is_refused, records,"
        " first_seen_at, last_seen_at"
    )
}
QUESTIONS = {
    "admin_exposure": "Who is exposed on administrative ports?",
    "top_talkers_by_destination": "Which destinations receive most?",
    "top_talkers_by_source": "Which sources send most?",
    "top_talkers_by_interface": "Which network interfaces carry most?",
}


def main() -> int:
    """Run the demo from the project's root.

    Returns:
        The exit status of the dbt command that failed; 0 if all went well; 1 if the
        database holds other logs than the sample.
    """
    database = Path(os.environ.get("VPC_FLOW_DUCKDB_PATH", "vpc_flow_logs.duckdb"))
    others = _other_locations(database)
    if others:
        print(
            f"{database} holds flow logs from {', '.join(others)}, and the demo would"
            " mix its sample into them. Set VPC_FLOW_DUCKDB_PATH to another file.",
            file=sys.stderr,
        )
        return 1
    if _write_sample():
        # What was loaded from the files that the new sample replaces.
        for path in (database, database.with_name(database.name + ".wal")):
            path.unlink(missing_ok=True)

    environment = os.environ | {
        "VPC_FLOW_LOGS_LOCATION": LOCATION,
        "VPC_FLOW_DUCKDB_PATH": str(database),
    }
    dbt = Path(sys.executable).with_name("dbt")
    for command in ("run-operation stage_external_sources", "build"):
        print(f"\n$ dbt {command}", flush=True)
        words = [str(dbt), *command.split(), "--target", "local"]
        status = subprocess.run(words, env=environment, check=False).returncode
        if status:
            return status

    _show_answers(database)
    return 0


def _other_locations(database: Path) -> list[str]:
    if not database.exists():
        return []
    with duckdb.connect(str(database), read_only=True) as connection:
        tables = connection.execute(
            "select 1 from duckdb_tables()"
            " where schema_name = 'landing' and table_name = 'load_history'"
        ).fetchall()
        if not tables:
            return []
        rows = connection.execute(
            "select distinct location from landing.load_history where location != $own",
            {"own": LOCATION},
        ).fetchall()
    return [location for (location,) in rows]


def _write_sample() -> bool:
    """Write the sample unless it already ends today; say whether it was written."""
    today = datetime.now(UTC).date()
    truth_file = Path(LOCATION) / TRUTH_FILE
    if truth_file.exists():
        truth = json.loads(truth_file.read_text())
        if truth["as_of"] == today.isoformat():
            return False
    truth = generate(Path(LOCATION), end_date=today, overwrite=truth_file.exists())
    print(f"Sample logs: {truth['records']:,} records in {truth['files']} files")
    return True


def _show_answers(database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        for mart, question in QUESTIONS.items():
            print(f"\n{question}  ({mart})")
            rows = connection.table(mart).project(COLUMNS.get(mart, "*")).order("all")
            rows.show(max_width=140, max_rows=30)
    print(f"\nThe marts are tables of {database}: query them with DuckDB, or with")
    dbt = Path(sys.executable).with_name("dbt")
    print(f"  {os.path.relpath(dbt)} show --select admin_exposure")


if __name__ == "__main__":
    sys.exit(main())
