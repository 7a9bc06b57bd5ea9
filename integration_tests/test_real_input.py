"""Flow logs that others published: they skip where that folder is absent."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .conftest import WITHOUT_UNIT_TESTS, Project

INT32 = {"version", "srcport", "dstport", "protocol", "tcp_flags", "traffic_path"}
INT64 = {"packets", "bytes", "start", "end"}


def seconds(value: datetime | None) -> int | None:
    return None if value is None else int(value.replace(tzinfo=UTC).timestamp())


def test_a_real_flow_log_gives_the_rows_its_publisher_expects(
    new_project: Callable[..., Project], published: Path
) -> None:
    project = new_project(published / "real")
    project.stage()
    project.dbt("run", "--select", "stg_vpc_flow__flow_logs")
    expected = [
        json.loads(line)
        for line in (published / "real/expected.jsonl").read_text().splitlines()
    ]
    names = [
        {"start": "started_at", "end": "ended_at"}.get(name, name)
        for name in expected[0]
    ]
    rows = project.query(
        f"select {', '.join(names)} from stg_vpc_flow__flow_logs"
        " order by metadata_file_row_number"
    )
    staged = [
        {
            name: seconds(value) if isinstance(value, datetime) else value
            for name, value in zip(expected[0], row, strict=True)
        }
        for row in rows
    ]
    assert staged == expected


@pytest.fixture(scope="module")
def examples(published: Path) -> list[dict[str, Any]]:
    """The examples of the AWS documentation: number, format and fields as text."""
    lines = (published / "aws_docs_examples.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def documented(
    new_project: Callable[..., Project],
    examples: list[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    """The examples as Parquet with AWS's types, a file each, staged and built."""
    folder = tmp_path_factory.mktemp("documented")
    for example in examples:
        columns = {}
        for name in (field.replace("-", "_") for field in example["format"]):
            text = example["fields"][name]
            if name in INT32 | INT64:
                kind = pa.int32() if name in INT32 else pa.int64()
                columns[name] = pa.array([None if text == "-" else int(text)], kind)
            else:
                columns[name] = pa.array([text], pa.string())
        pq.write_table(pa.table(columns), folder / f"{example['n']:02}.parquet")
    project = new_project(folder)
    project.stage()
    # The window has the accepted SSH example, so its age is not why a mart lacks it.
    project.dbt("build", *WITHOUT_UNIT_TESTS, as_of="2014-12-14")
    return project


def one(project: Project, number: int, columns: str) -> tuple[Any, ...]:
    (row,) = project.query(
        f"select {columns} from flow_records"
        f" where metadata_filename = '{number:02}.parquet'"
    )
    return row


def test_every_example_comes_out_with_its_own_values(
    documented: Project, examples: list[dict[str, Any]]
) -> None:
    """All fields of all formats, those without a value as null."""
    for example in examples:
        fields = example["fields"]
        values = one(
            documented,
            example["n"],
            ", ".join(
                {"start": "epoch(started_at)", "end": "epoch(ended_at)"}.get(name, name)
                for name in fields
            ),
        )
        for (name, text), value in zip(fields.items(), values, strict=True):
            is_number = name in INT32 | INT64
            expected = None if text == "-" else int(text) if is_number else text
            assert value == expected, (example["n"], name)


def test_accepted_ssh_between_private_addresses_is_no_exposure(
    documented: Project,
) -> None:
    assert one(documented, 1, "dstport, action, src_scope, dst_scope") == (
        22,
        "ACCEPT",
        "internal",
        "internal",
    )
    assert documented.query("select count(*) from admin_exposure") == [(0,)]
    # It is in the window, and the other marts have it.
    assert documented.query("select total_bytes from top_talkers_by_destination") == [
        (4249,)
    ]


def test_rejected_rdp_is_in_staging_alone(documented: Project) -> None:
    assert one(documented, 2, "dstport, action") == (3389, "REJECT")
    assert documented.query(
        "select count(*) from int_traffic__daily_admin_flows"
        " where internal_addr is not null"
    ) == [(0,)]


def test_nodata_and_skipdata_carry_no_measures(documented: Project) -> None:
    columns = "log_status, srcaddr, dstport, bytes, action, src_scope"
    assert one(documented, 3, columns) == ("NODATA", None, None, None, None, "none")
    assert one(documented, 4, columns) == ("SKIPDATA", None, None, None, None, "none")


def test_ipv6_addresses_have_a_scope(documented: Project) -> None:
    assert one(documented, 7, "dstport, src_scope, dst_scope") == (
        22,
        "documentation",
        "documentation",
    )


def test_the_tcp_flag_sequences_keep_their_flags(documented: Project) -> None:
    """The flags that the documentation explains: SYN, SYN-ACK, FIN and both."""
    flags = [one(documented, number, "tcp_flags")[0] for number in range(8, 16)]
    assert flags == [2, 18, 2, 18, 1, 1, 3, 19]


def test_records_without_any_time_are_in_no_mart(documented: Project) -> None:
    """The NAT gateway examples: six addresses and ids, and nothing else."""
    for number in range(16, 22):
        assert one(documented, number, "started_at, has_plausible_time") == (
            None,
            False,
        )
    assert documented.query(
        "select count(*) from int_traffic__daily_endpoint_bytes"
        " where started_date is null"
    ) == [(0,)]
