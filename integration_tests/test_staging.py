"""Staging on DuckDB: each file once, bad files quarantined, nothing lost."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flow_log_loader import loading
from flow_log_loader.listing import ListingError, list_files

from bench import known_files

from .conftest import Project

FIELDS = {
    "srcaddr": "varchar",
    "srcport": "bigint",
    "bytes": "bigint",
    "start": "timestamp",
    "account_id": "varchar",
    "vpc_id": "varchar",
    "tcp_flags": "bigint",
}
INITIAL = ["srcaddr", "srcport", "bytes", "start"]
GENERIC = ["action", "region", "srcport", "start", "type", "bytes"]
START = 1_767_225_600  # 2026-01-01 00:00:00 UTC


def write(path: Path, **columns: Any) -> Path:
    """Write a Parquet file; a value that is no Arrow array gets AWS's type."""
    types = {"srcport": pa.int32(), "bytes": pa.int64(), "start": pa.int64()}
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: values
        if isinstance(values, pa.Array)
        else pa.array(values, types.get(name, pa.string()))
        for name, values in columns.items()
    }
    pq.write_table(pa.table(arrays), path, compression="gzip")
    return path


def write_good(path: Path, records: int = 3) -> Path:
    return write(
        path,
        srcaddr=[f"10.0.0.{i}" for i in range(records)],
        srcport=[22] * records,
        bytes=list(range(records)),
        start=[START + i for i in range(records)],
    )


def settings_for(location: Path | str, **options: Any) -> loading.Settings:
    return loading.Settings(
        location=str(location),
        landing_schema="landing",
        landing_table="flow_logs",
        history_table="load_history",
        fields=FIELDS,
        initial_fields=INITIAL,
        generic_fields=GENERIC,
        **options,
    )


