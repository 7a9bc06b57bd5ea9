"""`vpcflow doors`: the proposals for security groups as files, for AWS and Terraform.

It reads `security_group_rules` and `security_group_proposals`, and changes nothing in
AWS. First come the new rules, then the changes, then the removals, so that traffic is
admitted all the time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from .built_tables import Tables

# Terraform refuses ports of other protocols.
WITH_PORTS = ("icmp", "icmpv6", "tcp", "udp")

RULES = """
select
    account_id, region, security_group_id, direction, rule_id, description,
    protocol, from_port, to_port, peer
from security_group_rules
order by 1, 2, 3, 4, 5
"""
PROPOSALS = """
select
    rule_id, proposal, new_protocol, new_from_port, new_to_port, new_peer
from security_group_proposals
where history_days >= {history_days}
order by 1, 3, 4, 5, 6
"""


class Spec(NamedTuple):
    """What a rule admits; the peer is a CIDR, a prefix list or a group."""

    protocol: str
    from_port: int | None
    to_port: int | None
    peer: str

    def ports(self) -> dict[str, int]:
        """Return the ports as EC2 takes them: of ICMP type and code, and -1 for all.

        EC2's reference, IpPermission: ports of other protocols are ignored.
        """
        ends = {"FromPort": self.from_port, "ToPort": self.to_port}
        return {name: -1 if end is None else end for name, end in ends.items()}

    def peer_kind(self) -> str:
        """Return `ipv4`, `ipv6`, `prefix_list` or `group`."""
        if "/" in self.peer:
            return "ipv6" if ":" in self.peer else "ipv4"
        return "prefix_list" if self.peer.startswith("pl-") else "group"


@dataclass
class Rule:
    """A rule as it is, and what could take its place: nothing, if it is unused."""

    rule_id: str
    description: str | None
    spec: Spec
    new: list[Spec] | None = None


@dataclass
class Door:
    """The changes of the rules of one group in one direction."""

    account_id: str
    region: str
    security_group_id: str
    direction: str
    changed: list[tuple[Rule, Spec]] = field(default_factory=list)
    added: list[tuple[Rule, Spec]] = field(default_factory=list)
    removed: list[Rule] = field(default_factory=list)

    def rule_ids(self) -> set[str]:
        """Return the rules that the group has and that would change or go."""
        changed = [rule for rule, _ in self.changed + self.added]
        return {rule.rule_id for rule in changed + self.removed}


def read_doors(tables: Tables, history_days: int) -> list[Door]:
    """Return the changes that have enough history behind them.

    Args:
        tables: The built tables.
        history_days: Days of logs that a proposal needs.

    Raises:
        QueryError: the tables are not there.
    """
    proposals: dict[str, list[tuple[Any, ...]]] = {}
    wanted = PROPOSALS.format(history_days=int(history_days))
    for rule_id, *proposal in tables.query(wanted).rows:
        proposals.setdefault(rule_id, []).append(tuple(proposal))
    doors = []
    for key, rows in groupby(tables.query(RULES).rows, key=lambda row: row[:4]):
        rules = []
        for *_, rule_id, description, protocol, from_port, to_port, peer in rows:
            spec = Spec(protocol, from_port, to_port, peer)
            rule = Rule(rule_id, description, spec)
            if found := proposals.get(rule_id):
                rule.new = [Spec(*row[1:]) for row in found if row[0] == "narrow"]
            rules.append(rule)
        door = _changes(Door(*key), rules)
        if door.rule_ids():
            doors.append(door)
    return doors


def _changes(door: Door, rules: list[Rule]) -> Door:
    """Add the changes that make the rules of a group the proposed ones.

    EC2 refuses a rule that the group has already. So a rule stays if a new one would be
    the same, and two rules may share a new one. Of a rule that is modified EC2 refuses
    another kind of peer (its reference, SecurityGroupRuleRequest).
    """
    wanted = {spec for rule in rules for spec in rule.new or ()}
    stay = {rule.spec for rule in rules if rule.new is None or rule.spec in wanted}
    kept = set(stay)
    for rule in rules:
        if rule.new is None:
            continue
        needed = [spec for spec in rule.new if spec not in kept]
        kept.update(needed)
        if rule.spec not in stay:
            kind = rule.spec.peer_kind()
            same = next((spec for spec in needed if spec.peer_kind() == kind), None)
            if same:
                needed.remove(same)
                door.changed.append((rule, same))
            else:
                door.removed.append(rule)
        door.added += [(rule, spec) for spec in needed]
    return door


def write_doors(doors: list[Door], folder: Path) -> list[Path]:
    """Write a folder for each account and region, and return the files.

    `commands.sh` has the calls in their order, each with a file of its input, and
    `security_groups.tf` the same rules for Terraform, with imports.
    """
    written = []
    for (account, region), group in groupby(
        doors, key=lambda door: (door.account_id, door.region)
    ):
        here = folder / account / region
        here.mkdir(parents=True, exist_ok=True)
        of_place = list(group)
        calls = sorted(call for door in of_place for call in _calls(door))
        commands = ["#!/bin/sh", "set -eu", 'cd "$(dirname "$0")"']
        for place, operation, security_group_id, content in calls:
            path = here / f"{place}_{operation}_{security_group_id}.json"
            path.write_text(content + "\n", "utf-8")
            written.append(path)
            commands.append(
                f"aws ec2 {operation} --region {quote(region)}"
                f" --cli-input-json {quote(f'file://{path.name}')}"
            )
        script, terraform = here / "commands.sh", here / "security_groups.tf"
        script.write_text("\n".join(commands) + "\n", "utf-8")
        blocks = [block for door in of_place for block in _terraform(door)]
        terraform.write_text("\n".join(blocks), "utf-8")
        written += [script, terraform]
    return written


def _calls(door: Door) -> Iterator[tuple[int, str, str, str]]:
    """Yield the calls of EC2: their order, name, group and input as JSON."""

    def call(place: int, operation: str, **content: Any) -> tuple[int, str, str, str]:
        content = {"GroupId": door.security_group_id, **content}
        text = json.dumps(content, indent=2)
        return place, operation, door.security_group_id, text

    if door.added:
        permissions = [_permission(rule, spec) for rule, spec in door.added]
        operation = f"authorize-security-group-{door.direction}"
        yield call(1, operation, IpPermissions=permissions)
    if door.changed:
        rules = [
            {
                "SecurityGroupRuleId": rule.rule_id,
                "SecurityGroupRule": _request(rule, spec),
            }
            for rule, spec in door.changed
        ]
        operation = "modify-security-group-rules"
        place, _, group, text = call(2, operation, SecurityGroupRules=rules)
        # One file for each direction.
        yield place, operation, f"{group}_{door.direction}", text
    if door.removed:
        ids = [rule.rule_id for rule in door.removed]
        operation = f"revoke-security-group-{door.direction}"
        yield call(3, operation, SecurityGroupRuleIds=ids)


def _described(rule: Rule) -> dict[str, str]:
    return {"Description": rule.description} if rule.description else {}


def _permission(rule: Rule, spec: Spec) -> dict[str, Any]:
    ranges, name = {
        "ipv4": ("IpRanges", "CidrIp"),
        "ipv6": ("Ipv6Ranges", "CidrIpv6"),
        "prefix_list": ("PrefixListIds", "PrefixListId"),
        "group": ("UserIdGroupPairs", "GroupId"),
    }[spec.peer_kind()]
    return {
        "IpProtocol": spec.protocol,
        **spec.ports(),
        ranges: [{name: spec.peer, **_described(rule)}],
    }


def _request(rule: Rule, spec: Spec) -> dict[str, Any]:
    name = {
        "ipv4": "CidrIpv4",
        "ipv6": "CidrIpv6",
        "prefix_list": "PrefixListId",
        "group": "ReferencedGroupId",
    }[spec.peer_kind()]
    return {
        "IpProtocol": spec.protocol,
        **spec.ports(),
        name: spec.peer,
        **_described(rule),
    }


def _terraform(door: Door) -> Iterator[str]:
    """Yield blocks: an import of each rule that the group has, and new rules."""
    kind = f"aws_vpc_security_group_{door.direction}_rule"

    def resource(name: str, rule: Rule, spec: Spec, comment: str) -> str:
        peer = {
            "ipv4": "cidr_ipv4",
            "ipv6": "cidr_ipv6",
            "prefix_list": "prefix_list_id",
            "group": "referenced_security_group_id",
        }[spec.peer_kind()]
        values: dict[str, Any] = {
            "security_group_id": door.security_group_id,
            "ip_protocol": spec.protocol,
            peer: spec.peer,
        }
        if spec.protocol in WITH_PORTS:
            values |= zip(("from_port", "to_port"), spec.ports().values(), strict=True)
        if rule.description:
            values["description"] = rule.description
        width = max(map(len, values))
        # `${` would be an expression.
        body = "\n".join(
            f"  {key:{width}} = {json.dumps(value).replace('${', '$${')}"
            for key, value in values.items()
        )
        return f'# {comment}\nresource "{kind}" "{name}" {{\n{body}\n}}\n'

    def imported(rule: Rule) -> str:
        to = f"{kind}.{_name(rule)}"
        return f'import {{\n  to = {to}\n  id = "{rule.rule_id}"\n}}\n'

    for rule, spec in door.changed:
        yield imported(rule)
        yield resource(_name(rule), rule, spec, f"Was: {_text(rule.spec)}")
    numbers: dict[str, int] = {}
    for rule, spec in door.added:
        number = numbers[rule.rule_id] = numbers.get(rule.rule_id, 1) + 1
        name = f"{_name(rule)}_{number}"
        yield resource(name, rule, spec, f"A part of {rule.rule_id}")
    for rule in door.removed:
        yield imported(rule)
        said = "narrower rules take its place" if rule.new else "nothing used it"
        said = f"After the import, delete both blocks of this rule: {said}"
        yield resource(_name(rule), rule, rule.spec, said)


def _name(rule: Rule) -> str:
    return rule.rule_id.replace("-", "_")


def _text(spec: Spec) -> str:
    ports = "-".join(str(port) for port in spec.ports().values())
    return f"{spec.protocol} {ports} {spec.peer}"
