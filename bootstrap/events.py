"""How the pipe is notified of new files: notification, topic, EventBridge.

S3 refuses two notifications for one event type if a key can match both, so the route
follows from the bucket's other notifications.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from bootstrap import documents
from bootstrap.aws import Shared
from bootstrap.changes import Change
from bootstrap.deployment import Deployment, dumps
from bootstrap.errors import Blocked, BootstrapError, code_of, message_of, unless
from bootstrap.naming import EVENTBRIDGE_TAG, TOPIC_SNOWFLAKE, owner_of, part_of
from bootstrap.policies import topic_events_statement, topic_snowflake_statement

KINDS = {
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}
EVENTBRIDGE = "EventBridgeConfiguration"
CREATED = "s3:ObjectCreated:*"

Configuration = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """One notification, with the parts that decide whether two overlap.

    Args:
        kind: ``QueueConfigurations`` and so on.
        id: Its id.
        arn: Its destination.
        events: Event types, such as ``s3:ObjectCreated:*``.
        prefix: The key's prefix; empty for all.
        suffix: The key's suffix; empty for all.
    """

    kind: str
    id: str
    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def overlaps(self, other: Rule) -> bool:
        """Return whether S3 refuses the two together.

        S3 guide, "Configuring event notifications using object key name filtering":
        they share an event type, and one key can match both prefixes and suffixes.
        """
        return (
            any(_share(a, b) for a in self.events for b in other.events)
            and _nested(self.prefix, other.prefix)
            and _nested(self.suffix[::-1], other.suffix[::-1])
        )

    def covers(self, other: Rule) -> bool:
        """Return whether it gets every event that the other gets."""
        return (
            all(any(_includes(a, b) for a in self.events) for b in other.events)
            and other.prefix.startswith(self.prefix)
            and other.suffix.endswith(self.suffix)
        )

    def __str__(self) -> str:
        """Describe it for its owner."""
        kind = self.kind.removesuffix("Configurations").lower()
        return (
            f"{kind} notification `{self.id}` to {self.arn} ({', '.join(self.events)}, "
            f"prefix `{self.prefix}`, suffix `{self.suffix}`)"
        )


def _nested(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _includes(wide: str, narrow: str) -> bool:
    return wide == narrow or (wide.endswith("*") and narrow.startswith(wide[:-1]))


def _share(one: str, other: str) -> bool:
    return _includes(one, other) or _includes(other, one)


# ----- the bucket's notifications


def read(d: Deployment) -> Configuration:
    """Return the bucket's whole configuration, without botocore's metadata."""
    answer: Any = unless(
        "NoSuchBucket 404",
        lambda: d.home.s3.get_bucket_notification_configuration(**d.bucket),
    )
    return {k: v for k, v in (answer or {}).items() if k != "ResponseMetadata"}


def _shared(d: Deployment) -> Shared:
    """Return the configuration, which S3 replaces whole (API reference)."""
    name = f"event notifications of bucket {d.settings.bucket.name}"
    # A new policy of the queue or topic takes time to reach S3.
    return Shared(name, lambda: read(d), lambda c: _write(d, c), _is_validation)


def _write(d: Deployment, configuration: Configuration) -> None:
    """Write the whole configuration.

    S3 sends a test message to every destination. One of another owner that is gone
    would stop ours, so S3 then skips the test.
    """

    def put(skip: bool) -> None:
        d.home.s3.put_bucket_notification_configuration(
            **d.bucket,
            NotificationConfiguration=configuration,  # type: ignore[arg-type]
            SkipDestinationValidation=skip,
        )

    ours = {r.arn for r in rules(configuration) if _is_our_rule(d, r)}
    try:
        put(skip=not ours)
    except ClientError as error:
        dead = _refused_arns(error)
        if not _is_validation(error) or not dead or dead & ours:
            raise
        d.say(f"S3 cannot reach {', '.join(sorted(dead))}, which others notify")
        put(skip=True)


def _refused_arns(error: ClientError) -> set[str]:
    """Return the destinations that S3 could not reach."""
    details: dict[str, Any] = dict(error.response.get("Error", {}))
    return {
        str(value).split(",")[0]
        for key, value in details.items()
        if key.startswith("ArgumentName")
    }


def _edit(d: Deployment, change: Any) -> None:
    """Change the configuration.

    Raises:
        Blocked: S3 cannot reach our destination, or does not say which.
        ClientError: AWS answered with another error.
    """
    try:
        d.edit(_shared(d), change)
    except ClientError as error:
        if not _is_validation(error):
            raise
        arns = "".join(f"\n  {rule}" for rule in rules(change(read(d))))
        raise Blocked(
            f"bucket {d.settings.bucket.name}: S3 sent a test message to every "
            f"destination, and one refused it: {message_of(error)}\nOne of these "
            f"does not exist, or its policy does not allow s3.amazonaws.com; its "
            f"owner must correct that:{arns}"
        ) from error


def _is_validation(error: ClientError) -> bool:
    return code_of(error) == "InvalidArgument" and (
        "validate" in message_of(error).lower()
    )


def rules(configuration: Configuration) -> list[Rule]:
    """Return every queue, topic and function configuration."""
    return [_rule(kind, item) for kind in KINDS for item in configuration.get(kind, [])]


def _rule(kind: str, item: dict[str, Any]) -> Rule:
    filters = item.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    # AWS returns `Prefix` or `prefix`.
    named = {f["Name"].lower(): f.get("Value", "") for f in filters}
    return Rule(
        kind,
        item.get("Id", ""),
        item[KINDS[kind]],
        tuple(item["Events"]),
        named.get("prefix", ""),
        named.get("suffix", ""),
    )


def wanted_rule(d: Deployment, queue_arn: str = "") -> Rule:
    """Return the notification that sends every new log file to a queue."""
    return Rule(
        "QueueConfigurations",
        d.names.events,
        queue_arn,
        (CREATED,),
        d.place.logs_prefix,
        d.suffix,
    )


def _is_our_rule(d: Deployment, rule: Rule) -> bool:
    """Return whether a notification is ours, by its id; by an old id, of our prefix."""
    return rule.id == d.names.events or (
        rule.id == d.names.earlier_events and rule.prefix == d.place.logs_prefix
    )


def as_item(rule: Rule) -> dict[str, Any]:
    """Return the notification in the API's form."""
    return {
        "Id": rule.id,
        KINDS[rule.kind]: rule.arn,
        "Events": list(rule.events),
        "Filter": {
            "Key": {
                "FilterRules": [
                    {"Name": "prefix", "Value": rule.prefix},
                    {"Name": "suffix", "Value": rule.suffix},
                ]
            }
        },
    }