class Bench:
    """A database and a folder, loaded by the loader alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "logs"
        self.folder.mkdir()
        self.said: list[str] = []
        self.connect()

    def connect(self) -> None:
        """Open the database, as each command does."""
        self.connection = duckdb.connect(str(self.folder.parent / "flow.duckdb"))

    def load(self, location: Path | str | None = None, **options: Any) -> str:
        self.said.clear()
        settings = settings_for(location or self.folder, **options)
        loader = loading.Loader(self.connection.cursor(), settings, self.said.append)
        return loader.run()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def history(self) -> dict[str, tuple[str, int | None]]:
        return {
            name: (status, records)
            for name, status, records in self.query(
                "select metadata_filename, status, records from landing.load_history"
            )
        }

    def why(self, name: str) -> str:
        ((error,),) = self.query(
            f"select error from landing.load_history where metadata_filename = '{name}'"
        )
        return str(error)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.connection.close()


def test_a_file_is_loaded_once_with_its_history(bench: Bench) -> None:
    file = write_good(bench.folder / "deep/er/a.parquet")
    assert bench.load().endswith(
        "1 loaded (3 records), 0 already loaded, 0 quarantined (0 before)"
    )
    assert bench.load().startswith("Nothing new in 1 files")
    assert bench.query(
        "select srcaddr, srcport, bytes, start,"
        " metadata_filename, metadata_file_row_number"
        " from landing.flow_logs order by all"
    ) == [
        (
            f"10.0.0.{i}",
            22,
            i,
            datetime(2026, 1, 1, 0, 0, i),
            "deep/er/a.parquet",
            i + 1,
        )
        for i in range(3)
    ]
    modified = datetime(1970, 1, 1) + timedelta(
        microseconds=file.stat().st_mtime_ns // 1_000
    )
    assert bench.query(
        "select metadata_filename, location, size_bytes, last_modified_at, records,"
        " status, error from landing.load_history"
    ) == [
        (
            "deep/er/a.parquet",
            str(bench.folder),
            file.stat().st_size,
            modified,
            3,
            "loaded",
            None,
        )
    ]
    assert bench.query(
        "select distinct metadata_file_last_modified, _dbt_copied_at ="
        " (select loaded_at from landing.load_history) from landing.flow_logs"
    ) == [(modified, True)]


def flip_footer(good: bytes) -> bytes:
    """Spoil the footer so that its length is right and its content is not."""
    length = int.from_bytes(good[-8:-4], "little")
    return good[: -8 - length] + b"\xff" * length + good[-8:]


def flip_page(good: bytes) -> bytes:
    """Spoil the compressed pages, behind the first magic bytes."""
    return good[:40] + bytes(255 - byte for byte in good[40:200]) + good[200:]


BAD_BYTES = {
    "empty": (lambda good: b"", "too small to be a Parquet file"),
    "text": (lambda good: b"2 123456789010 eni-1 - -\n" * 9, "No magic bytes"),
    "truncated": (lambda good: good[: len(good) // 2], "No magic bytes"),
    "footer": (flip_footer, ""),
    "page": (flip_page, "GZIP"),
    "a name twice": (
        lambda good: good.replace(b"srcport", b"srcaddr"),
        "two columns are named srcaddr, but for case or hyphens",
    ),
    "a name that is no text": (
        lambda good: good.replace(b"srcport", b"srcp\xffrt"),
        "Invalid unicode",
    ),
    "a name with a zero byte": (
        lambda good: good.replace(b"srcport", b"srcp\0rt"),
        "the names of its columns are damaged",
    ),
}
BAD_COLUMNS = {
    "digits in text": ({"bytes": pa.array(["1"])}, "bytes is declared as VARCHAR"),
    "words in text": (
        {"srcport": pa.array(["None"])},
        "srcport is declared as VARCHAR",
    ),
    "a fraction": ({"bytes": pa.array([1.5])}, "bytes holds 1.5"),
    "not a number": ({"bytes": pa.array([float("nan")])}, "bytes holds nan, which"),
    "no end": ({"start": pa.array([float("inf")])}, "start holds inf"),
    "a time": (
        {"start": pa.array([datetime(2026, 1, 1)])},
        "start is declared as TIMESTAMP",
    ),
    "a truth": ({"srcport": pa.array([True])}, "srcport is declared as BOOLEAN"),
    "too large": (
        {"bytes": pa.array([2**64 - 1], pa.uint64())},
        "bytes holds 18446744073709551615, which is no integer",
    ),
    "a list": (
        {"srcaddr": pa.array([[7]], pa.list_(pa.int32()))},
        "srcaddr holds [7], which is no text",
    ),
    "a number as text": (
        {"vpc_id": pa.array([None, 7], pa.int32())},
        "vpc_id holds 7, which is no text",
    ),
    "an account id as a fraction": (
        {"account_id": pa.array([123456789012.0])},
        "account_id holds 123456789012.0, which is no text",
    ),
    "an account id of 13 digits": (
        {"account_id": pa.array([1234567890123])},
        "account_id holds 1234567890123",
    ),
    "a field twice": (
        {"vpc-id": pa.array([None, "x"]), "VPC_ID": pa.array([None, "x"])},
        "two columns are named vpc_id, but for case or hyphens",
    ),
}
#: What good files may have beside `srcaddr`; each has two records, of 7 bytes.
ODD_COLUMNS: dict[str, dict[str, Any]] = {
    "names that the loader needs": {
        "file_row_number": [77, 78],
        "file_index": [5, 6],
        "FILENAME": ["x", "y"],
        "column_0": [1, 2],
        "metadata_filename": ["x", "y"],
        "_dbt_copied_at": [1, 2],
    },
    "the same in capitals": {"FILE_INDEX": [1, 2], "File_Row_Number": [1, 2]},
    "names of any characters": {
        name: [1, 2]
        for name in ('it\'s "x"', "a.b", "new\nline", "*", "{x}", "srcaddr_1", " bytes")
    },
    "a field inside another column": {"x": [{"srcaddr": "y"}, None]},
    "unknown names that differ by case": {"x": [1, 2], "X": [3, 4]},
    "a field of two columns": {"bytes": [7, None], "BYTES": [None, 7.0]},
    "a name with hyphens and one without": {
        "account-id": ["012345678901", None],
        "account_id": pa.array([None, 12345678901], pa.uint64()),
    },
}
NO_FLOW_LOGS = {
    "no field": {"user": ["x"]},
    "findings": {"region": ["eu-west-3"], "type": ["Recon:EC2"], "severity": [2.0]},
    "requests": {"type": ["https"], "start": [START], "elb": ["app/x"]},
    "a firewall": {"action": ["deny"], "srcport": [1], "bytes": [2], "policy": ["x"]},
    "no value": {
        "type": ["x", "y"],
        "srcaddr": [None, None],
        "tcp_flags": [None, None],
    },
}
#: What a record of a field without values would have.
TYPES = {"srcaddr": pa.string(), "tcp_flags": pa.int32()}
BAD_CASES = (*BAD_BYTES, *BAD_COLUMNS, *NO_FLOW_LOGS)


def spoil(case: str, path: Path) -> str:
    """Write a bad file; return the reason that its quarantine must give."""
    if case in BAD_BYTES:
        change, reason = BAD_BYTES[case]
        write_good(path, 500)
        path.write_bytes(change(path.read_bytes()))
    elif case in NO_FLOW_LOGS:
        reason = "not a flow log"
        columns = NO_FLOW_LOGS[case].items()
        write(path, **{k: pa.array(v, TYPES.get(k)) for k, v in columns})
    else:
        columns, reason = BAD_COLUMNS[case]
        records = len(next(iter(columns.values())))
        write(path, **{"srcaddr": ["10.0.0.1"] * records} | columns)
    return reason


@pytest.mark.parametrize("case", BAD_CASES)
def test_a_bad_file_is_quarantined_and_the_others_load(bench: Bench, case: str) -> None:
    reason = spoil(case, bench.folder / "b.parquet")
    for name in "acd":
        write_good(bench.folder / f"{name}.parquet")
    summary = bench.load()
    assert summary.endswith(
        "3 loaded (9 records), 0 already loaded, 1 quarantined (0 before)"
    )
    assert bench.history() == {
        "a.parquet": ("loaded", 3),
        "b.parquet": ("quarantined", None),
        "c.parquet": ("loaded", 3),
        "d.parquet": ("loaded", 3),
    }
    assert reason in bench.why("b.parquet")
    assert str(bench.folder) not in bench.why("b.parquet")
    assert f"  quarantined b.parquet: {bench.why('b.parquet')}" in bench.said
    assert bench.query("select count(*), sum(bytes) from landing.flow_logs") == [(9, 9)]
    assert bench.load().endswith("3 already loaded, 1 quarantined (1 before)")


def test_a_file_without_records_is_no_fault(bench: Bench) -> None:
    """Of any columns: Snowpipe loads nothing of it."""
    write_good(bench.folder / "good.parquet")
    for name, column in {"other": "user", "text": "srcport", "flow": "srcaddr"}.items():
        write(bench.folder / f"{name}.parquet", **{column: pa.array([], pa.string())})
    assert "4 loaded (3 records)" in bench.load()
    empty = ("loaded", 0)
    assert bench.history() == {
        "good.parquet": ("loaded", 3),
        **{f"{name}.parquet": empty for name in ("other", "text", "flow")},
    }
    assert "Nothing new" in bench.load()


def write_odd(case: str, path: Path) -> None:
    columns = {"srcaddr": ["10.0.0.1", "10.0.0.2"], "bytes": [7, 7]}
    pq.write_table(pa.table(columns | ODD_COLUMNS[case]), path)


@pytest.mark.parametrize("case", ODD_COLUMNS)
def test_columns_of_any_name_keep_their_values(bench: Bench, case: str) -> None:
    write_odd(case, bench.folder / "odd.parquet")
    write_good(bench.folder / "good.parquet")
    assert "2 loaded (5 records)" in bench.load()
    rows = bench.query(
        "select metadata_file_row_number, srcaddr, bytes, unknown_fields"
        " from landing.flow_logs where metadata_filename = 'odd.parquet' order by 1"
    )
    assert [row[:3] for row in rows] == [(1, "10.0.0.1", 7), (2, "10.0.0.2", 7)]
    of_fields = {"bytes", "BYTES", "account-id", "account_id"}
    unknown = {k: v for k, v in ODD_COLUMNS[case].items() if k not in of_fields}
    for number, (*_, found) in enumerate(rows):
        assert (found or {}).keys() == unknown.keys()
        for name, values in unknown.items():
            if not isinstance(values[number], dict):
                assert found[name] == (values[number] and str(values[number]))


def test_a_quarantined_file_loads_once_it_is_replaced(bench: Bench) -> None:
    spoil("empty", bench.folder / "a.parquet")
    bench.load()
    write_good(bench.folder / "a.parquet")
    assert "1 loaded (3 records)" in bench.load()
    assert bench.history() == {"a.parquet": ("loaded", 3)}


def test_an_option_tries_the_quarantined_files_again(bench: Bench) -> None:
    file = write_good(bench.folder / "a.parquet")
    bench.load()
    bench.query("delete from landing.flow_logs")
    bench.query("update landing.load_history set status = 'quarantined'")
    assert bench.load().startswith("Nothing new")
    assert "1 loaded (3 records)" in bench.load(retry_quarantined=True)
    assert bench.history() == {file.name: ("loaded", 3)}


def test_a_loaded_file_that_changes_is_reported_and_not_loaded_again(
    bench: Bench,
) -> None:
    write_good(bench.folder / "a.parquet")
    bench.load()
    write_good(bench.folder / "a.parquet", records=5)
    assert bench.load().startswith("Nothing new in 1 files")
    assert "  changed after it was loaded, not loaded again: a.parquet" in bench.said
    assert "changed after it was loaded" in bench.why("a.parquet")
    assert bench.query("select count(*) from landing.flow_logs") == [(3,)]
    assert bench.history() == {"a.parquet": ("loaded", 3)}


def test_a_file_that_is_gone_since_the_listing_is_reported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        write_good(bench.folder / f"{name}.parquet")
    listed = list_files(str(bench.folder))
    (bench.folder / "b.parquet").unlink()
    monkeypatch.setattr(loading, "list_files", lambda *_: listed)
    assert bench.load().endswith(
        "2 loaded (6 records), 0 already loaded, 0 quarantined (0 before), 1 failed"
    )
    assert bench.history()["b.parquet"] == ("failed", None)
    assert bench.why("b.parquet") == "gone since the listing"
    write_good(bench.folder / "b.parquet")
    monkeypatch.undo()
    assert "1 loaded (3 records), 2 already loaded" in bench.load()
    assert bench.history()["b.parquet"] == ("loaded", 3)


def test_an_error_of_the_database_quarantines_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing fails although every file can be read."""
    write_good(bench.folder / "a.parquet")
    original = loading.Loader._execute

    def full_disk(self: Any, sql: str, **parameters: Any) -> Any:
        if 'insert into "landing"."flow_logs"' in sql:
            raise duckdb.IOException("Could not write: No space left on device")
        return original(self, sql, **parameters)

    monkeypatch.setattr(loading.Loader, "_execute", full_disk)
    with pytest.raises(duckdb.IOException, match="No space left"):
        bench.load()
    assert bench.history() == {}
    monkeypatch.undo()
    assert "1 loaded (3 records)" in bench.load()


