"""The command line: `python -m sample_logs --out sample_data`."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from .generation import generate

_LARGE_RUN = 1_000_000
_SECONDS_BETWEEN_LINES = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Words after the program's name; None takes the process's own.

    Returns:
        0 if the sample was written, 1 if it could not be.

    Raises:
        SystemExit: The arguments are wrong (status 2), or help was asked for.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        truth = generate(
            options.out,
            end_date=options.end_date or datetime.now(UTC).date(),
            days=options.days,
            records=options.records,
            records_per_file=options.records_per_file,
            seed=options.seed,
            lookback_days=options.lookback_days,
            top_n=options.top_n,
            admin_ports=options.admin_ports,
            incidents=options.incidents,
            overwrite=options.overwrite,
            progress=_progress(options.records, started),
        )
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        print(f"sample_logs: {error}", file=sys.stderr)
        return 1
    print(
        f"{truth['records']:,} records in {truth['files']:,} files below "
        f"{options.out}, {truth['days'][0]['date']} to {truth['days'][-1]['date']}, "
        f"in {time.monotonic() - started:.1f} s"
    )
    print(f"The answers they must give: {options.out / 'truth.json'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sample_logs",
        description="Write realistic VPC Flow Logs as Parquet, and the exact answers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder that stands for the bucket")
    add("--end-date", type=_day, help="last UTC day, YYYY-MM-DD (None: today)")
    add("--days", type=_at_least(1), default=7, help="days of records")
    add("--records", type=_at_least(1), default=100_000, help="records in all files")
    add(
        "--records-per-file",
        type=_at_least(1),
        help="rows in a file (None: about 200 files of 500 to 100,000 rows)",
    )
    add("--seed", type=_at_least(0), default=7, help="decides what chance decides")
    add("--lookback-days", type=_at_least(0), default=30, help="window of the truth")
    add("--top-n", type=_at_least(1), default=10, help="top talkers in the truth")
    add(
        "--admin-ports",
        type=_ports,
        default="22,3389",
        help="ports whose exposure the truth reports, with commas between",
    )
    add(
        "--incidents",
        action="store_true",
        help="plant a gap, a silent interface, lost records and malformed files",
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace the files of an earlier run; others are never touched",
    )
    return parser


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        message = f"{text!r} is not a date like 2026-01-31"
        raise argparse.ArgumentTypeError(message) from None


def _at_least(smallest: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            message = f"{text!r} is not a whole number"
            raise argparse.ArgumentTypeError(message) from None
        if value < smallest:
            message = f"must be at least {smallest}, not {value}"
            raise argparse.ArgumentTypeError(message)
        return value

    return number


def _ports(text: str) -> list[int]:
    ports = [_at_least(1)(part) for part in text.split(",")]
    if max(ports) > 65_535:
        raise argparse.ArgumentTypeError(f"{max(ports)} is not a port")
    return ports


def _progress(records: int, started: float) -> Callable[[int], None] | None:
    """Prints a line to stderr every few seconds; None for small runs."""
    if records < _LARGE_RUN:
        return None
    last = started

    def show(written: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            rate = written / (now - started)
            print(
                f"{written:,} of {records:,} records, {rate:,.0f} a second",
                file=sys.stderr,
            )

    return show


if __name__ == "__main__":
    sys.exit(main())
