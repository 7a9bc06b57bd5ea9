"""A dbt project on a database of its own, for every test that needs one."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

import sample_logs

from .processes import Command

if TYPE_CHECKING:
    from .snowflake_project import Bucket, SnowflakeProject
    from .snowflake_stand_in import StandIn

ROOT = Path(__file__).parent.parent
PUBLISHED_DATA = ROOT.parent / "shared" / "data"
END_DATE = date(2026, 3, 31)
AS_OF: dict[str, Any] = {"as_of": END_DATE.isoformat()}
#: They check code, not data, and run with the labelled cases.
WITHOUT_UNIT_TESTS = ("--exclude-resource-types", "unit_test")
#: They start first, so that no worker is left alone with one of them at the end.
LONGEST = [
    *("test_whole_diagram", "test_snowflake", "test_snowflake_builds", "test_package"),
    *("test_exactly_once", "test_page", "test_vpcflow_run", "test_findings"),
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@dataclass
class Project:
    """The project, its DuckDB file and the folder it finds files in."""

    database: Path
    location: Path | str
    target: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, location: Path | str, **environment: str) -> Project:
        """Return a project whose database, profile and target are in a folder."""
        shutil.copy(ROOT / "profiles.yml.example", folder / "profiles.yml")
        return cls(folder / "flow.duckdb", location, folder, environment)

    def variables(self) -> dict[str, str]:
        """The environment variables that make a dbt command one of this project."""
        return {
            "DBT_PROFILES_DIR": str(self.target),
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(self.target / "logs"),
            "VPC_FLOW_DUCKDB_PATH": str(self.database),
            "VPC_FLOW_LOGS_LOCATION": str(self.location),
        } | self.environment

    def copy(self, folder: Path) -> Project:
        """Return the same project on a copy of its database, to be changed."""
        shutil.copy(self.database, folder / self.database.name)
        return replace(self, database=folder / self.database.name)

    def dbt(self, *words: str, exit_code: int = 0, **variables: Any) -> str:
        """Run a dbt command as a user does; return what it printed."""
        given = ["--vars", json.dumps(variables)] if variables else []
        output = self.target / "printed.txt"
        command = Command([*words, *given], self.variables(), output)
        found, printed = command.end(timeout=600)
        assert found == exit_code, printed
        return printed

    def stage(self, **options: Any) -> str:
        return self.dbt("run-operation", "stage_external_sources", **options)

    def query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(sql, parameters or None).fetchall()

    def rows(self, relation: str, order_by: str) -> list[dict[str, Any]]:
        """A relation as the truth file writes it: times as text."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            result = connection.execute(f"select * from {relation} order by {order_by}")
            names = [column[0] for column in result.description]
            return [
                {
                    name: str(value) if name.endswith("_at") else value
                    for name, value in zip(names, row, strict=True)
                }
                for row in result.fetchall()
            ]


def move_in_history(project: Project, before: Path, after: Path) -> None:
    """Let a database say that its files were loaded from another folder."""
    with duckdb.connect(str(project.database)) as connection:
        connection.execute(
            "update landing.load_history set location = $after,"
            " path = replace(path, $before, $after)",
            {"before": str(before), "after": str(after)},
        )


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """Makes projects; each has a database, a profile and a target folder of its own."""

    def make(location: Path | str, **environment: str) -> Project:
        return Project.of(tmp_path_factory.mktemp("project"), location, **environment)

    return make


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[str, Callable[[Path], object]], Path]:
    """Fills a folder for all of pytest's processes; the first one that asks does it."""
    root = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        root = root.parent

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        path, done = root / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir()
                fill(path)
                done.touch()
        return path

    return folder


def beside(sample: Path, name: str) -> Path:
    """A folder that belongs to a sample, `enrichment` or `inventory`.

    The inventory is no part of the sample, whose Parquet files are all flow logs.
    """
    if name == "inventory":
        return sample.with_name(f"{sample.name}_inventory")
    return sample / f"_{name}"


def generate_with_inventory(folder: Path, **arguments: Any) -> None:
    """Write a sample, and its inventory beside it."""
    sample_logs.generate(folder, end_date=END_DATE, inventory=True, **arguments)
    shutil.rmtree(beside(folder, "inventory"), ignore_errors=True)
    (folder / "_inventory").rename(beside(folder, "inventory"))


@pytest.fixture(scope="session")
def sample(made_once: Callable[..., Path]) -> Path:
    """Sample logs of a week, and beside them the truth about every mart."""
    return made_once(
        "sample", lambda path: generate_with_inventory(path, records=20_000)
    )


@pytest.fixture(scope="session")
def truth(sample: Path) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads((sample / "truth.json").read_text())
    return answers


@pytest.fixture(scope="session")
def built(
    made_once: Callable[..., Path],
    sample: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    """The sample, staged, built and tested once; tests only read it."""

    known = {
        f"VPC_FLOW_{name.upper()}_LOCATION": str(beside(sample, name))
        for name in ("enrichment", "inventory")
    }

    def build(folder: Path) -> None:
        project = Project.of(folder, sample, **known)
        project.stage()
        project.dbt("build", *WITHOUT_UNIT_TESTS, **AS_OF)

    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(made_once("built", build), folder, dirs_exist_ok=True)
    return Project.of(folder, sample, **known)


@pytest.fixture
def copied(built: Project, tmp_path: Path) -> Project:
    """The built project on a database that a test may change."""
    return built.copy(tmp_path)


@pytest.fixture(scope="session")
def published() -> Path:
    """Flow logs that others published; they are no part of the project."""
    if not PUBLISHED_DATA.is_dir():
        pytest.skip(f"the published flow logs are not at {PUBLISHED_DATA.name}/")
    return PUBLISHED_DATA


@pytest.fixture(scope="session")
def emulated_s3() -> Iterator[Any]:
    """A client of moto's S3; the server speaks for SQS and SNS as well."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="a-key",
        aws_secret_access_key="a-secret",
    )
    server.stop()


def leads_to(s3: Any) -> dict[str, str]:
    """The environment variables that lead boto3 to the emulated S3."""
    return {
        "AWS_ENDPOINT_URL": s3.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "a-key",
        "AWS_SECRET_ACCESS_KEY": "it's/secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


@pytest.fixture(scope="session")
def stand_in(emulated_s3: Any) -> Iterator[StandIn]:
    """The stand-in for Snowflake; a test drops the databases that it creates."""
    from .snowflake_stand_in import StandIn

    with StandIn.start(s3_endpoint=emulated_s3.meta.endpoint_url) as running:
        yield running


@pytest.fixture(scope="session")
def snowflake(
    stand_in: StandIn, emulated_s3: Any, tmp_path_factory: pytest.TempPathFactory
) -> SnowflakeProject:
    """The project on the stand-in, parsed once."""
    from .snowflake_project import SnowflakeProject

    folder = tmp_path_factory.mktemp("snowflake")
    return SnowflakeProject(stand_in, emulated_s3, folder)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample of few files, since the stand-in takes its time for each."""
    folder = tmp_path_factory.mktemp("small")
    generate_with_inventory(folder, records=2_000, records_per_file=200)
    return folder


@pytest.fixture(scope="session")
def small_truth(small: Path) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads((small / "truth.json").read_text())
    return answers


@pytest.fixture
def bucket(snowflake: SnowflakeProject, small: Path) -> Bucket:
    """An empty database and bucket, and the files of the small sample."""
    from .snowflake_project import Bucket

    return Bucket(snowflake, small)