def test_rows_and_history_commit_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_good(bench.folder / "a.parquet")

    def killed(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading.Loader, "_record_history", killed)
    with pytest.raises(KeyboardInterrupt):
        bench.load()
    assert bench.query("select count(*) from landing.flow_logs") == [(0,)]
    monkeypatch.undo()
    assert "1 loaded (3 records)" in bench.load()


def test_a_file_that_is_still_growing_is_left_for_the_next_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = write_good(bench.folder / "a.parquet").read_bytes()
    (bench.folder / "a.parquet").write_bytes(complete[:50])
    listed = list_files(str(bench.folder))
    (bench.folder / "a.parquet").write_bytes(complete[:80])
    monkeypatch.setattr(loading, "list_files", lambda *_: listed)
    bench.load()
    assert bench.history() == {}
    assert "  still being written, left for the next run: a.parquet" in bench.said
    monkeypatch.undo()
    (bench.folder / "a.parquet").write_bytes(complete)
    assert "1 loaded (3 records)" in bench.load()


def test_columns_come_by_name_in_any_subset_order_and_width(bench: Bench) -> None:
    write(bench.folder / "a.parquet", bytes=[7], srcaddr=["10.0.0.1"])
    write(
        bench.folder / "b.parquet",
        tcp_flags=pa.array([18], pa.int64()),
        start=pa.array([START], pa.int32()),
        later_field=["kept"],
        srcport=pa.array([443], pa.uint16()),
        bytes=pa.array([8.0]),
    )
    write(bench.folder / "c.parquet", vpc_id=["-"], bytes=pa.nulls(1))
    bench.load()
    assert bench.query(
        "select srcaddr, srcport, bytes, start, vpc_id,"
        " tcp_flags, unknown_fields"
        " from landing.flow_logs order by metadata_filename"
    ) == [
        ("10.0.0.1", None, 7, None, None, None, None),
        (None, 443, 8, datetime(2026, 1, 1), None, 18, {"later_field": "kept"}),
        (None, None, None, None, "-", None, None),
    ]


