"""The snapshot that each build exports, against the tables that it was made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from .conftest import AS_OF, Project

#: Builds one mart, which is enough for an export.
BUILD = ("run", "--select", "hourly_traffic")
FLOWS = "int_traffic__daily_flows"


def snapshot(project: Project) -> Path:
    return project.database.with_name(project.database.name + ".snapshot")


def rows_of(file: Path) -> list[tuple[Any, ...]]:
    """The rows of one file, or of several by a pattern."""
    return duckdb.execute("from read_parquet(?) order by all", [str(file)]).fetchall()


def days_of(project: Project) -> list[str]:
    return sorted(path.stem for path in (snapshot(project) / "flows").iterdir())


@pytest.fixture
def exported(copied: Project) -> Project:
    """A project of its own with a snapshot of one mart and all days."""
    copied.dbt(*BUILD, **AS_OF)
    return copied


def test_the_snapshot_holds_every_mart_and_the_flows(built: Project) -> None:
    manifest = json.loads((built.target / "manifest.json").read_text())
    marts = {
        node["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["path"].startswith("marts/")
    }
    folder = snapshot(built)
    files = {path.stem for path in folder.glob("*.parquet")}
    assert files == marts | {"days", "addresses", "address_owners"}
    for mart in marts:
        found = rows_of(folder / f"{mart}.parquet")
        assert found == built.query(f"from {mart} order by all"), mart
    described = duckdb.execute(
        "describe from read_parquet(?)", [f"{folder}/flows/*.parquet"]
    ).fetchall()
    columns = ", ".join(name for name, *_ in described)
    assert rows_of(folder / "flows" / "*.parquet") == built.query(
        f"select {columns} from {FLOWS} order by all"
    )


def test_only_days_with_new_records_are_written_again(exported: Project) -> None:
    folder = snapshot(exported)
    before = {path: path.stat().st_ino for path in (folder / "flows").iterdir()}
    first, second, *_ = days = days_of(exported)
    with duckdb.connect(str(exported.database)) as connection:
        connection.execute(f"delete from {FLOWS} where started_date = ?", [first])
        connection.execute(
            f"update {FLOWS} set records = 1, loaded_through_at = now()::timestamp"
            " where started_date = ?",
            [second],
        )
    with (folder / "flows" / f"{second}.parquet").open("rb") as reader:
        printed = exported.dbt(*BUILD, **AS_OF)
        # Who has a file open keeps reading the one before.
        assert reader.read()[-4:] == b"PAR1"
    assert f"1 of {len(days) - 1} days" in printed
    assert days_of(exported) == days[1:]
    listed = rows_of(folder / "days.parquet")
    assert [str(day) for day, _ in listed] == days[1:]
    changed = {
        path.stem
        for path in (folder / "flows").iterdir()
        if path.stat().st_ino != before[path]
    }
    assert changed == {second}
    (total,) = duckdb.execute(
        "select sum(records) = count(*) from read_parquet(?)",
        [f"{folder}/flows/{second}.parquet"],
    ).fetchone() or (False,)
    assert total


def test_days_before_the_window_are_not_exported(exported: Project) -> None:
    days = days_of(exported)
    exported.dbt(*BUILD, **AS_OF, lookback_days=1)
    assert days_of(exported) == days[-2:]


def test_an_export_that_fails_is_a_warning(copied: Project, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    elsewhere = {"VPC_FLOW_SNAPSHOT": str(tmp_path / "file" / "snapshot")}
    printed = replace(copied, environment=elsewhere).dbt(*BUILD, **AS_OF)
    assert "No new snapshot for the page" in printed
    assert "Completed successfully" in printed


def test_the_variable_switches_it_off(copied: Project) -> None:
    copied.dbt(*BUILD, **AS_OF, export_snapshot=False)
    assert not snapshot(copied).exists()
