"""The engines that a user may take instead, on the same files with the same answers.

`python bench/others.py ENGINE FOLDER AS_OF LOOKBACK_DAYS TOP_N` prints the answers
about talkers as JSON, as the truth file has them. It needs `requirements-bench.txt` or
DuckDB, and nothing of this project. Each engine reads every file anew and keeps
nothing, as these tools are used on flow logs.
"""

from __future__ import annotations

import io
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

KEYS = {"destination": "dstaddr", "source": "srcaddr", "interface": "interface_id"}

# Talker, bytes, packets and records, the most bytes first.
Rows = list[tuple[str, int, int, int]]


def duckdb(folder: str, start: datetime, end: datetime, top_n: int) -> list[Rows]:
    """Answer with DuckDB and nothing around it."""
    import duckdb

    return [
        duckdb.sql(
            f"""
            select {key}, sum(bytes)::bigint as total, sum(packets)::bigint, count(*)
            from read_parquet('{folder}/**/*.parquet', union_by_name = true,
                hive_partitioning = false)
            where action = 'ACCEPT' and bytes is not null and {key} != '-'
                and start >= {start.timestamp():.0f}
                and start < {end.timestamp():.0f}
            group by all
            order by total desc, {key}
            limit {top_n}
            """
        ).fetchall()
        for key in KEYS.values()
    ]


def polars(folder: str, start: datetime, end: datetime, top_n: int) -> list[Rows]:
    """Answer with Polars' lazy frames."""
    import polars as pl

    records = pl.scan_parquet(
        f"{folder}/**/*.parquet",
        hive_partitioning=False,
        extra_columns="ignore",
        missing_columns="insert",
    ).filter(
        pl.col("action") == "ACCEPT",
        pl.col("bytes").is_not_null(),
        pl.col("start") >= int(start.timestamp()),
        pl.col("start") < int(end.timestamp()),
    )
    asked = [
        records.filter(pl.col(key) != "-")
        .group_by(key)
        .agg(pl.col("bytes").sum(), pl.col("packets").sum(), pl.len())
        .sort(["bytes", key], descending=[True, False])
        .head(top_n)
        for key in KEYS.values()
    ]
    return [frame.rows() for frame in pl.collect_all(asked)]


def chdb(folder: str, start: datetime, end: datetime, top_n: int) -> list[Rows]:
    """Answer with ClickHouse in this process."""
    import chdb

    answers = []
    for key in KEYS.values():
        found = chdb.query(
            f"""
            select {key}, sum(bytes), sum(packets), count()
            from file('{folder}/**/*.parquet', Parquet)
            where action = 'ACCEPT' and bytes is not null and {key} != '-'
                and start >= {start.timestamp():.0f}
                and start < {end.timestamp():.0f}
            group by {key}
            order by sum(bytes) desc, {key}
            limit {top_n}
            settings schema_inference_mode = 'union',
                use_hive_partitioning = 0,
                output_format_json_quote_64bit_integers = 0
            """,
            "JSONCompact",
        )
        answers.append(json.loads(str(found))["data"])
    return answers


def flowlogs_reader(
    folder: str, start: datetime, end: datetime, top_n: int
) -> list[Rows]:
    """Answer with flowlogs_reader, which gives one record after the other."""
    from flowlogs_reader import S3FlowLogsReader

    class Reader(S3FlowLogsReader):  # type: ignore[misc]
        """It does not know the Hive layout, in which some of the files are."""

        def _get_all_keys(self) -> Iterator[str]:
            for path in Path(folder).rglob("*.parquet"):
                yield str(path)

    totals: list[dict[str, list[int]]] = [defaultdict(lambda: [0, 0, 0]) for _ in KEYS]
    reader = Reader("bucket", boto_client=LocalFiles(), start_time=start, end_time=end)
    for record in reader:
        if record.action != "ACCEPT" or record.bytes is None:
            continue
        if not start <= record.start.replace(tzinfo=UTC) < end:
            continue
        for total, key in zip(totals, KEYS.values(), strict=True):
            talker = getattr(record, key)
            if talker and talker != "-":
                sums = total[talker]
                sums[0] += record.bytes
                sums[1] += record.packets
                sums[2] += 1
    assert not reader.skipped_records
    answers: list[Rows] = []
    for total in totals:
        rows = [(talker, sums[0], sums[1], sums[2]) for talker, sums in total.items()]
        answers.append(sorted(rows, key=lambda row: (-row[1], row[0]))[:top_n])
    return answers


class LocalFiles:
    """As much of an S3 client as is used to read a file; its key is its path."""

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        """Return a file's content, in the older encoding that the reader knows.

        To write it takes less than a hundredth of what it then takes to read it.
        """
        import pyarrow.parquet as pq

        content = io.BytesIO()
        table = pq.ParquetFile(Key).read()
        pq.write_table(table, content, version="1.0", compression="gzip")
        size = content.tell()
        content.seek(0)
        return {"Body": content, "ContentLength": size}


def main() -> None:
    """Answer and print."""
    engine, folder, as_of, lookback_days, top_n = sys.argv[1:]
    last = datetime.combine(date.fromisoformat(as_of), datetime.min.time(), UTC)
    window = last - timedelta(days=int(lookback_days)), last + timedelta(days=1)
    answer = {each.__name__: each for each in (duckdb, polars, chdb, flowlogs_reader)}
    found = answer[engine](folder, *window, int(top_n))
    answers = {
        f"top_talkers_by_{kind}": [[rank, *row] for rank, row in enumerate(rows, 1)]
        for kind, rows in zip(KEYS, found, strict=True)
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