def test_the_type_in_one_file_does_not_change_values_of_another(bench: Bench) -> None:
    """A plain union by name would read the account id as a number."""
    a, b = bench.folder / "a.parquet", bench.folder / "b.parquet"
    write(a, srcaddr=["-"], account_id=["012345678901"], bytes=[2**53 + 1])
    account_id = pa.array([12345678901], pa.int64())
    write(b, srcaddr=["-"], account_id=account_id, bytes=pa.array([1.0]))
    bench.load()
    assert bench.query(
        "select account_id, bytes from landing.flow_logs order by 2"
    ) == [
        ("012345678901", 1),
        ("012345678901", 2**53 + 1),
    ]


def test_text_that_is_not_marked_as_text_is_read_as_text(bench: Bench) -> None:
    write(bench.folder / "a.parquet", srcaddr=pa.array([b"10.0.0.1"]), bytes=[1])
    bench.load()
    assert bench.query("select srcaddr from landing.flow_logs") == [("10.0.0.1",)]


def test_names_of_the_documentation_are_the_same_fields(bench: Bench) -> None:
    """With hyphens and in any case; a column of nulls may have any type."""
    write(bench.folder / "a.parquet", **{"Account-Id": ["0012"], "SRCADDR": ["10.1"]})
    write(bench.folder / "b.parquet", **{"vpc-id": ["v"], "srcaddr": pa.nulls(1)})
    write(bench.folder / "c.parquet", **{"srcaddr": ["c"], "b-y": ["x"], "b_1": ["z"]})
    bench.load()
    assert bench.query(
        "select account_id, srcaddr, vpc_id, unknown_fields"
        " from landing.flow_logs order by metadata_filename"
    ) == [
        ("0012", "10.1", None, None),
        (None, None, "v", None),
        (None, "c", None, {"b-y": "x", "b_1": "z"}),
    ]


