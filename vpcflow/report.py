"""`vpcflow report`: the charts of the page and their tables, in one HTML file.

The file has no script and loads nothing. Every chart is an SVG image, in which no
script runs. All text of the logs is escaped.
"""

from __future__ import annotations

import base64
import html
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .built_tables import QueryError, Tables, Where, adapter_and_path, open_tables
from .questions import PROJECT

if TYPE_CHECKING:
    import pandas as pd
    from flow_page.data import Store
    from flow_page.panels import Panel

#: Rows of a table in the report.
MOST_ROWS = 50
#: Of a chart, in pixels.
WIDTH = 640

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>VPC Flow Logs</title>
<style>
body { font: 15px/1.5 sans-serif; color: #16202b; background: #fff;
  max-width: 60em; margin: 2em auto; padding: 0 1em; }
img { max-width: 100%; height: auto; background: #fff; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { border: 1px solid #c3ccd5; padding: 2px 8px; text-align: left;
  white-space: nowrap; }
p { max-width: 45em; }
</style>
</head>
<body>
"""


class _Built:
    """The marts of a target that has no snapshot: Snowflake.

    Args:
        tables: The open tables.
    """

    has_records = False

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def version(self) -> str:
        return "now"

    def tables(self) -> set[str]:
        rows = self.query(
            "select lower(table_name) as name from information_schema.tables"
            " where table_schema = current_schema()"
        )
        return set(rows["name"])

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        import pandas as pd
        from flow_page.data import for_snowflake

        # The connector's own style; no text of the SQL holds either mark.
        query = for_snowflake(sql).replace("?", "%s")
        found = self._tables.query(query, parameters=parameters)
        return pd.DataFrame(found.rows, columns=found.columns).convert_dtypes()


def write_report(where: Where, out: Path) -> None:
    """Write the report of the last days that the marts have.

    Args:
        where: The target.
        out: The file to write; it is replaced at once.

    Raises:
        QueryError: the marts can't be read, what draws the charts is not installed, or
            the file can't be written.
    """
    app = str(PROJECT / "app")
    if app not in sys.path:
        sys.path.append(app)
    try:
        import altair  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as failure:
        raise QueryError(
            f"The report needs {failure.name}. Install requirements-app.txt, as"
            " `make app` does."
        ) from failure
    with _store(where) as store:
        text = _page(store)
    try:
        new = out.with_name(f"{out.name}.{os.getpid()}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(out)
    except OSError as failure:
        raise QueryError(f"The report can't be written: {failure}") from failure


@contextmanager
def _store(where: Where) -> Iterator[Store]:
    from flow_page.data import Snapshot

    adapter, path = adapter_and_path(where)
    if adapter != "duckdb":
        with open_tables(where, print) as tables:
            yield _Built(tables)
        return
    snapshot = Snapshot.of(path)
    if not snapshot.version():
        raise QueryError(
            f"There is no snapshot in {snapshot.folder} yet. Build first:"
            " python -m vpcflow run"
        )
    yield snapshot


def _page(store: Store) -> str:
    from flow_page import exposure, findings, traffic, trust
    from flow_page.panels import answer, default_filters

    filters = default_filters(store, store.query)
    shown = html.escape(filters.sentence())
    parts = [
        HEAD,
        "<h1>VPC Flow Logs</h1>\n",
        f"<p>{shown}. Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.</p>\n",
    ]
    hidden = trust.warning(store, store.query)
    if hidden:
        parts.append(
            f"<p><strong>The answers may miss something: {hidden}.</strong></p>\n"
        )
    for title, panels in (
        ("Findings", findings.PANELS),
        ("Exposure", exposure.PANELS),
        ("Traffic", traffic.PANELS),
        ("Trust", trust.PANELS),
    ):
        parts.append(f"<h2>{title}</h2>\n")
        for panel in panels:
            found = answer(panel, filters, store, store.query)
            parts.append(_section(panel, found.rows, found.caption))
    return "".join([*parts, "</body>\n</html>\n"])


def _section(panel: Panel, rows: pd.DataFrame | None, caption: str) -> str:
    """Return the question, the chart and the table of a panel."""
    parts = [f"<h3>{html.escape(panel.question)}</h3>\n"]
    if rows is not None and rows.empty:
        parts.append(f"<p>{html.escape(panel.empty)}</p>\n")
    if caption:
        parts.append(f"<p>{html.escape(caption)}</p>\n")
    if rows is not None and not rows.empty:
        if panel.chart:
            picture = _svg(panel.chart(rows.head(panel.drawn or len(rows))))
            parts.append(
                f'<p><img width="{WIDTH}" alt="{html.escape(panel.question)}"'
                f' src="data:image/svg+xml;base64,{picture}"></p>\n'
            )
        parts.append(_table(rows))
    return "".join(parts)


def _svg(chart: Any) -> str:
    """Return a chart as SVG in base64."""
    import vl_convert

    spec = chart.properties(width=WIDTH - 220).to_dict()
    svg = vl_convert.vegalite_to_svg(spec)
    return base64.b64encode(svg.encode()).decode()


def _table(rows: pd.DataFrame) -> str:
    from flow_page.panels import as_text, defused

    shown = defused(rows.head(MOST_ROWS))
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in shown.columns)
    lines = [
        "<tr>"
        + "".join(f"<td>{html.escape(as_text(value))}</td>" for value in row)
        + "</tr>\n"
        for row in shown.itertuples(index=False)
    ]
    more = (
        f"<p>The first {MOST_ROWS} of {len(rows):,} rows.</p>\n"
        if len(rows) > MOST_ROWS
        else ""
    )
    return (
        f'<div class="table"><table>\n<tr>{head}</tr>\n{"".join(lines)}</table></div>\n'
        f"{more}"
    )
