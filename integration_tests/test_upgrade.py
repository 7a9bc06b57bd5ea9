"""A database that version 0.1.0 wrote, by its own code, goes through an upgrade."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest

from .conftest import AS_OF, ROOT, Project
from .test_main_job import assert_marts_equal
from .vpcflow_process import Vpcflow

#: The last commit of version 0.1.0.
OLD = "72acbb39d7bf55a528afdc9c0eda85dcfde134d7"
#: What is new in the load history, and what an upgrade may order anew.
LANDED = {
    "landing.flow_logs": "metadata_filename, metadata_file_row_number, srcaddr,"
    " dstaddr, srcport, dstport, bytes, start, _dbt_copied_at, unknown_fields",
    "landing.load_history": "columns(name -> name != 'path')",
}
#: Columns that say when a database was filled or built.
OF_THE_RUN = "loaded|found_at|detected|load_lag|rules_version"


#: How many files come after the upgrade.
LATER = 3


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"), key=lambda file: file.name.split("_")[4])


def copy_below(target: Path, folder: Path, file: Path) -> Path:
    copy = target / file.relative_to(folder)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, copy)
    return copy


@pytest.fixture(scope="module")
def old(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """All files but LATER, staged and built by the code of that commit."""
    code = tmp_path_factory.mktemp("old")
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", OLD], capture_output=True, check=False
    )
    if archive.returncode:
        pytest.skip("this clone of the repository has no history")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(code, filter="data")
    shutil.copytree(code / "package_stand_ins", code / "dbt_packages")
    shutil.copy(code / "profiles.yml.example", code / "profiles.yml")
    bucket = tmp_path_factory.mktemp("bucket")
    for file in files_of(sample)[:-LATER]:
        copy_below(bucket, sample, file)
    project = Project(code / "flow.duckdb", bucket, code)
    for words in (
        ("run-operation", "stage_external_sources"),
        ("run", "--vars", json.dumps(AS_OF)),
    ):
        subprocess.run(
            [Path(sys.executable).with_name("dbt"), *words],
            cwd=code,
            env=os.environ | project.variables(),
            check=True,
        )
    return project


def landed(project: Project) -> list[Counter[str]]:
    return [
        Counter(map(repr, project.query(f"select {columns} from {table}")))
        for table, columns in LANDED.items()
    ]


def run(project: Project) -> dict[str, Any]:
    """Do a scheduled run; return a part of its report."""
    words = ("run", "--logs", str(project.target / "job"), "--vars", json.dumps(AS_OF))
    ended = Vpcflow(words, os.environ | project.variables(), project.target).end()
    report = json.loads(ended.out)
    return {key: report[key] for key in ("outcome", "files", "records")}


def answers(project: Project) -> dict[str, list[Any]]:
    """The rows of all models, without the times of the runs."""
    columns = project.query(
        "select table_name, column_name from duckdb_columns()"
        " where schema_name = 'main' and not internal"
        f" and not regexp_matches(column_name, '{OF_THE_RUN}')"
    )
    names: dict[str, list[str]] = {}
    for table, column in columns:
        names.setdefault(table, []).append(f'"{column}"')
    return {
        table: project.query(
            f"select {', '.join(sorted(names[table]))} from {table} order by all"
        )
        for table in names
    }


@pytest.mark.long
@pytest.mark.parametrize("beginning", ["", "drop"])
def test_an_old_database_is_upgraded_by_a_run(
    old: Project,
    built: Project,
    sample: Path,
    truth: dict[str, Any],
    tmp_path: Path,
    beginning: str,
) -> None:
    """With all statements of docs/upgrading.md rollups stay; with some, it makes them.

    A run loads nothing again. Once the last files have come, all models have the rows
    of a database that is new.
    """
    project = Project.of(tmp_path, old.location, **built.environment)
    shutil.copy(old.database, project.database)
    bucket, before = Path(old.location), landed(project)
    text = (ROOT / "docs/upgrading.md").read_text()
    (statements,) = re.findall(r"```sql\n(alter table int_traffic.*?)```", text, re.S)
    with duckdb.connect(str(project.database)) as connection:
        for statement in statements.strip().split("\n"):
            if statement.startswith(beginning):
                connection.execute(statement)

    assert run(project) == {"outcome": "ok", "files": 0, "records": 0}
    assert landed(project) == before
    later = [copy_below(bucket, sample, file) for file in files_of(sample)[-LATER:]]
    assert run(project)["files"] == LATER
    for file in later:
        file.unlink()
    assert all(old <= now for old, now in zip(before, landed(project), strict=True))
    assert_marts_equal(project, truth)
    upgraded, new = answers(project), answers(built)
    assert [table for table in new if upgraded[table] != new[table]] == []
