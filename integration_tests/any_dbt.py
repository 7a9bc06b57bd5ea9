"""Parse, stage and build with any dbt, on a small sample and a DuckDB file of its own.

    python -m integration_tests.any_dbt --dbt PATH

PATH is a `dbt` with the DuckDB adapter, of whatever version: dbt 2 as well. The dbt
packages must be installed (`make setup`). Each step is printed with `ok` or with what
dbt printed when it failed; the exit code is the number of failed steps.

- The project is parsed for both targets; a warning counts as a failure. The adapter of
  Snowflake must be installed for that.
- A dbt that cannot load Python plugins cannot stage on DuckDB: then the dbt of this
  environment does, and the given one builds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import click

import sample_logs

ROOT = Path(__file__).parent.parent
OWN_DBT = Path(sys.executable).with_name("dbt")
END_DATE = date(2026, 3, 31)
PARSE = ("parse", "--warn-error", "--target")
STAGE = ("run-operation", "stage_external_sources")
BUILD = ("build", "--vars", f"{{as_of: {END_DATE}}}")
UNIT_TESTS = ("test", "--select", "test_type:unit")


class Trial:
    """A sample, a database and a profile in a folder, and the steps that failed."""

    def __init__(self, dbt: str, folder: Path) -> None:
        self.dbt = dbt
        self.failed = 0
        sample_logs.generate(folder / "logs", end_date=END_DATE, records=2_000)
        shutil.copy(ROOT / "profiles.yml.example", folder / "profiles.yml")
        names = "ACCOUNT USER PRIVATE_KEY_PATH ROLE WAREHOUSE DATABASE SCHEMA"
        self.environment = {
            "DBT_PROFILES_DIR": str(folder),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "dbt_logs"),
            "VPC_FLOW_DUCKDB_PATH": str(folder / "flow.duckdb"),
            "VPC_FLOW_LOGS_LOCATION": str(folder / "logs"),
        } | {f"SNOWFLAKE_{name}": "anything" for name in names.split()}

    def step(self, *words: str, dbt: str | None = None) -> bool:
        """Run a dbt command and say how it ended; return whether it succeeded."""
        run = subprocess.run(
            [dbt or self.dbt, *words],
            cwd=ROOT,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        failed = run.returncode != 0
        self.failed += failed
        click.echo(f"{'FAILED' if failed else 'ok'}: dbt {' '.join(words)}")
        if failed:
            click.echo(run.stdout)
        return not failed


@click.command()
@click.option("--dbt", default=str(OWN_DBT), help="The dbt to try; default: our own.")
def main(dbt: str) -> None:
    """Parse, stage and build with the given dbt."""
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial(dbt, Path(scratch))
        trial.step("--version")
        for target in ("local", "snowflake"):
            trial.step(*PARSE, target)
        if not trial.step(*STAGE):
            trial.step(*STAGE, dbt=str(OWN_DBT))
        trial.step(*BUILD)
        trial.step(*UNIT_TESTS)
        sys.exit(trial.failed)


if __name__ == "__main__":
    main()
