"""The labelled cases on DuckDB, and what the original queries make of them."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import pytest

from .cases import AS_OF, Case, Row, cases, readable
from .conftest import Project

CASES = cases()


def test_there_are_enough_cases_and_no_two_share_anything() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) >= 60


@pytest.fixture(scope="module")
def project(
    new_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    folder = tmp_path_factory.mktemp("cases")
    for case in CASES:
        case.write(folder)
    project = new_project(folder)
    project.stage()
    project.dbt("run", as_of=AS_OF.isoformat())
    return project


@pytest.fixture(scope="module")
def rows_of(project: Project) -> Callable[[str], list[Row]]:
    tables: dict[str, list[Row]] = {}

    def rows(model: str) -> list[Row]:
        if model not in tables:
            with duckdb.connect(str(project.database), read_only=True) as connection:
                names = connection.table(model).columns
                result = connection.sql(f"select {readable(names)} from {model}")
                tables[model] = [
                    dict(zip(names, row, strict=True)) for row in result.fetchall()
                ]
        return tables[model]

    return rows


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, rows_of: Callable[[str], list[Row]]) -> None:
    assert case.differences(rows_of) == []
