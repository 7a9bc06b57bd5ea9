"""The command line: `python -m sample_logs --out sample_data`."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from .generation import generate

_LARGE_RUN = 1_000_000
_SECONDS_BETWEEN_LINES = 5.0


def _ports(_context: click.Context, _option: click.Parameter, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        message = f"{text!r} is not a list of ports like 22,3389"
        raise click.BadParameter(message) from None


@click.command(
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"]}
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="folder to write to, with the folders of a bucket",
)
@click.option(
    "--end-date",
    type=click.DateTime(["%Y-%m-%d"]),
    help="last UTC day; without it, today until now",
)
@click.option("--days", type=int, help="days of records: 7, or 10 with --attacks")
@click.option("--records", default=100_000, help="records in all files")
@click.option(
    "--records-per-file",
    type=int,
    help="rows in a file; without it, about 200 files of 500 to 100,000 rows",
)
@click.option("--seed", default=7, help="another seed gives other records")
@click.option(
    "--lookback-days",
    default=30,
    help="days before the last one that the answers look at",
)
@click.option("--top-n", default=10, help="top talkers in the answers")
@click.option(
    "--admin-ports",
    callback=_ports,
    default="22,3389",
    help="ports whose exposure is in the answers, with commas between",
)
@click.option(
    "--incidents",
    is_flag=True,
    help="plant a gap, a silent interface, lost records and malformed files",
)
@click.option(
    "--attacks",
    is_flag=True,
    help="plant campaigns of attackers, and traffic that only looks like one",
)
@click.option(
    "--benign", is_flag=True, help="write everyday traffic alone, without exposures"
)
@click.option(
    "--inventory",
    is_flag=True,
    help="write the inventory of the network, to the folder _inventory",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="replace the files of an earlier run; all other files stay",
)
def main(out: Path, end_date: datetime | None, records: int, **options: Any) -> None:
    """Write realistic VPC Flow Logs as Parquet, and the exact answers."""
    started, now = time.monotonic(), datetime.now(UTC)
    try:
        truth = generate(
            out,
            end_date=(end_date or now).date(),
            until=None if end_date else now,
            records=records,
            progress=_progress(records, started),
            **options,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{truth['records']:,} records in {truth['files']:,} files below {out}, "
        f"{truth['days'][0]['date']} to {truth['days'][-1]['date']}, "
        f"in {time.monotonic() - started:.1f} s"
    )
    click.echo(f"The right answers about them: {out / 'truth.json'}")


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
            click.echo(
                f"{written:,} of {records:,} records, {rate:,.0f} a second", err=True
            )

    return show


if __name__ == "__main__":
    main(prog_name="python -m sample_logs")
