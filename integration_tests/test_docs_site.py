"""The documentation site as `make docs` serves it, in a browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Project

COMMANDS = ("docs generate", "docs serve")
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--disable-dev-shm-usage"),
    "--window-size=1400,1000",
)
#: The names of the nodes that the lineage shows, from the library that draws it.
DRAWN = """
const container = document.querySelector('.__________cytoscape_container')
return container._cyreg.cy.nodes(':visible').map(node => node.data('label'))
"""


def first_found(*names: str) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium here")
    chromium = first_found("chromium", "chromium-browser", "google-chrome")
    driver = first_found("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium with its chromedriver here: the site was not opened")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in OPTIONS:
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    opened.implicitly_wait(20)
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def site(browser: Any, built: Project) -> Iterator[str]:
    """The address of the site, generated and served by dbt."""
    built.dbt("docs", "generate")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dbt = str(Path(sys.executable).with_name("dbt"))
    server = subprocess.Popen(
        [dbt, *COMMANDS[1].split(), "--no-browser", "--port", str(port)],
        cwd=ROOT,
        env=os.environ | built.variables(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}/"
    for _ in range(150):
        try:
            urllib.request.urlopen(address).close()
            break
        except OSError:
            assert server.poll() is None, "dbt docs serve has ended"
            time.sleep(0.2)
    yield address
    server.terminate()
    server.wait()


def lineage(browser: Any) -> set[str]:
    """The names of what is drawn, once it is."""
    browser.find_element("css selector", ".__________cytoscape_container canvas")
    for _ in range(50):
        drawn = set(browser.execute_script(DRAWN))
        if drawn:
            break
        time.sleep(0.2)
    return drawn


def errors_of_scripts(browser: Any) -> list[str]:
    """What went wrong in the page; a file that it did not find is no such error."""
    return [
        entry["message"]
        for entry in browser.get_log("browser")
        if entry["level"] == "SEVERE" and entry["source"] != "network"
    ]


def test_make_docs_generates_and_serves() -> None:
    recipe = (ROOT / "Makefile").read_text().split("\ndocs: ")[1].split("\n\n")[0]
    commands = [line.split("dbt ")[1] for line in recipe.splitlines()[1:]]
    assert commands == list(COMMANDS)


def test_a_model_is_found_with_its_columns_and_lineage(browser: Any, site: str) -> None:
    browser.get(site)
    picture = browser.find_element("css selector", "img[src='assets/flow.svg']")
    assert "VPC Flow Logs" in browser.find_element("tag name", "h1").text
    assert int(picture.get_property("naturalWidth")) > 500

    search = browser.find_element("css selector", "input[placeholder*=Search]")
    search.send_keys("admin_attempts")
    found = browser.find_element("css selector", ".search-result h4")
    assert found.text == "admin_attempts model"
    found.click()
    browser.find_element("xpath", "//h1//*[text()='admin_attempts']")
    rows = browser.find_elements("css selector", "tr.column-row")
    columns = [row.text.split()[:2] for row in rows]
    assert columns[0] == ["internal_addr", "VARCHAR"]
    assert len(columns) == 15
    assert "Cloud security" in browser.find_element("tag name", "body").text

    browser.find_element("css selector", "[title='View Lineage Graph']").click()
    assert lineage(browser) == {
        *("int_traffic__daily_admin_flows", "admin_attempts"),
        *("int_traffic__interface_addresses", "Exposure review"),
    }
    browser.get("about:blank")
    browser.get(site + "#!/overview")
    browser.find_element("link text", "security").click()
    drawn = lineage(browser)
    assert drawn >= {"vpc_flow.flow_logs", "flow_records", "Exposure review"}
    assert "top_services" not in drawn
    assert errors_of_scripts(browser) == []


def test_an_error_of_a_script_would_be_seen(browser: Any, site: str) -> None:
    browser.get(site)
    browser.execute_script("setTimeout(() => undefinedFunction(), 0)")
    time.sleep(0.5)
    assert any("undefinedFunction" in text for text in errors_of_scripts(browser))
