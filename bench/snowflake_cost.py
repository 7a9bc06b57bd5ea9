"""What a day costs on Snowflake: ``python -m bench.snowflake_cost`` writes the tables.

``snowflake_counts.json`` says which rows the statements of a scheduled run read and
write. A test measures it on the stand-in; `UPDATE_COUNTS=1` writes it anew.
`python -m bench.rollup_rows` measures the rows of rollups on DuckDB. The seconds that a
row takes are assumptions, which queries in the document measure on an account.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COUNTS = Path(__file__).parent / "snowflake_counts.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "snowflake_cost.md"

RUNS = 24
#: Days that detections look back: three windows of 30 days, and today.
HISTORY_DAYS = 91
#: Bytes of Parquet in S3 for a record: a terabyte a day is 10 billion records.
BYTES_OF_A_RECORD = 100
#: Hours of today that a run reads, summed over the runs of a day, in days; and the runs
#: in which late files touch the day before.
DAYS_READ_OF_A_TOUCHED_DAY = sum(hour / RUNS for hour in range(1, RUNS + 1)) + 6
#: A run has records of its hour and the one before, and late files have an hour.
DAYS_READ_OF_TOUCHED_HOURS = (2 * RUNS + 6) / 24
#: sf:user-guide/data-load-snowpipe-billing.
CREDITS_OF_A_GIGABYTE_LOADED = 0.0037
#: sf:user-guide/cost-understanding-compute: one credit an hour, by the second.
SECONDS_OF_A_CREDIT = 3600
#: Seconds that an X-Small of generation 1 takes for a million rows: assumptions. Load
#: times are two columns, each with one value for nearly all rows of a day.
SECONDS = {
    "landing rows read": 0.2,
    "unknown fields taken apart": 0.1,
    "records written": 0.5,
    "records sorted or compared": 0.1,
    "records read": 0.1,
    "rollup rows written": 0.2,
    "rollup rows read, touched days": 0.02,
    "rollup rows read, the window in each run": 0.02,
    "rollup rows read, load times": 0.002,
    "rollup rows read, marts of the window": 0.02,
}
#: Bytes that a stored row takes: assumptions. Landing keeps the fields of a record.
STORED_BYTES = {"landing": BYTES_OF_A_RECORD, "records": 60, "rollups": 40}
TIME_TRAVEL_DAYS = 1
SIZES = {"10 GB": 1e10, "100 GB": 1e11, "1 TB": 1e12}
PEERS = ("few peers", "many peers")
#: How much of a rollup statements write and read.
KINDS = ("written", "touched", "window", "load_times", "window_marts")


@dataclass(frozen=True)
class Counts:
    """Rows of a scheduled run.

    Args:
        landing_reads: Statements that read the new rows of landing.
        records_written: Statements that write the new records.
        overlap: How often each row is read again by later runs, 1 for never.
        unknown_fields: Fields taken apart for each new record.
        compared: Rows sorted or compared for each new record.
        record_reads: Statements that read the new rows of ``flow_records``.
        record_hours: Statements that read all records of the touched hours.
        record_days: Statements that read all records of the touched days.
        fail_safe_days: Days for which Fail-safe keeps what a rollup replaced.
        rollup_rows: Rows of the rollups of a day for each record.
        written: Rows of the touched days that all statements write of rollups, for each
            record of a touched day.
        touched: Rows of the touched days that all statements read of rollups, for each
            record of a touched day.
        window: Rows that all statements of each run read of rollups for days that are
            not touched, for each record of a day.
        load_times: Of these, rows of which only the load time is read.
        window_marts: The same of the marts that a run may leave out.
        window_mart_runs: Runs a day that build these.
    """

    landing_reads: float
    overlap: float
    records_written: float
    unknown_fields: float
    compared: float
    record_reads: float
    record_hours: float
    record_days: float
    fail_safe_days: float
    rollup_rows: float
    written: float
    touched: float = 0
    window: float = 0
    load_times: float = 0
    window_marts: float = 0
    window_mart_runs: int = RUNS

    def rows(self, records: float) -> dict[str, float]:
        """Rows that the runs of a day read and write, for the records of a day."""
        touched = DAYS_READ_OF_A_TOUCHED_DAY
        of_rollups = "rollup rows read, "
        return {
            "landing rows read": records * self.landing_reads * self.overlap,
            "unknown fields taken apart": records * self.unknown_fields * self.overlap,
            # What was read again is only left out by the last of them.
            "records written": records
            * ((self.records_written - 1) * self.overlap + 1),
            "records sorted or compared": records * self.compared * self.overlap,
            "records read": records
            * (
                self.record_reads * self.overlap
                + self.record_hours * DAYS_READ_OF_TOUCHED_HOURS
                + self.record_days * touched
            ),
            "rollup rows written": records * self.written * touched,
            of_rollups + "touched days": records * self.touched * touched,
            of_rollups + "the window in each run": records * self.window * RUNS,
            of_rollups + "load times": records * self.load_times * RUNS,
            of_rollups + "marts of the window": records
            * self.window_marts
            * self.window_mart_runs,
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
        replaced = records * self.rollup_rows * DAYS_READ_OF_A_TOUCHED_DAY
        kept_days = self.fail_safe_days + TIME_TRAVEL_DAYS
        return replaced * STORED_BYTES["rollups"] * kept_days / 1e12


def read_counts() -> dict[str, Any]:
    """The counts: of the review, of `before` and `now`, and the rows of rollups."""
    read: dict[str, Any] = json.loads(COUNTS.read_text())
    return read


def scenarios() -> dict[str, Counts]:
    """The counts of the review, before, and now by how often marts are built.

    The rows of rollups are those of the largest sample of few and of many peers.
    """
    read = read_counts()
    found = {"review": Counts(**read["review"])}
    for version in ("before", "now"):
        counts = dict(read[version])
        rollup_days = counts.pop("rollup_days")
        for peers in PEERS:
            rows = list(read[f"rollup_rows_{version}"][peers].values())[-1]
            counts["rollup_rows"] = sum(rows.values())
            for kind in KINDS:
                counts[kind] = sum(
                    days.get(kind, 0) * rows[name] for name, days in rollup_days.items()
                )
            name = "before" if version == "before" else "each hour"
            found[f"{peers}, {name}"] = Counts(**counts)
            if version == "now":
                found[f"{peers}, marts daily"] = Counts(**counts, window_mart_runs=1)
    return found


def table(names: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [names, ["---"] + ["---:"] * (len(names) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _name(key: str) -> str:
    return key.replace("_", " ")


def tables() -> dict[str, str]:
    """The document's tables, by the names of their places."""
    read, all_counts = read_counts(), scenarios()
    totals, storage = [], []
    stored = {
        name: counts
        for name, counts in all_counts.items()
        if name.endswith(("before", "each hour"))
    }
    for label, size in SIZES.items():
        records = size / BYTES_OF_A_RECORD
        credits = {
            name: sum(each.credits(records).values())
            for name, each in all_counts.items()
        }
        loaded = size / 1e9 * CREDITS_OF_A_GIGABYTE_LOADED
        totals.append([label, *map(_number, [loaded, *credits.values()])])
        added = [each.terabytes_a_day(records) for each in stored.values()]
        old = [each.terabytes_of_old_versions(records) for each in stored.values()]
        storage.append([label, *map(_number, added + old)])
    # Of 0.1.0 with the same peers.
    ratios = [
        credits[name] / credits[f"{name.split(',')[0]}, before"]
        for name in credits
        if name != "review"
    ]
    totals.append(["of before", "", "", *map(_number, ratios)])

    records = SIZES["1 TB"] / BYTES_OF_A_RECORD
    by_kind = [each.credits(records) for each in all_counts.values()]
    work = [
        [kind, str(seconds), *(_number(credits[kind]) for credits in by_kind)]
        for kind, seconds in SECONDS.items()
    ]
    versions = read["review"], read["before"], read["now"]
    measured = [
        [_name(key), *(_number(version[key]) for version in versions)]
        for key in read["now"]
        if key != "rollup_days"
    ]
    return {
        "totals": table(["credits a day", "Snowpipe", *all_counts], totals),
        "storage": table(
            [
                "TB",
                *(f"a day, {name.removesuffix(', each hour')}" for name in stored),
                *(f"old, {name.removesuffix(', each hour')}" for name in stored),
            ],
            storage,
        ),
        "work": table(["at 1 TB a day", "seconds a million", *all_counts], work),
        "counts": table(["of a scheduled run", "review", "before", "now"], measured),
        "rollups": _rollups(read, "now"),
        "rollups before": _rollups(read, "before"),
    }


def _rollups(read: dict[str, Any], version: str) -> str:
    """The table of a version's rollups: their rows, and how much is read of them."""
    rows = {
        f"{peers}, {size}": found
        for peers in PEERS
        for size, found in read[f"rollup_rows_{version}"][peers].items()
    }
    lines = [
        [
            f"`{name}`",
            *(str(found.get(name, "")) for found in rows.values()),
            *(str(days.get(kind, 0)) for kind in KINDS),
        ]
        for name, days in read[version]["rollup_days"].items()
    ]
    return table(["", *rows, *map(_name, KINDS)], lines)


def filled(text: str) -> str:
    """The document with its tables as they are computed."""
    for name, made in tables().items():
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        after = rest[rest.index("<!-- end -->") :]
        text = f"{before}<!-- {name} -->\n{made}\n{after}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text()))