def with_ours(d: Deployment, configuration: Configuration, rule: Rule) -> Configuration:
    """Return the configuration with our notification, and all else unchanged."""
    ours = [found for found in rules(configuration) if _is_our_rule(d, found)]
    if ours == [rule]:
        return configuration
    merged = without_ours(d, configuration)
    merged[rule.kind] = [*merged.get(rule.kind, []), as_item(rule)]
    return merged


def without_ours(d: Deployment, configuration: Configuration) -> Configuration:
    """Return the configuration without our notification, all else unchanged."""
    left = dict(configuration)
    for kind in KINDS:
        items = [
            item
            for item in configuration.get(kind, [])
            if not _is_our_rule(d, _rule(kind, item))
        ]
        if items:
            left[kind] = items
        else:
            left.pop(kind, None)
    return left


def uses_of_others(d: Deployment) -> list[str]:
    """Return the bucket's notifications and rules of others, in words."""
    theirs = [rule for rule in rules(read(d)) if not _is_our_rule(d, rule)]
    found = [f"notification `{rule.id}` to {rule.arn}" for rule in theirs]
    return found + [f"EventBridge rule `{n}`" for n in _rules_of_others(d, named=True)]


# ----- the route


@dataclass(frozen=True)
class Route:
    """The route of events from S3 to the pipe.

    Args:
        kind: ``queue`` for the pipe's queue, ``topic`` for a topic of the bucket,
            ``eventbridge`` for our rule and topic, or ``none``.
        topic_arn: The topic that the pipe subscribes to, if there is one.
        reason: Why this route is chosen.
    """

    kind: Literal["queue", "topic", "eventbridge", "none"]
    topic_arn: str | None
    reason: str


