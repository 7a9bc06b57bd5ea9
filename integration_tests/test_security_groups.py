"""Rules of security groups: what used them, and what could be closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from moto import mock_aws

from bootstrap.tests.world import World
from vpcflow.cli import cli

from .conftest import AS_OF, ROOT, Project
from .security_groups import RULES, Rule, Site, Spec, applied, made
from .snowflake_project import Bucket, SnowflakeProject

#: The window is shorter than what rules are judged by.
VARIABLES = AS_OF | {"lookback_days": 7}
BUILD = ("build", "--select", "+security_group_proposals", "+admin_exposure_rules")
BUILD += ("--exclude-resource-types", "unit_test", "test")
RULES_SQL = """
select
    rule_id, last_used_at is not null, peers, records, bytes, records_admitted_alone,
    unclear_records, interfaces, unlogged_interfaces, history_days,
    added_at is not null
from security_group_rules
order by 1
"""
PROPOSALS_SQL = """
select
    rule_id, proposal, new_protocol, new_from_port, new_to_port, new_peer,
    new_peer_basis
from security_group_proposals
order by 1, 2, 3, 4, 5, 6
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The VPC; moto is at work again in `test_the_files_can_be_applied` alone."""
    folder = tmp_path_factory.mktemp("doors")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            patch.setenv(f"AWS_{name}", "testing")
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        mock = mock_aws()
        mock.start()
        found = made(World(folder / "state"), folder)
        mock.stop(remove_data=False)
        yield found


@pytest.fixture(scope="module")
def doors(site: Site, new_project: Callable[..., Project]) -> Project:
    """The site's logs and inventory, built."""
    project = new_project(
        site.folder,
        VPC_FLOW_INVENTORY_LOCATION=str(site.folder / "_inventory"),
        VPC_FLOW_ENRICHMENT_LOCATION=str(site.folder / "_enrichment"),
    )
    project.stage()
    project.dbt(*BUILD, **VARIABLES)
    return project


def proposed(project: Project) -> dict[str, set[Spec]]:
    """The new rules by rule; none for a rule that could go."""
    found: dict[str, set[Spec]] = {}
    for rule_id, proposal, *new, _ in project.query(PROPOSALS_SQL):
        specs = found.setdefault(rule_id, set())
        if proposal == "narrow":
            specs.add(Spec(*new))
    return found


def test_all_rules_of_the_newest_complete_snapshot_are_there(
    site: Site, doors: Project
) -> None:
    found = {rule_id for rule_id, *_ in doors.query(RULES_SQL)}
    assert found == site.rule_ids
    assert len(site.rules) == RULES


def test_what_used_each_rule_is_what_python_finds(site: Site, doors: Project) -> None:
    """Peers, records and records that no other rule admits, of each rule."""
    records: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    peers: dict[str, set[str]] = {}
    for flow in site.flows:
        if flow.protocol == "icmp":
            continue
        for rules in site.admitting(flow, site.rules):
            assert rules, flow
            for rule in rules:
                records[rule.rule_id] += 2
                alone[rule.rule_id] += 2 * (len(rules) == 1)
                peer = flow.client if rule.direction == "ingress" else flow.server
                peers.setdefault(rule.rule_id, set()).add(peer)
    found = {row[0]: row[1:6] for row in doors.query(RULES_SQL)}
    for rule in site.rules:
        known = rule.rule_id
        assert found[known] == (
            records[known] > 0,
            len(peers.get(known, ())),
            records[known],
            100 * records[known],
            alone[known],
        ), rule
    assert all(records[known] and not alone[known] for known in site.shared)
    unlogged = "select count(*) from security_group_rules where unlogged_interfaces > 0"
    assert doors.query(unlogged) == [(1,)]


def test_the_proposals_are_what_the_traffic_needs(site: Site, doors: Project) -> None:
    """The unused rules, the wide ones, and the narrowest rules in their place."""
    found = proposed(doors)
    for rule in site.rules:
        assert found.get(rule.rule_id) == rule.new, rule
    assert {len(found[rule.rule_id]) == 0 for rule in site.rules if rule.new == set()}
    assert sum(rule.new == set() for rule in site.rules) > 150
    assert sum(bool(rule.new) for rule in site.rules) > 40
    assert sum(rule.new is None for rule in site.rules) > 10


def after(site: Site, doors: Project) -> list[Rule]:
    """The rules once all proposals are followed."""
    found = proposed(doors)
    return [
        Rule(rule.group, rule.direction, spec)
        for rule in site.rules
        for spec in found.get(rule.rule_id, {rule.spec})
    ]


def test_the_proposals_admit_a_week_that_they_have_not_seen(
    site: Site, doors: Project
) -> None:
    rules = after(site, doors)
    for flow in site.flows + site.held_out:
        assert all(site.admitting(flow, rules)), flow
    # The week has clients that the window has not.
    known = {flow.client for flow in site.flows}
    assert len({flow.client for flow in site.held_out} - known) > 50


def test_the_files_can_be_applied(
    site: Site, doors: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On moto, which changes IPv4 ranges alone, the groups get the proposed rules."""
    monkeypatch.chdir(ROOT)
    words = ["doors", "--out", str(tmp_path), "--history-days", "1"]
    result = CliRunner().invoke(cli, words, env=doors.variables())
    assert result.exit_code == 0, result.output
    assert "Nothing was changed" in result.stderr
    mock = mock_aws()
    mock.start(reset=False)
    try:
        applied(site.world, tmp_path)
        ours = {rule.group for rule in site.rules}
        current = [rule for rule in site.current() if rule.group in ours]
    finally:
        mock.stop()

    def plain(rules: list[Rule]) -> set[Any]:
        return {
            (rule.group, rule.direction, rule.spec)
            for rule in rules
            if ":" not in rule.spec.peer
        }

    assert plain(current) == plain(after(site, doors))


@pytest.mark.long
def test_both_engines_agree(
    site: Site, doors: Project, snowflake: SnowflakeProject
) -> None:
    bucket = Bucket(snowflake, site.folder)
    (logs,) = site.folder.glob("*.parquet")
    snowflake.stage()
    bucket.announce(logs)
    for folder, table in [
        ("_inventory", "inventory_rows"),
        ("_enrichment", "enrichment_lines"),
    ]:
        files = [path for path in (site.folder / folder).rglob("*") if path.is_file()]
        bucket.put(*files)
        snowflake.stage_lines(f"{bucket.url}{folder}/", table)
    snowflake.dbt(*BUILD, **VARIABLES)
    for sql in (RULES_SQL, PROPOSALS_SQL):
        assert snowflake.query(sql) == doors.query(sql)
