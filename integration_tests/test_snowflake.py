"""The project gives the same rows on Snowflake's stand-in as on DuckDB."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlfluff
import sqlglot
from flow_page import exposure, findings, host, traffic, trust
from flow_page.data import for_snowflake
from flow_page.filters import Filters, condition
from sqlglot import exp

from .cases import VARIABLES, cases, readable, write_lists
from .conftest import PUBLISHED_DATA, ROOT, WITHOUT_UNIT_TESTS, Project, beside
from .snowflake_project import Bucket, SnowflakeProject, records_of
from .test_addresses import OWN, QUERY, all_addresses, assert_python_agrees
from .test_cookbook import QUESTIONS
from .test_main_job import assert_rollups_lie_day_after_day
from .test_staging import ODD_COLUMNS, spoil, write, write_odd
from .test_text_logs import HEADER, LINE, write_odd_and_bad_text, write_text
from .text_files import make_text_of_some


def plain(value: Any) -> Any:
    """A value in a form that is the same on both engines."""
    if isinstance(value, datetime):
        instant = value.astimezone(UTC) if value.tzinfo else value
        return instant.replace(tzinfo=None).isoformat(sep=" ")
    return value


#: The times of this test's loads, and what Snowpipe bills for them.
OF_THE_LOAD = {
    *("LOADED_AT", "LOADED_THROUGH_AT", "FIRST_LOADED_AT", "FOUND_AT"),
    *("NEWEST_FILE_LOADED_AT", "LOAD_LAG_P50_SECONDS", "LOAD_LAG_P95_SECONDS"),
    *("BYTES_BILLED", "CREDITS", "FIRST_DETECTED_AT", "LAST_MODIFIED_AT"),
    "LOADED_DATE",
    # The rules have macros of each engine.
    "RULES_VERSION",
}
#: The landing tables of the folders that the sample has beside its logs.
BESIDE_THE_LOGS = {"enrichment": "enrichment_lines", "inventory": "inventory_rows"}
#: The health tests have gaps and files that failed in their window.
MAYBE_EMPTY = {
    *("delivery_gaps", "failed_files"),
    *("stg_inventory__load_balancers", "stg_inventory__prefix_lists"),
}
#: What Snowflake finds in landing, and DuckDB's loader in the files.
OF_LANDING = {"FAULT", "IS_FLOW_LOG", "UNKNOWN_FIELDS"}
#: Snowpipe lands malformed files; of the models compared, these show them.
SHOWS_MALFORMED = {
    *("stg_vpc_flow__flow_logs", "int_health__landed_files"),
    "int_formats__unknown_fields_by_file",
}
OF_READABLE_FILES = (
    " where metadata_filename not in (select metadata_filename from malformed_files)"
)


def assert_same_rows(
    snowflake: SnowflakeProject,
    project: Project,
    model: str,
    maybe_empty: bool = False,
) -> None:
    """Compare a model; the message shows the first row that only one engine has."""
    described = snowflake.query(f"describe table {model}")
    left_out = OF_THE_LOAD | OF_LANDING
    columns = [row[0].lower() for row in described if row[0] not in left_out]
    read = readable(columns)
    if model == "load_cost":
        # It has a row for each day of the load, which may cross midnight.
        read = ", ".join(f"cast(sum({name}) as bigint)" for name in columns)
    query = f"select {read} from {model}"
    where = OF_READABLE_FILES if model in SHOWS_MALFORMED else ""
    found = []
    for rows in (project.query(query), snowflake.query(query + where)):
        named = (dict(zip(columns, map(plain, row), strict=True)) for row in rows)
        found.append(Counter(map(as_compared, named)))
    ours, theirs = found
    assert ours or maybe_empty, model
    only_ours, only_theirs = sorted(ours - theirs), sorted(theirs - ours)
    assert (only_ours[:1], only_theirs[:1]) == ([], []), model


def as_compared(row: dict[str, Any]) -> str:
    """Each engine words a reason differently, so only its presence is compared."""
    if row.get("reason"):
        row["reason"] = "some"
    return repr(row)


@pytest.fixture(scope="module")
def compared(
    snowflake: SnowflakeProject, small: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Sample logs, malformed files, odd types, a copy, labelled cases, published logs.

    Some of them are text. All is built, tested and documented on the stand-in.
    """
    folder = tmp_path_factory.mktemp("compared") / "logs"
    shutil.copytree(small / "AWSLogs", folder / "AWSLogs")
    for fault in (
        *("digits in text", "a fraction", "a truth", "no field", "findings"),
        *("a list", "a number as text", "an account id as a fraction"),
        *("an account id of 13 digits", "a firewall", "no value"),
        *("too large", "a time", "a field twice"),
    ):
        spoil(fault, folder / f"{fault.replace(' ', '_')}.parquet")
    write(folder / "without_records.parquet", user=pa.array([], pa.string()))
    account_ids = pa.array([12345678901, None], pa.int64())
    write(folder / "ids.parquet", srcaddr=["10.0.0.1", "-"], account_id=account_ids)
    copied = min(folder.glob("AWSLogs/**/*.parquet"))
    (folder / "moved").mkdir()
    shutil.copy(copied, folder / "moved")
    write(folder / "_temporary/0.parquet", srcaddr=["10.0.0.1"])
    odd = {"start": [None, 0, 2**62], "bytes": [1, 2, 3]}
    write(folder / "odd.parquet", srcaddr=["10.0.0.1"] * 3, **odd)
    names = {"Account-Id": ["012345678901"], "SRCADDR": ["10.0.0.1"]}
    write(folder / "names.parquet", **names, **{"Log-Status": ["OK"], "bytes": [7]})
    for case in ODD_COLUMNS:
        write_odd(case, folder / f"{case}.parquet")
    write_any_values(folder / "any_values.parquet")
    write_text_logs(folder)
    for file in PUBLISHED_DATA.rglob("*.parquet"):
        shutil.copy(file, folder)
    for case in cases():
        case.write(folder)
    for name in BESIDE_THE_LOGS:
        shutil.copytree(beside(small, name), folder / f"_{name}")
    write_lists(folder / "_enrichment")

    bucket = Bucket(snowflake, folder)
    snowflake.stand_in.account(first_row_number=1, row_numbers_restart=False)
    # The file that lands first counts, and the later one is its copy.
    moved = [file for file in bucket.files if file.parent.name == "moved"]
    bucket.put(*(file for file in bucket.files if file not in moved))
    for name, table in BESIDE_THE_LOGS.items():
        files = (folder / f"_{name}").rglob("*")
        bucket.put(*(file for file in files if file.is_file()))
        snowflake.stage_lines(f"{bucket.url}_{name}/", table)
    bucket.announce(*moved)
    snowflake.dbt("build", *WITHOUT_UNIT_TESTS, **VARIABLES)
    snowflake.dbt("test", "--select", "tag:audit", **VARIABLES)
    snowflake.dbt("docs", "generate", **VARIABLES)
    return folder


