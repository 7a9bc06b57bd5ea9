"""`vpcflow ask`: a question of the cookbook, a table, or SQL of one's own."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import NamedTuple

import click

from . import tables as show
from .built_tables import Tables, Where, open_tables
from .questions import near, read_questions, read_tables
from .severities import rank
from .tables import Rows

#: What a statement that only reads begins with.
READING = ("select", "with", "from", "values", "show", "describe", "desc", "explain")
#: A mart is ordered by the first of these columns that it has; without one, by its
#: first columns.
ORDERS = {
    "rank": "rank",
    "severity": f"{rank('severity')}, last_seen_at desc, 1",
    "last_seen_at": "last_seen_at desc nulls last, 1, 2, 3, 4",
}


class NoSuchError(click.ClickException):
    """What was asked for does not exist; the message says what does."""

    exit_code = 2


class Ask(NamedTuple):
    """What to ask and how to show it; 0 as the limit is none.

    `has_title` is whether the title of a question is printed.
    """

    name: str | None = None
    sql: str | None = None
    where: str | None = None
    columns: Sequence[str] = ()
    limit: int = 0
    form: str = "table"
    has_title: bool = True


def list_what_can_be_asked() -> None:
    """Print the questions and the tables, one line each."""
    console = show.console()
    models = read_tables()
    console.print("Questions:")
    questions = read_questions().values()
    show.print_list(((q.name, q.title) for q in questions), console)
    console.print("\nMarts:")
    show.print_list(((t.name, t.title) for t in models.values() if t.is_mart), console)
    others = ", ".join(name for name, table in models.items() if not table.is_mart)
    console.print()
    show.print_text(f"Other tables: {others}", console)
    console.print("\nAsk one by its name: python -m vpcflow ask admin_exposure")


def answer(ask: Ask, where: Where) -> None:
    """Query the built tables and print the rows.

    Raises:
        NoSuchError: there is no such question, table or column.
        QueryError: the tables can't be queried.
    """
    question = read_questions().get(ask.name or "")
    if ask.sql is not None:
        check_that_it_reads(ask.sql)
    elif question is None and ask.name not in read_tables():
        raise NoSuchError(_unknown(str(ask.name)))

    order = question.order if question else ""
    with open_tables(where, _say) as tables:
        if ask.sql is not None:
            sql = ask.sql
        elif question:
            sql = _sql(f"(\n{question.rows}\n) as answer", ask.where, order)
        else:
            order = _order_of(tables, str(ask.name))
            sql = _sql(str(ask.name), ask.where, order)
        # One more than is shown, to see whether there are more.
        rows = tables.query(sql, ask.limit + 1 if ask.limit else None)
    is_cut = 0 < ask.limit < len(rows.rows)
    if is_cut:
        rows = Rows(rows.columns, rows.rows[: ask.limit])
    if ask.columns:
        rows = _only_columns(rows, ask.columns)

    if ask.form == "csv":
        show.print_csv(rows)
    elif ask.form == "json":
        show.print_json(rows)
    else:
        console = show.console()
        if question and ask.has_title:
            console.print(question.title)
        if not rows.rows:
            console.print("No rows.")
            return
        show.print_table(rows, console, first=order.split()[:1])
        if is_cut:
            console.print(f"The first {ask.limit} rows; --limit 0 shows all.")


def check_that_it_reads(sql: str) -> None:
    """Refuse a statement that changes something.

    Raises:
        NoSuchError: it is no query.
    """
    words = re.sub(r"/\*.*?\*/|--[^\n]*", " ", sql, flags=re.DOTALL).split()
    if not words or words[0].lower().lstrip("(") not in READING:
        raise NoSuchError(
            "--sql takes a query: a statement that begins with select, with, from,"
            " values, show, describe or explain."
        )


def _sql(source: str, where: str | None, order: str) -> str:
    lines = [f"select * from {source}"]
    if where:
        lines.append(f"where {where}")
    if order:
        lines.append(f"order by {order}")
    return "\n".join(lines)


def _order_of(tables: Tables, name: str) -> str:
    """Return by which column to order a mart; nothing orders the large tables."""
    if not read_tables()[name].is_mart:
        return ""
    columns = tables.query(f"select * from {name} limit 0").columns
    return next((ORDERS[name] for name in ORDERS if name in columns), "1")


def _only_columns(rows: Rows, names: Sequence[str]) -> Rows:
    places = {name: at for at, name in enumerate(rows.columns)}
    unknown = [name for name in names if name not in places]
    if unknown:
        raise NoSuchError(
            f"There is no column {', '.join(unknown)}."
            f" The columns are {', '.join(rows.columns)}"
        )
    chosen = [places[name] for name in names]
    return Rows(list(names), [tuple(row[at] for at in chosen) for row in rows.rows])


def _unknown(name: str) -> str:
    meant = near(name, [*read_questions(), *read_tables()])
    hint = f" Did you mean {' or '.join(meant)}?" if meant else ""
    return (
        f"There is no question or table {name}.{hint}"
        " To list them all: python -m vpcflow ask"
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr)
