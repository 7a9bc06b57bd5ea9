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

from .conftest import AS_OF, ROOT, Project

SNOWFLAKE = {
    f"SNOWFLAKE_{name}": "anything"
    for name in "ACCOUNT USER PRIVATE_KEY_PATH ROLE WAREHOUSE DATABASE SCHEMA".split()
}
#: dbt or dbt_external_tables calls these by their names.
CALLED_BY_DBT = set(
    """
    create_table_as generate_schema_name get_create_view_as_sql get_external_build_plan
    get_incremental_insert_only_sql get_incremental_replace_days_sql
    get_incremental_replace_sql get_incremental_whole_sql
    get_persist_docs_column_list
    get_table_columns_and_constraints persist_docs
    """.split()
)


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


def test_unit_tests_pass_and_run_by_their_own_command_alone(built: Project) -> None:
    """What `dbt build` selects holds none of them; and only this test runs them."""
    scheduled = built.dbt("ls", "--resource-type", "unit_test")
    assert "No nodes selected" in scheduled
    printed = built.dbt("test", "--select", "test_type:unit", **AS_OF)
    assert re.search(r"PASS=\d\d WARN=0 ERROR=0 SKIP=0", printed)


def test_every_model_and_column_is_described(manifest: dict[str, Any]) -> None:
    models = own(manifest["nodes"], "model")
    assert len(models) > 5
    for model in models + own(manifest["sources"], "source"):
        assert model["description"], model["name"]
        assert model["columns"], model["name"]
        for column in model["columns"].values():
            assert column["description"], (model["name"], column["name"])


def test_every_column_that_is_built_is_described(built: Project) -> None:
    """And no other; a contract holds that for marts alone."""
    parsed = json.loads((built.target / "manifest.json").read_text())
    columns: dict[str, list[str]] = {}
    for relation, column in built.query(
        "select table_name, column_name from duckdb_columns()"
        " where schema_name = 'main'"
    ):
        columns.setdefault(relation, []).append(column)
    described = {
        model["name"]: sorted(model["columns"])
        for model in own(parsed["nodes"], "model")
    }
    assert described == {name: sorted(columns[name]) for name in described}


def test_no_description_of_a_column_is_a_copy() -> None:
    """A column that several models describe alike has one docs block."""
    written: dict[tuple[str, str], list[str]] = {}
    for path in (ROOT / "models").rglob("*.yml"):
        read = yaml.safe_load(path.read_text())
        for model in read.get("models", []):
            for column in model["columns"]:
                text = " ".join(column["description"].split())
                if "doc(" not in text:
                    written.setdefault((column["name"], text), []).append(model["name"])
    assert len(written) > 50
    assert {key: models for key, models in written.items() if len(models) > 1} == {}


def test_every_macro_is_explained(manifest: dict[str, Any]) -> None:
    """By a comment above it; and in YAML, where it is, with its arguments."""
    macros = own(manifest["macros"], "macro")
    for macro in macros:
        code = (ROOT / macro["original_file_path"]).read_text()
        # The entry's comment explains the implementation for one engine.
        if macro["name"].split("__")[0] not in ("duckdb", "snowflake"):
            assert f"#}}\n{{% macro {macro['name']}(" in code, macro["name"]
        if macro["description"]:
            signature = re.search(r"\((.*?)\)", macro["macro_sql"], re.DOTALL)
            assert signature, macro["name"]
            names = [part.split("=")[0].strip() for part in signature[1].split(",")]
            described = [argument["name"] for argument in macro["arguments"]]
            assert described == [name for name in names if name], macro["name"]
            assert all(argument["description"] for argument in macro["arguments"])
    described = [macro for macro in macros if macro["description"]]
    assert 20 < len(described) < len(macros)


def test_no_macro_is_unused(manifest: dict[str, Any]) -> None:
    """dbt says who calls a macro; the documents, which operations people call."""
    callers = [
        *(manifest[kind].values() for kind in ("nodes", "sources", "macros")),
        manifest["unit_tests"].values(),
        *manifest["disabled"].values(),
    ]
    used = {
        macro
        for resources in callers
        for resource in resources
        for macro in resource.get("depends_on", {}).get("macros", [])
        if macro != resource["unique_id"]
    }
    names = {macro.split(".")[-1] for macro in used}
    documents = "\n".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    documents += "\n".join(
        path.read_text() for path in (ROOT / "bootstrap").glob("*.py")
    )
    for macro in own(manifest["macros"], "macro"):
        # Of an implementation for one engine, its entry is what others call.
        name = re.sub("^(duckdb|snowflake)__", "", macro["name"])
        is_operation = re.search(rf"(`|\"|run-operation ){name}\b", documents)
        assert name in names | CALLED_BY_DBT or is_operation, macro["name"]


