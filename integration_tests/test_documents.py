"""The README and `docs/` against the project: commands, messages, SQL."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import sqlfluff
from dbt.cli.flags import args_to_context

from bootstrap.cli import cli as bootstrap_cli
from vpcflow.cli import cli as vpcflow_cli
from vpcflow.questions import read_questions, read_tables

from .conftest import ROOT, Project, leads_to
from .vpcflow_process import Vpcflow

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", flags=re.DOTALL | re.MULTILINE)
#: Other people's programs.
TOOLS = set("aws chmod docker git openssl pip snow uv dbt-jobs-as-code".split())
#: A command within a sentence or a table.
INLINE = re.compile(
    r"(?<!`)`((?:dbt|make|python -m|cp|" + "|".join(TOOLS) + r") [^`]*)`(?!`)"
)
#: What only prepares a shell.
NO_COMMANDS = {"cd", "export", "."}


def commands_of(document: Path) -> Iterator[str]:
    """The commands in the shell blocks and in the text of a document.

    Variables in front of a command are left out.
    """
    text = document.read_text()
    for command in INLINE.findall(re.sub("```.*?```", "", text, flags=re.DOTALL)):
        if not re.search("…|<", command):
            yield " ".join(command.split())
    for block in BLOCK.findall(text):
        pending = ""
        for line in block.splitlines():
            pending = f"{pending} {line.strip()}".strip()
            if pending.endswith("\\"):
                pending = pending[:-1].rstrip()
                continue
            try:
                words = shlex.split(pending, comments=True)
            except ValueError:
                # A quotation goes on in the next line.
                continue
            pending = ""
            while words and re.match(r"[A-Z_]+=", words[0]):
                words = words[1:]
            if words and words[0] not in NO_COMMANDS:
                yield shlex.join(words)
        assert not pending, document.name


COMMANDS = {
    command: document for document in DOCUMENTS for command in commands_of(document)
}


@pytest.fixture(scope="module")
def names(built: Project) -> set[str]:
    """The names that dbt can select or run."""
    manifest = json.loads((built.target / "manifest.json").read_text())
    resources = [
        *(manifest[kind].values() for kind in ("nodes", "macros")),
        *manifest["disabled"].values(),
    ]
    tags = {tag for node in manifest["nodes"].values() for tag in node["tags"]}
    return {node["name"] for group in resources for node in group} | {
        f"tag:{tag}" for tag in tags
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_the_program_takes(command: str, names: set[str]) -> None:
    """Its own parser reads it, and what it names is there."""
    words = shlex.split(command)
    if words[0] == "make":
        subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True)
    elif words[0] == "cp":
        assert (ROOT / words[1]).exists()
    elif words[:3] == ["python", "-m", "vpcflow"]:
        name = given(vpcflow_cli, words[3:]).get("name")
        assert name is None or name in read_questions() | read_tables()
    elif words[:3] == ["python", "-m", "bootstrap"]:
        given(bootstrap_cli, words[3:])
    elif words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2])
    elif words[0] == "dbt":
        options = args_to_context(words[1:]).params
        named = [options.get("macro"), *(options.get("select") or ())]
        for name in filter(None, named):
            plain = name.strip("+").removeprefix("vpc_flow_logs.")
            assert plain in names | {"test_type:unit", "package:vpc_flow_logs"}
    else:
        assert words[0] in TOOLS


def given(program: click.Group, words: list[str]) -> dict[str, Any]:
    """What a command of a program understands; it raises for what it does not."""
    if not words:
        return {}
    context = click.Context(program)
    command = program.get_command(context, words[0])
    assert command, words[0]
    return command.make_context(words[0], words[1:], resilient_parsing=True).params


def test_every_message_that_troubleshooting_explains_is_one_of_the_projects() -> None:
    """The words between the dots, with the code's line breaks taken out."""
    paths = [
        *(ROOT / "bootstrap").glob("*.py"),
        *(
            path
            for folder in ("macros", "models", "tests", "plugins")
            for path in (ROOT / folder).rglob("*.*")
            if path.suffix in {".sql", ".py", ".yml"}
        ),
    ]
    # A test of its own goes by its file's name.
    code = "\n".join(f"{path.stem}\n{path.read_text()}" for path in paths)
    joined = re.sub(r"""["'](?:\s*~)?\s*\n\s*(?:~\s*)?f?["']""", "", code)
    text = (ROOT / "docs/troubleshooting.md").read_text()
    symptoms = [row.split(" | ")[0] for row in text.splitlines() if row[:3] == "| `"]
    assert len(symptoms) > 30
    for symptom in symptoms:
        if "(DuckDB's)" in symptom:
            continue
        for message in re.findall("`(.*?)`", symptom):
            for words in re.split(r"…", message):
                known = words.strip(" '") in joined
                assert known or len(words.strip(" .,'")) < 4, (message, words)


