"""Text logs on Snowflake's stand-in: the same records and faults as on DuckDB."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sqlfluff

import sample_logs

from .conftest import AS_OF, END_DATE
from .snowflake_project import RUN, Bucket, SnowflakeProject
from .test_main_job import MARTS
from .test_snowflake_runs import assert_each_record_counts_once
from .test_staging import BAD_BYTES, BAD_COLUMNS, NO_FLOW_LOGS, spoil, write_good
from .test_text_logs import (
    BAD_TEXT,
    HEADER,
    LINE,
    ODD_TEXT,
    write_odd_and_bad_text,
    write_text,
)
from .text_files import write_as_text

LANDED = (
    "select metadata_filename, metadata_file_row_number,"
    " cast(get_ignore_case(value, 'bytes') as varchar)"
    " from flow.landing.flow_logs order by 1, 2"
)
WAITING = (
    "select metadata_filename, metadata_file_row_number from flow.landing.text_logs"
    " order by 1, 2"
)
#: A line of the header `srcaddr bytes`, as a pipe would add it: file, number, line.
ADD = (
    "insert into flow.landing.text_logs (value, metadata_filename,"
    " metadata_file_row_number, metadata_file_last_modified, _dbt_copied_at)"
    " select '{2}', '{0}.log', {1}, to_timestamp_ntz(1700000000), current_timestamp()"
)


def test_each_file_has_an_order_of_fields_of_its_own(
    snowflake: SnowflakeProject, tmp_path: Path
) -> None:
    """Compressed or not, whatever the ending says, beside Parquet; also by events.

    Beside them are files that other tools have changed, and bad ones of both formats.
    """
    write_text(tmp_path / "a.log", HEADER, LINE, LINE.replace(" 7 ", " - "))
    write_text(tmp_path / "in/b.LOG.GZ", "Bytes srcaddr new-part", "8 10.0.0.2 x")
    write_text(tmp_path / "c.log", "SRCADDR Bytes", "10.0.0.3 9\r", "", compressed=True)
    write_text(tmp_path / "d.log.gz", HEADER, compressed=True)
    write_text(tmp_path / "_e.log", HEADER, LINE)
    write_good(tmp_path / "f.parquet", records=1)
    write_odd_and_bad_text(tmp_path)
    # Snowflake reads no declared types, and words damage in its own way.
    reasons = {f"bad {name}.log": reason for name, (_, reason) in BAD_TEXT.items()}
    for case in (*BAD_BYTES, *BAD_COLUMNS, *NO_FLOW_LOGS):
        reason = spoil(case, tmp_path / f"{case}.parquet").partition(" is declared")[0]
        is_damaged = case in BAD_BYTES and case != "a name twice"
        reasons[f"{case}.parquet"] = (
            "Error parsing the parquet" if is_damaged else reason
        )
    bucket = Bucket(snowflake, tmp_path)
    bucket.put(*(file for file in bucket.files if file.name != "a.log"))
    snowflake.stage()
    bucket.announce(tmp_path / "a.log")
    assert "Moved lines" in snowflake.stage()
    snowflake.dbt("run", "--select", "+flow_records", "+failed_files")
    columns = (
        "metadata_file_row_number, account_id, srcaddr, srcport, bytes, log_status"
    )
    as_written = 1, "012345678901", "10.0.0.1", 22, 7, "OK"
    again = (2, *as_written[1:])
    assert snowflake.query(
        f"select metadata_filename, {columns} from flow_records"
        " where metadata_filename not like '%.parquet' order by 1, 2"
    ) == [
        ("a.log", *as_written),
        ("a.log", 2, "012345678901", "10.0.0.1", 22, None, "OK"),
        ("c.log", 1, None, "10.0.0.3", None, 9, None),
        ("in/b.LOG.GZ", 1, None, "10.0.0.2", None, 8, None),
        *(
            (f"odd {name}.log", *row)
            for name in sorted(ODD_TEXT)
            for row in (as_written, again)
        ),
    ]
    for model in ("malformed_files", "failed_files"):
        found = dict(snowflake.query(f"select metadata_filename, reason from {model}"))
        assert found.keys() == reasons.keys()
        for name, reason in reasons.items():
            assert reason.lower() in found[name].lower(), name
    records = "select metadata_filename, records from int_health__loads where status"
    loaded = dict(snowflake.query(f"{records} = 'loaded'"))
    assert loaded == {
        **{"a.log": 2, "c.log": 1, "d.log.gz": 0, "in/b.LOG.GZ": 1, "f.parquet": 1},
        **{f"odd {name}.log": 2 for name in ODD_TEXT},
    }
    assert "0" in snowflake.dbt("test", "--select", "assert_text_logs_are_moved")
    printed = snowflake.operation("load_errors")
    assert f"{bucket.url}bad cut.log: Load failed" in printed
    assert "cause: 'Compressed file ended" in printed
    assert "copy into flow.landing.text_logs" in printed.lower()


@pytest.fixture
def empty(snowflake: SnowflakeProject, tmp_path: Path) -> SnowflakeProject:
    """The project with the tables that staging creates."""
    Bucket(snowflake, tmp_path)
    snowflake.stage()
    return snowflake


def add(project: SnowflakeProject, file: str, number: int, line: str) -> None:
    project.query(ADD.format(file, number, line))


def test_a_line_waits_for_the_first_line_of_its_file(empty: SnowflakeProject) -> None:
    """Snowpipe may load a file in several transactions, in any order."""
    add(empty, "a", 3, "10.0.0.1 3")
    add(empty, "b", 1, "bytes srcaddr")
    add(empty, "b", 2, "2 10.0.0.2")
    empty.stage()
    assert empty.query(LANDED) == [("b.log", 1, "2")]
    assert empty.query(WAITING) == [("a.log", 3), ("b.log", 1)]
    add(empty, "a", 1, "srcaddr bytes")
    add(empty, "b", 3, "3 10.0.0.2")
    empty.stage()
    assert empty.query(LANDED) == [
        *[("a.log", 2, "3"), ("b.log", 1, "2"), ("b.log", 2, "3")]
    ]
    add(empty, "a", 2, "10.0.0.1 2")
    empty.stage()
    empty.stage()
    assert [row for row in empty.query(LANDED) if row[0] == "a.log"] == [
        *[("a.log", 1, "2"), ("a.log", 2, "3")]
    ]
    assert empty.query(WAITING) == [("a.log", 1), ("b.log", 1)]


def test_after_a_day_no_line_waits(empty: SnowflakeProject) -> None:
    """A first line goes. A line without one lands as text: its file is malformed."""
    add(empty, "a", 1, "srcaddr bytes")
    add(empty, "b", 2, "10.0.0.2 2")
    empty.query(
        'update flow.landing.text_logs set "METADATA$ROW_LAST_COMMIT_TIME"'
        " = dateadd('day', -2, current_timestamp())"
    )
    empty.stage()
    assert empty.query(WAITING) == []
    assert empty.query("select as_varchar(value) from flow.landing.flow_logs") == [
        ("10.0.0.2 2",)
    ]
    empty.dbt("run", "--select", "+malformed_files")
    assert empty.query("select reason from malformed_files") == [
        ("without a field for each name in the first line: 10.0.0.2 2",)
    ]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("statement", ["insert into", "delete from"])
def test_a_move_that_fails_moves_nothing(
    empty: SnowflakeProject, statement: str, when: str
) -> None:
    add(empty, "a", 1, "srcaddr bytes")
    add(empty, "a", 2, "10.0.0.1 1")
    empty.stand_in.fail(rf"(?is)^\s*{statement}", when=when)
    empty.stage(fails=True)
    assert empty.query(LANDED) == []
    empty.stage()
    assert empty.query(LANDED) == [("a.log", 1, "1")]


def test_the_task_moves_lines_without_dbt(empty: SnowflakeProject) -> None:
    """The statement of the printed task, which also parses in Snowflake's dialect."""
    add(empty, "a", 1, "srcaddr bytes")
    add(empty, "a", 2, "10.0.0.1 1")
    printed = empty.operation("text_logs_task", schedule="60 minutes")
    script = printed[printed.index("-- Moves the lines") :]
    sqlfluff.parse(script, dialect="snowflake")
    assert "schedule = '60 minutes'" in script
    (block,) = re.findall(r"\nas\n(.*\$\$);\nalter task", script, re.DOTALL)
    for _ in range(2):
        empty.query(block)
        assert empty.query(LANDED) == [("a.log", 1, "1")]
    assert empty.query(WAITING) == [("a.log", 1)]


