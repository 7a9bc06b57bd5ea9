"""The page of app/: its numbers, filters and pictures, and that it harms nothing."""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from threading import Thread
from typing import Any
from xml.etree import ElementTree

import duckdb
import pandas as pd
import pytest
from click.testing import CliRunner
from flow_page import exposure, findings, host, page, panels, traffic, trust
from flow_page.data import Snapshot
from flow_page.filters import TABLES, Filters, condition
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_md5

from vpcflow import report, scheduled_run
from vpcflow.cli import cli

from .conftest import AS_OF, END_DATE, ROOT, Project
from .test_docs_site import browser as browser  # a fixture
from .test_docs_site import errors_of_scripts
from .vpcflow_process import Vpcflow

APP = ROOT / "app" / "streamlit_app.py"
PAGES = {
    "findings": findings.PANELS,
    "exposure": exposure.PANELS,
    "traffic": traffic.PANELS,
    "host": host.PANELS,
    "trust": trust.PANELS,
}
WHOLE = {"first": "2026-03-01", "last": END_DATE.isoformat()}
FLOWS = "int_traffic__daily_flows"

SCRIPT = "<script>document.title = 'harmed'</script><img src=x onerror=alert(1)>"
FORMULA = '=HYPERLINK("http://example.com")'
MARKDOWN = "![x](http://example.com/x.png)"


def made_up(finding_id: str, rule_id: str, day: int, **more: Any) -> dict[str, Any]:
    """Return a row of `findings`; what is not named is null."""
    return {
        "finding_id": finding_id,
        "rule_id": rule_id,
        "title": "A title",
        "technique_id": "T1046",
        "entity_type": "client",
        "first_seen_at": f"2026-03-{day} 10:00:00",
        "last_seen_at": f"2026-03-{day} 11:00:00",
        "first_detected_at": f"2026-03-{day} 12:00:00",
        "observed": 60,
        "threshold": 50,
        "unit": "ports",
        "records": 60,
        "bytes": 2400,
        "summary": "A sentence.",
        "is_suppressed": False,
    } | more


GUESSING = {"severity": "high", "tactic": "Credential Access", "port": 22}
SCAN = {"severity": "medium", "tactic": "Discovery"}
HARM = {"title": SCRIPT, "tactic": FORMULA, "entity": SCRIPT, "peer": FORMULA}
MADE_UP = [
    made_up("00", "port_scan_vertical", 30, **SCAN, entity="10.0.0.5", peer="52.1.2.3"),
    made_up("01", "ssh_brute_force", 31, **GUESSING, entity="52.1.2.4"),
    made_up("02", "ssh_brute_force", 31, **GUESSING, is_suppressed=True),
    made_up("03", "dns_tunnel", 31, **HARM, severity="low", internal_network=MARKDOWN)
    | {"summary": f"{FORMULA} {SCRIPT} {MARKDOWN}"},
]


