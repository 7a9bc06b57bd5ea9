"""The project as a package, in a project whose names collide with its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from .conftest import ROOT, Project
from .test_main_job import assert_marts_equal

DBT = Path(sys.executable).with_name("dbt")
OURS = "vpc_flow_logs"
SCHEMA = "main_vpc_flow_logs"
STAGE = "run-operation", "vpc_flow_logs.stage_external_sources"
STAND_INS = ("dbt_utils", "dbt_external_tables")
#: Models of both projects.
SHARED_NAMES = {"flow_records", "malformed_files", "failed_files", "unknown_fields"}


@dataclass
class Host:
    """A project that installs ours, in a folder of its own.

    dbt is started as people start it, with nothing of this project on its path.
    """

    folder: Path
    location: Path
    before_staging: str = ""

    @classmethod
    def create(cls, folder: Path, location: Path) -> Host:
        """Lay out both projects beside each other and run `dbt deps`.

        Our packages come from the stand-ins, or from the real ones below the folder
        that VPC_FLOW_REAL_PACKAGES names.
        """
        real = os.environ.get("VPC_FLOW_REAL_PACKAGES")
        packages = (
            [Path(real) / "dbt-utils", Path(real) / "dbt-external-tables"]
            if real
            else [ROOT / "package_stand_ins" / name for name in STAND_INS]
        )
        ours = folder / OURS
        folders = "models macros seeds tests analyses assets plugins docs vpcflow"
        for name in folders.split():
            shutil.copytree(ROOT / name, ours / name)
        shutil.copy(ROOT / "dbt_project.yml", ours)
        local = [{"local": str(package)} for package in packages]
        (ours / "packages.yml").write_text(yaml.safe_dump({"packages": local}))
        shutil.copytree(ROOT / "integration_tests/host_project", folder / "host")
        host = cls(folder / "host", location)
        example = host.folder / "profiles.yml.example"
        example.rename(host.folder / "profiles.yml")
        host.dbt("deps")
        return host

    def dbt(self, *words: str, exit_code: int = 0) -> str:
        return self.run(DBT, "--no-use-colors", *words, exit_code=exit_code)

    def vpcflow(self, *words: str) -> str:
        """Run the command that comes with the package, on the host."""
        return self.run(
            *(sys.executable, "-m", "vpcflow", *words),
            DBT_PROJECT_DIR=".",
            PYTHONPATH=f"dbt_packages/{OURS}",
        )

    def run(self, *words: str | Path, exit_code: int = 0, **environment: str) -> str:
        unset = ("DBT_", "VPC_FLOW_", "PYTHONPATH")
        run = subprocess.run(
            words,
            cwd=self.folder,
            env={k: v for k, v in os.environ.items() if not k.startswith(unset)}
            | {"VPC_FLOW_LOGS_LOCATION": str(self.location)}
            | environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert run.returncode == exit_code, run.stdout + run.stderr
        return run.stdout

    @contextmanager
    def changed(self, settings: dict[str, Any]) -> Iterator[None]:
        """Other settings in its dbt_project.yml, for a while."""
        path = self.folder / "dbt_project.yml"
        before = path.read_text()
        path.write_text(yaml.safe_dump(yaml.safe_load(before) | settings))
        yield
        path.write_text(before)

    def manifest(self) -> dict[str, Any]:
        path = self.folder / "target/manifest.json"
        read: dict[str, Any] = json.loads(path.read_text())
        return read

    def relations(self) -> set[str]:
        with duckdb.connect(str(self.folder / "my_project.duckdb")) as connection:
            rows = connection.execute(
                "select schema_name || '.' || table_name from duckdb_tables()"
                " union all select schema_name || '.' || view_name from duckdb_views()"
                " where not internal"
            ).fetchall()
        return {name for (name,) in rows}


class Installed(Project):
    """Our models in the host's database."""

    def rows(self, relation: str, order_by: str) -> list[dict[str, Any]]:
        return super().rows(f"{SCHEMA}.{relation}", order_by)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Host:
    """Its own models are built; ours fail, since nothing is staged."""
    host = Host.create(tmp_path_factory.mktemp("installed"), sample)
    host.before_staging = host.dbt("run", exit_code=1)
    return host


def ours(resources: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in resources.values() if node["package_name"] == OURS]


def schemas_of_models(manifest: dict[str, Any]) -> set[str]:
    nodes = ours(manifest["nodes"])
    return {node["schema"] for node in nodes if node["resource_type"] == "model"}