def choose(d: Deployment, configuration: Configuration) -> Route:
    """Return the route that the settings and the bucket's notifications allow.

    Raises:
        Blocked: Another owner's notification overlaps with ours, and the settings allow
            no other route; the message names what its owner must change.
    """
    settings = d.settings.events
    if settings.route == "none":
        return Route("none", None, "events.route: none, so `notify` sends files")
    wanted = wanted_rule(d)
    others = [r for r in rules(configuration) if not _is_our_rule(d, r)]
    in_the_way = [rule for rule in others if rule.overlaps(wanted)]
    topics = [
        rule
        for rule in others
        if rule.kind == "TopicConfigurations" and rule.covers(wanted)
    ]
    if settings.route == "topic" or settings.topic_arn:
        return _named_topic(d, topics)
    if settings.route == "eventbridge":
        return _bridge(d, "events.route: eventbridge")
    if settings.route == "auto" and (read_rule(d) is not None):
        return _bridge(d, "our rule exists already")
    if not in_the_way:
        return Route("queue", None, "no other notification overlaps")
    named = "; ".join(str(rule) for rule in in_the_way)
    if settings.route == "auto" and topics:
        return Route("topic", topics[0].arn, f"the bucket already has {topics[0]}")
    if settings.route == "auto" and settings.on_conflict == "eventbridge":
        return _bridge(d, f"S3 refuses ours beside {named}")
    raise Blocked(
        f"bucket {d.settings.bucket.name} has {named}, which overlaps with "
        f"{', '.join(wanted.events)}, prefix `{wanted.prefix}`, suffix "
        f"`{wanted.suffix}`; S3 refuses both together. Its owner must give it a prefix "
        "or suffix that excludes these keys, or send it to a topic that the pipe can "
        "subscribe to. Or set events.route: auto and events.on_conflict: eventbridge"
    )


def _named_topic(d: Deployment, topics: list[Rule]) -> Route:
    named = d.settings.events.topic_arn
    for rule in topics:
        if named in (None, rule.arn):
            return Route("topic", rule.arn, f"the bucket has {rule}")
    wanted = wanted_rule(d)
    raise Blocked(
        f"bucket {d.settings.bucket.name} does not notify {named or 'any topic'} of "
        f"all of {', '.join(wanted.events)}, prefix `{wanted.prefix}`, suffix "
        f"`{wanted.suffix}`: the topic's owner must add that notification"
    )


def _bridge(d: Deployment, reason: str) -> Route:
    return Route("eventbridge", topic_arn(d), reason)


# ----- EventBridge: Snowflake, "Automating Snowpipe for Amazon S3", option 3


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
        mark: The owner's mark in its tags.
    """

    pattern: dict[str, Any]
    enabled: bool
    switched_on: bool
    targets: dict[str, str]
    mark: str | None


def bridge_name(d: Deployment) -> str:
    """Return the name of our rule and topic; those of earlier versions keep theirs."""
    names = d.names
    if "bridge" not in d.known:
        d.known["bridge"] = names.events
        if _describe(d, names.events) is None:
            earlier = _describe(d, names.earlier_events)
            if earlier is not None and _is_ours(d, earlier):
                d.known["bridge"] = names.earlier_events
    return str(d.known["bridge"])


def topic_arn(d: Deployment) -> str:
    """Return the ARN of our topic, which may not exist yet."""
    home = d.home
    return f"arn:{home.partition}:sns:{home.region}:{home.account_id}:{bridge_name(d)}"


def rule_arn(d: Deployment, name: str = "") -> str:
    """Return the ARN of our rule, which may not exist yet."""
    home, name = d.home, name or bridge_name(d)
    return f"arn:{home.partition}:events:{home.region}:{home.account_id}:rule/{name}"


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


def _describe(d: Deployment, name: str) -> BridgeRule | None:
    events = d.home.events
    found = unless("ResourceNotFoundException", lambda: events.describe_rule(Name=name))
    if found is None:
        return None
    arn = rule_arn(d, name)
    tags: Any = events.list_tags_for_resource(ResourceARN=arn)["Tags"]
    targets = events.list_targets_by_rule(Rule=name)["Targets"]
    return BridgeRule(
        json.loads(found.get("EventPattern") or "{}"),
        found.get("State") == "ENABLED",
        {"Key": EVENTBRIDGE_TAG, "Value": ADDED} in tags,
        {target["Id"]: target["Arn"] for target in targets},
        owner_of(tags),
    )


def _is_ours(d: Deployment, rule: BridgeRule) -> bool:
    return rule.mark == d.names.mark or (
        rule.mark == d.names.name and rule.pattern == pattern(d)
    )


def read_rule(d: Deployment, refuse_foreign: bool = True) -> BridgeRule | None:
    """Return our rule, or None.

    Args:
        d: The deployment.
        refuse_foreign: Whether another owner's rule of that name is an error.

    Raises:
        Blocked: Another owner's rule has the name.
    """
    name = bridge_name(d)
    found = _describe(d, name)
    if found is None or _is_ours(d, found):
        return found
    if not refuse_foreign:
        return None
    raise Blocked(
        f"EventBridge rule {name} in {d.home.account_id} {d.home.region} exists and "
        "was not made by this deployment: change `name`"
    )


def plan_rule(d: Deployment) -> list[Change]:
    """Compare our rule, its target and the bucket's EventBridge setting."""
    found, wanted, name = read_rule(d), pattern(d), bridge_name(d)
    configuration = read(d)
    is_on = EVENTBRIDGE in configuration
    changes = []
    if found is None or found.pattern != wanted or not found.enabled:
        arguments: dict[str, Any] = {}
        if found is None:
            # Written before EventBridge is turned on, so that `destroy` finds it after
            # any interruption.
            # The last of several deployments turns it off.
            was_on = is_on and not _switched_on_by_a_team(d)
            switch = {"Key": EVENTBRIDGE_TAG, "Value": FOUND if was_on else ADDED}
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
    if found is not None and found.mark != d.names.mark:
        changes.append(
            _tag_rule(d, d.names.tags({}), "this version's mark has bucket and prefix")
        )
    if found is not None and not is_on and not found.switched_on:
        changes.append(
            _tag_rule(
                d,
                [{"Key": EVENTBRIDGE_TAG, "Value": ADDED}],
                "its owner turned off EventBridge; this deployment turns it on, and "
                "off again",
            )
        )
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
        changes.append(
            Change(
                "update",
                f"event notifications of bucket {d.settings.bucket.name}",
                "turn on EventBridge; all notifications stay",
                configuration,
                _switched_on(configuration),
                lambda: _edit(d, _switched_on),
            )
        )
    return changes


