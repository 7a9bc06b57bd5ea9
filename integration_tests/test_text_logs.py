"""Text logs on DuckDB: the same records and answers as from Parquet."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import sample_logs

from .conftest import AS_OF, END_DATE, Project
from .test_exactly_once import rows_of
from .test_main_job import assert_marts_equal
from .test_staging import AWS, START, Bench, write_good
from .text_files import write_as_text

HEADER = (
    "version account-id interface-id srcaddr dstaddr srcport bytes start log-status"
)
LINE = f"2 012345678901 eni-1 10.0.0.1 - 22 7 {START} OK"
NEW_YEAR = datetime(2026, 1, 1)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.connection.close()


def write_text(path: Path, *lines: str, compressed: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if compressed else data)


def test_each_file_has_an_order_of_fields_of_its_own(bench: Bench) -> None:
    """Compressed or not, whatever the ending says, beside Parquet."""
    write_text(bench.folder / "a.log", HEADER, LINE, LINE.replace(" 7 ", " - "))
    write_text(bench.folder / "in/b.LOG.GZ", "bytes srcaddr new-part", "8 10.0.0.2 x")
    write_text(
        bench.folder / "c.log", "SRCADDR Bytes", "10.0.0.3 9\r", "", compressed=True
    )
    write_text(bench.folder / "d.log.gz", HEADER, compressed=True)
    write_good(bench.folder / "e.parquet", records=1)
    assert "5 loaded (5 records)" in bench.load()
    assert bench.query(
        "select metadata_filename, metadata_file_row_number, account_id, srcaddr,"
        " srcport, bytes, start, unknown_fields from landing.flow_logs order by 1, 2"
    ) == [
        ("a.log", 1, "012345678901", "10.0.0.1", 22, 7, NEW_YEAR, UNKNOWN),
        ("a.log", 2, "012345678901", "10.0.0.1", 22, None, NEW_YEAR, UNKNOWN),
        ("c.log", 1, None, "10.0.0.3", None, 9, None, None),
        ("e.parquet", 1, None, "10.0.0.0", 22, 0, NEW_YEAR, None),
        ("in/b.LOG.GZ", 1, None, "10.0.0.2", None, 8, None, {"new-part": "x"}),
    ]
    assert bench.load().startswith("Nothing new in 5 files")


# The bench's list of fields is short.
UNKNOWN = {
    "version": "2",
    "interface-id": "eni-1",
    "dstaddr": None,
    "log-status": "OK",
}

#: What an editor or another tool has left in a file; each holds LINE twice.
ODD_TEXT: dict[str, bytes] = {
    "byte order mark": f"\ufeff{HEADER}\n{LINE}\n{LINE}\n".encode(),
    "carriage returns": f"{HEADER}\r\n{LINE}\r\n{LINE}\r\n".encode(),
    "blank lines": f"{HEADER}\n\n\n{LINE}\n\n{LINE}\n\n".encode(),
    "no end of line": f"{HEADER}\n{LINE}\n{LINE}".encode(),
    "two members": gzip.compress(f"{HEADER}\n{LINE}\n".encode())
    + gzip.compress(f"{LINE}\n".encode()),
    "capitals": f"{HEADER.upper()}\n{LINE}\n{LINE}\n".encode(),
}

BAD_TEXT: dict[str, tuple[tuple[str, ...], str]] = {
    "cloudwatch": ((f"2026-11-29T22:00:00.000Z {LINE}",), "an export of CloudWatch"),
    "json": (('{"messageType": "DATA_MESSAGE", "logEvents": []}',), "inside JSON"),
    "no names": ((LINE, LINE), "its first line names no fields"),
    "generic": (("start action bytes", "1 ACCEPT 1"), "not a flow log"),
    "a word": ((HEADER, LINE, LINE.replace(" 7 ", " seven ")), "seven"),
    "a fraction": ((HEADER, LINE.replace(" 7 ", " 7.5 ")), "7.5"),
    "too few": ((HEADER, LINE, LINE.removesuffix(" OK")), "Expected 9 columns, got 8"),
    "a header inside": ((HEADER, LINE, HEADER, LINE), "version"),
    "twice": ((f"{HEADER} BYTES", f"{LINE} 1"), "two columns are named bytes"),
    "empty": ((), "names no fields"),
}


@pytest.mark.parametrize("case", [*BAD_TEXT, "cut", "bytes"])
def test_bad_text_is_quarantined_and_the_others_load(bench: Bench, case: str) -> None:
    lines, reason = BAD_TEXT.get(case, ((HEADER, *[LINE] * 99), ""))
    bad = bench.folder / "b.log"
    write_text(bad, *lines, compressed=case == "cut")
    if case == "cut":
        bad.write_bytes(bad.read_bytes()[:-20])
        reason = "cannot be decompressed"
    elif case == "bytes":
        bad.write_bytes(b"\xff\xfe\x00")
        reason = "its first line is not text"
    write_text(bench.folder / "a.log", HEADER, LINE)
    write_good(bench.folder / "c.parquet")
    assert bench.load().endswith(
        "2 loaded (4 records), 0 already loaded, 1 quarantined (0 before)"
    )
    assert bench.history()["b.log"] == ("quarantined", None)
    assert reason in bench.why("b.log")
    assert "/tmp" not in bench.why("b.log")


@pytest.mark.parametrize("case", ODD_TEXT)
def test_text_of_another_tool_loads_as_it_is(bench: Bench, case: str) -> None:
    (bench.folder / "a.log").write_bytes(ODD_TEXT[case])
    assert "1 loaded (2 records)" in bench.load()
    columns = "metadata_file_row_number, account_id, srcaddr, srcport, bytes, start"
    assert bench.query(f"select {columns} from landing.flow_logs order by 1") == [
        (n, "012345678901", "10.0.0.1", 22, 7, NEW_YEAR) for n in (1, 2)
    ]


def test_a_delivery_as_text_and_as_parquet_is_one(bench: Bench) -> None:
    """People convert text logs and leave both in the bucket."""
    file = write_good(bench.folder / AWS.format("a", 1))
    header = "srcaddr srcport bytes start"
    write_text(file.with_suffix(".gz"), header, *["10.0.0.1 22 7 1"] * 3)
    summary = bench.load()
    assert "1 loaded (3 records)" in summary
    assert summary.endswith("1 copies of others")


def test_text_and_parquet_in_one_bucket_give_the_same_answers(
    built: Project,
    new_project: Callable[..., Project],
    sample: Path,
    truth: dict[str, Any],
    tmp_path: Path,
) -> None:
    """Every second file of the sample as text."""
    files = sorted(sample.rglob("*.parquet"))
    write_as_text(files[::2], sample, tmp_path)
    for file in files[1::2]:
        target = tmp_path / file.relative_to(sample)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    project = new_project(tmp_path)
    assert f"{len(files)} loaded (20,000 records)" in project.stage()
    project.dbt("run", **AS_OF)
    assert_marts_equal(project, truth)
    assert rows_of(project) == rows_of(built)


@pytest.mark.long
def test_a_million_records_as_text_give_the_same_marts(
    new_project: Callable[..., Project], tmp_path: Path
) -> None:
    """And load at a third of Parquet's speed at least."""
    parquet, text = tmp_path / "parquet", tmp_path / "text"
    sample_logs.generate(parquet, end_date=END_DATE, records=1_000_000)
    write_as_text(parquet.rglob("*.parquet"), parquet, text)
    seconds, rows = [], []
    for folder in (parquet, text):
        project = new_project(folder)
        begun = time.monotonic()
        assert "(1,000,000 records)" in project.stage()
        seconds.append(time.monotonic() - begun)
        project.dbt("run", **AS_OF)
        rows.append(rows_of(project))
    print(f"staging: {seconds[0]:.1f} s from Parquet, {seconds[1]:.1f} s from text")
    assert rows[0] == rows[1]
    assert seconds[1] < 3 * seconds[0]
