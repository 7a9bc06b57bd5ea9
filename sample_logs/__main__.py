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
    """Run the command line.

    Args:
        arguments: Words after the program's name; None takes the process's own.

    Returns:
        0 if the sample was written, 1 if it could not be.

    Raises:
        SystemExit: The arguments are wrong (status 2), or the user asked for help.
    """
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    started, now = time.monotonic(), datetime.now(UTC)
    if options["end_date"] is None:
        options |= {"end_date": now.date(), "until": now}
    out = options["out"]
    try:
        truth = generate(**options, progress=_progress(options["records"], started))
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        print(f"sample_logs: {error}", file=sys.stderr)
        return 1
    print(
        f"{truth['records']:,} records in {truth['files']:,} files below {out}, "
        f"{truth['days'][0]['date']} to {truth['days'][-1]['date']}, "
        f"in {time.monotonic() - started:.1f} s"
    )
    print(f"The right answers about them: {out / 'truth.json'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sample_logs",
        description="Write realistic VPC Flow Logs as Parquet, and the exact answers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder that stands for the bucket")
    add(
        "--end-date",
        type=_day,
        help="last UTC day, YYYY-MM-DD (None: today, until now)",
    )
    add("--days", type=int, help="days of records (None: 7, or 10 with --attacks)")
    add("--records", type=int, default=100_000, help="records in all files")
    add(
        "--records-per-file",
        type=int,
        help="rows in a file (None: about 200 files of 500 to 100,000 rows)",
    )
    add("--seed", type=int, default=7, help="another seed gives other records")
    add(
        "--lookback-days",
        type=int,
        default=30,
        help="days before the last one that the answers look at",
    )
    add("--top-n", type=int, default=10, help="top talkers in the answers")
    add(
        "--admin-ports",
        type=_ports,
        default="22,3389",
        help="ports whose exposure is in the answers, with commas between",
    )
    add(
        "--incidents",
        action="store_true",
        help="plant a gap, a silent interface, lost records and malformed files",
    )
    add(
        "--attacks",
        action="store_true",
        help="plant campaigns of attackers, and traffic that only looks like one",
    )
    add(
        "--benign",
        action="store_true",
        help="write everyday traffic alone, without exposures",
    )
    add(
        "--inventory",
        action="store_true",
        help="write the inventory of the network, to the folder _inventory",
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace the files of an earlier run; all other files stay",
    )
    return parser


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        message = f"{text!r} is not a date like 2026-01-31"
        raise argparse.ArgumentTypeError(message) from None


def _ports(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        message = f"{text!r} is not a list of ports like 22,3389"
        raise argparse.ArgumentTypeError(message) from None


def _progress(records: int, started: float) -> Callable[[int], None] | None:
    """Return what prints a line to stderr every few seconds; None for small runs."""
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
