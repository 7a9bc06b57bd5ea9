"""Findings over several runs, their variables, suppressions and documents."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from vpcflow.detections import PAGE, RECORDS, TEXTS, page, read_registry, records, texts
from vpcflow.questions import read_questions

from .cases import VARIABLES, cases
from .conftest import ROOT, Project
from .snowflake_project import Bucket, SnowflakeProject

MODELS = ("run", "--select", "+findings")
#: The times of loads.
OF_THE_LOAD = "exclude (first_detected_at, loaded_through_at)"


def daily_findings(project: Project) -> list[tuple[Any, ...]]:
    return project.query(
        f"select * {OF_THE_LOAD} from int_detections__daily_findings order by all"
    )


def findings(project: Project, columns: str) -> list[tuple[Any, ...]]:
    return project.query(f"select {columns} from findings order by all")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the cases of findings; each file makes a delivery of its own."""
    folder = tmp_path_factory.mktemp("deliveries")
    for case in cases():
        if "findings" in case.expect:
            case.write(folder)
    return folder


@pytest.mark.long
def test_any_sequence_of_runs_gives_what_one_rebuild_gives(
    new_project: Callable[..., Project], logs: Path, tmp_path: Path
) -> None:
    """The records of each day, and of each finding, arrive in several runs."""
    location = tmp_path / "arrived"
    location.mkdir()
    stepwise = new_project(location)
    files = sorted(logs.iterdir(), reverse=True)
    with duckdb.connect() as connection:
        for number, part in enumerate((0, 1, 2)):
            for file in files:
                connection.sql(
                    "copy (select * exclude (file_row_number) from"
                    f" read_parquet('{file}', file_row_number = true)"
                    f" where file_row_number % 3 = {part})"
                    f" to '{location}/{number}_{file.name}'"
                )
            stepwise.stage()
            stepwise.dbt(*MODELS, **VARIABLES)
    found = daily_findings(stepwise)
    stepwise.dbt(*MODELS, **VARIABLES)
    assert daily_findings(stepwise) == found

    rebuilt = new_project(location)
    rebuilt.stage()
    rebuilt.dbt(*MODELS, **VARIABLES)
    assert daily_findings(rebuilt) == found
    assert len({row[2] for row in found}) > 4


def write_scan(path: Path, first: int, last: int) -> None:
    """Write a scan of the ports from first to last, on 2026-03-30."""
    with duckdb.connect() as connection:
        connection.sql(
            "copy (select 'eni-1' as interface_id, '10.5.2.3' as srcaddr,"
            " '10.1.2.3' as dstaddr, 50000::int as srcport, port::int as dstport,"
            " 6::int as protocol, 1::bigint as packets, 40::bigint as bytes,"
            " epoch('2026-03-30 12:00'::timestamp)::bigint as start, start as \"end\","
            " 'REJECT' as action, 'OK' as log_status"
            f" from range({first}, {last + 1}) t(port)) to '{path}'"
        )