def _switched_on(configuration: Configuration) -> Configuration:
    return {EVENTBRIDGE: {}, **configuration}


def _tag_rule(d: Deployment, tags: Any, reason: str) -> Change:
    return Change(
        "update",
        f"tag of EventBridge rule {bridge_name(d)}",
        reason,
        None,
        tags,
        lambda: d.home.events.tag_resource(ResourceARN=rule_arn(d), Tags=tags),
    )


def plan_switch_off(d: Deployment) -> list[Change]:
    """Remove our notification, and turn off EventBridge if we turned it on."""
    found = read_rule(d, refuse_foreign=False)
    switched_on = found is not None and found.switched_on
    others = _rules_of_others(d) if switched_on else []

    def change(configuration: Configuration) -> Configuration:
        left = without_ours(d, configuration)
        if switched_on and not others:
            left.pop(EVENTBRIDGE, None)
        return left

    configuration = read(d)
    left = change(configuration)
    changes = []
    if others and EVENTBRIDGE in left:
        reason = f"it stays on for these rules: {', '.join(others)}"
        resource = f"EventBridge of bucket {d.settings.bucket.name}"
        changes.append(Change("note", resource, reason))
    if left != configuration:
        changes.append(
            Change(
                "update",
                f"event notifications of bucket {d.settings.bucket.name}",
                "remove ours; all others stay",
                configuration,
                left,
                lambda: _edit(d, change),
            )
        )
    return changes


def _switched_on_by_a_team(d: Deployment) -> bool:
    """Return whether another deployment turned on EventBridge."""
    added = {"Key": EVENTBRIDGE_TAG, "Value": ADDED}
    return any(
        added
        in d.home.events.list_tags_for_resource(ResourceARN=rule_arn(d, n))["Tags"]
        for n in _rules_of_others(d, named=True)
    )


def _rules_of_others(d: Deployment, named: bool = False) -> list[str]:
    """Return other rules that match events of this bucket.

    Args:
        d: The deployment.
        named: Whether the rule must name the bucket.
    """
    found = []
    for page in d.home.events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            event = json.loads(rule.get("EventPattern") or "{}")
            buckets = event.get("detail", {}).get("bucket", {}).get("name")
            matches = "aws.s3" in event.get("source", []) and (
                (buckets is None and not named)
                or d.settings.bucket.name in (buckets or ())
            )
            if matches and rule["Name"] != bridge_name(d):
                found.append(rule["Name"])
    return sorted(found)


