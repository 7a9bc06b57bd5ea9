"""One DuckDB file with an awkward name, built by several threads and then moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from .conftest import AS_OF, WITHOUT_UNIT_TESTS, Project
from .test_main_job import assert_marts_equal, assert_rollups_lie_day_after_day


def test_any_name_any_number_of_threads_any_place(
    new_project: Callable[..., Project],
    sample: Path,
    truth: dict[str, Any],
    tmp_path: Path,
) -> None:
    project = new_project(sample)
    project.database = tmp_path / "my-flow logs 2.duckdb"
    project.stage()
    project.dbt("build", "--threads", "4", *WITHOUT_UNIT_TESTS, **AS_OF)
    assert_marts_equal(project, truth)
    assert_rollups_lie_day_after_day(project.query)

    moved = project.database.rename(tmp_path / "moved.duckdb")
    views = "select view_name from duckdb_views() where not internal"
    with duckdb.connect(str(moved), read_only=True) as connection:
        names = [name for (name,) in connection.execute(views).fetchall()]
        for name in names:
            connection.execute(f"select count(*) from {name}")
    assert {"flow_records", "malformed_files", "stg_vpc_flow__flow_logs"} < set(names)
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute(f"attach '{moved}' as flow_logs (read_only)")
        for name in names:
            connection.execute(f"select count(*) from flow_logs.{name}")
