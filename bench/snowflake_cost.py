"""What a day costs on Snowflake: ``python -m bench.snowflake_cost`` writes the tables.

``snowflake_counts.json`` says which rows the statements of a scheduled run read and
write. A test measures it on the stand-in; `UPDATE_COUNTS=1` writes it anew. The seconds
that a row takes are assumptions, which queries in the document measure on an account.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

COUNTS = Path(__file__).parent / "snowflake_counts.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "snowflake_cost.md"

RUNS = 24
WINDOW_DAYS = 31
#: Bytes of Parquet in S3 for a record: a terabyte a day is 10 billion records.
BYTES_OF_A_RECORD = 100
#: Hours of today that a run reads, summed over the runs of a day, in days; and the runs
#: in which late files touch the day before.
DAYS_READ_OF_A_TOUCHED_DAY = sum(hour / RUNS for hour in range(1, RUNS + 1)) + 6
#: sf:user-guide/data-load-snowpipe-billing.
CREDITS_OF_A_GIGABYTE_LOADED = 0.0037
#: sf:user-guide/cost-understanding-compute: one credit an hour, by the second.
SECONDS_OF_A_CREDIT = 3600
#: Seconds that an X-Small of generation 1 takes for a million rows: assumptions.
SECONDS = {
    "landing rows read": 0.2,
    "unknown fields taken apart": 0.1,
    "records written": 0.5,
    "records sorted or compared": 0.1,
    "records read": 0.1,
    "rollup rows read": 0.02,
    "rollup rows written": 0.2,
}
#: Bytes that a stored row takes: assumptions. Landing keeps the fields of a record.
STORED_BYTES = {"landing": BYTES_OF_A_RECORD, "records": 60, "rollups": 40}
TIME_TRAVEL_DAYS = 1


@dataclass(frozen=True)
class Counts:
    """Rows of a scheduled run; the fields have the names of ``snowflake_counts.json``.

    Args:
        landing_reads: Statements that read the new rows of landing.
        overlap: How often each row is read again by later runs, 1 for never.
        unknown_fields: Fields taken apart for each new record.
        compared: Rows sorted or compared for each new record.
        record_reads: Statements that read the new rows of ``flow_records``.
        record_days: Statements that read all records of the touched days.
        rollup_days: Days of a rollup that the statements of a run read, in all, of the
            touched days.
        rollup_windows: Statements that read a rollup for the window of the marts.
        rollup_rows: Rows of the rollups of a day for each record.
        rollups_written: Rows written for each row of a touched day.
        fail_safe_days: Days for which Fail-safe keeps what a rollup replaced.
    """

    landing_reads: float
    overlap: float
    unknown_fields: float
    compared: float
    record_reads: float
    record_days: float
    rollup_days: float
    rollup_windows: float
    rollup_rows: float
    rollups_written: float
    fail_safe_days: float

    def rows(self, records: float) -> dict[str, float]:
        """Rows that the runs of a day read and write, for the records of a day."""
        touched = DAYS_READ_OF_A_TOUCHED_DAY
        of_rollups = records * self.rollup_rows
        return {
            "landing rows read": records * self.landing_reads * self.overlap,
            "unknown fields taken apart": records * self.unknown_fields * self.overlap,
            "records written": records,
            "records sorted or compared": records * self.compared * self.overlap,
            "records read": records * (self.record_reads + self.record_days * touched),
            "rollup rows read": of_rollups
            * (self.rollup_days * touched + self.rollup_windows * WINDOW_DAYS * RUNS),
            "rollup rows written": of_rollups * self.rollups_written * touched,
        }

    def credits(self, records: float) -> dict[str, float]:
        """Credits of a day by kind of work, without Snowpipe."""
        return {
            kind: rows / 1e6 * SECONDS[kind] / SECONDS_OF_A_CREDIT
            for kind, rows in self.rows(records).items()
        }

    def terabytes_a_day(self, records: float) -> float:
        """Storage that each day adds, in terabytes."""
        rollups = records * self.rollup_rows * STORED_BYTES["rollups"]
        kept = STORED_BYTES["landing"] + STORED_BYTES["records"]
        return (records * kept + rollups) / 1e12

    def terabytes_of_old_versions(self, records: float) -> float:
        """Storage of rewritten rollups, in Time Travel and Fail-safe."""
        written = self.rows(records)["rollup rows written"] * STORED_BYTES["rollups"]
        return written * (self.fail_safe_days + TIME_TRAVEL_DAYS) / 1e12


def counts() -> dict[str, Counts]:
    """The counts before this version, by a review, and those measured now."""
    read = json.loads(COUNTS.read_text())
    return {name: Counts(**read[name]) for name in ("before", "now")}


def table(names: str, rows: list[list[str]]) -> str:
    """A table of Markdown."""
    head = names.split("|")
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def tables() -> dict[str, str]:
    """The document's tables, by the names of their places."""
    both = counts()
    sizes = {"10 GB": 1e10, "100 GB": 1e11, "1 TB": 1e12}
    totals = []
    for label, size in sizes.items():
        records = size / BYTES_OF_A_RECORD
        before, now = (sum(both[each].credits(records).values()) for each in both)
        loaded = size / 1e9 * CREDITS_OF_A_GIGABYTE_LOADED
        added = both["now"].terabytes_a_day(records)
        old = [each.terabytes_of_old_versions(records) for each in both.values()]
        figures = [loaded, before, now, now / before, added, *old]
        totals.append([label, *map(_number, figures)])
    records = sizes["1 TB"] / BYTES_OF_A_RECORD
    work = [
        [
            kind,
            *(_number(both[each].rows(records)[kind] / 1e9) for each in both),
            str(seconds),
            *(_number(both[each].credits(records)[kind]) for each in both),
        ]
        for kind, seconds in SECONDS.items()
    ]
    measured = [
        [name.replace("_", " "), *(_number(getattr(both[each], name)) for each in both)]
        for name in Counts.__dataclass_fields__
    ]
    return {
        "totals": table(
            "a day|Snowpipe|builds before|builds now|ratio|TB stored a day"
            "|TB of old versions before|now",
            totals,
        ),
        "work": table(
            "at 1 TB a day|billion rows before|now|seconds a million|credits before"
            "|now",
            work,
        ),
        "counts": table("of a scheduled run|before|now", measured),
    }


def filled(text: str) -> str:
    """The document with its tables as they are computed."""
    for name, made in tables().items():
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        after = rest[rest.index("<!-- end -->") :]
        text = f"{before}<!-- {name} -->\n{made}\n{after}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text()))