def plan_rule_removal(d: Deployment) -> list[Change]:
    """Delete the target and then the rule, the order that EventBridge requires."""
    found, name, events = read_rule(d, False), bridge_name(d), d.home.events
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
            f"EventBridge refused a target of rule {bridge_name(d)} in "
            f"{d.home.account_id} {d.home.region}: {answer['FailedEntries']}. Run the "
            "command again"
        )


# ----- the topic that the pipe subscribes to: ours, or another owner's


def read_topic_policy(d: Deployment, arn: str) -> str | None:
    """Return the text of a topic's policy, or None if there is no topic."""
    answer = unless(
        "NotFound NotFoundException",
        lambda: d.home.sns.get_topic_attributes(TopicArn=arn)["Attributes"],
    )
    if answer is None:
        return None
    return answer.get("Policy", '{"Version":"2012-10-17","Statement":[]}')


def _owner_of_topic(d: Deployment, arn: str) -> str | None:
    """Return the owner's mark of an existing topic."""
    return owner_of(d.home.sns.list_tags_for_resource(ResourceArn=arn).get("Tags"))


def _is_our_topic(d: Deployment, arn: str) -> bool:
    """Return whether an existing topic is ours; an earlier one keeps its name."""
    mark = _owner_of_topic(d, arn)
    return mark == d.names.mark or (
        mark == d.names.name and arn.endswith(f":{d.names.earlier_events}")
    )


def plan_topic(d: Deployment) -> list[Change]:
    """Compare the topic of the route, and its policy, with what the pipe needs.

    Raises:
        Blocked: Another owner's topic has our name, or the topic does not exist.
    """
    route = choose(d, read(d))
    if route.topic_arn is None:
        return []
    arn = route.topic_arn
    d.check_region(arn, "topic")
    wanted = wanted_statements(d, route)
    missing = []
    if not any(s["Action"] == "sns:Subscribe" for s in wanted):
        missing = [
            Change("wait", f"policy of topic {arn}", "Snowflake's user comes first")
        ]
    if part_of(arn, 4) != d.settings.bucket.account_id:
        reason = "in another account: its owner must merge these statements"
        return [
            Change("note", f"policy of topic {arn}", reason, None, wanted),
            *missing,
        ]
    text = read_topic_policy(d, arn)
    changes: list[Change] = []
    if text is None:
        if route.kind == "topic":
            raise Blocked(
                f"topic {arn} does not exist, although bucket "
                f"{d.settings.bucket.name} notifies it: its owner must create it, or "
                "remove the notification"
            )
        changes.append(_creation(d, wanted))
    else:
        if route.kind == "eventbridge" and not _is_our_topic(d, arn):
            raise Blocked(
                f"topic {arn} exists and was not made by this deployment: change `name`"
            )
        changes += _topic_change(d, arn, text, wanted)
        if route.kind == "eventbridge" and _owner_of_topic(d, arn) != d.names.mark:
            tags: Any = d.names.tags({})
            changes.append(
                Change(
                    "update",
                    f"tag of topic {arn}",
                    "this version's mark has bucket and prefix",
                    d.names.name,
                    d.names.mark,
                    lambda: d.home.sns.tag_resource(ResourceArn=arn, Tags=tags),
                )
            )
    if route.kind == "eventbridge":
        changes += plan_rule(d)
    return [*changes, *missing]


def wanted_statements(d: Deployment, route: Route) -> list[documents.Document]:
    """Return our statements for the topic's policy whose values are known."""
    assert route.topic_arn is not None
    found = []
    if route.kind == "eventbridge":
        found.append(topic_events_statement(d.names, route.topic_arn))
    integration = d.snowflake.integration()
    if integration is not None and integration.iam_user_arn:
        found.append(
            topic_snowflake_statement(
                d.names, route.topic_arn, integration.iam_user_arn
            )
        )
    return found


def _creation(d: Deployment, wanted: list[documents.Document]) -> Change:
    policy = {"Version": documents.VERSION, "Statement": wanted}
    tags: Any = d.names.tags(d.settings.tags)
    name = bridge_name(d)
    return Change(
        "create",
        f"topic {name}",
        "EventBridge publishes to it and the pipe subscribes",
        None,
        policy,
        lambda: d.retry(
            lambda: d.home.sns.create_topic(
                Name=name, Attributes={"Policy": dumps(policy)}, Tags=tags
            ),
            _principal_not_seen,
        ),
    )


