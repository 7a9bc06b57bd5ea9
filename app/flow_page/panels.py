"""A panel: a question, the SQL that answers it from one mart, and its chart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from .charts import Chart
from .data import ADDRESSES, Store
from .filters import Filters, condition

#: Rows of a table, so that an answer stays below the 32 MB that Snowflake allows.
MOST_ROWS = 1000

#: What a panel calls the sum of all that it does not name.
OTHERS = "all others"

#: Runs a query; the page keeps the answers.
Ask = Callable[[str, tuple[Any, ...]], pd.DataFrame]


@dataclass(frozen=True)
class Panel:
    """One question and its answer.

    `sql` reads the mart `table`, with `{filters}` where the condition of the filters
    goes. `parameters` names filters whose values its own question marks take, which
    come after those. `names` are the other parts in braces, which come last: what
    another panel names, without the sum of the others. `empty` says why there may be
    no rows.
    """

    question: str
    table: str
    sql: str
    empty: str
    chart: Chart | None = None
    caption: str = ""
    parameters: tuple[str, ...] = ()
    names: dict[str, Panel] = field(default_factory=dict)
    drawn: int | None = 20


@dataclass(frozen=True)
class Answer:
    """The rows of a panel; None if the mart has not been built."""

    rows: pd.DataFrame | None
    caption: str


def answer(panel: Panel, filters: Filters, store: Store, ask: Ask) -> Answer:
    """Ask a panel's question.

    Args:
        panel: What to ask.
        filters: What to show.
        store: Names the marts that were built.
        ask: Runs the query.
    """
    if panel.table not in store.tables():
        return Answer(None, f"The table {panel.table} has not been built yet.")
    shown = condition(panel.table, filters)
    more = [str(getattr(filters, name)) for name in panel.parameters]
    sql = panel.sql.replace("{filters}", shown.sql)
    for name, other in panel.names.items():
        found = answer(other, filters, store, ask).rows
        named = [] if found is None else [v for v in found[name] if v != OTHERS]
        # At least one, since SQL has no empty list.
        sql = sql.replace(f"{{{name}}}", ", ".join("?" * len(named or [""])))
        more += named or [""]
    rows = ask(f"{sql} limit {MOST_ROWS}", (*shown.parameters, *more))
    captions = [panel.caption]
    if shown.ignored:
        captions.append(
            f"Not filtered by {', '.join(shown.ignored)}, which {panel.table} lacks."
        )
    if panel.chart and panel.drawn and len(rows) > panel.drawn:
        captions.append(f"The chart has the first {panel.drawn} of {len(rows):,} rows.")
    if len(rows) == MOST_ROWS:
        captions.append(f"The first {MOST_ROWS:,} rows.")
    return Answer(rows, " ".join(filter(None, captions)))


def default_filters(store: Store, ask: Ask) -> Filters:
    """Return the filters of a link without any: the last days that the marts have."""
    found: list[Any] = []
    for mart, column in (
        ("hourly_traffic", "started_hour"),
        ("admin_exposure_coverage", "as_of"),
        # The two above may be some hours older.
        (ADDRESSES, "started_date"),
    ):
        if mart in store.tables():
            rows = ask(
                f"select cast(min({column}) as date) as first_day,"
                f" cast(max({column}) as date) as last_day from {mart}",
                (),
            )
            found += [value for value in rows.iloc[0] if not pd.isna(value)]
    days = sorted(pd.Timestamp(value).date() for value in found)
    today = datetime.now(UTC).date()
    return Filters.of_the_window(*((days[0], days[-1]) if days else (today, today)))


def as_text(value: Any) -> str:
    """Return a value of a table as text: times to the minute, nulls empty."""
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return ""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    if pd.api.types.is_bool(value):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"
    return str(value)


def defused(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts no spreadsheet takes for formulas.

    Nulls among texts are empty, and the columns of days have no time.
    """

    def safe(value: Any) -> Any:
        if isinstance(value, str):
            is_formula = value.startswith(tuple("=+-@\t\r\n"))
            return f"'{value}" if is_formula else value
        return as_text(value)

    shown = rows.assign(
        **{
            name: pd.to_datetime(rows[name]).dt.strftime("%Y-%m-%d")
            for name in rows.columns
            if name.endswith("_day")
        }
    )
    texts = shown.select_dtypes("object").columns
    return shown.assign(**{name: shown[name].map(safe) for name in texts})


def as_csv(rows: pd.DataFrame) -> bytes:
    """Return a table as CSV whose texts no spreadsheet takes for formulas."""
    text: str = defused(rows).to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
    return text.encode()