@pytest.mark.long
def test_a_bucket_of_text_gives_the_marts_of_its_parquet(
    snowflake: SnowflakeProject,
    small: Path,
    small_truth: dict[str, Any],
    tmp_path: Path,
) -> None:
    """Half of the files come by events, after the first build; one loads again."""
    write_as_text(small.rglob("*.parquet"), small, tmp_path)
    bucket = Bucket(snowflake, tmp_path)
    bucket.put(*bucket.files[::2])
    snowflake.stage()
    snowflake.dbt(*RUN, **AS_OF)
    bucket.announce(*bucket.files[1::2])
    snowflake.stand_in.lapse("flow.landing.text_logs")
    bucket.announce(bucket.files[1])
    snowflake.stage()
    snowflake.dbt(*RUN, **AS_OF)
    assert_each_record_counts_once(snowflake, small_truth)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_a_million_records_as_text_give_the_same_marts(
    snowflake: SnowflakeProject, tmp_path: Path
) -> None:
    """And those of the truth."""
    parquet, text = tmp_path / "parquet", tmp_path / "text"
    truth = sample_logs.generate(
        parquet, end_date=END_DATE, records=1_000_000, records_per_file=5_000
    )
    write_as_text(parquet.rglob("*.parquet"), parquet, text)
    rows = []
    for folder in (parquet, text):
        bucket = Bucket(snowflake, folder)
        bucket.put(*bucket.files)
        snowflake.stage()
        snowflake.dbt(*RUN, **AS_OF)
        assert_each_record_counts_once(snowflake, dict(truth))
        rows.append({mart: snowflake.rows(mart, by) for mart, by in MARTS.items()})
    assert rows[0] == rows[1]


def test_without_text_logs_no_statement_needs_a_warehouse(
    empty: SnowflakeProject,
) -> None:
    empty.stand_in.clear_log()
    empty.stage()
    asked = [text.lower() for text in empty.stand_in.statements()]
    about_text = [text for text in asked if "text_logs" in text]
    assert about_text
    assert all(
        re.match(r"\s*(/\*.*\*/\s*)?(show|select\s+system\$)", text)
        for text in about_text
    )