def test_a_late_file_changes_a_finding_and_variables_remove_it(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    project = new_project(tmp_path)
    columns = "rule_id, observed, finding_id, first_detected_at"

    def build(**more: Any) -> list[tuple[Any, ...]]:
        project.stage()
        project.dbt(*MODELS, **VARIABLES | more)
        return findings(project, columns)

    write_scan(tmp_path / "1.parquet", 1001, 1030)
    assert build() == []
    write_scan(tmp_path / "2.parquet", 1031, 1060)
    ((rule, observed, identity, detected),) = build()
    assert (rule, observed) == ("port_scan_vertical", 60)
    write_scan(tmp_path / "3.parquet", 1061, 1070)
    assert build() == [(rule, 70, identity, detected)]
    records = read_questions()["finding_records"].rows
    assert len(project.query(f"select * from ({records})")) == 70

    assert build(detection_thresholds={rule: 71}) == []
    assert build(disabled_detections=[rule]) == []
    ((_, again, same, _),) = build(detection_thresholds={rule: 70})
    assert (again, same) == (70, identity)


@pytest.mark.long
def test_a_late_file_changes_a_finding_on_snowflake(
    snowflake: SnowflakeProject, tmp_path: Path
) -> None:
    """An incremental run there; the same finding as on DuckDB."""
    bucket = Bucket(snowflake, tmp_path)
    found = []
    for number, (first, last) in enumerate(((1001, 1055), (1056, 1060))):
        file = tmp_path / f"{number}.parquet"
        write_scan(file, first, last)
        if number:
            bucket.announce(file)
        else:
            bucket.put(file)
            snowflake.stage()
        snowflake.dbt(*MODELS, **VARIABLES)
        (row,) = snowflake.query(
            "select observed, finding_id, first_detected_at from findings"
        )
        found.append(row)
    identity = " ".join(("port_scan_vertical", "10.5.2.3", "10.1.2.3", "-", "6"))
    expected = hashlib.md5(identity.encode()).hexdigest()
    assert [(row[0], row[1]) for row in found] == [(55, expected), (60, expected)]
    assert found[0][2] == found[1][2]


def test_suppressions_mark_findings_and_unused_ones_are_reported(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    project = new_project(tmp_path)
    write_scan(tmp_path / "1.parquet", 1, 60)
    project.stage()
    project.dbt("seed")
    project.dbt(*MODELS, **VARIABLES)
    entries = {
        "an expired one": "('*', null, null, null, date '2026-03-30', {})",
        "another range": "('port_scan_*', '10.5.2.0/31', null, null, null, {})",
        "another port": "('*', null, null, 22, null, {})",
        "our 'scanner'": (
            "('port_*', '10.5.2.3/32', '10.1.0.0/16', null, date '2026-03-31', {})"
        ),
    }

    def build(*reasons: str) -> tuple[list[tuple[Any, ...]], str]:
        with duckdb.connect(str(project.database)) as connection:
            connection.sql("delete from detection_suppressions")
            for reason in reasons:
                quoted = "'" + reason.replace("'", "''") + "'"
                connection.sql(
                    "insert into detection_suppressions"
                    f" values {entries[reason].format(quoted)}"
                )
        project.dbt("run", "--select", "findings", **VARIABLES)
        printed = project.dbt(
            "test", "--select", "assert_suppressions_are_used", **VARIABLES
        )
        return findings(project, "is_suppressed, suppressed_by"), printed

    rows, printed = build("an expired one", "another range", "another port")
    assert rows == [(False, None)]
    assert "Got 3 results" in printed
    rows, printed = build("our 'scanner'")
    assert rows == [(True, "our 'scanner'")]
    assert "WARN=0 ERROR=0" in printed


@pytest.mark.long
def test_the_version_of_the_rules_covers_the_macros_that_they_use(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    """A change of one of them evaluates the days again; a change of others does not."""
    copied = tmp_path / "project"
    folders = "models macros seeds tests analyses assets plugins dbt_packages"
    for name in folders.split():
        shutil.copytree(ROOT / name, copied / name)
    shutil.copy(ROOT / "dbt_project.yml", copied)
    shutil.copy(ROOT / "packages.yml", copied)
    variables = new_project(tmp_path).variables()

    def version() -> str:
        words = ("--quiet", "compile", "--inline", "{{ rules_version() }}")
        printed = subprocess.run(
            [Path(sys.executable).parent / "dbt", *words],
            cwd=copied,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        return printed.stdout.split()[-1]

    versions = [version()]
    for file, old, new in (
        ("names.sql", "{%- endmacro %}", " {%- endmacro %}"),
        ("detections.sql", "<= 3 * records", "<= 4 * records"),
        ("cross_database.sql", "list_contains(", "list_has("),
    ):
        path = copied / "macros" / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        versions.append(version())
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3


def test_the_documents_of_the_rules_are_those_of_the_registry() -> None:
    """`python -m vpcflow.detections` writes them."""
    assert PAGE.read_text() == page()
    assert TEXTS.read_text() == texts()
    assert RECORDS.read_text() == records()
    assert len(read_registry()) > 5
