"""The charts, with Altair alone.

None needs colour to be read: what differs in colour differs in place, lightness or text
as well. Times are UTC, whatever zone the browser is in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import altair as alt
import pandas as pd

#: Draws rows.
Chart = Callable[[pd.DataFrame], Any]

#: Readable on white and on black.
BLUE = "#3f7fbf"
INK = "#727d89"
#: From light to dark.
SHADES = ["#c6dbef", "#08306b"]
UTC = alt.Scale(type="utc")
TEXT = {"color": INK, "fontSize": 12, "fontWeight": 600}
TIME = alt.Axis(format="%b %d %H:%M", tickCount=6)
LABELS = alt.Axis(labelLimit=170, labelOverlap=False)
POINTS_OF_A_LINK = 16


def texts(value: pd.Series) -> pd.Series:
    """Return numbers as people read them: 1.2 M."""
    return value.map(_number)


def bars(label: str, value: str, unit: str) -> Chart:
    """Return a chart of one bar for each row, in the order of the rows."""

    def draw(rows: pd.DataFrame) -> Any:
        shown = rows.assign(**{"shown as": texts(rows[value])})
        # Room for the number behind the longest bar.
        scale = alt.Scale(domain=[0, 1.1 * float(rows[value].max() or 1)], nice=False)
        axis = alt.Axis(format="~s", tickCount=4)
        base = alt.Chart(shown).encode(
            y=alt.Y(f"{label}:N", sort=None, title=None, axis=LABELS),
            x=alt.X(f"{value}:Q", title=unit, axis=axis, scale=scale),
            tooltip=[label, "shown as"],
        )
        text = base.mark_text(align="left", dx=4, **TEXT).encode(text="shown as:N")
        return _finished(base.mark_bar(color=BLUE) + text, rows=len(rows))

    return draw


def over_time(time: str, value: str, unit: str, step: str) -> Chart:
    """Return a chart of bars over time; `step` is `hour` or `day`."""
    fill = {"hour": pd.Timedelta(hours=1), "day": pd.Timedelta(days=1)}[step]

    def draw(rows: pd.DataFrame) -> Any:
        start = pd.to_datetime(rows[time]).dt.tz_localize("UTC")
        form = "%Y-%m-%d %H:%M UTC" if step == "hour" else "%Y-%m-%d"
        shown = pd.DataFrame(
            {
                "start": start,
                "end": start + fill,
                "time": start.dt.strftime(form),
                value: rows[value],
                "shown as": texts(rows[value]),
            }
        )
        chart = (
            alt.Chart(shown)
            .mark_bar(color=BLUE)
            .encode(
                x=alt.X("start:T", scale=UTC, title="UTC", axis=TIME),
                x2="end:T",
                y=alt.Y(f"{value}:Q", title=unit, axis=alt.Axis(format="~s")),
                y2=alt.datum(0),
                tooltip=["time", "shown as"],
            )
        )
        return _finished(chart, height=200)

    return draw


def grid(column: str, row: str, value: str, order: list[str]) -> Chart:
    """Return a table of numbers by day; the higher a number, the darker its cell."""

    def draw(rows: pd.DataFrame) -> Any:
        shown = rows.assign(
            **{column: pd.to_datetime(rows[column]).dt.strftime("%Y-%m-%d")}
        )
        base = alt.Chart(shown).encode(
            x=alt.X(f"{column}:O", title=None, axis=alt.Axis(labelAngle=-45)),
            y=alt.Y(f"{row}:N", sort=order, title=None, axis=LABELS),
            tooltip=[column, row, value],
        )
        cells = base.mark_rect(stroke="#888888").encode(
            color=alt.Color(
                f"{value}:Q", legend=None, scale=alt.Scale(range=SHADES, domainMin=0)
            )
        )
        middle = 0.4 * float(rows[value].max())
        text = base.mark_text().encode(
            text=f"{value}:Q",
            color=alt.condition(
                alt.datum[value] > middle, alt.value("#ffffff"), alt.value("#16202b")
            ),
        )
        return _finished(cells + text, rows=rows[row].nunique() + 1)

    return draw


def spans(label: str, first: str, last: str) -> Chart:
    """Return a chart of one span of time for each row, with both ends marked."""

    def draw(rows: pd.DataFrame) -> Any:
        start = pd.to_datetime(rows[first]).dt.tz_localize("UTC")
        end = pd.to_datetime(rows[last]).dt.tz_localize("UTC")
        shown = pd.DataFrame(
            {
                "of": rows[label],
                "start": start,
                "end": end,
                "from": start.dt.strftime("%Y-%m-%d %H:%M UTC"),
                "to": end.dt.strftime("%Y-%m-%d %H:%M UTC"),
            }
        )
        base = alt.Chart(shown).encode(
            y=alt.Y("of:N", sort=None, title=None, axis=LABELS),
            x=alt.X("start:T", scale=UTC, title="UTC", axis=TIME),
            tooltip=["of", "from", "to"],
        )
        lines = base.mark_rule(color=BLUE, strokeWidth=4).encode(x2="end:T")
        ends = base.mark_tick(color=BLUE, thickness=3, size=12)
        return _finished(lines + ends, rows=rows[label].nunique())

    return draw


def sankey(source: str, target: str, value: str) -> Chart:
    """Return a chart of who sends to whom: bands as wide as the values."""

    def draw(rows: pd.DataFrame) -> Any:
        total = float(rows[value].sum()) or 1.0
        left, left_at = _places(rows, source, value, total)
        right, right_at = _places(rows, target, value, total)
        bands = []
        for number, row in enumerate(rows.itertuples(index=False)):
            name, to, size = (
                getattr(row, source),
                getattr(row, target),
                float(getattr(row, value)),
            )
            width = size / total
            begin, end = left_at[name], right_at[to]
            left_at[name] += width
            right_at[to] += width
            for step in range(POINTS_OF_A_LINK + 1):
                at = step / POINTS_OF_A_LINK
                share = (1 - math.cos(math.pi * at)) / 2
                low = begin + (end - begin) * share
                bands.append((number, at, low, low + width, name, to, _number(size)))
        names = ["band", "x", "low", "high", "from", "to", "shown as"]
        shared = {
            "x": alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-0.55, 1.55])),
            "y": alt.Y("low:Q", axis=None, scale=alt.Scale(reverse=True)),
        }
        areas = (
            alt.Chart(pd.DataFrame(bands, columns=names))
            .mark_area(color=BLUE, opacity=0.45)
            .encode(
                **shared,
                y2="high:Q",
                detail="band:N",
                tooltip=["from", "to", "shown as"],
            )
        )
        layers = [areas]
        for side, places, align, dx in (
            (0.0, left, "right", -6),
            (1.0, right, "left", 6),
        ):
            ends = pd.DataFrame(
                [
                    (side, low, high, (low + high) / 2, f"{name}  {_number(size)}")
                    for name, (low, high, size) in places.items()
                ],
                columns=["x", "low", "high", "middle", "end"],
            )
            base = alt.Chart(ends)
            layers.append(
                base.mark_rule(color=BLUE, strokeWidth=5).encode(**shared, y2="high:Q")
            )
            layers.append(
                base.mark_text(align=align, dx=dx, limit=170, **TEXT).encode(
                    x=shared["x"],
                    y=alt.Y("middle:Q", axis=None),
                    text="end:N",
                    tooltip=["end"],
                )
            )
        count = max(rows[source].nunique(), rows[target].nunique())
        return _finished(alt.layer(*layers), height=120 + 26 * count)

    return draw


def _places(
    rows: pd.DataFrame, column: str, value: str, total: float
) -> tuple[dict[str, tuple[float, float, float]], dict[str, float]]:
    """Return where each end is drawn, the largest first, and where its bands begin."""
    sums = rows.groupby(column, sort=False)[value].sum().astype(float)
    gap = 0.25 / max(len(sums), 1)
    places, begins, at = {}, {}, 0.0
    for name, size in sums.sort_values(ascending=False, kind="stable").items():
        width = float(size) / total
        places[str(name)] = (at, at + width, float(size))
        begins[str(name)] = at
        at += width + gap
    return places, begins


def _number(value: Any) -> str:
    if pd.isna(value):
        return ""
    number = float(value)
    for name in ("", " k", " M", " G", " T", " P"):
        if abs(number) < 1000 or name == " P":
            return (
                f"{number:.3g}{name}" if abs(number) < 1000 else f"{number:.0f}{name}"
            )
        number /= 1000
    return ""


def _finished(chart: Any, rows: int = 0, height: int = 0) -> Any:
    """Return a chart of so many rows, without the menu that opens other sites."""
    return chart.properties(
        height=height or 80 + 24 * max(rows, 1),
        width="container",
        usermeta={"embedOptions": {"actions": False}},
    )
