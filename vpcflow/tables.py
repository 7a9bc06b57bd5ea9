"""Print rows: as a table that fits the terminal, as CSV or as JSON."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Columns of a terminal where there is none, such as in a pipe.
DEFAULT_WIDTH = 100
#: A longer text is folded, unless there is room.
WIDEST_CELL = 40
GAP = 2
#: Numbers that are no quantities: their digits are not grouped.
NO_QUANTITY = re.compile(r"(port|protocol|rank|version|_id|asn)$")
#: How many of the columns that are not shown are named.
NAMED_COLUMNS = 12

_LINE_UNDER_HEAD = Box("    \n    \n ─  \n    \n    \n    \n    \n    \n")


class Rows(NamedTuple):
    """The rows of a query, and the names of their columns in lower case."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def console() -> Console:
    """Return a console on stdout that is as wide as the terminal."""
    width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_table(rows: Rows, to: Console, first: Sequence[str] = ()) -> None:
    """Print a table; columns that do not fit are left out and named below it.

    A single row that does not fit is printed as a list of its columns.

    Args:
        rows: What to print.
        to: Where, and how wide.
        first: Columns that get room before the others.
    """
    shown = choose_columns(rows, to.width, first)
    if len(rows.rows) == 1 and len(shown) < len(rows.columns):
        shown_rows = zip(rows.columns, rows.rows[0], strict=True)
        rows = Rows(["column", "value"], [(n, text(n, v)) for n, v in shown_rows])
        shown = rows.columns
    # The box has an invisible line of one character between the columns.
    padding = (0, GAP - 1, 0, 0)
    table = Table(
        box=_LINE_UNDER_HEAD, show_edge=False, pad_edge=False, padding=padding
    )
    for name in shown:
        at = rows.columns.index(name)
        is_number = any(_is_number(row[at]) for row in rows.rows)
        table.add_column(
            name,
            justify="right" if is_number else "left",
            overflow="fold",
        )
    for row in rows.rows:
        by_name = dict(zip(rows.columns, row, strict=True))
        table.add_row(*(text(name, by_name[name]) for name in shown))
    with to.capture() as captured:
        to.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())
    hidden = [name for name in rows.columns if name not in shown]
    if hidden:
        more = len(hidden) - NAMED_COLUMNS
        names = ", ".join(hidden[:NAMED_COLUMNS])
        names += f" and {more} more" if more > 0 else ""
        print_text(f"Not shown (--columns chooses): {names}", to)


def print_text(sentence: str, to: Console) -> None:
    """Print a sentence in lines that fit."""
    for line in textwrap.wrap(sentence, to.width, break_on_hyphens=False):
        print(line)


def choose_columns(rows: Rows, width: int, first: Sequence[str] = ()) -> list[str]:
    """Return the names of the columns that fit into a width, in their order.

    Columns without any value are the first to go. The others get room from the left.
    """
    needed = {
        name: min(
            WIDEST_CELL,
            max([len(name), *(len(text(name, row[at])) for row in rows.rows)]),
        )
        + GAP
        for at, name in enumerate(rows.columns)
    }
    if sum(needed.values()) - GAP <= width:
        return rows.columns
    room, chosen = width + GAP, set()
    for name in sorted(rows.columns, key=lambda name: name not in first):
        at = rows.columns.index(name)
        is_empty = all(row[at] is None for row in rows.rows)
        if not is_empty and needed[name] <= room:
            chosen.add(name)
            room -= needed[name]
    return [name for name in rows.columns if name in chosen]


def text(name: str, value: Any) -> str:
    """Return a value as people read it: times to the minute, large numbers grouped."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if _is_number(value) and not NO_QUANTITY.search(name):
        return f"{value:,}" if value == int(value) else f"{value:,.4g}"
    return str(value)


def print_csv(rows: Rows) -> None:
    """Print CSV with a head; a null is empty."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows.columns)
    writer.writerows(rows.rows)


def print_json(rows: Rows) -> None:
    """Print a list with one object per row, each on its line."""
    objects = (
        json.dumps(dict(zip(rows.columns, row, strict=True)), default=_as_json)
        for row in rows.rows
    )
    print("[\n  " + ",\n  ".join(objects) + "\n]" if rows.rows else "[]")


def print_list(entries: Iterable[tuple[str, str]], to: Console) -> None:
    """Print names and titles, each on one line."""
    entries = list(entries)
    longest = max(len(name) for name, _ in entries)
    for name, title in entries:
        line = Text(f"  {name:{longest}}  {title}")
        to.print(line, no_wrap=True, overflow="ellipsis")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return str(value)
