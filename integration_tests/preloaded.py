"""What every forked dbt command starts with: dbt imported, the project parsed.

`processes` loads this module into the process that it forks commands from.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import boto3  # noqa: F401
import dbt.adapters.snowflake
import dbt.task.build
import dbt.task.docs.generate
import dbt.task.freshness
import dbt.task.run_operation
import dbt.task.show  # noqa: F401
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

ROOT = Path(__file__).parent.parent
#: The name of the tests' DuckDB files, which is in the names of all relations.
DATABASE = "flow.duckdb"


def parse() -> Manifest | None:
    """Parse for the local target, as if the files were in no folder yet.

    Returns:
        None if the project does not parse. The commands parse it again and print why.
    """
    scratch = Path(tempfile.mkdtemp())
    shutil.copy(ROOT / "profiles.yml.example", scratch / "profiles.yml")
    places = [
        *("--project-dir", str(ROOT), "--profiles-dir", str(scratch)),
        *("--target-path", str(scratch), "--log-path", str(scratch)),
    ]
    os.environ["VPC_FLOW_DUCKDB_PATH"] = DATABASE
    # The static parser has threads, which a forked command would wait for.
    options = ["--quiet", "--no-static-parser"]
    result = dbtRunner().invoke([*options, "parse", "--target", "local", *places])
    shutil.rmtree(scratch)
    return result.result if isinstance(result.result, Manifest) else None


def manifest_for(
    words: Sequence[str], environment: Mapping[str, str]
) -> Manifest | None:
    """Return what a command would parse, or None where it must parse itself.

    The manifest has the default of each variable that dbt reads while it parses, such
    as `landing_schema`: a test that sets one gives `--no-partial-parse`.

    Args:
        words: The command and its options.
        environment: The command's environment.
    """
    must_parse = {"parse", "--target", "--no-partial-parse"}
    database = Path(environment.get("VPC_FLOW_DUCKDB_PATH", "")).name
    if not MANIFEST or must_parse & set(words) or database != DATABASE:
        return None
    if environment.get("DBT_TARGET", "local") != "local":
        return None
    for source in MANIFEST.sources.values():
        if source.external:
            name = source.meta.get("location_variable", "VPC_FLOW_LOGS_LOCATION")
            source.external.location = environment.get(name, "")
    return MANIFEST


MANIFEST = parse()
# The commands share this memory, and need not search it for garbage.
gc.collect()
gc.freeze()