def write_any_values(path: Path) -> None:
    """Write a record for each field of the format and each value that none has."""
    usual = {"interface_id": "eni-any", "srcaddr": "52.30.0.1", "dstaddr": "10.0.255.1"}
    usual |= {"srcport": 50000, "dstport": 22, "protocol": 6, "bytes": 1, "packets": 1}
    midnight = datetime.fromisoformat(VARIABLES["as_of"]).replace(tzinfo=UTC)
    usual |= {"start": int(midnight.timestamp()), "action": "ACCEPT"}
    macro = (ROOT / "macros/flow_log_fields.sql").read_text()
    fields = re.findall(r"'(\w+)': '(varchar|bigint|timestamp)'", macro)
    assert len(fields) == 72
    integers = [-(2**63), -1, 0, 1, 2**31, 2**53, 2**63 - 1]
    texts = ["", " ", "\0", "x" * 5_000, "é", "it's", '"', "a\nb", "{}", "%_", "null"]
    texts += ["10.0.255.9", "::1", "10.0.255.9/cidr", "999.1.1.1"]
    records = [
        usual | {name: value}
        for name, kind in fields
        for value in (texts if kind == "varchar" else integers)
    ]
    types = {name: pa.string() if k == "varchar" else pa.int64() for name, k in fields}
    pq.write_table(pa.Table.from_pylist(records, pa.schema(types)), path)


