"""Writes a sample: everyday and planted records day by day, and the truth."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import holders
from .attacks import FEWEST_DAYS, FEWEST_RECORDS, Attacks
from .delivery import Formatter
from .enrichment import write_enrichment
from .formats import Columns, joined, midnight, where
from .incidents import FEWEST_HOURS, MINUTES_PER_FILE, Incidents
from .inventory import write_inventory
from .network import FLOW_LOGS
from .planted import SMALLEST_SAMPLE, plant
from .site import Site, draw_clients
from .target import TRUTH_FILE, prepare_target
from .traffic import Bulk
from .transfer import transfer_truth
from .truth import Truth, TruthCounter
from .vocabulary import SKIPDATA, Vocabulary
from .writer import FlowLogWriter

#: Records that are made at a time; memory grows with it, and with nothing else.
_CHUNK = 65_536

# Traffic per hour of the day in UTC: low at night, two humps during the day.
_HOURLY = np.cumsum(
    [
        int(n)
        for n in "0 3 2 2 2 2 3 4 6 9 11 12 12 11 12 13 13 12 11 10 9 8 7 5 4".split()
    ]
)
# Shares of a day's traffic, and the second of the day by which each has started: half a
# second short of midnight, so that no start rounds to the next day.
_SHARES = _HOURLY / _HOURLY[-1]
_SECONDS = np.append(np.arange(24) * 3600.0, 86_399.5)
_WEEKEND = 0.6

_FIRST_DAY = date(2013, 1, 1)
# Records that start so long ago have ended, and AWS has written their files.
_SECONDS_TO_DELIVERY = 1_200


def generate(
    out: Path,
    *,
    end_date: date,
    days: int | None = None,
    records: int = 100_000,
    records_per_file: int | None = None,
    seed: int = 7,
    lookback_days: int = 30,
    top_n: int = 10,
    admin_ports: Sequence[int] = (22, 3389),
    incidents: bool = False,
    attacks: bool = False,
    benign: bool = False,
    inventory: bool = False,
    until: datetime | None = None,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Truth:
    """Write sample flow logs and `truth.json`, the exact answers about them.

    The folder `_enrichment` beside the logs has files about their public addresses.

    The same arguments give the same bytes (with the same numpy and pyarrow). The
    records depend on `end_date`, `days`, `records`, `seed` and `until` only: another
    `records_per_file` packs the same records, in the same order per flow log, into
    other files. The marts in the truth depend on the remaining arguments too.

    Args:
        out: The folder to write to, with the folders of a bucket; made if missing.
        end_date: The last UTC day on which records start.
        days: How many days of records, up to and with `end_date`. None means 7, or 10
            with attacks.
        records: Records in all files together. From `planted.SMALLEST_SAMPLE` on,
            the planted records are among them.
        records_per_file: Rows in a file; the last file of a flow log holds the
            rest. None means about 200 files, of 500 to 100,000 rows each; with
            attacks, half as many.
        seed: Decides all that chance decides; at least 0.
        lookback_days: Days before `end_date` that the marts look at.
        top_n: Rows of each top-talkers mart.
        admin_ports: Ports whose exposure is reported.
        incidents: Whether to plant what the health models must report, and to add it
            to the truth. Files then come every half hour, and some records are lost.
        attacks: Whether to plant the campaigns and look-alikes of `campaigns`, and to
            add to the truth which findings must come, and which must not.
        benign: Whether to write everyday traffic alone, without planted exposures.
        inventory: Whether to write interfaces and rules to the folder `_inventory`, and
            to add to the truth who has which address.
        until: An aware time; no record ends and no file is created later. None means
            the whole of `end_date`, and files of its records on the next day.
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
    if days is None:
        days = 10 if attacks else 7
    _check_at_least(1, days=days, records=records, top_n=top_n)
    _check_at_least(0, seed=seed, lookback_days=lookback_days)
    if records_per_file is not None:
        _check_at_least(1, records_per_file=records_per_file)
    if benign and (incidents or attacks):
        raise ValueError("a benign sample has no incidents and no attacks")
    if incidents:
        _check_at_least(SMALLEST_SAMPLE, records=records)
    if inventory:
        _check_at_least(2, days=days)
        _check_at_least(SMALLEST_SAMPLE, records=records)
    if attacks:
        _check_at_least(FEWEST_RECORDS, records=records)
        _check_at_least(FEWEST_DAYS, days=days)
    end = _check_days(end_date, days, until, incidents)
    for port in admin_ports:
        if not 1 <= port <= 65_535:
            raise ValueError(f"admin_ports must be between 1 and 65535, not {port}")
    prepare_target(out, overwrite=overwrite)

    vocabulary = Vocabulary()
    clients = draw_clients(vocabulary, np.random.default_rng(seed), records)
    campaigns = Attacks() if attacks else None
    sites = [
        Site(
            flow_log,
            vocabulary,
            clients,
            [
                *(campaigns.interfaces(flow_log) if campaigns else ()),
                *(holders.interfaces_of(flow_log) if inventory else ()),
            ],
        )
        for flow_log in FLOW_LOGS
    ]
    all_days = [end_date - timedelta(days=days - 1 - i) for i in range(days)]
    trouble = Incidents(end) if incidents else None
    planted: dict[tuple[Site, date], Columns] = {}
    for site in sites if records >= SMALLEST_SAMPLE and not benign else ():
        by_day = plant(site, vocabulary, end_date, days, end)
        if trouble:
            by_day = {
                day: trouble.with_heartbeats(site, day, by_day.get(day))
                for day in all_days
            }
        if campaigns:
            for day, columns in campaigns.plant(
                site, vocabulary, end_date, end
            ).items():
                groups = [by_day[day], columns] if day in by_day else [columns]
                by_day[day] = joined(groups)
        planted |= {(site, day): columns for day, columns in by_day.items()}

    if inventory:
        day = holders.day_of(all_days)
        for site in sites:
            changing = holders.plant(site, vocabulary, day, end)
            if changing:
                groups = [changing]
                if (site, day) in planted:
                    groups.append(planted[site, day])
                planted[site, day] = joined(groups)

    counts = _shares_of_records(
        records - sum(len(columns["start"]) for columns in planted.values()),
        all_days,
        end,
    )
    if records_per_file is None:
        # Many records are of one day. In larger files they are no burst of files.
        records_per_file = min(max(records // (100 if attacks else 200), 500), 100_000)
    formatter = Formatter(vocabulary)
    truth = TruthCounter(vocabulary.texts, end_date, lookback_days, top_n, admin_ports)
    texts = vocabulary.arrow()
    written = files = 0
    for number, site in enumerate(sites):
        writer = FlowLogWriter(
            out,
            site.flow_log,
            texts,
            records_per_file,
            MINUTES_PER_FILE if trouble else None,
            until,
        )
        try:
            for day, count in zip(all_days, counts[number], strict=True):
                seeds = [seed, number, day.toordinal()]
                extra = planted.get((site, day))
                for core in _day(site, day, end, int(count), seeds, extra, trouble):
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
    result["enrichment"] = write_enrichment(out)
    if inventory:
        faces = [
            (
                site.flow_log,
                [face for face in site.interfaces if face.role != holders.ROLE],
            )
            for site in sites
        ]
        result["inventory"] = write_inventory(out, faces, all_days, end)
        result["transfer"] = transfer_truth(truth.pairs(), faces)
    if campaigns:
        result["findings"] = campaigns.truth(
            result["marts"]["admin_exposure"], all_days[0]
        )
    if trouble:
        result["incidents"] = trouble.truth(trouble.write_malformed(out))
        if campaigns:
            result["incidents"]["skipdata_records"] += campaigns.skipped()
    text = json.dumps(result, indent=2) + "\n"
    (out / TRUTH_FILE).write_text(text, encoding="utf-8")
    return result


def _check_at_least(smallest: int, **arguments: int) -> None:
    for name, value in arguments.items():
        if value < smallest:
            raise ValueError(f"{name} must be at least {smallest}, not {value}")


def _check_days(
    end_date: date, days: int, until: datetime | None, incidents: bool
) -> int:
    """The epoch second before which all records start."""
    if days > (end_date - _FIRST_DAY).days + 1:
        raise ValueError(
            f"{days} days up to {end_date} begin before {_FIRST_DAY}, "
            "when there were no flow logs"
        )
    end = midnight(end_date + timedelta(days=1))
    if until is not None:
        step = 60 * (MINUTES_PER_FILE if incidents else 5)
        delivered = int(until.timestamp()) - _SECONDS_TO_DELIVERY
        end = min(end, delivered // step * step)
    hours = (end - midnight(end_date - timedelta(days=days - 1))) / 3600
    fewest = FEWEST_HOURS if incidents else 1
    if hours < fewest:
        raise ValueError(
            f"{days} days up to {until or end_date} hold {max(hours, 0):g} hours of "
            f"delivered records, but at least {fewest} are needed"
        )
    return end


def _shares_of_records(
    records: int, days: Sequence[date], end: int
) -> NDArray[np.int64]:
    """How many everyday records each flow log (row) has on each day (column)."""
    of_flow_log = np.array([flow_log.weight for flow_log in FLOW_LOGS], dtype=float)
    of_day = np.array(
        [
            (_WEEKEND if day.weekday() >= 5 else 1.0) * _share_until(day, end)
            for day in days
        ]
    )
    weights = np.outer(of_flow_log, of_day)
    # Rounding the running total keeps the sum exact.
    until = np.rint(np.cumsum(weights) / weights.sum() * records).astype(np.int64)
    counts: NDArray[np.int64] = np.diff(until, prepend=0).reshape(weights.shape)
    return counts


def _share_until(day: date, end: int) -> float:
    """The share of a day's traffic that starts before an epoch second."""
    return float(np.interp(end - midnight(day), _SECONDS, _SHARES))


def _day(
    site: Site,
    day: date,
    end: int,
    count: int,
    seeds: list[int],
    planted: Columns | None,
    incidents: Incidents | None,
) -> Iterator[Columns]:
    """A day's core records of a site, ordered by start, in chunks."""
    share, seconds = _share_until(day, end), midnight(day) + _SECONDS
    chunks = max(1, -(-count // _CHUNK))
    parts = np.arange(chunks + 1) / chunks * share
    bounds = np.interp(parts, _SHARES, seconds).astype(np.int64)
    for chunk in range(chunks):
        size = count * (chunk + 1) // chunks - count * chunk // chunks
        bulk = Bulk(site, np.random.default_rng([*seeds, chunk]))
        groups = bulk.records(
            size, (_SHARES, seconds), (parts[chunk], parts[chunk + 1])
        )
        if incidents is not None:
            groups = [where(group, group["log_status"] != SKIPDATA) for group in groups]
        if planted is not None:
            start = planted["start"]
            in_chunk = (start >= bounds[chunk]) & (start < bounds[chunk + 1])
            groups.append(where(planted, in_chunk))
        records = joined(groups)
        if incidents is not None:
            records = incidents.delivered(site, records)
        if len(records["start"]):
            yield records