def test_every_mart_has_a_contract_and_every_model_a_grain(
    manifest: dict[str, Any],
) -> None:
    for model in own(manifest["nodes"], "model"):
        assert model["config"]["meta"]["grain"], model["name"]
        # Others read this table by its documented columns, as a mart.
        is_mart = model["path"].startswith("marts/") or model["name"] in (
            "address_context",
            "address_owners",
        )
        assert model["config"]["contract"]["enforced"] == is_mart, model["name"]


#: Their rows are those of landing or of flow_records, one for one, which tests the key.
#: Those of the inventory have the key that AWS gives them.
INVENTORY = {path.stem for path in ROOT.glob("models/staging/inventory/*.sql")}
WITHOUT_KEY_TEST = {"stg_vpc_flow__flow_logs", "named_flow_records"} | INVENTORY

#: What other models read of landing on Snowflake: its rows are those of the typed view.
ONLY_ON_SNOWFLAKE = {"int_records__unread"}

#: Who reads the typed view besides `flow_records`: what that one leaves out, and what
#: must be seen before anything is left out.
READS_STAGING = {
    *("flow_records", "transit_gateway_records", "int_health__landed_files"),
    *("enrichment_files", "ip_ranges", "interfaces_over_time", "address_places"),
    *(f"int_security_groups__{name}" for name in ("rules", "interfaces", "networks")),
    "int_formats__unknown_fields_by_file",
}

#: Who reads the source besides the typed view: what a view under AWS's names cannot
#: show, which is how files were loaded and which fields are unknown.
READS_SOURCES = {
    *("stg_vpc_flow__flow_logs", "malformed_files", "int_health__loads"),
    *("stg_enrichment__ranges", "enrichment_files", "ip_ranges"),
    "interfaces_over_time",
    *INVENTORY,
}