def write_text_logs(folder: Path) -> None:
    """Make every third file of the sample text, and add text logs, good and bad."""
    write_odd_and_bad_text(folder)
    make_text_of_some(folder / "AWSLogs")
    write_text(folder / "a.log", HEADER, LINE, LINE.replace(" 7 ", " - "))
    write_text(folder / "in/b.LOG.GZ", "Bytes srcaddr new-part", "8 10.0.0.2 x")
    write_text(folder / "c.log", "SRCADDR Bytes", "10.0.0.3 9\r", "", compressed=True)
    write_text(folder / "d.log.gz", HEADER, compressed=True)
    write_text(folder / "_e.log", HEADER, LINE)


def test_every_model_has_the_same_rows_on_both_engines(
    snowflake: SnowflakeProject, new_project: Callable[..., Project], compared: Path
) -> None:
    locations = {
        f"VPC_FLOW_{name.upper()}_LOCATION": str(compared / f"_{name}")
        for name in BESIDE_THE_LOGS
    }
    project = new_project(compared, **locations)
    project.stage()
    project.dbt("build", "--exclude-resource-types", "test", "unit_test", **VARIABLES)

    models = {path.stem for path in (ROOT / "models").rglob("*.sql")}
    for model in models - {"int_records__unread"}:
        assert_same_rows(snowflake, project, model, maybe_empty=model in MAYBE_EMPTY)
    malformed = project.query("select metadata_filename from malformed_files")
    copies = (
        "select metadata_filename from malformed_files where reason like 'copy of%'"
    )
    assert [name.split("/")[0] for (name,) in project.query(copies)] == ["moved"]
    assert snowflake.query(copies) == project.query(copies)
    padded = (
        "select distinct account_id from flow_records where account_id like '012345%'"
    )
    assert snowflake.query(padded) == project.query(padded) == [("012345678901",)]
    (landed,) = snowflake.query(
        "select count(*) from stg_vpc_flow__flow_logs where metadata_filename"
        " like '%.parquet' and not" + OF_READABLE_FILES.removeprefix(" where")
    )
    files = [compared / name for (name,) in malformed if name.endswith(".parquet")]
    assert landed == (records_of(*files),)
    for question, query in QUESTIONS.items():
        if "reason" not in query:
            rows = [tuple(map(plain, row)) for row in snowflake.query(query)]
            asked = [tuple(map(plain, row)) for row in project.query(query)]
            assert rows == asked, question
    assert_the_page_has_the_same_numbers(snowflake, project)


def assert_the_page_has_the_same_numbers(
    snowflake: SnowflakeProject, project: Project
) -> None:
    """For each panel of app/; of panels with times of the load, the number of rows."""
    filters = Filters(date(2026, 1, 1), date(2026, 12, 31), address="10.1*", port=22)
    of_the_load = "|".join(OF_THE_LOAD).lower()
    asked = 0
    for panel in (
        *(*findings.PANELS, *exposure.PANELS, *traffic.PANELS),
        *(*host.PANELS, *trust.PANELS),
    ):
        for shown in (replace(filters, address="", port=None), filters):
            where = condition(panel.table, shown)
            values = [*where.parameters, *(["10.1"] * len(panel.parameters))]
            if "new" in panel.parameters:
                values[-1] = "2026-01-01"
            written = panel.sql.replace("{filters}", where.sql)
            for name in panel.names:
                named = f"select max({name}_addr) from int_traffic__daily_flows"
                written = written.replace(f"{{{name}}}", named)
            theirs, ours = [], []
            for engine, sql, found in (
                (snowflake, for_snowflake(written), theirs),
                (project, written, ours),
            ):
                for value in values:
                    sql = sql.replace("?", repr(value), 1)
                if re.search(of_the_load, sql):
                    sql = f"select count(*) from ({sql}) as found"
                rows = engine.query(f"{sql} limit 1000")
                found += [tuple(map(plain, row)) for row in rows]
            assert theirs == ours, panel.question
            asked += bool(ours)
    assert asked > 30


