"""The documentation site as `make docs` serves it, in a browser."""

from __future__ import annotations

import json
import shutil
import socket
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import ROOT, Project
from .processes import Command

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
def generated(built: Project) -> Project:
    """The built sample, with the site beside it as the first command writes it."""
    built.dbt(*COMMANDS[0].split())
    return built


@pytest.fixture(scope="module")
def site(browser: Any, generated: Project) -> Iterator[str]:
    """The address of the site, served by the second command."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    served = Command(
        [*COMMANDS[1].split(), "--no-browser", "--port", str(port)],
        generated.variables(),
        generated.target / "served.txt",
    )
    address = f"http://127.0.0.1:{port}/"
    for _ in range(150):
        try:
            urllib.request.urlopen(address).close()
            break
        except OSError:
            assert served.process.is_alive(), served.printed()
            time.sleep(0.2)
    yield address
    served.kill_after(0)


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


def test_make_docs_runs_these_commands() -> None:
    recipe = (ROOT / "Makefile").read_text().split("\ndocs: ")[1].split("\n\n")[0]
    commands = [line.split("dbt ")[1] for line in recipe.splitlines()[1:]]
    assert commands == list(COMMANDS)


def test_the_site_has_every_column_that_is_built(generated: Project) -> None:
    catalog = json.loads((generated.target / "catalog.json").read_text())
    columns = catalog["nodes"]["model.vpc_flow_logs.admin_attempts"]["columns"]
    assert [*columns] == [
        name for name, *_ in generated.query("describe admin_attempts")
    ]
    assert (generated.target / "index.html").exists()
    assert (generated.target / "assets/flow.svg").exists()


def test_a_model_is_found_with_its_columns_and_lineage(browser: Any, site: str) -> None:
    browser.get(site)
    picture = browser.find_element("css selector", "img[src='assets/flow.svg']")
    assert "VPC Flow Logs" in browser.find_element("tag name", "h1").text
    assert int(picture.get_property("naturalWidth")) > 500

    search = browser.find_element("css selector", "input[placeholder*=Search]")
    search.send_keys("admin_attempts")
    result = "//*[contains(@class, 'search-result')]//h4[contains(., 'admin_attempts')]"
    found = browser.find_element("xpath", result)
    assert found.text == "admin_attempts model"
    found.click()
    browser.find_element("xpath", "//h1//*[text()='admin_attempts']")
    rows = browser.find_elements("css selector", "tr.column-row")
    columns = [row.text.split()[:2] for row in rows]
    assert columns[0] == ["internal_addr", "VARCHAR"]
    assert len(columns) == 15

    browser.find_element("css selector", "[title='View Lineage Graph']").click()
    assert lineage(browser) == {
        *("int_traffic__daily_admin_flows", "admin_attempts"),
        *("int_traffic__interface_addresses", "Exposure review"),
    }
    assert errors_of_scripts(browser) == []


def test_an_error_of_a_script_would_be_seen(browser: Any, site: str) -> None:
    browser.get(site)
    browser.execute_script("setTimeout(() => undefinedFunction(), 0)")
    time.sleep(0.5)
    assert any("undefinedFunction" in text for text in errors_of_scripts(browser))
