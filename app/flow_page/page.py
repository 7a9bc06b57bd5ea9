"""What Streamlit shows: the filter bar, panels, and what is particular to a page.

Values of the logs are shown as text, in tables and in charts, never as Markdown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from . import exposure, findings, host, traffic, trust
from .data import ADDRESSES, Store, open_store
from .filters import Filters
from .panels import Panel, answer, as_csv, as_text, default_filters, defused

#: What `python -m vpcflow.detections` writes of the registry.
REGISTRY = Path(__file__).parent / "detections.json"
#: The choices of the filter bar, each from all marts that have the column.
CHOICES = {
    "account": (("eni_health", "account_id"), ("admin_exposure", "account_id")),
    "vpc": (("admin_exposure", "vpc_id"), ("admin_attempts", "vpc_id")),
    "network": (
        ("findings", "internal_network"),
        ("findings", "internal_owner"),
        ("admin_exposure", "internal_network"),
        ("admin_exposure", "internal_owner"),
        ("admin_attempts", "internal_network"),
        ("admin_attempts", "internal_owner"),
    ),
}
NO_SNAPSHOT = (
    "There is nothing to show yet. Each build writes a snapshot for this page: run"
    " `python -m vpcflow run` or `make demo`, then load this page again."
)


@st.cache_data(show_spinner=False, max_entries=500, ttl=3600)  # type: ignore[untyped-decorator]
def _answer(
    _store: Store, version: str, sql: str, parameters: tuple[Any, ...]
) -> pd.DataFrame:
    """Run a query once for each version of the marts."""
    return _store.query(sql, parameters)


class Page:
    """What all pages share: where the marts are, and the filters.

    Args:
        store: Where the marts are.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._version = store.version()
        self.filters = Filters(date.min, date.max)

    def ask(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Run a query, or take its answer from the cache."""
        return _answer(self.store, self._version, sql, tuple(parameters))

    def filter_bar(self) -> None:
        """Show the filters, in the sidebar, and keep them in the link.

        The widgets belong to the frame of all pages, so they keep their values from
        page to page. A new visit takes them from the link.
        """
        default = default_filters(self.store, self.ask)
        state = st.session_state
        if "first" not in state:
            given = default.from_link(st.query_params.to_dict())
            state.first, state.last, state.new = given.first, given.last, given.new
            state.account = given.account or None
            state.vpc = given.vpc or None
            state.network = given.network or None
            state.address, state.finding = given.address, st.query_params.get("finding")
            state.port = "" if given.port is None else str(given.port)
        with st.sidebar:
            st.date_input("First day (UTC)", key="first")
            st.date_input("Last day (UTC)", key="last")
            for name, label in (
                ("account", "Account"),
                ("vpc", "VPC"),
                ("network", "Network or owner"),
            ):
                self._choice(name, label)
            st.text_input("Address (10.0.* for a beginning)", key="address")
            st.text_input("Port", key="port")
            st.date_input("New since (UTC)", key="new")
            st.button("Show everything", on_click=_clear, args=(default,))
        chosen = {name: str(state[name]) for name in vars(default) if state.get(name)}
        self.filters = default.from_link(chosen)
        if state.first > state.last:
            st.warning("The first day is after the last: the last days are shown.")
        if state.port and self.filters.port is None:
            st.warning("A port is a number from 0 to 65535.")
        link = self.filters.link()
        if state.get("finding"):
            link["finding"] = state.finding
        if st.query_params.to_dict() != link:
            st.query_params.from_dict(link)

    def _choice(self, name: str, label: str) -> None:
        """Show a choice among the values that the marts have."""
        columns = [c for c in CHOICES[name] if c[0] in self.store.tables()]
        values: list[str] = []
        if columns:
            rows = self.ask(
                "select distinct value from ("
                + " union all ".join(
                    f"select {column} as value from {mart}" for mart, column in columns
                )
                + ") as found where value is not null order by value limit 1000"
            )
            values = [str(value) for value in rows["value"]]
        given = st.session_state.get(name)
        if given and given not in values:
            # A link may name what the marts don't have: then nothing is found.
            values.append(given)
        st.selectbox(label, values, index=None, placeholder="all", key=name)

    def head(self, title: str, question: str) -> None:
        """Show a page's title, what is filtered, and what the answers can't see."""
        st.title(title)
        st.caption(question)
        st.text(f"Shown: {self.filters.sentence()}")
        if title != "Trust":
            hidden = trust.warning(self.store, self.ask)
            if hidden:
                st.warning(f"The answers may miss something: {hidden}. See Trust.")

    def show(self, panels: Sequence[Panel]) -> None:
        """Show panels one below the other."""
        for number, panel in enumerate(panels):
            found = answer(panel, self.filters, self.store, self.ask)
            st.subheader(panel.question)
            if found.rows is None:
                st.info(found.caption)
                continue
            rows = found.rows
            if rows.empty:
                st.info(panel.empty)
            elif panel.chart:
                st.altair_chart(panel.chart(rows.head(panel.drawn or len(rows))))
            if found.caption:
                st.caption(found.caption)
            if rows.empty:
                continue
            table = defused(rows)
            if panel.chart:
                with st.expander(f"Table ({len(rows):,} rows)"):
                    st.dataframe(table, hide_index=True)
            else:
                st.dataframe(table, hide_index=True)
            st.download_button(
                "Download CSV",
                as_csv(rows),
                file_name=f"{panel.table}.csv",
                mime="text/csv",
                key=f"download {number}",
                on_click="ignore",
            )


def _clear(default: Filters) -> None:
    """Set all filters back."""
    state = st.session_state
    state.first, state.last, state.new = default.first, default.last, default.new
    state.account = state.vpc = state.network = None
    state.address = state.port = ""


def show_findings(page: Page) -> None:
    """Show the page of findings, and one of them opened."""
    page.head("Findings", "What looks like an attack, and what is new?")
    page.show(findings.PANELS)
    found = answer(findings.ALL, page.filters, page.store, page.ask).rows
    if found is None or found.empty:
        return
    st.subheader("What is behind one of them?")
    # The rule is no column of the table, but of the mart.
    rows = {row["finding_id"]: row for row in found.to_dict("records")}
    if st.session_state.get("finding") not in rows:
        st.session_state.finding = None
        st.query_params.pop("finding", None)
    chosen = st.selectbox(
        "Finding",
        [*rows],
        index=None,
        format_func=lambda key: f"{rows[key]['severity']}: {rows[key]['summary']}",
        placeholder="choose a finding to open it",
        key="finding",
    )
    if chosen:
        st.query_params["finding"] = chosen
        _open_finding(page, chosen)


def _open_finding(page: Page, finding_id: str) -> None:
    """Show one finding: evidence, ends, records, what to look at next."""
    row = page.ask("select * from findings where finding_id = ?", (finding_id,)).iloc[0]
    finding = {name: as_text(value) for name, value in row.items()}
    st.text(f"{finding['title']}: {finding['summary']}")
    evidence = {
        "severity": finding["severity"],
        "technique": f"{finding['tactic']}, {finding['technique_id']}",
        finding["entity_type"]: finding["entity"],
        "peer": finding["peer"] or "several",
        "port and protocol": f"{finding['port']} / {finding['protocol']}",
        "network": finding["internal_network"],
        "owner of the network": finding["internal_owner"],
        **{
            f"{what} of the {finding['entity_type'] if end == 'entity' else end}": value
            for end in ("entity", "peer")
            for what in ("name", "owner")
            if (value := finding[f"{end}_{what}"]) != "unknown"
        },
        "observed": f"{finding['observed']} {finding['unit']}"
        f" (threshold {finding['threshold']})",
        "seen (UTC)": f"{finding['first_seen_at']} to {finding['last_seen_at']}",
        "first detected (UTC)": finding["first_detected_at"],
        "records": finding["records"],
        "bytes": finding["bytes"],
        "suppressed by": finding["suppressed_by"],
        "not shown by the logs": finding["coverage_note"],
    }
    shown = pd.DataFrame(
        [(name, value) for name, value in evidence.items() if value],
        columns=["evidence", "value"],
    )
    st.dataframe(defused(shown), hide_index=True)
    rule = json.loads(REGISTRY.read_text()).get(finding["rule_id"], {})
    for label, name in (
        ("Why it matters", "why"),
        ("What to look at next", "next"),
        ("Known false positives", "false_positives"),
    ):
        if name in rule:
            st.markdown(f"**{label}**")
            st.text(rule[name])
    st.markdown("**The records behind it, at most 100**")
    sql = findings.records_query(finding)
    if page.store.has_records and st.button("Show the records"):
        st.dataframe(defused(page.ask(sql)), hide_index=True)
    st.code(sql, language="sql")
    st.markdown(
        "**If it is expected**, add this line to `seeds/detection_suppressions.csv`"
    )
    st.code(findings.suppression(finding), language=None)


def show_exposure(page: Page) -> None:
    """Show the page of exposure."""
    page.head("Exposure", "Who can be reached from the internet, on which port?")
    page.show(exposure.PANELS)


def show_traffic(page: Page) -> None:
    """Show the page of traffic."""
    page.head("Traffic", "How much is sent, by whom, to whom, and with which service?")
    page.show(traffic.PANELS)


def show_host(page: Page) -> None:
    """Show the page of one address."""
    page.head("Host", "What is known about one address or interface?")
    address = page.filters.address
    if not address or address.endswith("*"):
        st.info("Write an address or an interface into the filter Address.")
        return
    if address.startswith("eni-"):
        if ADDRESSES not in page.store.tables():
            st.info(f"The table {ADDRESSES} has not been built yet.")
            return
        rows = page.ask(host.ADDRESSES_OF_AN_INTERFACE, (address,))
        if rows.empty:
            st.info("No flow log of the window has an address of this interface.")
            return
        st.selectbox(
            "Which of the interface's addresses?",
            rows["address"],
            index=None,
            key="of_interface",
            on_change=_open_address,
        )
        return
    st.text(address)
    page.show(host.PANELS)


def _open_address() -> None:
    st.session_state.address = st.session_state.of_interface


def show_trust(page: Page) -> None:
    """Show the page of what the answers can't see."""
    page.head("Trust", "What can the answers not see?")
    page.show(trust.PANELS)


#: The pages by their names in links.
PAGES = {
    "findings": ("Findings", show_findings),
    "exposure": ("Exposure", show_exposure),
    "traffic": ("Traffic", show_traffic),
    "host": ("Host", show_host),
    "trust": ("Trust", show_trust),
}


def run() -> None:
    """Show the page that the link names."""
    st.set_page_config(page_title="VPC Flow Logs", layout="wide")
    store = open_store()
    page = Page(store)
    chosen = st.navigation(
        [
            st.Page(
                _bound(show, page),
                title=title,
                url_path=name,
                default=name == "findings",
            )
            for name, (title, show) in PAGES.items()
        ]
    )
    if not store.version():
        st.title("VPC Flow Logs")
        st.info(NO_SNAPSHOT)
        return
    page.filter_bar()
    chosen.run()


def _bound(show: Any, page: Page) -> Any:
    def shown() -> None:
        show(page)

    return shown
