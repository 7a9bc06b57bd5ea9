"""The campaigns of `sample_logs --attacks` are found, and nothing else is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

import sample_logs
from sample_logs.attacks import FEWEST_RECORDS, LANES
from sample_logs.campaigns import CAMPAIGNS, LOOK_ALIKES
from vpcflow.detections import read_registry
from vpcflow.questions import read_questions

from .conftest import END_DATE, Project
from .snowflake_project import Bucket, SnowflakeProject
from .test_snowflake import assert_same_rows

KEY = ("rule_id", "entity", "peer", "port", "protocol")
FORMATS = [lane.format for lane in LANES]
#: Without enrichment files they find nothing; they have labelled cases alone.
NEED_LISTS = {"threat_list_contact", "tor_client", "unexpected_country"}
MODELS = ("run", "--select", "+findings")
VARIABLES: dict[str, Any] = {"as_of": END_DATE.isoformat()}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample with attacks."""
    folder = tmp_path_factory.mktemp("attacks")
    sample_logs.generate(
        folder,
        end_date=END_DATE,
        records=FEWEST_RECORDS,
        attacks=True,
    )
    return folder


@pytest.fixture(scope="module")
def truth(logs: Path) -> dict[str, Any]:
    answers: dict[str, Any] = json.loads((logs / "truth.json").read_text())
    found: dict[str, Any] = answers["findings"]
    return found


@pytest.fixture(scope="module")
def project(
    new_project: Callable[..., Project],
    logs: Path,
    truth: dict[str, Any],
) -> Project:
    """Built after the entries of suppressions that the look-alikes need."""
    project = new_project(logs)
    project.stage()
    project.dbt("seed")
    with duckdb.connect(str(project.database)) as connection:
        for entry in truth["suppressions"]:
            connection.execute(
                "insert into detection_suppressions by name select"
                " $rule as rule, $entity_range as entity_range, $reason as reason",
                entry,
            )
    project.dbt(*MODELS, **VARIABLES, **truth["variables"])
    return project


@pytest.fixture(scope="module")
def found(project: Project) -> dict[tuple[Any, ...], str | None]:
    """The reasons of the findings that are suppressed; None for the others."""
    query = f"select {', '.join(KEY)}, suppressed_by from findings"
    return {row[:-1]: row[-1] for row in project.query(query)}


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in KEY)


def test_there_are_enough_stories_and_each_rule_has_a_campaign() -> None:
    assert min(len(CAMPAIGNS), len(LOOK_ALIKES)) >= 25
    assert len({story.title for story in (*CAMPAIGNS, *LOOK_ALIKES)}) == len(
        (*CAMPAIGNS, *LOOK_ALIKES)
    )
    rules = {finding.rule for story in CAMPAIGNS for finding in story.finds}
    assert read_registry().keys() - rules == NEED_LISTS
    assert {story.looks_like for story in LOOK_ALIKES} <= rules


@pytest.mark.parametrize("name", [*FORMATS, "any"])
def test_each_campaign_is_found(
    name: str,
    truth: dict[str, Any],
    found: dict[tuple[Any, ...], str | None],
) -> None:
    expected = [row for row in truth["expected"] if row["format"] == name]
    campaigns = len({row["story"] for row in expected})
    assert campaigns >= (25 if name in FORMATS else 1)
    missed = [row for row in expected if found.get(key(row), "missed") is not None]
    assert missed == []


def test_each_finding_has_its_records(project: Project) -> None:
    """The cookbook's question shows at least those that the rule has counted."""
    records = read_questions()["finding_records"].rows
    short = project.query(
        "select rule_id, entity, findings.records, count(shown.finding_id)"
        f" from findings left join ({records}) as shown using (rule_id, finding_id)"
        " group by all having count(shown.finding_id) < findings.records"
    )
    assert short == []


def test_no_look_alike_is_found(
    truth: dict[str, Any],
    found: dict[tuple[Any, ...], str | None],
) -> None:
    """Unless an entry of the suppressions covers it."""
    counts = Counter(row["format"] for row in truth["look_alikes"])
    assert all(counts[name] >= 25 for name in FORMATS)
    stories = {
        address: row["story"]
        for row in truth["look_alikes"]
        for address in row["addresses"]
    }
    wrong = [
        (row, stories.get(row[1], stories.get(row[2])))
        for row, reason in found.items()
        if reason is None and not stories.keys().isdisjoint(row[1:3])
    ]
    assert wrong == []
    suppressed = {row: reason for row, reason in found.items() if reason}
    assert suppressed == dict.fromkeys(
        map(key, truth["suppressed"]), "our vulnerability scanner"
    )


def test_everyday_traffic_gives_few_findings(
    truth: dict[str, Any],
    found: dict[tuple[Any, ...], str | None],
) -> None:
    planted = {key(row) for row in truth["expected"] + truth["suppressed"]}
    assert len(found.keys() - planted) <= 5


@pytest.mark.long
def test_the_findings_are_the_same_on_snowflake(
    snowflake: SnowflakeProject,
    new_project: Callable[..., Project],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Short campaigns: the stand-in needs much memory for each record."""
    stories = [
        story
        for story in CAMPAIGNS
        if sum(talk.count * len(talk.days) for talk in story.talks) <= 50
    ]
    assert len(stories) > 25
    monkeypatch.setattr("sample_logs.attacks.STORIES", stories)
    monkeypatch.setattr("sample_logs.attacks.LANES", (LANES[0], LANES[2]))
    monkeypatch.setattr("sample_logs.generation.FEWEST_RECORDS", 0)
    sample_logs.generate(
        tmp_path / "logs",
        end_date=END_DATE,
        records=3_000,
        records_per_file=400,
        attacks=True,
    )
    project = Project.of(tmp_path, tmp_path / "logs")
    project.stage()
    project.dbt("seed")
    project.dbt(*MODELS, **VARIABLES)

    bucket = Bucket(snowflake, tmp_path / "logs")
    bucket.put(*bucket.files)
    snowflake.stage()
    snowflake.dbt("seed")
    snowflake.dbt(*MODELS, **VARIABLES)
    for model in ("int_detections__daily_findings", "findings"):
        assert_same_rows(snowflake, project, model)