def test_a_start_that_is_no_time_lands_as_null(bench: Bench) -> None:
    starts = [0, START * 1000, -(2**63), 2**63 - 1, None]
    write(bench.folder / "a.parquet", start=starts, srcaddr=["-"] * len(starts))
    bench.load()
    years = bench.query(
        "select year(start) from landing.flow_logs order by metadata_file_row_number"
    )
    assert years == [(1970,), (57971,), (None,), (None,), (None,)]


def test_no_file_is_kept_in_memory(bench: Bench) -> None:
    write_good(bench.folder / "a.parquet", records=3_000)
    bench.load()
    assert bench.query(
        "select memory_usage_bytes from duckdb_memory()"
        " where tag = 'EXTERNAL_FILE_CACHE'"
    ) == [(0,)]


def test_loading_many_files_shows_progress(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BATCH_FILES", 2)
    for i in range(5):
        write_good(bench.folder / f"{i}.parquet")
    bench.load()
    assert [line.rsplit(",", 1)[0] for line in bench.said[:-1]] == [
        "  2 of 5 files, 6 records",
        "  4 of 5 files, 12 records",
        "  5 of 5 files, 15 records",
    ]


def test_each_batch_is_later_than_the_one_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the clock was ahead before: the models read by this time."""
    write_good(bench.folder / "a.parquet")
    bench.load()
    bench.query("update landing.load_history set loaded_at = timestamp '2999-01-01'")
    monkeypatch.setattr(loading, "BATCH_FILES", 1)
    write_good(bench.folder / "b.parquet")
    write_good(bench.folder / "c.parquet")
    bench.load()
    times = bench.query("select loaded_at from landing.load_history order by all")
    assert len(set(times)) == 3
    assert times[0] == (datetime(2999, 1, 1),)


def test_files_load_in_the_order_in_which_aws_delivered_them(bench: Bench) -> None:
    for account, time in (("2", "20260101T0000Z"), ("1", "20260102T0000Z")):
        name = f"{account}_vpcflowlogs_eu-west-3_fl-0a_{time}_ff.log.parquet"
        write_good(bench.folder / account / name)
    bench.load()
    names = bench.query("select metadata_filename[1] from landing.flow_logs")
    assert names == [("2",)] * 3 + [("1",)] * 3


@pytest.mark.parametrize("way", ["relative", "linked", "glob", "slash"])
def test_a_folder_named_in_another_way_is_the_same_files(
    bench: Bench, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_good(bench.folder / "year=2026/a.parquet")
    bench.load()
    link = bench.folder.parent / "link"
    link.symlink_to(bench.folder)
    monkeypatch.chdir(bench.folder.parent)
    location = {
        "relative": "logs",
        "linked": str(link),
        "glob": str(bench.folder / "**/*.parquet"),
        "slash": f"{bench.folder}//",
    }[way]
    assert bench.load(location).startswith("Nothing new in 1 files")


AWS = "123456789012_vpcflowlogs_eu-west-3_fl-0{}_20260101T0000Z_{:08x}.log.parquet"


def test_a_part_of_the_location_is_the_same_files(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a narrower folder, another glob and through links."""
    write_good(bench.folder / "deep/er/a.parquet")
    write_good(bench.folder / "deep/b.parquet")
    bench.load()
    (bench.folder.parent / "link").symlink_to(bench.folder / "deep")
    (bench.folder / "deep/er/c.parquet").symlink_to(bench.folder / "deep/b.parquet")
    monkeypatch.chdir(bench.folder / "deep")
    for location in (
        bench.folder / "deep",
        bench.folder.parent / "link",
        f"{bench.folder.parent}/link/**",
        "er",
        f"{bench.folder}/*/er/*",
        bench.folder / "deep/er/a.parquet",
    ):
        assert bench.load(location).startswith("Nothing new"), location
    assert set(bench.history()) == {"deep/er/a.parquet", "deep/b.parquet"}


def test_two_files_of_one_name_both_load(bench: Bench) -> None:
    """The second is named by its whole path, so that names and rows stay apart."""
    for folder in ("prod", "dev"):
        write_good(bench.folder / folder / "part-0.parquet")
        bench.load(bench.folder / folder)
    assert bench.history() == {
        "part-0.parquet": ("loaded", 3),
        str(bench.folder / "dev/part-0.parquet"): ("loaded", 3),
    }
    assert bench.query(
        "select count(distinct (metadata_filename, metadata_file_row_number))"
        " from landing.flow_logs"
    ) == [(6,)]
    both = bench.load(bench.folder, allow_another_location=True)
    assert both.startswith("Nothing new in 2 files")


@pytest.mark.parametrize("moved", [False, True])
def test_a_copy_of_a_delivery_is_reported_and_not_counted(
    bench: Bench, moved: bool
) -> None:
    """Of a whole tree, with other names beside; once the first is bad, the copy is."""
    first, second = bench.folder / "a", bench.folder / "b"
    for number in range(3):
        write_good(first / AWS.format("a", number))
    spoil("truncated", first / AWS.format("a", 3))
    bench.load()
    (shutil.move if moved else shutil.copytree)(str(first), str(second))
    write_good(second / AWS.format("a", 3))
    write_good(second / AWS.format("b", 0))
    write_good(second / "deeper" / AWS.format("b", 0))
    summary = bench.load()
    assert "2 loaded (6 records)" in summary
    assert summary.endswith("4 copies of others")
    name = f"b/{AWS.format('a', 0)}"
    assert bench.history()[name] == ("copy", None)
    assert bench.why(name) == f"copy of {first / AWS.format('a', 0)}"
    assert f"  not loaded: {name}: {bench.why(name)}" in bench.said
    assert bench.query("select count(*) from landing.flow_logs") == [(15,)]
    assert bench.load().endswith("4 copies of others")


def test_what_begins_with_an_underscore_or_a_dot_is_no_data(bench: Bench) -> None:
    """As Spark and Hive have it, but not above the location, and as links too."""
    hidden = ["_temporary/0/a.parquet", ".a.parquet", "_a.parquet", "in/.x/a.parquet"]
    for name in (*hidden, "in/a_.parquet"):
        write_good(bench.folder / "_top" / name)
    (bench.folder / "_top/_link.parquet").symlink_to("in/a_.parquet")
    for location in ("_top", "_top/**", "_top/*"):
        bench.load(f"{bench.folder}/{location}")
        assert bench.history() == {"in/a_.parquet": ("loaded", 3)}


def test_a_second_location_must_be_allowed(bench: Bench) -> None:
    """The sample and others; what belongs to the first is no second."""
    for folder in ("mine/a", "yours", "sample", "else/where"):
        write_good(bench.folder / folder / f"{folder[:1]}.parquet")
    mine, sample = bench.folder / "mine", bench.folder / "sample"
    (sample / "truth.json").touch()
    bench.load(mine)
    for location in (
        *(sample, bench.folder / "else/where", bench.folder),
        *(f"{bench.folder}/*", "s3://mine/"),
    ):
        with pytest.raises((loading.LoadError, ListingError)) as failure:
            bench.load(location)
        assert "allow_another_location" in str(failure.value) or "s3" in str(location)
    bench.load(mine / "a")
    bench.load(bench.folder / "yours")
    bench.load(sample, allow_another_location=True)
    assert bench.load(sample).startswith("Nothing new")
    assert bench.load(mine).startswith("Nothing new")


OLD_HISTORY = """
    create schema landing;
    create table landing.flow_logs (
        metadata_filename varchar, metadata_file_row_number bigint,
        metadata_file_last_modified timestamp, _dbt_copied_at timestamp,
        unknown_fields map(varchar, varchar), srcaddr varchar, srcport bigint,
        bytes bigint, "start" timestamp
    );
    create table landing.load_history (
        metadata_filename varchar, location varchar, size_bytes bigint,
        last_modified_at timestamp, records bigint, loaded_at timestamp,
        status varchar, error varchar
    )
"""


@pytest.mark.parametrize("form", ["{}", "{}/", "{}/**/*.parquet", "{}/../link", "logs"])
def test_a_history_of_the_first_version_is_carried_over(
    bench: Bench, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is loaded again, lost or renamed, whatever way the location was named."""
    monkeypatch.chdir(bench.folder.parent)
    (bench.folder.parent / "link").symlink_to(bench.folder)
    location = form.format(bench.folder)
    for name in ("x/a.parquet", "x/y/b.parquet"):
        write_good(bench.folder / name)
    bad = spoil("empty", bench.folder / "x/bad.parquet")
    bench.query(OLD_HISTORY)
    for file in list_files(str(bench.folder)).files:
        is_good = "bad" not in file.name
        if is_good:
            bench.query(
                f"insert into landing.flow_logs select '{file.name}', i, null,"
                " '2026-01-01', null, 'x', 1, 1, null from range(1, 4) as t(i)"
            )
        bench.query(
            f"insert into landing.load_history values ('{file.name}', '{location}',"
            f" {file.size}, make_timestamp({file.modified}),"
            + (
                " 3, '2026-01-01', 'loaded', null)"
                if is_good
                else f" null, '2026-01-01', 'quarantined', '{bad}')"
            )
        )
    old = "select * exclude (path) from landing.load_history order by all"
    rows = "from landing.flow_logs order by all"
    before = bench.query(old.replace("exclude (path) ", "")), bench.query(rows)
    for again in (bench.folder, bench.folder / "x", location):
        assert bench.load(again).startswith("Nothing new")
        assert (bench.query(old), bench.query(rows)) == before
    write_good(bench.folder / "x/y/c.parquet")
    assert "1 loaded (3 records)" in bench.load(bench.folder / "x/y")
    assert set(bench.history()) > {"c.parquet", "x/y/b.parquet"}


def test_names_that_look_like_patterns_are_taken_literally(bench: Bench) -> None:
    names = ["a[1]/x*.parquet", "a[1]/y?.parquet", "it's/z.parquet", "a1/x1.parquet"]
    names += [
        "back\\slash.parquet",
        "a#%20{b}.parquet",
        "new\nline.parquet",
        "é.parquet",
    ]
    for name in names:
        write_good(bench.folder / name)
    assert "8 loaded (24 records)" in bench.load()
    assert bench.history() == dict.fromkeys(names, ("loaded", 3))


def test_links_in_a_circle_end(bench: Bench) -> None:
    write_good(bench.folder / "in/a.parquet")
    (bench.folder / "in/again").symlink_to(bench.folder)
    assert "1 loaded" in bench.load()


def test_a_location_that_is_not_there_is_an_error(bench: Bench) -> None:
    with pytest.raises(ListingError, match="which does not exist"):
        bench.load(bench.folder / "nowhere")


#: What is no file that can be read, how it is made, and the reason that is given.
BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "link.parquet": (lambda path: path.symlink_to("nowhere"), "leads nowhere"),
    "loop.parquet": (lambda path: path.symlink_to(path), "leads nowhere"),
    "pipe.parquet": (os.mkfifo, "is not a regular file"),
    "disk.parquet": (lambda path: path.symlink_to("/proc/self/mem"), "cannot be read"),
}


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc")
def test_what_cannot_be_opened_fails_and_the_rest_loads(bench: Bench) -> None:
    """Each until it is mended; the next runs look again by themselves."""
    good = write_good(bench.folder / "good.parquet").read_bytes()
    for name, (make, _) in BROKEN.items():
        make(bench.folder / name)
    unreadable = os.fsencode(bench.folder) + b"/\xff.parquet"
    Path(os.fsdecode(unreadable)).write_bytes(good)
    for loaded in ("1 loaded", "1 already loaded"):
        assert loaded in bench.load()
        history = bench.history()
        assert history.pop("good.parquet") == ("loaded", 3)
        assert set(history.values()) == {("failed", None)}
        assert "not UTF-8" in bench.why(r"\udcff.parquet")
        for name, (_, reason) in BROKEN.items():
            assert reason in bench.why(name)
    os.unlink(unreadable)
    for name in BROKEN:
        (bench.folder / name).unlink()
        write_good(bench.folder / name)
    assert "4 loaded (12 records), 1 already loaded" in bench.load()
    # What the link led to stays in the history, as every file that is gone.
    assert bench.query(
        "select path like '/proc/%' from landing.load_history where status = 'failed'"
    ) == [(True,)]


def test_a_row_group_larger_than_the_memory_fails_and_the_rest_loads(
    bench: Bench,
) -> None:
    """It names the settings; once they are larger, it loads by itself."""
    texts = ", ".join(f"md5(i || '{name}') as {name}" for name in ("srcaddr", "vpc_id"))
    duckdb.sql(f"select {texts}, i as bytes from range(200_000) as t(i)").write_parquet(
        str(bench.folder / "large.parquet"), row_group_size=200_000
    )
    write_good(bench.folder / "small.parquet")
    bench.query("set threads = 1")
    bench.query("set memory_limit = '16MB'")
    for loaded in ("1 loaded (3 records)", "1 already loaded"):
        assert loaded in bench.load()
        assert bench.history()["large.parquet"] == ("failed", None)
        assert "raise memory_limit and block_allocator_memory" in (
            bench.why("large.parquet")
        )
    bench.query("set memory_limit = '1GB'")
    assert "1 loaded (200,000 records), 1 already loaded" in bench.load()


def test_a_file_loads_at_the_second_try_if_memory_was_short_for_the_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What else ran then is no fault of the file."""
    for name in "abc":
        write_good(bench.folder / f"{name}.parquet")
    original, tried = loading.Loader._copy, []

    def copy(self: Any, files: Any, *words: Any) -> None:
        tried.append(len(files))
        if len(tried) < 3:
            raise duckdb.OutOfMemoryException("could not allocate block")
        original(self, files, *words)

    monkeypatch.setattr(loading.Loader, "_copy", copy)
    assert "3 loaded (9 records)" in bench.load()
    assert tried == [3, 1, 1, 2]


def test_many_failed_files_are_tried_in_turns(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive may hold thousands, and each costs a request."""
    monkeypatch.setattr(loading, "RETRIED", 2)
    files = [write_good(bench.folder / f"{name}.parquet") for name in "abc"]
    bench.load()
    bench.query("delete from landing.flow_logs")
    bench.query("update landing.load_history set status = 'failed'")
    assert len(files) == 3
    assert "2 loaded (6 records)" in bench.load()
    assert "1 loaded (3 records), 2 already loaded" in bench.load()


def test_a_location_that_never_had_a_flow_log_is_an_error(bench: Bench) -> None:
    """It says what is there; a folder that was emptied is no error."""
    for name in ("a.csv", "b.csv", "20240701_00037_v74wa", "_temporary"):
        (bench.folder / name).touch()
    with pytest.raises(ListingError) as failure:
        bench.load()
    for part in ("0 Parquet files", "4 others passed over", "2 .csv", "1 no extension"):
        assert part in str(failure.value)
    file = write_good(bench.folder / "A.PARQUET")
    assert "1 loaded (3 records)" in bench.load()
    assert bench.said[0].startswith("  not loaded: 4 others passed over (2 .csv")
    file.unlink()
    assert bench.load() == (
        f"Nothing new in 0 files under {bench.folder}:"
        " 0 already loaded, 0 quarantined (0 before)"
    )


def test_any_damage_is_either_read_or_quarantined(bench: Bench) -> None:
    """Random bytes in footer and pages: never an abort, never a lost good file."""
    chance = random.Random(11)
    good = write_good(bench.folder / "good.parquet", 200).read_bytes()
    for i in range(200):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(4, len(good) - 8)] = chance.randrange(256)
        (bench.folder / f"{i:03}.parquet").write_bytes(damaged)
    bench.load()
    history = bench.history()
    assert len(history) == 201
    assert history["good.parquet"] == ("loaded", 200)
    loaded = sum(records or 0 for _, records in history.values())
    assert bench.query("select count(*) from landing.flow_logs") == [(loaded,)]
    assert "quarantined" in {status for status, _ in history.values()}


def test_the_command_tells_a_scheduler_what_happened(
    new_project: Callable[..., Project], sample: Path, tmp_path: Path
) -> None:
    """Exit code 0 with a warning for quarantined files, 1 for what stops a run."""
    folder = tmp_path / "logs"
    shutil.copytree(sample / "AWSLogs", folder)
    for case in BAD_CASES:
        spoil(case, folder / f"{case}.parquet")
    project = new_project(folder)
    printed = project.stage()
    files = len(list(sample.rglob("*.parquet")))
    bad = len(BAD_CASES)
    assert (
        f"{files:,} loaded (20,000 records), 0 already loaded, {bad} quarantined"
        in (printed)
    )
    # While another thread loads, dbt's own would burn as much CPU with waiting for it.
    log = (project.target / "logs/dbt.log").read_text()
    assert re.search(r"\[MainThread\].* loaded \(20,000 records\)", log)
    printed = project.dbt("test", "--select", "source:vpc_flow.load_history")
    assert "WARN 1 no_file_is_quarantined" in printed

    project.location = tmp_path / "nowhere"
    printed = project.stage(exit_code=1)
    assert "which does not exist" in printed
    assert "Traceback" not in printed


def test_the_published_hostile_file_is_quarantined(
    new_project: Callable[..., Project], published: Path
) -> None:
    project = new_project(published)
    printed = project.stage()
    assert "1 loaded (7 records), 0 already loaded, 1 quarantined" in printed
    assert project.query(
        "select error from landing.load_history where status = 'quarantined'"
    ) == [("srcport is declared as VARCHAR, not as an integer",)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_fails_and_if_none_may_the_run(
    bench: Bench,
) -> None:
    write_good(bench.folder / "a.parquet").chmod(0)
    with pytest.raises(loading.LoadError, match="None of 1 files"):
        bench.load()
    write_good(bench.folder / "b.parquet")
    assert "1 loaded (3 records)" in bench.load()
    assert bench.history()["a.parquet"] == ("failed", None)


def test_the_benchmark_of_known_files_finds_nothing_new(tmp_path: Path) -> None:
    """The benchmark itself checks that the run finds all files loaded."""
    assert len(known_files.measure(tmp_path, files=300)) == 3
