"""Puts a sample together: who records what on which day, and the truth about it."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .delivery import Formatter
from .exchange import Words, joined
from .formats import Columns
from .health import health
from .incidents import FEWEST_DAYS, MINUTES_PER_FILE, Incidents
from .network import FLOW_LOGS
from .planted import SMALLEST_SAMPLE, plant
from .site import Site, draw_clients
from .target import TRUTH_FILE, check_target, clear_target
from .traffic import Bulk
from .truth import Truth, TruthCounter
from .vocabulary import Vocabulary
from .writer import FlowLogWriter

#: Records that are made at a time; memory grows with it, and with nothing else.
_CHUNK = 65_536

# Traffic per hour of the day in UTC: low at night, two humps during the day.
_HOURLY = "3 2 2 2 2 3 4 6 9 11 12 12 11 12 13 13 12 11 10 9 8 7 5 4"
_WEEKEND = 0.6

_FIRST_DAY = date(2013, 1, 1)


def generate(
    out: Path,
    *,
    end_date: date,
    days: int = 7,
    records: int = 100_000,
    records_per_file: int | None = None,
    seed: int = 7,
    lookback_days: int = 30,
    top_n: int = 10,
    admin_ports: Sequence[int] = (22, 3389),
    incidents: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Truth:
    """Writes sample flow logs and `truth.json`, the exact answers about them.

    The same arguments give the same bytes (with the same numpy and pyarrow). The
    records depend on `end_date`, `days`, `records` and `seed` only: another
    `records_per_file` packs the same records, in the same order per flow log, into
    other files. The marts in the truth depend on the remaining arguments too.

    Args:
        out: The folder that stands for the bucket; made if missing.
        end_date: The last UTC day on which records start.
        days: How many days of records, up to and with `end_date`.
        records: Records in all files together. From `planted.SMALLEST_SAMPLE` on,
            the planted cases are among them.
        records_per_file: Rows in a file; the last file of a flow log holds the
            rest. None means about 200 files, of 500 to 100,000 rows each.
        seed: Decides all that chance decides; at least 0.
        lookback_days: Days before `end_date` that the marts look at.
        top_n: Rows of each top-talkers mart.
        admin_ports: Ports whose exposure is reported.
        incidents: Whether to plant what the health models must report, and to write
            what they must say into the truth. It takes records away and adds some, and
            files come every half hour; the truth is about that.
        overwrite: Whether to replace the files of an earlier run.
        progress: Called now and then with the number of records written so far.

    Returns:
        The content of `truth.json`.

    Raises:
        ValueError: An argument is out of its range.
        FileExistsError: `out` holds Parquet files or a truth file, and `overwrite`
            is false or the Parquet files are not this generator's.
        OSError: A file cannot be written.
    """
    _check_at_least(1, days=days, records=records, top_n=top_n)
    _check_at_least(0, seed=seed, lookback_days=lookback_days)
    if incidents:
        _check_at_least(FEWEST_DAYS, days=days)
        _check_at_least(SMALLEST_SAMPLE, records=records)
    if records_per_file is not None:
        _check_at_least(1, records_per_file=records_per_file)
    _check_days(end_date, days)
    _check_ports(admin_ports)
    check_target(out, overwrite=overwrite)
    if overwrite:
        clear_target(out)
    out.mkdir(parents=True, exist_ok=True)

    vocabulary = Vocabulary()
    words = Words.of(vocabulary)
    clients = draw_clients(vocabulary, np.random.default_rng(seed), records)
    sites = [Site(flow_log, vocabulary, clients) for flow_log in FLOW_LOGS]
    planted = {
        (site, day): columns
        for site in sites
        if records >= SMALLEST_SAMPLE
        for day, columns in plant(site, vocabulary, words, end_date, days).items()
    }
    all_days = [end_date - timedelta(days=days - 1 - i) for i in range(days)]
    trouble = Incidents(end_date, words) if incidents else None
    if trouble is not None:
        planted = {
            (site, day): trouble.with_heartbeats(site, day, planted.get((site, day)))
            for site in sites
            for day in all_days
        }
    formatter = Formatter(vocabulary, words)
    truth = TruthCounter(vocabulary.texts, end_date, lookback_days, top_n, admin_ports)

    texts = vocabulary.arrow()
    rows_in_file = records_per_file or min(max(records // 200, 500), 100_000)
    counts = _shares_of_records(
        records - sum(len(columns["start"]) for columns in planted.values()), all_days
    )
    written = files = 0
    for number, site in enumerate(sites):
        writer = FlowLogWriter(
            out,
            site.flow_log,
            texts,
            rows_in_file,
            MINUTES_PER_FILE if trouble is not None else None,
        )
        try:
            for day, count in zip(all_days, counts[number], strict=True):
                seeds = [seed, number, day.toordinal()]
                extra = planted.get((site, day))
                for core in _day(site, words, day, int(count), seeds, extra, trouble):
                    columns = formatter.columns(core, site)
                    truth.add(columns, core)
                    writer.add(columns)
                    written += len(columns["start"])
                    if progress is not None:
                        progress(written)
            writer.close()
        except BaseException:
            writer.abandon()
            raise
        files += writer.files

    result = truth.result(files)
    if trouble is not None:
        result["health"] = health(out, trouble.write_malformed(out), end_date)
    text = json.dumps(result, indent=2) + "\n"
    (out / TRUTH_FILE).write_text(text, encoding="utf-8")
    return result


def _check_at_least(smallest: int, **arguments: int) -> None:
    for name, value in arguments.items():
        if value < smallest:
            raise ValueError(f"{name} must be at least {smallest}, not {value}")


def _check_days(end_date: date, days: int) -> None:
    if days > (end_date - _FIRST_DAY).days + 1:
        raise ValueError(
            f"{days} days up to {end_date} begin before {_FIRST_DAY}, "
            "when there were no flow logs"
        )


def _check_ports(admin_ports: Sequence[int]) -> None:
    for port in admin_ports:
        if not 1 <= port <= 65_535:
            raise ValueError(f"admin_ports must lie in 1 to 65535, not {port}")


def _shares_of_records(records: int, days: Sequence[date]) -> NDArray[np.int64]:
    """How many everyday records each flow log (row) has on each day (column)."""
    of_flow_log = np.array([flow_log.weight for flow_log in FLOW_LOGS], dtype=float)
    of_day = np.array([_WEEKEND if day.weekday() >= 5 else 1.0 for day in days])
    weights = np.outer(of_flow_log, of_day)
    # Rounding the running total keeps the sum exact.
    until = np.rint(np.cumsum(weights) / weights.sum() * records).astype(np.int64)
    counts: NDArray[np.int64] = np.diff(until, prepend=0).reshape(weights.shape)
    return counts


def _day(
    site: Site,
    words: Words,
    day: date,
    count: int,
    seeds: list[int],
    planted: Columns | None,
    incidents: Incidents | None,
) -> Iterator[Columns]:
    """A day's core records of a site, ordered by start, in chunks."""
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    hourly = [int(traffic) for traffic in _HOURLY.split()]
    shares = np.cumsum([0, *hourly]) / sum(hourly)
    # Half a second short of midnight, so that no start rounds to the next day.
    seconds = midnight + np.append(np.arange(24) * 3600.0, 86_399.5)
    chunks = max(1, -(-count // _CHUNK))
    bounds = np.interp(np.arange(chunks + 1) / chunks, shares, seconds)
    for chunk in range(chunks):
        size = count * (chunk + 1) // chunks - count * chunk // chunks
        bulk = Bulk(site, words, np.random.default_rng([*seeds, chunk]))
        groups = bulk.records(
            size, (shares, seconds), (chunk / chunks, (chunk + 1) / chunks)
        )
        if incidents is not None:
            groups = [incidents.everyday(group) for group in groups]
        if planted is not None:
            low, high = int(bounds[chunk]), int(bounds[chunk + 1])
            in_chunk = (planted["start"] >= low) & (planted["start"] < high)
            groups.append({name: c[in_chunk] for name, c in planted.items()})
        records = joined(groups)
        if incidents is not None:
            records = incidents.delivered(site, records)
        if len(records["start"]):
            yield records