def test_only_models_seeds_tests_and_macros_come_along(host: Host) -> None:
    manifest = host.manifest()
    for kind in ("exposures", "groups", "unit_tests"):
        assert ours(manifest[kind]) == [], kind
    kinds = {node["resource_type"] for node in ours(manifest["nodes"])}
    assert kinds == {"model", "seed", "test", "operation"}
    assert schemas_of_models(manifest) == {SCHEMA}


def test_both_projects_build_side_by_side(host: Host, truth: dict[str, Any]) -> None:
    own = {f"main.{name}" for name in SHARED_NAMES}
    assert host.relations() == own
    assert "dbt run-operation vpc_flow_logs.stage_external" in host.before_staging

    # For the other external table, dbt_external_tables says that it has no plan.
    printed = host.dbt(*STAGE, "--args", "{select: shop}", exit_code=1)
    assert "not implemented" in printed
    printed = host.dbt(*STAGE, "--args", "{select: vpc_flow}")
    assert f"({truth['records']:,} records)" in printed

    ran = json.loads(host.vpcflow("run"))
    assert (ran["outcome"], ran["failed"]) == ("ok", [])
    host.dbt("build", "--select", "my_project")
    assert host.relations() > own | {f"{SCHEMA}.{name}" for name in SHARED_NAMES}
    assert_marts_equal(
        Installed(host.folder / "my_project.duckdb", host.location, host.folder), truth
    )
    assert (host.folder / "my_project.duckdb.snapshot/findings.parquet").exists()
    asked = json.loads(host.vpcflow("ask", "top_talkers_by_source", "--json"))
    assert [row["rank"] for row in asked] == list(range(1, truth["top_n"] + 1))
    host.dbt("run", "--full-refresh", "--select", "my_project")
    printed = host.dbt("run", "--full-refresh", exit_code=2)
    assert "would rebuild flow_records" in printed


def test_the_other_staging_command_leaves_ours_out(host: Host) -> None:
    other = "run-operation", "dbt_external_tables.stage_external_sources"
    printed = host.dbt(*other, "--args", "{select: vpc_flow}")
    assert "dbt run-operation vpc_flow_logs.stage_external_sources" in printed


@pytest.mark.long
def test_settings_that_a_host_may_have_or_lack(host: Host) -> None:
    """A full refresh that never applies to our models, and no `dispatch`."""
    host.dbt(*STAGE, "--args", "{select: vpc_flow}")
    models = {OURS: {"+full_refresh": False}}
    with host.changed({"models": models, "dispatch": []}):
        host.dbt("run", "--full-refresh", "--exclude", f"{OURS}.marts+")
        printed = host.dbt(*STAGE, exit_code=1)
    assert "must name vpc_flow_logs under dispatch" in printed


@pytest.mark.long
def test_the_host_decides_what_the_schema_is_called(host: Host) -> None:
    """By a macro of its own, and by its configuration."""
    macro = host.folder / "macros/generate_schema_name.sql"
    macro.parent.mkdir()
    macro.write_text(
        "{% macro generate_schema_name(custom_schema_name, node) %}"
        "{{ node.database ~ '_' ~ custom_schema_name }}{% endmacro %}"
    )
    with host.changed({"models": {OURS: {"marts": {"+schema": "answers"}}}}):
        host.dbt("parse", "--target", "snowflake")
    found = schemas_of_models(host.manifest())
    assert found == {"analytics_vpc_flow_logs", "analytics_answers"}


@pytest.fixture(scope="module")
def older_dbt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dbt 1.11 in an environment of its own, or the one of VPC_FLOW_OLDER_DBT."""
    given = os.environ.get("VPC_FLOW_OLDER_DBT")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("older")
    venv.create(folder, with_pip=True)
    same = ["dbt-duckdb", "dbt-snowflake", "duckdb", "numpy", "pyarrow", "boto3"]
    pinned = [f"{name}=={metadata.version(name)}" for name in same]
    pip = [folder / "bin/pip", "install", "--quiet", "dbt-core==1.11.*", *pinned]
    if subprocess.run(pip, check=False).returncode:
        pytest.skip("dbt-core 1.11 cannot be installed")
    return folder / "bin/dbt"


@pytest.mark.long
def test_dbt_1_11_builds_without_a_warning(older_dbt: Path) -> None:
    words = [sys.executable, "-m", "integration_tests.any_dbt", "--dbt", older_dbt]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