def test_the_published_logs_are_among_what_is_compared(
    snowflake: SnowflakeProject, published: Path, compared: Path
) -> None:
    landed = "select distinct metadata_filename from stg_vpc_flow__flow_logs"
    files = {file.name for file in published.rglob("*.parquet")}
    assert files
    assert files <= {name for (name,) in snowflake.query(landed)}


def test_each_rollup_is_sorted_by_day(
    snowflake: SnowflakeProject, compared: Path
) -> None:
    assert_rollups_lie_day_after_day(snowflake.query)


def test_the_labelled_cases_are_right_on_snowflake(
    snowflake: SnowflakeProject, compared: Path
) -> None:
    tables: dict[str, list[dict[str, Any]]] = {}

    def rows_of(model: str) -> list[dict[str, Any]]:
        if model not in tables:
            described = snowflake.query(f"describe table {model}")
            names = [row[0].lower() for row in described]
            found = snowflake.query(f"select {readable(names)} from {model}")
            tables[model] = [dict(zip(names, row, strict=True)) for row in found]
        return tables[model]

    assert [line for case in cases() for line in case.differences(rows_of)] == []


def test_address_macros_agree_with_python_on_snowflake(
    snowflake: SnowflakeProject, tmp_path: Path
) -> None:
    addresses = all_addresses(OWN)
    file = write(tmp_path / "addresses.parquet", srcaddr=addresses)
    bucket = Bucket(snowflake, tmp_path)
    bucket.put(file)
    snowflake.stage()
    rendered = snowflake.dbt(
        *("--quiet", "compile", "--inline", QUERY), internal_cidrs=OWN
    )
    landed = "select cast(value['srcaddr'] as varchar) as address"
    found = snowflake.query(
        f"with addresses as ({landed} from flow.landing.flow_logs),"
        + rendered.strip().removeprefix("with")
    )
    assert len(found) == len(addresses)
    assert_python_agrees(found, OWN)


def compiled(snowflake: SnowflakeProject) -> list[Path]:
    """The compiled models, analyses, tests and unit tests."""
    folder = snowflake.target / "target/compiled/vpc_flow_logs"
    paths = [path for path in folder.rglob("*.sql") if path.is_file()]
    kinds = {path.relative_to(folder).parts[0] for path in paths}
    assert kinds >= {"models", "analyses", "tests"}
    return paths


def test_all_compiled_sql_parses_in_snowflakes_dialect(
    snowflake: SnowflakeProject, compared: Path
) -> None:
    for path in compiled(snowflake):
        # An account may map this alias to another type.
        assert not re.search(r"\b(as|::)\s*timestamp\b", path.read_text()), path
        for parsed in sqlglot.parse(path.read_text(), read="snowflake"):
            assert not isinstance(parsed, exp.Command), path


@pytest.mark.long
def test_another_parser_accepts_all_compiled_sql(
    snowflake: SnowflakeProject, compared: Path
) -> None:
    """But for unit tests, which are the models' SQL again."""
    for path in compiled(snowflake):
        if not any(part.endswith("unit_tests.yml") for part in path.parts):
            parsed = sqlfluff.parse(path.read_text(), dialect="snowflake")
            assert "unparsable" not in json.dumps(parsed), path


def test_descriptions_are_comments_in_the_database(
    snowflake: SnowflakeProject, compared: Path
) -> None:
    """Of every model and every column, as `dbt docs generate` reads them back."""
    artifacts = snowflake.target / "target"
    described = json.loads((artifacts / "manifest.json").read_text())["nodes"]
    found = json.loads((artifacts / "catalog.json").read_text())["nodes"]
    models = [key for key in described if key.startswith("model.")]
    assert sorted(models) == sorted(key for key in found if key[:5] == "model")
    for key in models:
        if not described[key]["config"]["persist_docs"]["relation"]:
            continue
        wanted = described[key]["description"].strip()
        assert found[key]["metadata"]["comment"].strip() == wanted, key
        for name, column in found[key]["columns"].items():
            wanted = described[key]["columns"][name.lower()]["description"].strip()
            assert (column["comment"] or "").strip() == wanted, (key, name)
