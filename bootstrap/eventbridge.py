"""EventBridge to our topic, for buckets where S3 refuses our notification.

Snowflake, "Automating Snowpipe for Amazon S3", option 3.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bootstrap import notifications
from bootstrap.changes import Change
from bootstrap.deployment import Deployment, dumps
from bootstrap.errors import Blocked, BootstrapError, unless
from bootstrap.naming import EVENTBRIDGE_TAG

ADDED, FOUND = "added", "found"


@dataclass(frozen=True)
class BridgeRule:
    """Our EventBridge rule.

    Args:
        pattern: Its event pattern.
        enabled: Whether it is enabled.
        switched_on: Whether this deployment turned on EventBridge for the bucket. A
            tag of the rule stores it, written before EventBridge is turned on.
        targets: ARNs by target id.
    """

    pattern: dict[str, Any]
    enabled: bool
    switched_on: bool
    targets: dict[str, str]


def topic_arn(d: Deployment) -> str:
    """Return the ARN of our topic, which may not exist yet."""
    home = d.home
    return f"arn:{home.partition}:sns:{home.region}:{home.account_id}:{d.names.topic}"


def rule_arn(d: Deployment) -> str:
    """Return the ARN of our rule, which may not exist yet."""
    home = d.home
    return (
        f"arn:{home.partition}:events:{home.region}:{home.account_id}:"
        f"rule/{d.names.rule}"
    )


def pattern(d: Deployment) -> dict[str, Any]:
    """Return the event pattern of our rule: new log files of this bucket."""
    key = f"{d.place.logs_prefix}*{d.suffix}"
    return {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [d.settings.bucket.name]},
            "object": {"key": [{"wildcard": key}]},
        },
    }


def read_rule(d: Deployment, refuse_foreign: bool = True) -> BridgeRule | None:
    """Return our rule, or None.

    Args:
        d: The deployment.
        refuse_foreign: Whether another owner's rule of that name is an error.

    Raises:
        Blocked: Another owner's rule has the name.
    """
    events, name = d.home.events, d.names.rule
    found = unless("ResourceNotFoundException", lambda: events.describe_rule(Name=name))
    if found is None:
        return None
    tags: Any = events.list_tags_for_resource(ResourceARN=rule_arn(d))["Tags"]
    if not d.names.owns(tags):
        if not refuse_foreign:
            return None
        raise Blocked(
            f"EventBridge rule {name} in {d.home.account_id} {d.home.region} exists "
            "and was not made by this deployment: change `name`"
        )
    targets = events.list_targets_by_rule(Rule=name)["Targets"]
    return BridgeRule(
        json.loads(found.get("EventPattern") or "{}"),
        found.get("State") == "ENABLED",
        {"Key": EVENTBRIDGE_TAG, "Value": ADDED} in tags,
        {target["Id"]: target["Arn"] for target in targets},
    )


def plan_rule(d: Deployment) -> list[Change]:
    """Compare our rule, its target and the bucket's EventBridge setting."""
    found, wanted, name = read_rule(d), pattern(d), d.names.rule
    configuration = notifications.read(d)
    is_on = notifications.EVENTBRIDGE in configuration
    changes = []
    if found is None or found.pattern != wanted or not found.enabled:
        arguments: dict[str, Any] = {}
        if found is None:
            # Written before EventBridge is turned on, so that `destroy` finds it after
            # any interruption.
            switch = {"Key": EVENTBRIDGE_TAG, "Value": FOUND if is_on else ADDED}
            arguments["Tags"] = [*d.names.tags(d.settings.tags), switch]
        changes.append(
            Change(
                "update" if found else "create",
                f"EventBridge rule {name}",
                "it publishes new log files to our topic",
                found and found.pattern,
                wanted,
                lambda: d.home.events.put_rule(
                    Name=name,
                    EventPattern=dumps(wanted),
                    State="ENABLED",
                    Description="New VPC Flow Log files, for Snowpipe.",
                    **arguments,
                ),
            )
        )
    elif not is_on and not found.switched_on:
        changes.append(_claim_switch(d))
    arn = topic_arn(d)
    if found is None or found.targets.get(name) != arn:
        changes.append(
            Change(
                "create",
                f"target of EventBridge rule {name}",
                "the topic that the pipe subscribes to",
                None,
                arn,
                lambda: _check_entries(
                    d,
                    d.home.events.put_targets(
                        Rule=name, Targets=[{"Id": name, "Arn": arn}]
                    ),
                ),
            )
        )
    if not is_on:
        switched = {**configuration, notifications.EVENTBRIDGE: {}}
        changes.append(
            Change(
                "update",
                f"event notifications of bucket {d.settings.bucket.name}",
                "turn on EventBridge; all notifications stay",
                configuration,
                switched,
                lambda: notifications.write(d, switched),
            )
        )
    return changes