def _topic_change(
    d: Deployment, arn: str, text: str, wanted: list[documents.Document]
) -> list[Change]:
    def change(text: str) -> str:
        current = json.loads(text)
        desired = documents.merge(_with_new_ids(d, current), wanted, d.names.sids)
        if documents.same(current, desired):
            return text
        return documents.render_like(text, desired)

    after = change(text)
    if after == text:
        return []
    shared = Shared(
        f"policy of topic {arn}",
        lambda: read_topic_policy(d, arn),
        lambda text: d.home.sns.set_topic_attributes(
            TopicArn=arn, AttributeName="Policy", AttributeValue=text
        ),
        _principal_not_seen,
    )
    return [
        Change(
            "update",
            shared.name,
            "Snowflake may subscribe; other statements stay unchanged"
            if wanted
            else "remove our statement; others stay unchanged",
            json.loads(text),
            json.loads(after),
            lambda: d.edit(shared, change),
        )
    ]


def _with_new_ids(d: Deployment, document: documents.Document) -> Any:
    """Return the policy with this version's statement ids, if the old ones are ours.

    They are, if the subscriber is Snowflake's user of our integration.
    """
    earlier = d.names.earlier_sids
    ours = next(i for i in earlier if i.endswith(TOPIC_SNOWFLAKE))
    integration = d.snowflake.integration()
    user = integration.iam_user_arn if integration else None
    is_ours = any(
        s.get("Sid") == ours and s.get("Principal") == {"AWS": user}
        for s in documents.statements(document)
    )
    return documents.with_ids(document, earlier) if is_ours else document


def _principal_not_seen(error: ClientError) -> bool:
    return code_of(error) == "InvalidParameter" and ("principal" in str(error).lower())


def plan_statement_removal(d: Deployment) -> list[Change]:
    """Remove our statement from the topics that the bucket notifies."""
    arns = {r.arn for r in rules(read(d)) if r.kind == "TopicConfigurations"}
    if d.settings.events.topic_arn:
        arns.add(d.settings.events.topic_arn)
    changes: list[Change] = []
    for arn in sorted(arns):
        if part_of(arn, 4) != d.settings.bucket.account_id:
            continue
        text = read_topic_policy(d, arn)
        if text is not None:
            changes += _topic_change(d, arn, text, [])
    return changes


def plan_topic_removal(d: Deployment) -> list[Change]:
    """Delete our own topic."""
    arn = topic_arn(d)
    if read_topic_policy(d, arn) is None or not _is_our_topic(d, arn):
        return []
    return [
        Change(
            "delete",
            f"topic {arn}",
            "this deployment made it; a pipe on it gets no more events, and for 72 "
            "hours no new pipe can use it",
            apply=lambda: d.home.sns.delete_topic(TopicArn=arn),
        )
    ]


# ----- the pipe's queue


def plan_notification(d: Deployment) -> list[Change]:
    """Compare the bucket's notification with the pipe's queue.

    Raises:
        BootstrapError: The queue is in another partition or region.
    """
    configuration = read(d)
    route = choose(d, configuration)
    resource = f"event notifications of bucket {d.settings.bucket.name}"

    def without(found: Configuration) -> Configuration:
        return without_ours(d, found)

    if route.kind != "queue":
        left = without(configuration)
        if left == configuration:
            return []
        return [
            Change(
                "update",
                resource,
                f"ours is not needed any more ({route.reason}); all others stay",
                configuration,
                left,
                lambda: _edit(d, without),
            )
        ]
    pipe = d.snowflake.pipe()
    channel = pipe.notification_channel if pipe else ""
    if not channel:
        return [Change("wait", resource, "the pipe's queue comes first")]
    if ":sqs:" not in channel:
        raise BootstrapError(
            f"the notification channel of pipe {pipe.name if pipe else ''} is a topic, "
            f"{channel}: set events.route: topic and events.topic_arn"
        )
    d.check_partition(channel, "the pipe's queue")
    d.check_region(channel, "the pipe's queue")
    wanted = wanted_rule(d, channel)

    def change(found: Configuration) -> Configuration:
        return with_ours(d, found, wanted)

    merged = change(configuration)
    if merged == configuration:
        return []
    return [
        Change(
            "update",
            resource,
            f"notify the pipe of new files; all others stay ({route.reason})",
            configuration,
            merged,
            lambda: _edit(d, change),
        )
    ]
