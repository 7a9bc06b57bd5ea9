"""Text logs on DuckDB: the same records and answers as from Parquet."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

import sample_logs

from .conftest import AS_OF, END_DATE, Project
from .test_exactly_once import rows_of
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


def write_text(path: Path, *texts: str, compressed: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(lines(*texts)) if compressed else lines(*texts))


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


def lines(*texts: str) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


def with_bytes(value: str) -> bytes:
    """A file whose second record has this text in its field `bytes`."""
    return lines(HEADER, LINE, LINE.replace(" 7 ", f" {value} "))


#: What an editor or another tool has left in a file; each holds LINE twice.
ODD_TEXT: dict[str, bytes] = {
    "byte order mark": b"\xef\xbb\xbf" + lines(HEADER, LINE, LINE),
    "carriage returns": lines(f"{HEADER}\r", f"{LINE}\r", f"{LINE}\r"),
    "blank lines": lines(HEADER, "", "", LINE, "", LINE, ""),
    "no end of line": lines(HEADER, LINE, LINE).rstrip(),
    "two members": gzip.compress(lines(HEADER, LINE)) + gzip.compress(lines(LINE)),
    "capitals": lines(HEADER.upper(), LINE, LINE),
    "zeros in front": with_bytes("0" * 20 + "7"),
    "spaces after the names": lines(f"{HEADER}  ", LINE, LINE),
    "a name that is no field": lines(
        f"{HEADER} pkt-src_aws_service", *[f'{LINE} "\\\0'] * 2
    ),
}

NO_NAMES = "not a flow log: its first line names no fields"
NO_UTF8 = "not text in UTF-8"
#: What is wrong, and a part of the reason that both engines give.
BAD_TEXT: dict[str, tuple[bytes, str]] = {
    "cloudwatch": (
        lines(f"2026-11-29T22:00:00.000Z {LINE}"),
        "an export of CloudWatch Logs",
    ),
    "json": (lines(' {"messageType": "DATA_MESSAGE", "logEvents": []}'), "records in"),
    "no names": (lines(LINE, LINE), NO_NAMES),
    "tabs": (lines(HEADER.replace(" ", "\t"), LINE.replace(" ", "\t")), NO_NAMES),
    "letters of another alphabet": (lines(f"{HEADER} naïve", f"{LINE} 1"), NO_NAMES),
    "empty": (b"", NO_NAMES),
    "blank": (b"\n\n", NO_NAMES),
    "generic": (
        lines("start action bytes", "1 ACCEPT 1"),
        "not a flow log: it has no value of a field that only flow logs have",
    ),
    "hyphen and underscore": (
        lines("tgw-attachment_id interface-tag_2", "x y"),
        "not a flow log",
    ),
    "twice": (lines(f"{HEADER} BYTES", f"{LINE} 1"), "two columns are named bytes,"),
    "no field twice": (
        lines(f"{HEADER} x x", f"{LINE} 1 2"),
        "two columns are named x,",
    ),
    "a word": (with_bytes("seven"), "bytes holds seven, which is no integer"),
    "a fraction": (with_bytes("7.5"), "bytes holds 7.5, which is no integer"),
    "hexadecimal": (with_bytes("0x1F"), "bytes holds 0x1F, which is no integer"),
    "an exponent": (with_bytes("1e3"), "bytes holds 1e3, which is no integer"),
    "a plus": (with_bytes("+5"), "bytes holds +5, which is no integer"),
    "a tab": (with_bytes("7\t"), "bytes holds 7\t, which is no integer"),
    "wide digits": (with_bytes("\uff17"), "bytes holds \uff17, which is no integer"),
    "nothing": (with_bytes(""), "bytes holds , which is no integer"),
    "65 bits": (with_bytes(f"{2**63}"), f"bytes holds {2**63}, which is no integer"),
    "many digits": (with_bytes("9" * 5_000), "bytes holds 999"),
    "too few": (
        lines(HEADER, LINE, LINE.removesuffix(" OK")),
        "without a field for each name in the first line: 2 012345678901 eni-1",
    ),
    "too many": (lines(HEADER, f"{LINE} OK"), "without a field for each name"),
    "a header inside": (lines(HEADER, LINE, HEADER, LINE), "which is no integer"),
    "cut": (gzip.compress(lines(HEADER, *[LINE] * 99))[:-20], "cannot be decompressed"),
    "utf-16": (lines(HEADER, LINE).decode().encode("utf-16"), NO_UTF8),
    "latin-1": (lines(HEADER, LINE) + lines(LINE).replace(b"OK", b"\xe9"), NO_UTF8),
}


def write_odd_and_bad_text(folder: Path) -> None:
    """Write a file for each of both, which it names."""
    for name, data in ODD_TEXT.items():
        (folder / f"odd {name}.log").write_bytes(data)
    for name, (data, _) in BAD_TEXT.items():
        (folder / f"bad {name}.log").write_bytes(data)


@pytest.mark.parametrize("case", BAD_TEXT)
def test_bad_text_is_quarantined_and_the_others_load(bench: Bench, case: str) -> None:
    data, reason = BAD_TEXT[case]
    (bench.folder / "b.log").write_bytes(data)
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
