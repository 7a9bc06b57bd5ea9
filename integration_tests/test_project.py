"""The project's own rules, held against its manifest and files."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from flow_log_loader import loading

from .conftest import ROOT, Project

SNOWFLAKE = {
    f"SNOWFLAKE_{name}": "anything"
    for name in "ACCOUNT USER PRIVATE_KEY_PATH ROLE WAREHOUSE DATABASE SCHEMA".split()
}


# A package calls the first; the configuration calls the second by its strategy's name.
CALLED_BY_DBT = {"get_external_build_plan", "get_incremental_unknown_records_sql"}


@pytest.fixture(scope="module", params=["local", "snowflake"])
def manifest(
    request: pytest.FixtureRequest,
    new_project: Callable[..., Project],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What dbt parses, on either target, with every warning an error."""
    project = new_project(tmp_path_factory.mktemp("nothing"), **SNOWFLAKE)
    printed = project.dbt(
        "--warn-error", "parse", "--no-partial-parse", "--target", request.param
    )
    assert "WARNING" not in printed
    parsed: dict[str, Any] = json.loads((project.target / "manifest.json").read_text())
    return parsed


def own(resources: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [
        resource
        for resource in resources.values()
        if resource["package_name"] == "vpc_flow_logs"
        and resource["resource_type"] == kind
    ]


def test_every_model_and_column_is_described(manifest: dict[str, Any]) -> None:
    models = own(manifest["nodes"], "model")
    assert len(models) > 5
    for model in models + own(manifest["sources"], "source"):
        assert model["description"], model["name"]
        assert model["columns"], model["name"]
        for column in model["columns"].values():
            assert column["description"], (model["name"], column["name"])


def test_every_macro_and_argument_is_described(manifest: dict[str, Any]) -> None:
    macros = [
        macro
        for macro in own(manifest["macros"], "macro")
        # An implementation for one engine is described with its entry.
        if macro["name"].split("__")[0] not in ("duckdb", "snowflake")
    ]
    assert len(macros) > 20
    for macro in macros:
        assert macro["description"], macro["name"]
        signature = re.search(
            rf"macro {macro['name']}\((.*?)\)", macro["macro_sql"], flags=re.DOTALL
        )
        assert signature, macro["name"]
        names = [name.split("=")[0].strip() for name in signature[1].split(",")]
        documented = [argument["name"] for argument in macro["arguments"]]
        assert documented == [name for name in names if name], macro["name"]
        assert all(argument["description"] for argument in macro["arguments"])


def test_no_macro_is_unused(manifest: dict[str, Any]) -> None:
    text = (
        "\n".join(
            path.read_text()
            for folder in ("models", "macros", "analyses", "tests")
            for path in (ROOT / folder).rglob("*.sql")
        )
        + (ROOT / "dbt_project.yml").read_text()
        # Operations are called by people.
        + "\n".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    )
    for macro in own(manifest["macros"], "macro"):
        name = re.sub("^(duckdb|snowflake)__", "", macro["name"])
        if name not in CALLED_BY_DBT:
            assert len(re.findall(rf"\b{name}\b", text)) > 1, macro["name"]


def test_every_mart_has_a_contract_and_every_model_a_grain(
    manifest: dict[str, Any],
) -> None:
    for model in own(manifest["nodes"], "model"):
        assert model["config"]["meta"]["grain"], model["name"]
        is_mart = model["path"].startswith("marts/")
        assert model["config"]["contract"]["enforced"] == is_mart, model["name"]


def test_no_model_asks_which_engine_it_runs_on() -> None:
    for path in (ROOT / "models").rglob("*.sql"):
        assert "target." not in path.read_text(), path.name


def test_the_table_of_variables_is_that_of_the_project() -> None:
    declared = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]
    rows = re.findall(
        r"^\| `(\w+)` \| `(.*?)` \|", (ROOT / "docs/variables.md").read_text(), re.M
    )
    assert {name: yaml.safe_load(default) for name, default in rows} == declared
    code = "\n".join(
        path.read_text()
        for folder in ("models", "macros")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    )
    for name in declared:
        assert f"var('{name}'" in code, f"{name} is declared and not read"
    for name in re.findall(r"(?<!env_)var\('(\w+)'", code):
        assert name in declared, f"{name} is read and not declared"


def test_the_staging_plan_knows_the_settings_of_the_loader() -> None:
    plan = (ROOT / "macros/get_external_build_plan.sql").read_text()
    for name in inspect.signature(loading.Settings).parameters:
        assert f"'{name}':" in plan, name


def test_every_path_that_the_documents_name_is_there() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), (document.name, link)


def test_nothing_tracked_carries_a_path_of_a_machine() -> None:
    pattern = re.compile(r"(?<![\w.])/(?:home|root|Users)/\w")
    for folder in ("models", "macros", "plugins", "sample_logs", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in {".sql", ".yml", ".py", ".md"}:
                assert not pattern.search(path.read_text()), path
    assert Path(ROOT / ".gitignore").exists()