def _claim_switch(d: Deployment) -> Change:
    tag: Any = {"Key": EVENTBRIDGE_TAG, "Value": ADDED}
    return Change(
        "update",
        f"tag of EventBridge rule {d.names.rule}",
        "its owner turned off EventBridge; this deployment turns it on, and off again",
        {EVENTBRIDGE_TAG: FOUND},
        {EVENTBRIDGE_TAG: ADDED},
        lambda: d.home.events.tag_resource(ResourceARN=rule_arn(d), Tags=[tag]),
    )


def plan_switch_off(d: Deployment) -> list[Change]:
    """Remove our notification, and turn off EventBridge if we turned it on."""
    configuration = notifications.read(d)
    left = notifications.without_ours(configuration, d.names.notification)
    found = read_rule(d, refuse_foreign=False)
    notes = []
    if found is not None and found.switched_on and notifications.EVENTBRIDGE in left:
        others = _rules_of_others(d)
        if others:
            reason = f"it stays on for these rules: {', '.join(others)}"
            resource = f"EventBridge of bucket {d.settings.bucket.name}"
            notes = [Change("note", resource, reason)]
        else:
            left.pop(notifications.EVENTBRIDGE)
    if left == configuration:
        return notes
    return [
        *notes,
        Change(
            "update",
            f"event notifications of bucket {d.settings.bucket.name}",
            "remove ours; all others stay",
            configuration,
            left,
            lambda: notifications.write(d, left),
        ),
    ]


def _rules_of_others(d: Deployment) -> list[str]:
    """Return other rules that match events of this bucket."""
    found = []
    for page in d.home.events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            event = json.loads(rule.get("EventPattern") or "{}")
            buckets = event.get("detail", {}).get("bucket", {}).get("name")
            matches = "aws.s3" in event.get("source", []) and (
                buckets is None or d.settings.bucket.name in buckets
            )
            if matches and rule["Name"] != d.names.rule:
                found.append(rule["Name"])
    return sorted(found)


def plan_rule_removal(d: Deployment) -> list[Change]:
    """Delete the target and then the rule, the order that EventBridge requires."""
    found, name, events = read_rule(d, False), d.names.rule, d.home.events
    if found is None:
        return []
    changes = []
    if found.targets:
        changes.append(
            Change(
                "delete",
                f"target of EventBridge rule {name}",
                "EventBridge refuses to delete a rule with targets",
                found.targets,
                None,
                lambda: _check_entries(
                    d, events.remove_targets(Rule=name, Ids=list(found.targets))
                ),
            )
        )
    changes.append(
        Change(
            "delete",
            f"EventBridge rule {name}",
            "this deployment made it",
            found.pattern,
            None,
            lambda: events.delete_rule(Name=name),
        )
    )
    return changes


def _check_entries(d: Deployment, answer: Any) -> None:
    """Raise the errors in an answer with status 200."""
    if answer.get("FailedEntryCount"):
        raise BootstrapError(
            f"EventBridge refused a target of rule {d.names.rule} in "
            f"{d.home.account_id} {d.home.region}: {answer['FailedEntries']}. Run the "
            "command again"
        )
