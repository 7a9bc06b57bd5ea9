"""The labelled cases and the data tests on DuckDB, in one build."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from vpcflow.questions import COOKBOOK

from .cases import (
    AS_OF,
    VARIABLES,
    Case,
    Row,
    cases,
    readable,
    texts_of_cases,
    write_lists,
)
from .conftest import Project
from .test_addresses import scope_of

CASES = cases()


def test_there_are_enough_cases_and_no_two_share_anything() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_cookbook_names_cases_and_their_addresses() -> None:
    text = COOKBOOK.read_text().partition("| case | plain query |")[2]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[2:] if line]
    assert len(rows) == 10
    texts = {text.splitlines()[0]: text for _, _, text in texts_of_cases()}
    for name, theirs, ours, _ in rows:
        for address in re.findall("`(.*?)`", f"{theirs} {ours}"):
            assert address in texts[f"- case: {name}"], name


def test_the_cases_expect_every_field_of_every_version(project: Project) -> None:
    """Under its column's name, in the models that keep records."""
    printed = project.dbt(
        *("--quiet", "compile", "--inline"),
        "{{ flow_log_fields() | map(attribute='column') | join(' ') }}",
    )
    kept = ("flow_records", "transit_gateway_records")
    expected = {
        column
        for case in CASES
        for model in kept
        for row in case.expect.get(model, [])
        for column, value in row.items()
        if value is not None
    }
    assert len(printed.split()) > 70
    assert set(printed.split()) - expected == set()


@pytest.fixture(scope="module")
def project(
    new_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    folder = tmp_path_factory.mktemp("cases")
    for case in CASES:
        case.write(folder)
    write_lists(folder / "_enrichment")
    enrichment = str(folder / "_enrichment")
    project = new_project(folder, VPC_FLOW_ENRICHMENT_LOCATION=enrichment)
    project.stage()
    project.dbt("build", **VARIABLES)
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


def test_coverage_counts_what_the_cases_hide(project: Project, tmp_path: Path) -> None:
    """From the cases' records, in Python; the window reaches back from today."""
    models = ["eni_health", "failed_files", "admin_exposure_coverage"]
    days = (datetime.now(UTC).date() - AS_OF).days + 60
    copied = project.copy(tmp_path)
    copied.dbt("run", "--select", *models, lookback_days=days)
    (coverage,) = copied.rows("admin_exposure_coverage", "as_of")
    records = [r for case in CASES for file in case.files.values() for r in file]
    in_time = [r for r in records if 1_356_998_400 <= r.get("start", 0) < 2**31]
    assert coverage["records"] == sum("tgw_id" not in r for r in in_time)
    assert coverage["skipdata_records"] == sum(
        r.get("log_status") == "SKIPDATA" for r in records
    )
    assert coverage["records_without_time"] == sum("start" not in r for r in records)
    assert coverage["records_with_implausible_time"] == sum(
        "start" in r for r in records
    ) - len(in_time)
    accepted = [r for r in in_time if r.get("action") == "ACCEPT" and "tgw_id" not in r]
    assert coverage["records_between_public_addresses"] == sum(
        ("flow_direction" not in r or hops(r) > 0)
        and {scope_of(end) for end in real_ends(r)} == {"public"}
        for r in accepted
    )
    assert coverage["records_between_public_and_cgnat"] == sum(
        {scope_of(end) for end in real_ends(r)} == {"public", "cgnat"} for r in accepted
    )
    assert coverage["records_without_addresses"] == sum(
        None in real_ends(r) for r in accepted
    )
    assert coverage["records_without_ports"] == sum(
        r.get("action", "-") != "-"
        and not {"srcport", "dstport", "protocol"} <= set(r)
        and "tgw_id" not in r
        for r in in_time
    )
    assert coverage["records_without_action"] == sum(
        r.get("action", "-") == "-"
        and r.get("log_status") not in ("NODATA", "SKIPDATA")
        and "tgw_id" not in r
        for r in in_time
    )
    assert coverage["silent_interfaces"] == len(
        {
            r["interface_id"]
            for r in in_time
            if r.get("interface_id", "-") != "-" and "tgw_id" not in r
        }
    )
    assert coverage["failed_files"] == 0
    assert all(value for name, value in coverage.items() if name != "failed_files")


def real_ends(record: Row) -> list[Any]:
    return [record.get(f"pkt_{key}", record.get(key)) for key in ("srcaddr", "dstaddr")]


def hops(record: Row) -> int:
    """How many ends have another address in their place."""
    ends = [record.get("srcaddr"), record.get("dstaddr")]
    return sum(
        end not in (None, real)
        for end, real in zip(ends, real_ends(record), strict=True)
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, rows_of: Callable[[str], list[Row]]) -> None:
    assert case.differences(rows_of) == []
