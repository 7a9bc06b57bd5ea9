"""docs/detections.md, and what the page in app/ shows of a finding.

The registry is the YAML entries of models/detections. The query for the records behind
a finding is a question of the cookbook. `python -m vpcflow.detections` writes the
files. A test compares them.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from .questions import MODELS, PROJECT, read_questions
from .severities import SEVERITIES

REGISTRY = MODELS / "detections" / "_detections__models.yml"
PAGE = PROJECT / "docs" / "detections.md"
#: For the app, which in Snowflake has its own folder alone.
TEXTS = PROJECT / "app" / "flow_page" / "detections.json"
RECORDS = PROJECT / "app" / "flow_page" / "finding_records.sql"


def read_registry() -> dict[str, dict[str, Any]]:
    """Return the rules by id, the most severe first: what `meta` says, and `finds`."""
    models = yaml.safe_load(REGISTRY.read_text())["models"]
    rules = {
        model["name"]: {
            name: " ".join(value.split()) if isinstance(value, str) else value
            for name, value in model["config"]["meta"].items()
        }
        | {"finds": " ".join(model["description"].split())}
        for model in models
    }
    return dict(
        sorted(
            rules.items(),
            key=lambda rule: (SEVERITIES.index(rule[1]["severity"]), rule[0]),
        )
    )


def page() -> str:
    """Return the page: the introduction that is there, and the rules."""
    introduction = PAGE.read_text().partition("## The rules\n")[0]
    rules = read_registry()
    lines = ["## The rules", "", "| rule | severity | technique | threshold |"]
    lines.append("|---|---|---|---|")
    for rule_id, rule in rules.items():
        lines.append(
            f"| [`{rule_id}`](#{rule_id}) | {rule['severity']} |"
            f" {rule['technique_id']} | {rule['threshold']:,} ({rule['unit']}) |"
        )
    for rule_id, rule in rules.items():
        technique = rule["technique_id"].replace(".", "/")
        lines += [
            "",
            f"### {rule_id}",
            "",
            f"**{rule['title']}.** {rule['finds']}",
            "",
            f"- Severity {rule['severity']}; {rule['tactic']},"
            f" [{rule['technique_id']}](https://attack.mitre.org/techniques/{technique}/)",
            f"- Threshold: {rule['threshold']:,} ({rule['unit']})",
            f"- Why: {rule['why']}",
            f"- What to look at next: {rule['next']}",
            f"- Known false positives: {rule['false_positives']}",
            f"- Summary: `{rule['summary']}`",
        ]
    return introduction + "\n".join(lines) + "\n"


def texts() -> str:
    """Return the texts for one finding as JSON, by rule."""
    names = ("why", "next", "false_positives")
    rules = {
        rule_id: {name: rule[name] for name in names}
        for rule_id, rule in sorted(read_registry().items())
    }
    return json.dumps(rules, indent=2) + "\n"


def records() -> str:
    """Return the query for the records behind each finding."""
    return read_questions()["finding_records"].rows.strip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    TEXTS.write_text(texts())
    RECORDS.write_text(records())