def test_sql_for_snowflake_parses_in_its_dialect() -> None:
    text = (ROOT / "docs/snowflake.md").read_text()
    statements = re.findall(r"^```sql\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert statements
    for statement in statements:
        # It raises for what it cannot parse.
        sqlfluff.parse(re.sub(r"<\w+>", "a_name", statement), dialect="snowflake")


def test_a_new_user_loads_a_bucket(emulated_s3: Any, tmp_path: Path) -> None:
    """The README's own words; then each table and question that a document asks."""
    blocks = BLOCK.findall((ROOT / "README.md").read_text())
    (generate,) = (block for block in blocks if "sample_logs --out" in block)
    (own,) = (block for block in blocks if "VPC_FLOW_LOGS_LOCATION" in block)
    few = shlex.split(generate.replace("1000000 --days 30", "4000 --days 2"))
    assert "4000" in few
    path = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *few[1:]], cwd=tmp_path, env=path, check=True)
    emulated_s3.create_bucket(Bucket="my-bucket")
    sample = tmp_path / "my_sample"
    for file in sample.rglob("*.parquet"):
        key = f"prefix/{file.relative_to(sample)}"
        emulated_s3.upload_file(str(file), "my-bucket", key)

    exported = dict(re.findall(r"^export (\w+)=(\S+)", own, re.M))
    assert exported.keys() == {"VPC_FLOW_LOGS_LOCATION", "VPC_FLOW_DUCKDB_PATH"}
    project = Project.of(
        tmp_path,
        exported["VPC_FLOW_LOGS_LOCATION"],
        **leads_to(emulated_s3),
    )
    stage, build = re.findall(r"^dbt (.*?)(?: +#.*)?$", own, re.M)
    printed = project.dbt(*stage.split())
    assert "files under s3://my-bucket/prefix/" in printed
    assert "loaded (4,000 records), 0 already loaded, 0 quarantined" in printed
    assert "ERROR=0" in project.dbt(*build.split())

    (rebuild,) = (
        command
        for command, document in COMMANDS.items()
        if document.name == "upgrading.md" and "--select" in command
    )
    assert "ERROR=0" in project.dbt(*shlex.split(rebuild)[1:])
    asked = [
        shlex.split(command)[3:]
        for command in COMMANDS
        if "vpcflow ask" in command and "--target" not in command
    ]
    assert len(asked) > 3
    for words in asked:
        ended = Vpcflow(words, os.environ | project.variables(), tmp_path).end()
        assert (ended.code, ended.err) == (0, ""), words
        assert ended.out


def test_a_new_user_makes_keys(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("no openssl here")
    (keys,) = (
        block.split("\n\n")[0]
        for block in BLOCK.findall((ROOT / "docs/snowflake.md").read_text())
        if "openssl" in block
    )
    script = keys.replace("\\", "") + "\nopenssl rsa -in service.p8 -pubout"
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    public = (tmp_path / "service.pub").read_text()
    assert public.startswith("-----BEGIN PUBLIC KEY")
    assert public in run.stdout
    assert (tmp_path / "service.p8").stat().st_mode & 0o777 == 0o600