def models_by_layer(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The models, by unique id, each with its layer and the layers it reads."""
    models = {model["unique_id"]: model for model in own(manifest["nodes"], "model")}
    for model in models.values():
        model["layer"] = Path(model["path"]).parts[0]
    for model in models.values():
        model["reads"] = {
            models[parent]["layer"] if parent in models else parent.split(".")[0]
            for parent in model["depends_on"]["nodes"]
        }
    return models


def test_names_tell_the_layer(manifest: dict[str, Any]) -> None:
    """`stg_` and `int_` models are in their folders; other names are for people."""
    for model in models_by_layer(manifest).values():
        name, layer = model["name"], model["layer"]
        assert layer in ("staging", "intermediate", "detections", "marts"), name
        assert re.fullmatch(r"[a-z][a-z0-9]*(_{1,2}[a-z0-9]+)*", name), name
        assert name.startswith("stg_") == (layer == "staging"), name
        assert not name.startswith("int_") or layer == "intermediate", name
        if layer != "marts" and "__" in name:
            assert re.match(r"(stg|int)_[a-z_]+?__", name), name
        if layer == "marts":
            assert model["config"]["access"] == "public", name
        for column, described in model["columns"].items():
            kind = described.get("data_type")
            assert column == column.lower(), (name, column)
            assert kind != "timestamp" or column.endswith("_at"), (name, column)
            assert kind != "boolean" or column.startswith(("is_", "has_")), (
                name,
                column,
            )


def test_layers_are_read_in_one_direction(manifest: dict[str, Any]) -> None:
    """No fan-out around staging, and no mart that reads below the sums."""
    models = models_by_layer(manifest)
    readers = {
        layer: {model["name"] for model in models.values() if layer in model["reads"]}
        for layer in ("source", "staging", "intermediate", "marts")
    }
    if manifest["metadata"]["adapter_type"] == "duckdb":
        assert readers["staging"] == READS_STAGING
        assert readers["source"] == READS_SOURCES
    else:
        # There malformed files land as well, and COPY_HISTORY is no source.
        assert readers["staging"] <= READS_STAGING | ONLY_ON_SNOWFLAKE
        assert readers["source"] <= READS_SOURCES
    for model in models.values():
        allowed = {
            "staging": {"source"},
            "intermediate": {"source", "staging", "intermediate"},
            "detections": {"intermediate"},
            "marts": {"intermediate", "marts", "seed"},
        }
        layer = model["layer"]
        if model["name"] == "int_detections__daily_findings":
            allowed[layer] = {"intermediate", "detections"}
        assert model["reads"] - {"macro"} <= allowed[layer], model["name"]
        big = {"model.vpc_flow_logs.flow_records"}
        assert layer != "marts" or not big & set(model["depends_on"]["nodes"])


#: They read a rollup for the whole window and are built in each run all the same.
BUILT_IN_EACH_RUN = {
    "address_owners": "findings read it",
    "admin_attempts": "people look at it for the last hour",
    "admin_exposure": "people look at it for the last hour",
    "eni_health": "tests of health read it",
}


def test_what_reads_the_whole_window_is_tagged(
    manifest: dict[str, Any], built: Project
) -> None:
    """So that a run may leave it out; and no other model or selected test reads it."""
    models = {model["unique_id"]: model for model in own(manifest["nodes"], "model")}

    in_window = "macro.vpc_flow_logs.in_window"
    calling = {in_window} | {
        macro["unique_id"]
        for macro in own(manifest["macros"], "macro")
        if in_window in macro["depends_on"]["macros"]
    }
    reading = {
        model["name"]
        for model in models.values()
        if "int_traffic__" in "".join(model["depends_on"]["nodes"])
        and calling & set(model["depends_on"]["macros"])
    }
    tagged = {
        model["name"] for model in models.values() if "window_marts" in model["tags"]
    }
    assert reading - tagged == BUILT_IN_EACH_RUN.keys()
    for model in models.values():
        read = {each.split(".")[-1] for each in model["depends_on"]["nodes"]}
        assert model["name"] in tagged or not read & tagged, model["name"]

    listed = built.dbt("ls", "--quiet", "--selector", "without_window_marts")
    names = {line.split(".")[-1] for line in listed.split()}
    on_duckdb = {model["name"] for model in models.values()} - {"int_records__unread"}
    assert names & on_duckdb == on_duckdb - tagged
    assert "assert_the_window_has_records" in names
    assert "assert_no_record_is_lost_between_layers" not in names


def test_every_model_has_a_test_of_its_key(manifest: dict[str, Any]) -> None:
    """A test of just the columns that `meta.grain` declares."""
    keys = set()
    for test in own(manifest["nodes"], "test"):
        metadata = test.get("test_metadata") or {}
        if metadata.get("name") == "unique":
            columns = [test["column_name"]]
        elif metadata.get("name") == "unique_combination_of_columns":
            columns = metadata["kwargs"]["combination_of_columns"]
        else:
            continue
        keys.add((test["attached_node"], frozenset(columns)))
    without = {
        model["name"]
        for model in own(manifest["nodes"], "model")
        if (model["unique_id"], frozenset(model["config"]["meta"]["grain"])) not in keys
    }
    assert without - ONLY_ON_SNOWFLAKE == WITHOUT_KEY_TEST


def test_every_detection_is_a_model_with_an_entry(manifest: dict[str, Any]) -> None:
    """The list of rules, the folder, and what an entry of the registry must say."""
    listed = re.search(
        r"macro detection_rules\(\).*?return\(\[(.*?)\]", _detections_macros(), re.S
    )
    assert listed
    rules = [model for model in own(manifest["nodes"], "model") if is_rule(model)]
    assert sorted(re.findall("'(.*?)'", listed[1])) == sorted(
        rule["name"] for rule in rules
    )
    for rule in rules:
        meta = rule["config"]["meta"]
        for text in ("title", "tactic", "unit", "why", "next", "false_positives"):
            assert meta[text].strip(), (rule["name"], text)
        assert meta["severity"] in ("low", "medium", "high", "critical"), rule["name"]
        assert re.fullmatch(r"T\d{4}([.]\d{3})?", meta["technique_id"]), rule["name"]
        assert isinstance(meta["threshold"], int), rule["name"]
        named = set(re.findall(r"\{(\w+)[ }]", meta["summary"]))
        assert named <= set(re.findall(r"'(\w+)': ", _detections_macros()))
        assert "entity" in named and named & {"observed", "megabytes"}, rule["name"]
        nouns = re.findall(r"\{\w+ (.*?)\}", meta["summary"])
        assert not any(re.search("[^s]s$", noun) for noun in nouns), rule["name"]
        named_in_code = rf"[(]\s*'{rule['name']}'"
        assert re.search(named_in_code, rule["raw_code"]), rule["name"]


def is_rule(model: dict[str, Any]) -> bool:
    return bool(model["path"].startswith("detections/"))


def _detections_macros() -> str:
    return (ROOT / "macros/detections.sql").read_text()


def test_every_mart_is_in_an_exposure(manifest: dict[str, Any]) -> None:
    exposures = own(manifest["exposures"], "exposure")
    assert all(exposure["description"] for exposure in exposures)
    used = {
        parent for exposure in exposures for parent in exposure["depends_on"]["nodes"]
    }
    for model in own(manifest["nodes"], "model"):
        if model["path"].startswith("marts/"):
            assert model["unique_id"] in used, model["name"]


def test_every_block_of_documentation_is_used(manifest: dict[str, Any]) -> None:
    text = "\n".join(
        path.read_text()
        for folder in ("models", "macros")
        for path in (ROOT / folder).rglob("*.yml")
    )
    blocks = own(manifest["docs"], "doc")
    assert len(blocks) > 50
    for block in blocks:
        if block["name"] != "__overview__":
            assert f'doc("{block["name"]}")' in text, block["name"]


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
