"""The README and `docs/` against the project: commands, messages, what they show."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlfluff

from .conftest import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", flags=re.DOTALL | re.MULTILINE)
#: A command within a sentence or a table.
INLINE = re.compile(
    r"(?<!`)`((?:dbt|make|python -m|snow|pip|cp|aws|openssl) [^`]*)`(?!`)"
)
#: What only prepares a shell.
NO_COMMANDS = {"cd", "export", "."}

OPERATIONS = "integration_tests/test_snowflake_operations.py::"
BOOTSTRAP = (
    "bootstrap/tests/test_cli.py::test_from_an_empty_account_to_the_end_and_back"
)
HERE = "integration_tests/test_documents.py::test_a_new_user_"
SET_UP = OPERATIONS + "test_set_up_runs_the_reviewed_statements"
JSON = OPERATIONS + "test_programs_get_one_line_of_json"
HEALTH = "integration_tests/test_health.py::"
KEYS = OPERATIONS + "test_the_service_user_has_keys_and_no_password"

#: Which test runs a command, on this machine or on a stand-in for the service; from
#: `--vars` and `--args` on a command is cut off.
RUN_BY = {
    "make demo": HERE + "gets_the_demo_that_the_readme_shows",
    "make test": ".ci/run::make test",
    "make docs": "integration_tests/test_docs_site.py::"
    "test_make_docs_generates_and_serves",
    "cp profiles.yml.example profiles.yml": "integration_tests/test_documents.py::"
    "checkout",
    "python -m sample_logs --help": HERE + "loads_a_bucket",
    "python -m sample_logs --out my_sample --records 1000000 --days 30 --seed 1": (
        HERE + "loads_a_bucket"
    ),
    "python -m sample_logs --out cookbook_sample --end-date 2026-03-31 --days 5"
    " --records 10000 --incidents": (
        "integration_tests/test_cookbook.py::"
        "test_every_question_has_the_answer_that_the_cookbook_shows"
    ),
    "python -m bench.known_files": "integration_tests/test_staging.py::"
    "test_the_benchmark_of_known_files_finds_nothing_new",
    "dbt run-operation stage_external_sources": HERE + "loads_a_bucket",
    "dbt build": HERE + "loads_a_bucket",
    "dbt show --select admin_exposure": HERE + "loads_a_bucket",
    "dbt show --select flow_log_health": HERE + "loads_a_bucket",
    "dbt show --select admin_exposure_coverage": HERE + "loads_a_bucket",
    "dbt build --full-refresh --select int_traffic__daily_flows+": (
        HERE + "loads_a_bucket"
    ),
    "dbt build --full-refresh": "integration_tests/test_guards.py::"
    "test_the_named_command_rebuilds_under_the_new_settings",
    "dbt test --select tag:health": HEALTH + "test_late_warns_and_broken_fails",
    "dbt test --select no_loaded_record_is_missing": (
        HEALTH + "test_late_warns_and_broken_fails"
    ),
    "dbt test --select assert_the_pipe_runs --target snowflake": (
        HEALTH + "test_snowflake_says_the_same"
    ),
    "dbt source freshness": "integration_tests/test_schedules.py::"
    "test_the_cron_job_runs_again_and_again",
    "schedules/cron_job.sh": "integration_tests/test_schedules.py::"
    "test_the_cron_job_runs_again_and_again",
    "dbt-jobs-as-code validate schedules/dbt_cloud_jobs.yml": (
        "integration_tests/test_schedules.py::"
        "test_dbt_cloud_s_own_tool_accepts_the_jobs"
    ),
    "snow dbt deploy vpc_flow_logs --source . --database flow --schema analytics"
    " --default-target snowflake": "integration_tests/test_schedules.py::"
    "test_snowflake_s_own_tool_deploys_and_runs_the_project",
    "dbt run-operation trim_history": "integration_tests/test_history.py::"
    "test_trimming_removes_whole_days_and_no_answer",
    "cp bootstrap.yml.example bootstrap.yml": "bootstrap/tests/test_settings.py::"
    "test_the_example_is_right",
    "python -m bootstrap": BOOTSTRAP,
    "python -m bootstrap permissions": "bootstrap/tests/test_cli.py::"
    "test_the_permissions_are_printed",
    "python -m bootstrap plan": BOOTSTRAP,
    "python -m bootstrap apply": BOOTSTRAP,
    "python -m bootstrap verify": BOOTSTRAP,
    "python -m bootstrap destroy": BOOTSTRAP,
    "openssl genrsa 2048 | openssl pkcs8 -topk8 -inform PEM -nocrypt -out service.p8": (
        HERE + "makes_keys"
    ),
    "openssl rsa -in service.p8 -pubout -out service.pub": HERE + "makes_keys",
    "openssl rsa -in service.p8 -pubout": HERE + "makes_keys",
    "chmod 600 service.p8": HERE + "makes_keys",
    "dbt run-operation setup_snowflake --target snowflake": SET_UP,
    "dbt run-operation setup_resource_monitor --target snowflake": (
        OPERATIONS + "test_the_monitor_is_the_account_administrators"
    ),
    "dbt --quiet run-operation describe_integration --target snowflake": JSON,
    "dbt --quiet run-operation describe_pipe --target snowflake": JSON,
    "dbt run-operation pipe_status --target snowflake": (
        OPERATIONS + "test_the_days_after"
    ),
    "dbt run-operation validate_integration --target snowflake": (
        OPERATIONS + "test_the_days_after"
    ),
    "dbt run-operation setup_user --target snowflake": KEYS,
    "dbt run-operation teardown_snowflake --target snowflake": (
        OPERATIONS + "test_teardown_takes_back_everything_in_order"
    ),
    "dbt run-operation stage_external_sources --target snowflake": (
        "integration_tests/test_snowflake_staging.py::"
        "test_staging_that_stopped_anywhere_is_finished_by_the_next_run"
    ),
    "dbt build --target snowflake": (
        "integration_tests/test_snowflake_builds.py::"
        "test_two_builds_at_once_double_nothing"
    ),
}


def commands_of(document: Path) -> Iterator[str]:
    """The commands of a document, without what stands before them.

    Those of its shell blocks, and those within its text; the list of what only a live
    account can prove names commands for there.
    """
    text = document.read_text()
    if document.name != "not_verified_here.md":
        for command in INLINE.findall(re.sub("```.*?```", "", text, flags=re.DOTALL)):
            if "…" not in command:
                yield re.split(r" --(?:vars|args) ", " ".join(command.split()))[0]
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
                yield re.split(r" --(?:vars|args) ", " ".join(words))[0]
        assert not pending, document.name


def not_run_here() -> set[str]:
    """The commands that need what is not here, by the document that lists them."""
    listed = (ROOT / "docs/not_verified_here.md").read_text()
    return set(
        re.findall(
            r"^\| `(.*?)` \|", listed.split("## Commands of the documents")[1], re.M
        )
    )


def test_every_command_is_run_by_a_test_or_listed_as_not_run() -> None:
    commands = {command for document in DOCUMENTS for command in commands_of(document)}
    assert len(commands) > 30
    assert commands == RUN_BY.keys() | not_run_here()
    assert not RUN_BY.keys() & not_run_here()
    for command, test in RUN_BY.items():
        file, name = test.split("::")
        line = name if file == ".ci/run" else f"def {name}("
        text = (ROOT / file).read_text()
        assert line in text, (command, test)
        # This file runs the documents' own words; others must name what they run.
        if file != "integration_tests/test_documents.py":
            for word in re.findall(r"(?:--select|run-operation) (\S+)", command):
                assert word in text, (command, test)


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


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as `make setup` leaves a fresh clone, without its own `.venv`."""
    folder = tmp_path_factory.mktemp("clone") / "vpc_flow_logs"
    unwanted = (".*", "target", "logs", "*.duckdb*", "sample_data", "profiles.yml")
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*unwanted))
    subprocess.run(
        ["cp", "profiles.yml.example", "profiles.yml"], cwd=folder, check=True
    )
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def shell(folder: Path, script: str, **variables: str) -> str:
    """What a script prints that a user runs in the activated environment."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VPC_FLOW", "DBT_", "MAKE"))
    }
    environment |= variables
    environment["PATH"] = f"{folder / '.venv/bin'}:{environment['PATH']}"
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def test_a_new_user_gets_the_demo_that_the_readme_shows(checkout: Path) -> None:
    """Its rows are those of a day; the questions and the columns are always these."""
    printed = shell(checkout, "make --assume-old=setup demo").splitlines()
    readme = (ROOT / "README.md").read_text()
    shown = re.search(r"```\n(Who is exposed.*?)```", readme, re.DOTALL)
    assert shown
    lines = shown[1].splitlines()
    heads = [
        line
        for line in lines
        if re.match(r"[┌├]|Who|Which|│ +(rank|int64|internal_addr|varchar) ", line)
    ]
    assert len(heads) == 10
    assert [line for line in printed if line in heads][: len(heads)] == heads
    assert len([line for line in lines if line.startswith("│")]) > len(heads)
    assert any("dbt show --select admin_exposure" in line for line in printed)


def test_a_new_user_loads_a_bucket(checkout: Path, emulated_s3: Any) -> None:
    """The words of the README and of the documents, as they are."""
    server = {
        "AWS_ENDPOINT_URL": emulated_s3.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "a-key",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    blocks = BLOCK.findall((ROOT / "README.md").read_text())
    (generate,) = (block for block in blocks if "sample_logs --out" in block)
    (own,) = (block for block in blocks if "VPC_FLOW_LOGS_LOCATION" in block)
    assert "--records 1000000 --days 30" in generate
    assert "--incidents" in shell(checkout, "python -m sample_logs --help")
    shell(checkout, generate.replace("1000000 --days 30", "4000 --days 2"))
    emulated_s3.create_bucket(Bucket="my-bucket")
    sample = checkout / "my_sample"
    for file in sample.rglob("*.parquet"):
        key = f"prefix/{file.relative_to(sample)}"
        emulated_s3.upload_file(str(file), "my-bucket", key)

    printed = shell(checkout, own, **server)
    assert "files under s3://my-bucket/prefix/" in printed
    assert "loaded (4,000 records), 0 already loaded, 0 quarantined" in printed
    assert "ERROR=0" in printed
    assert "| internal_addr" in printed

    (rebuild,) = (
        block
        for block in BLOCK.findall((ROOT / "docs/upgrading.md").read_text())
        if "--select" in block
    )
    shows = re.findall(
        r"dbt show --select .*health\n.*coverage\n",
        (ROOT / "docs/guide.md").read_text(),
    )
    environment = "\n".join(re.findall("^export .*$", own, re.M))
    printed = shell(checkout, f"{environment}\n{rebuild}\n{shows[0]}", **server)
    assert "int_traffic__daily_flows" in printed
    assert "| flow_log_id" in printed
    assert re.search(r"\| +4000 \|", printed)


def test_a_new_user_makes_keys(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("no openssl here")
    (keys,) = (
        block.split("\n\n")[0]
        for block in BLOCK.findall((ROOT / "docs/snowflake.md").read_text())
        if "openssl" in block
    )
    shell(tmp_path, keys.replace("\\", ""))
    printed = shell(tmp_path, "openssl rsa -in service.p8 -pubout")
    assert (tmp_path / "service.pub").read_text() in printed
    assert (tmp_path / "service.pub").read_text().startswith("-----BEGIN PUBLIC KEY")
    assert (tmp_path / "service.p8").stat().st_mode & 0o777 == 0o600