@pytest.fixture(scope="module")
def snapshot(built: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snapshot of the built sample, with findings that are made up."""
    folder = tmp_path_factory.mktemp("page") / "snapshot"
    shutil.copytree(f"{built.database}.snapshot", folder)
    file = folder / "findings.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"create table findings as from '{file}' limit 0")
        for row in MADE_UP:
            names = ", ".join(row)
            marks = ", ".join("?" for _ in row)
            connection.execute(
                f"insert into findings ({names}) values ({marks})", [*row.values()]
            )
        connection.execute(f"copy findings to '{file}'")
        # A file's name is text of others, too.
        connection.execute(
            "copy (select * replace (? as metadata_filename, ? as reason) from (select"
            " * from (values (1)) left join"
            f" '{folder}/failed_files.parquet' on true limit 1))"
            f" to '{folder}/new.parquet'",
            [SCRIPT, FORMULA],
        )
    (folder / "new.parquet").replace(folder / "failed_files.parquet")
    return folder


@pytest.fixture
def opened(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Opens a page of the app by its link."""

    def open_page(name: str, folder: Path = snapshot, **link: str) -> AppTest:
        monkeypatch.setenv("VPC_FLOW_SNAPSHOT", str(folder))
        app = AppTest.from_file(str(APP), default_timeout=60)
        # Streamlit names a page by this; the first has no name in the link.
        app._page_hash = calc_md5("" if name == "findings" else name)
        for key, value in link.items():
            app.query_params[key] = value
        app.run()
        assert [error.value for error in app.exception] == []
        return app

    return open_page


def tables(app: AppTest, name: str) -> dict[str, pd.DataFrame]:
    """What a page shows below each question that it answers."""
    empty = {element.value for element in app.info}
    answered = [p for p in PAGES[name] if p.question in texts_of(app, "subheader")]
    shown = [p for p in answered if p.empty not in empty]
    frames = [element.value for element in app.dataframe]
    assert len(frames) >= len(shown)
    return {p.question: f for p, f in zip(shown, frames, strict=False)}


def texts_of(app: AppTest, kind: str) -> list[str]:
    return [element.value for element in app.get(kind)]


def rows(table: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in table[list(columns)].itertuples(index=False)]


def test_the_numbers_of_findings(opened: Callable[..., AppTest]) -> None:
    """Counted here, from the rows that were made up."""
    shown = tables(opened("findings", **WHOLE, new="2026-03-31"), "findings")
    by_day = shown[findings.BY_DAY.question]
    assert {(str(day)[:10], s, n) for day, s, n in rows(by_day, *by_day)} == {
        ("2026-03-30", "medium", 1),
        ("2026-03-31", "high", 1),
        ("2026-03-31", "low", 1),
    }
    tactics = shown[findings.BY_TACTIC.question]
    assert dict(rows(tactics, "tactic", "findings")) == {
        "Discovery": 1,
        "Credential Access": 1,
        f"'{FORMULA}": 1,
    }
    assert [*shown[findings.NEW.question]["finding_id"]] == ["01", "03"]
    assert [*shown[findings.ALL.question]["severity"]] == [
        *("high", "high", "medium", "low")
    ]


def test_one_finding_is_opened_by_its_link(opened: Callable[..., AppTest]) -> None:
    app = opened("findings", **WHOLE, finding="00")
    (evidence,) = (f.value for f in app.dataframe if "evidence" in f.value)
    shown = dict(rows(evidence, "evidence", "value"))
    assert shown["client"] == "10.0.0.5"
    assert shown["peer"] == "52.1.2.3"
    assert shown["observed"] == "60 ports (threshold 50)"
    sql, line = texts_of(app, "code")
    assert "where finding_id = '00'" in sql
    assert sql.endswith("limit 100")
    assert line == "port_scan_vertical,10.0.0.5/32,52.1.2.3/32,,,why it is expected"
    assert "Is the client yours?" in " ".join(texts_of(app, "text"))
    assert "finding" not in opened("findings", **WHOLE, finding="99").query_params


def test_the_query_of_a_finding_returns_its_records(built: Project) -> None:
    """A finding that is made up of the traffic from one address to a port."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{built.database}' as built (read_only)")
        connection.execute("create view flow_records as from built.flow_records")
        connection.execute(
            "create table findings as select 'ab' as finding_id, 'a_rule' as rule_id,"
            " 'client' as entity_type, srcaddr as entity, dstaddr as peer,"
            " dstport as port, protocol, count(*) as records,"
            " min(started_at) as first_seen_at, max(started_at) as last_seen_at,"
            " min(started_at) as window_started_at from flow_records"
            " where pkt_srcaddr is null and dstport = 22"
            " group by all order by records desc, entity, peer limit 1"
        )
        ((wanted,),) = connection.execute("select records from findings").fetchall()
        for finding_id, most in (("ab", 100), ("ac", 0)):
            given = {"finding_id": f"{finding_id}'; --"}
            shown = connection.execute(findings.records_query(given)).fetchall()
            assert min(wanted, most) <= len(shown) <= most
    assert wanted > 1


def test_the_line_of_a_suppression_has_the_columns_of_the_seed() -> None:
    head = (ROOT / "seeds/detection_suppressions.csv").read_text().splitlines()[0]
    row = {"rule_id": "a", "entity": "eni-1", "peer": "2001:db8::1", "port": "22"}
    line = findings.suppression(row)
    assert dict(zip(head.split(","), line.split(","), strict=True)) == {
        "rule": "a",
        "entity_range": "",
        "peer_range": "2001:db8::1/128",
        "port": "22",
        "until": "",
        "reason": "why it is expected",
    }


def test_the_numbers_of_exposure(
    opened: Callable[..., AppTest], built: Project
) -> None:
    shown = tables(opened("exposure", **WHOLE), "exposure")
    ports, reached, since, contacts, _, refused, tried = (
        shown[panel.question] for panel in exposure.PANELS
    )
    assert sorted(rows(ports, "service", "addresses")) == built.query(
        "select if(protocol = 6, 'tcp/', 'udp/') || port, count(distinct internal_addr)"
        " from admin_exposure group by all order by all"
    )
    assert sorted(rows(reached, *reached)) == built.query(
        "select internal_addr, count(distinct external_addr), sum(records)::bigint,"
        " sum(bytes)::bigint from admin_exposure group by all order by all"
    )
    assert len(since) == len(reached)
    assert built.query("select count(*) from admin_exposure") == [(len(contacts),)]
    assert contacts["records"].sum() == reached["records"].sum()
    records = built.query("select sum(records) from admin_attempts")
    assert records == [(refused["records"].sum(),)]
    peers = built.query("select count(distinct external_addr) from admin_attempts")
    assert peers == [(len(tried),)] or len(tried) == panels.MOST_ROWS


def test_the_numbers_of_traffic(opened: Callable[..., AppTest], built: Project) -> None:
    shown = tables(opened("traffic", **WHOLE), "traffic")
    hourly, daily, refused, who, clients, servers, conversations, services, *more = (
        shown[panel.question] for panel in traffic.PANELS
    )
    *outside, by_path, by_ends = more
    days = built.query(
        "select started_date, sum(client_bytes + server_bytes)::bigint"
        f" from {FLOWS} where action = 'ACCEPT' group by all order by all"
    )
    assert [(pd.Timestamp(d).date(), b) for d, b in rows(daily, *daily)] == days
    total = sum(size for _, size in days)
    for table in (hourly, who, clients, servers, conversations, services):
        assert table["bytes"].sum() == total
    assert built.query(f"select sum(records) from {FLOWS} where action = 'REJECT'") == [
        (refused["records"].sum(),)
    ]
    for table, column in ((clients, "client"), (servers, "server")):
        expected = built.query(
            f"select {column}_addr, sum(client_bytes + server_bytes)::bigint as bytes"
            f" from {FLOWS} where action = 'ACCEPT' group by all"
            f" order by bytes desc, {column}_addr limit {traffic.TOP}"
        )
        named = table[table[column] != traffic.OTHERS]
        assert rows(named, column, "bytes") == expected
    for table in outside:
        column = table.columns[0]
        expected = built.query(
            f"select {column}, sum(sent_bytes + received_bytes)::bigint as bytes"
            f" from outside_traffic where {column} is not null group by all"
            f" order by bytes desc, {column}"
        )
        assert rows(table, column, "bytes") == expected != []
    costs = built.query(
        "select path, sum(cost_usd), sum(saving_usd), sum(bytes)::bigint"
        " from transfer_cost group by all"
        " order by round(sum(cost_usd), 6) desc nulls last, path"
    )
    for found, (path, *numbers) in zip(rows(by_path, *by_path), costs, strict=True):
        known = [pytest.approx(number, abs=1e-6) for number in numbers]
        assert found == (path, *known) or numbers[0] is None
    (cost,) = built.query("select sum(cost_usd) from transfer_cost")
    assert by_path["cost_usd"].sum() == pytest.approx(cost[0], abs=1e-5)
    assert 0 < by_ends["cost_usd"].sum() <= cost[0] + 1e-3
    # The mart names the services, the page their ports.
    mart = built.query(
        "select total_bytes_deduplicated from top_services order by rank"
    )
    named = services[services["service"] != traffic.OTHERS]
    assert [(size,) for size in named["bytes"]] == mart


def test_filters_of_traffic_and_host(
    opened: Callable[..., AppTest], built: Project
) -> None:
    ((address, port),) = built.query(
        "select server_addr, server_port from top_conversations where rank = 1"
    )
    of_both = f"'{address}' in (client_addr, server_addr)"
    app = opened("traffic", **WHOLE, address=address, port=str(port))
    expected = built.query(
        f"select sum(client_bytes + server_bytes)::bigint from {FLOWS}"
        f" where action = 'ACCEPT' and {of_both} and server_port = {port}"
    )
    clients = tables(app, "traffic")["Which clients exchange most?"]
    assert [(clients["bytes"].sum(),)] == expected
    ignored = "Not filtered by address, port, which hourly_traffic lacks."
    assert sum(ignored in caption for caption in texts_of(app, "caption")) == 3

    shown = tables(opened("host", **WHOLE, address=address), "host")
    peers = shown["Who are its peers?"]
    assert sorted(rows(peers, "peer", "bytes")) == built.query(
        f"select if(server_addr = '{address}', client_addr, server_addr) as peer,"
        f" sum(client_bytes + server_bytes)::bigint from {FLOWS}"
        f" where action = 'ACCEPT' and {of_both} group by all order by all"
    )
    seen = shown["When was it seen, and how much did it exchange?"]
    assert built.query(
        f"select min(first_seen_at), max(last_seen_at), sum(records) from {FLOWS}"
        f" where {of_both}"
    ) == [
        (
            min(seen["first_seen_at"]),
            max(seen["last_seen_at"]),
            seen["records"].sum(),
        )
    ]
    app = opened("host", first="2026-03-30", last="2026-03-30", address=address)
    day = tables(app, "host")["Who are its peers?"]
    assert built.query(
        f"select sum(client_bytes + server_bytes)::bigint from {FLOWS} where action ="
        f" 'ACCEPT' and {of_both} and started_date = date '2026-03-30'"
    ) == [(day["bytes"].sum(),)]

    ((held,),) = built.query("select max(address) from address_owners")
    holders = tables(opened("host", **WHOLE, address=held), "host")
    owners = holders["Who held the address, and when?"]
    assert sorted(rows(owners, "interface_id", "known_from")) == built.query(
        "select interface_id, known_from from address_owners"
        f" where address = '{held}' order by all"
    )


def test_an_interface_opens_its_address(
    opened: Callable[..., AppTest], built: Project
) -> None:
    ((interface, address),) = built.query(
        "select interface_id, min(address) from int_traffic__interface_addresses"
        " group by all having count(distinct address) = 1 order by 1 limit 1"
    )
    app = opened("host", **WHOLE, address=interface)
    app.selectbox(key="of_interface").select(address).run()
    assert app.query_params["address"] == [address]
    shown = tables(app, "host")["Which interfaces had the address, and on which days?"]
    assert interface in set(shown["interface_id"])


def test_the_numbers_of_trust(opened: Callable[..., AppTest], built: Project) -> None:
    app = opened("trust", **WHOLE)
    shown = tables(app, "trust")
    causes = dict(rows(shown["What can the answers not show?"], "cause", "counted"))
    for column, cause in trust.HIDDEN.items():
        ((counted,),) = built.query(f"select {column} from admin_exposure_coverage")
        assert causes.get(cause, 0) == counted
    late = shown["How late do the logs arrive?"]
    assert sorted(late["delivery_lag_p95_seconds"]) == [
        lag
        for (lag,) in built.query(
            "select delivery_lag_p95_seconds from flow_log_health order by 1"
        )
    ]
    (warned,) = texts_of(opened("traffic", **WHOLE), "warning")
    ((silent,),) = built.query(
        "select count(distinct interface_id) from eni_health where is_silent"
    )
    assert "files that failed: 1" in warned
    assert (f"silent interfaces: {silent}" in warned) == (silent > 0)


def test_filters_are_kept_in_the_link_from_page_to_page(
    opened: Callable[..., AppTest],
) -> None:
    app = opened("exposure", account="nobody", port="22", first="2026-03-28")
    assert [i.value for i in app.info][:1] == [exposure.NONE]
    assert app.selectbox(key="account").value == "nobody"
    app.text_input(key="address").set_value("10.0.*")
    app.text_input(key="port").set_value("99999x").run()
    assert "A port is a number from 0 to 65535." in texts_of(app, "warning")
    link = {name: value[0] for name, value in app.query_params.items()}
    assert link["address"] == "10.0.*"
    assert "port" not in link
    app.switch_page = None  # type: ignore[method-assign]
    app._page_hash = calc_md5("traffic")
    app.run()
    assert app.query_params["address"] == ["10.0.*"]
    app.button[0].click().run()
    assert set(app.query_params) == {"first", "last", "new"}


@pytest.mark.parametrize(
    "link",
    [
        {"first": "2026-99-99", "last": "x", "port": "-1", "new": "'"},
        {"first": "2027-01-01", "last": "2026-01-01"},
        {"address": "' or 1=1 --", "account": SCRIPT, "network": FORMULA},
        {"finding": SCRIPT, "port": "0"},
    ],
)
def test_no_link_breaks_a_page(
    opened: Callable[..., AppTest], link: dict[str, str]
) -> None:
    for name in PAGES:
        opened(name, **link)


def test_every_table_of_a_panel_can_be_filtered_by_its_columns(built: Project) -> None:
    filters = Filters(
        date(2026, 3, 1), END_DATE, "a", "v", "n", "10.*", 22, date(2026, 3, 1)
    )
    asked = {panel.table for group in PAGES.values() for panel in group}
    assert asked == {*TABLES}
    for table in TABLES:
        shown = condition(table, filters)
        with duckdb.connect(str(built.database), read_only=True) as connection:
            connection.execute(
                f"select * from {table} where {shown.sql}", shown.parameters
            )


def test_without_a_snapshot_the_page_says_what_to_run(
    opened: Callable[..., AppTest], snapshot: Path, tmp_path: Path
) -> None:
    app = opened("findings", tmp_path / "nothing")
    assert texts_of(app, "info") == [page.NO_SNAPSHOT]
    # A build of some marts leaves some of the snapshot.
    shutil.copytree(snapshot, tmp_path / "part")
    for name in ("findings", "admin_exposure", "eni_health", "hourly_traffic"):
        (tmp_path / "part" / f"{name}.parquet").unlink()
    app = opened("findings", tmp_path / "part")
    assert "The table findings has not been built yet." in texts_of(app, "info")
    for name in PAGES:
        opened(name, tmp_path / "part", address="10.0.0.1")


def test_formulas_in_a_download_are_text(snapshot: Path) -> None:
    store = Snapshot(snapshot)
    found = store.query("select summary, entity, port, records from findings")
    cells = ["=1+1", "+1", "-1", "@a", "\t=1", "a=1", ""]
    found = pd.concat([found, pd.DataFrame({"summary": cells, "records": -5})])
    text = panels.as_csv(found).decode()
    written = list(csv.reader(io.StringIO(text)))
    assert all(
        not cell.startswith(tuple("=+-@\t")) for row in written for cell in row[:2]
    )
    assert ["'=1+1", "", "", "-5"] in written
    assert ["a=1", "", "", "-5"] in written


def test_texts_of_logs_are_never_markdown(opened: Callable[..., AppTest]) -> None:
    """Nor HTML: what draws them takes text alone."""
    for name in PAGES:
        app = opened(name, **WHOLE, finding="03")
        for kind in ("markdown", "caption", "title", "subheader", "info", "warning"):
            for text in texts_of(app, kind):
                assert "<" not in text and "example.com" not in text, (name, text)
    code = "\n".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    assert "unsafe_allow_html" not in code
    assert "st.html" not in code


class Read(HTMLParser):
    """What an HTML file holds: its tags, their attributes, its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_has_the_same_rows_and_no_script(
    built: Project, snapshot: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    environment = os.environ | built.variables() | {"VPC_FLOW_SNAPSHOT": str(snapshot)}
    words = ["report", "--out", str(out)]
    ended = Vpcflow(words, environment, tmp_path).end()
    assert (ended.code, ended.out) == (0, f"Report: {out}\n"), ended.err
    read = Read(out.read_text())
    assert not {"script", "link", "iframe", "object"} & {*read.tags}
    names = {name for name, _ in read.attributes}
    assert names <= {"lang", "charset", "name", "content", "http-equiv", "width"} | {
        *("alt", "src", "class")
    }
    sources = [value or "" for name, value in read.attributes if name == "src"]
    charts = [p for name in PAGES if name != "host" for p in PAGES[name] if p.chart]
    assert len(charts) - 3 <= len(sources) <= len(charts)
    for source in sources:
        kind, _, content = source.partition(";base64,")
        assert kind == "data:image/svg+xml"
        picture = ElementTree.fromstring(base64.b64decode(content))
        kinds = {element.tag.split("}")[1] for element in picture.iter()}
        assert not {"script", "image", "foreignObject", "a"} & kinds
    # What harms a page or a spreadsheet is in it as text.
    assert SCRIPT in read.text
    assert f"'{FORMULA}" in read.text
    store = Snapshot(snapshot)
    filters = panels.default_filters(store, store.query)
    for name, group in PAGES.items():
        for panel in group if name != "host" else ():
            assert panel.question in read.text
            rows = panels.answer(panel, filters, store, store.query).rows
            if rows is None or rows.empty:
                assert panel.empty in read.text
                continue
            for value in panels.defused(rows).iloc[0]:
                assert panels.as_text(value) in read.text


def test_a_report_without_a_snapshot_names_the_command(
    built: Project, tmp_path: Path
) -> None:
    environment = os.environ | built.variables()
    environment["VPC_FLOW_SNAPSHOT"] = str(tmp_path / "nothing")
    words = ["report", "--out", str(tmp_path / "report.html")]
    ended = Vpcflow(words, environment, tmp_path).end()
    assert ended.code == 1
    assert "python -m vpcflow run" in ended.err


@pytest.mark.parametrize(
    ("exit_code", "is_written"), [(0, True), (1, True), (75, False)]
)
def test_a_run_writes_the_report(
    exit_code: int, is_written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    monkeypatch.setattr(report, "write_report", lambda _, out: written.append(out))
    monkeypatch.setattr(scheduled_run, "run_once", lambda *_: exit_code)
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(cli, ["run", "--report", "r.html"])
    assert ended.exit_code == exit_code
    assert written == [Path("r.html")] * is_written


# In a browser


@pytest.fixture(scope="module")
def served(snapshot: Path) -> Iterator[str]:
    """The address of the app, served as `make app` does."""
    with serve(snapshot) as address:
        yield address


@contextmanager
def serve(snapshot: Path) -> Iterator[str]:
    """Serve a snapshot until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(APP)]
    process = subprocess.Popen(
        [*command, "--server.port", str(port)],
        env=os.environ | {"VPC_FLOW_SNAPSHOT": str(snapshot)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(address + "_stcore/health").close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def visit(browser: Any, address: str, width: int, scheme: str) -> None:
    """Open a page and wait until it has run."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(address)
    wait_until_run(browser)


def wait_until_run(browser: Any) -> None:
    browser.find_element(
        "css selector", "[data-testid=stApp][data-test-script-state=notRunning] h1"
    )
    time.sleep(0.5)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_have_no_error_and_fit(
    browser: Any, served: str, width: int, scheme: str
) -> None:
    for name in PAGES:
        link = {**WHOLE, "address": "10.0.0.87"} if name == "host" else WHOLE
        path = "" if name == "findings" else name
        query = urllib.parse.urlencode(link)
        visit(browser, f"{served}{path}?{query}", width, scheme)
        assert errors_of_scripts(browser) == [], name
        assert "Error" not in browser.find_element("tag name", "body").text
        background = browser.execute_script(
            "return getComputedStyle(document.querySelector('.stApp')).backgroundColor"
        )
        red = int(re.findall(r"\d+", background)[0])
        assert (red < 100) == (scheme == "dark"), background
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
        assert browser.title != "harmed"
        assert browser.execute_script(
            "return document.querySelectorAll('canvas, .vega-embed').length > 0"
        )


def test_a_filter_changes_the_link_and_the_link_the_filter(
    browser: Any, served: str
) -> None:
    visit(browser, f"{served}exposure?port=22", 1280, "light")
    field = browser.find_element("css selector", "input[aria-label=Port]")
    assert field.get_attribute("value") == "22"
    assert "· port 22" in browser.find_element("tag name", "body").text
    address = browser.find_element("css selector", "input[aria-label^=Address]")
    address.send_keys("10.0.*\n")
    for _ in range(50):
        if "address=10.0." in browser.current_url:
            break
        time.sleep(0.2)
    found = urllib.parse.parse_qs(urllib.parse.urlsplit(browser.current_url).query)
    assert (found["address"], found["port"]) == (["10.0.*"], ["22"])
    wait_until_run(browser)
    browser.find_element("partial link text", "Traffic").click()
    for _ in range(50):
        if "/traffic" in browser.current_url and "address=" in browser.current_url:
            break
        time.sleep(0.2)
    assert "port=22" in browser.current_url
    # The first stop of the keyboard in the page is a control of it.
    browser.find_element("tag name", "body").send_keys("\t")
    assert browser.switch_to.active_element.tag_name != "body"


# While builds run


def build_while_the_page_is_open(project: Project, builds: int) -> None:
    """Fail if a build or a page fails, or if a page waits for a build."""
    found: list[str] = []
    is_over = False

    def click_through() -> None:
        number = 0
        while not is_over:
            store = Snapshot(Path(f"{project.database}.snapshot"))
            filters = Filters(date(2026, 3, 1), END_DATE, address="10.0.0.87")
            group = [*PAGES.values()][number % len(PAGES)]
            number += 1
            begun = time.monotonic()
            try:
                for panel in group:
                    panels.answer(panel, filters, store, store.query)
            except Exception as failure:
                found.append(repr(failure))
            if time.monotonic() - begun > 30:
                found.append("waited")
        found.append(f"{number} pages")

    project.dbt("run", "--select", "hourly_traffic", **AS_OF)
    visitor = Thread(target=click_through)
    visitor.start()
    try:
        for number in range(builds):
            # Each build has other days to write and to drop.
            window = {"lookback_days": 3 + number % 2}
            printed = project.dbt(
                *("run", "--full-refresh", "--select", "path:models/marts"),
                **AS_OF,
                **window,
            )
            assert "Snapshot: " in printed
    finally:
        is_over = True
        visitor.join()
    assert int(found.pop().split()[0]) >= builds
    assert found == []


def test_builds_and_the_page_do_not_wait_for_each_other(copied: Project) -> None:
    build_while_the_page_is_open(copied, 2)


@pytest.mark.long
def test_twenty_builds_run_while_the_page_is_open(copied: Project) -> None:
    build_while_the_page_is_open(copied, 20)
