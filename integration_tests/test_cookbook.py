"""Every question of the cookbook, asked: the output is that of the document."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from vpcflow.questions import COOKBOOK as DOCUMENT
from vpcflow.questions import read_questions

from .conftest import END_DATE, ROOT, Project

#: A question's name, and the query and the answer below its heading.
ANSWER = re.compile(
    r"^### `(?P<name>\w+)`: (?:(?!^#).)*?```sql\n.*?```\n\n"
    r"```text\n(?P<answer>.*?)```\n",
    flags=re.DOTALL | re.MULTILINE,
)
QUESTIONS = {name: question.sql for name, question in read_questions().items()}
#: A second flow log over the interfaces of the first.
FLOW_LOG, SECOND_FLOW_LOG = "fl-46b4ab4e4db8dd629", "fl-0a1b2c3d4e5f60718"


@pytest.fixture(scope="module")
def project(
    new_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """The sample that the document describes, with the variables that it shows."""
    folder = tmp_path_factory.mktemp("cookbook")
    generate = re.search(
        r"```sh\n(python -m sample_logs .*?)```", DOCUMENT.read_text(), re.DOTALL
    )
    assert generate
    words = shlex.split(generate[1].replace("\\\n", " "))
    words = [str(folder) if word == "cookbook_sample" else word for word in words]
    subprocess.run([sys.executable, *words[1:]], cwd=ROOT, check=True)
    for file in folder.rglob(f"*/{END_DATE:%Y/%m/%d}/*_{FLOW_LOG}_*.parquet"):
        shutil.copy(file, str(file).replace(FLOW_LOG, SECOND_FLOW_LOG))
    shown = re.search(r"```yaml\n(vars:.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert shown
    project = new_project(
        folder,
        VPC_FLOW_ENRICHMENT_LOCATION=str(folder / "_enrichment"),
        VPC_FLOW_INVENTORY_LOCATION=str(folder / "_inventory"),
    )
    project.stage()
    variables = yaml.safe_load(shown[1])["vars"] | {"as_of": END_DATE.isoformat()}
    project.dbt("build", "--exclude-resource-types", "test", "unit_test", **variables)
    return project


def table(names: list[str], rows: list[tuple[Any, ...]]) -> str:
    """Rows as text: columns as wide as what they hold, numbers to the right."""
    cells = [names, *([str("" if c is None else c) for c in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [
        any(isinstance(row[at], int | float) for row in rows)
        for at in range(len(names))
    ]
    cells.insert(1, ["-" * width for width in widths])
    lines = (
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    )
    return "\n".join(lines) + "\n"


def answers(project: Project) -> dict[str, str]:
    """What the built sample answers to each question."""
    given = {}
    with duckdb.connect(str(project.database), read_only=True) as connection:
        for name, query in QUESTIONS.items():
            result = connection.execute(query)
            names = [column[0] for column in result.description]
            given[name] = table(names, result.fetchall())
    return given


def test_every_question_has_the_answer_that_the_cookbook_shows(
    project: Project,
) -> None:
    """`UPDATE_COOKBOOK=1` writes the answers into the document instead."""
    given = answers(project)
    assert all(answer.count("\n") > 2 for answer in given.values()), "an empty answer"
    text = DOCUMENT.read_text()
    if os.environ.get("UPDATE_COOKBOOK"):
        text = ANSWER.sub(
            lambda found: found[0].replace(found["answer"], given[found["name"]]), text
        )
        DOCUMENT.write_text(text)
    shown = {found["name"]: found["answer"] for found in ANSWER.finditer(text)}
    assert shown.keys() == QUESTIONS.keys()
    for name, answer in shown.items():
        assert answer == given[name], name


def test_every_public_address_has_the_context_of_the_truth(project: Project) -> None:
    """That of the longest prefix which holds it, by Python's `ipaddress`."""
    truth = json.loads((Path(project.location) / "truth.json").read_text())
    published = {
        kind: {ipaddress.ip_network(text): value for text, value in known.items()}
        for kind, known in (
            ("networks", truth["enrichment"]["networks"]),
            ("aws", truth["enrichment"]["aws"]),
            *(
                (name, dict.fromkeys(ranges, name))
                for name, ranges in truth["enrichment"]["lists"].items()
            ),
        )
    }

    def value(address: str, kind: str) -> Any:
        parsed = ipaddress.ip_address(address)
        holding = [network for network in published[kind] if parsed in network]
        longest = max(holding, key=lambda network: network.prefixlen, default=None)
        return published[kind].get(longest)

    found = project.query(
        "select address, asn, as_organization, country, aws_service, aws_region, lists"
        " from address_context"
    )
    for address, *context in found:
        names = [value(address, name) for name in truth["enrichment"]["lists"]]
        assert context == [
            *(value(address, "networks") or [None] * 3),
            *(value(address, "aws") or [None] * 2),
            ",".join(sorted(filter(None, names))) or None,
        ]
    public = project.query(
        "select count(distinct address) from (select client_addr as address from"
        " int_traffic__daily_flows where client_scope = 'public' union all select"
        " server_addr from int_traffic__daily_flows where server_scope = 'public')"
    )
    assert public == [(len(found),)]
    for column in range(1, 7):
        assert len({row[column] for row in found}) > 2


def test_outside_traffic_has_each_byte_once(project: Project) -> None:
    """By country, of which each public address has one at most."""
    by_end = " union all ".join(
        f"select started_date, {outside}_addr as address, {inside}_bytes as sent,"
        f" {outside}_bytes as received, records from int_traffic__daily_flows"
        f" where action = 'ACCEPT' and {condition}"
        for outside, inside, condition in (
            ("server", "client", "server_scope = 'public'"),
            (
                "client",
                "server",
                "(client_scope = 'public') > (server_scope = 'public')",
            ),
        )
    )
    expected = project.query(
        "select started_date, country, sum(sent), sum(received), sum(records)"
        f" from ({by_end}) inner join address_context using (address)"
        " group by all order by all"
    )
    found = project.query(
        "select started_date, country, sum(sent_bytes), sum(received_bytes),"
        " sum(records) from outside_traffic group by all order by all"
    )
    assert len(found) > 10
    assert found == expected
