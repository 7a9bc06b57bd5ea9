"""How the pipe is notified of new files: notification, topic, EventBridge.

S3 refuses two notifications for one event type if a key can match both, so the route
follows from the bucket's other notifications.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from bootstrap import policies
from bootstrap.aws import Account
from bootstrap.changes import (
    NEW_MARK,
    Blocked,
    BootstrapError,
    Change,
    Shared,
    code_of,
    message_of,
    unless,
)
from bootstrap.description import Resource
from bootstrap.naming import (
    EVENTBRIDGE_TAG,
    TOPIC_SNOWFLAKE,
    Names,
    owner_of,
    part_of,
)

if TYPE_CHECKING:
    from bootstrap.settings import Settings

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


# ----- the route


@dataclass(frozen=True)
class Route:
    """The route of events from S3 to the pipe; `description` has its resources.

    Args:
        kind: ``queue`` for the pipe's queue, ``topic`` for a topic of the bucket,
            ``eventbridge`` for our rule and topic, or ``none``.
        topic_arn: The topic that the pipe subscribes to, if there is one.
        reason: Why this route is chosen.
    """

    kind: Literal["queue", "topic", "eventbridge", "none"]
    topic_arn: str | None
    reason: str


def find_route(aws: Account, s: Settings) -> Route:
    """Return the route that the settings and the bucket's notifications allow.

    Raises:
        Blocked: Another owner's notification overlaps with ours, and the settings allow
            no other route; the message names what its owner must change.
    """
    name, found = s.names.events, None
    if s.events.route in ("auto", "eventbridge"):
        name, found = bridge(aws, s.names)
    return choose(s, read(aws, s.s3), name, found is not None)


def choose(
    s: Settings, configuration: Configuration, name: str, bridged: bool
) -> Route:
    """Return the route; see `find_route`.

    Args:
        s: The settings.
        configuration: The bucket's notifications.
        name: The name of our EventBridge rule and topic.
        bridged: Whether the rule exists.
    """
    given = s.events
    if given.route == "none":
        return Route("none", None, "events.route: none, so `notify` sends files")
    wanted = Rule(
        "QueueConfigurations", "", "", (CREATED,), s.place.logs_prefix, s.suffix
    )
    others = [r for r in rules(configuration) if not _is_our_rule(s.names, r)]
    in_the_way = [rule for rule in others if rule.overlaps(wanted)]
    topics = [
        rule
        for rule in others
        if rule.kind == "TopicConfigurations" and rule.covers(wanted)
    ]
    files = f"{CREATED}, prefix `{wanted.prefix}`, suffix `{wanted.suffix}`"
    place = f"{s.bucket.region}:{s.bucket.account_id}"
    arn = f"arn:{s.partition}:sns:{place}:{name}"
    if given.route == "topic" or given.topic_arn:
        for rule in topics:
            if given.topic_arn in (None, rule.arn):
                return Route("topic", rule.arn, f"the bucket has {rule}")
        raise Blocked(
            f"bucket {s.bucket.name} does not notify {given.topic_arn or 'any topic'} "
            f"of all of {files}: the topic's owner must add that notification"
        )
    if given.route == "eventbridge":
        return Route("eventbridge", arn, "events.route: eventbridge")
    if bridged:
        return Route("eventbridge", arn, "our rule exists already")
    if not in_the_way:
        return Route("queue", None, "no other notification overlaps")
    named = "; ".join(str(rule) for rule in in_the_way)
    if given.route == "auto" and topics:
        return Route("topic", topics[0].arn, f"the bucket already has {topics[0]}")
    if given.route == "auto" and given.on_conflict == "eventbridge":
        return Route("eventbridge", arn, f"S3 refuses ours beside {named}")
    raise Blocked(
        f"bucket {s.bucket.name} has {named}, which overlaps with {files}; S3 refuses "
        "both together. Its owner must give it a prefix or suffix that excludes these "
        "keys, or send it to a topic that the pipe can subscribe to. Or set "
        "events.route: auto and events.on_conflict: eventbridge"
    )


# ----- the bucket's notifications


def read(aws: Account, where: dict[str, Any]) -> Configuration:
    """Return the bucket's whole configuration, without botocore's metadata."""
    answer: Any = unless(
        "NoSuchBucket 404",
        lambda: aws.s3.get_bucket_notification_configuration(**where),
    )
    return {k: v for k, v in (answer or {}).items() if k != "ResponseMetadata"}


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


def _is_our_rule(names: Names, rule: Rule) -> bool:
    """Return whether a notification is ours, by its id; by an old id, of our prefix."""
    return rule.id == names.events or (
        rule.id == names.earlier_events and rule.prefix == names.logs_prefix
    )


def compare_notification(aws: Account, wanted: Resource) -> list[Change]:
    """Compare the bucket's notification of the pipe's queue.

    Raises:
        BootstrapError: The queue is a topic, or in another partition or region.
    """
    item = wanted.content
    if item:
        channel = item["QueueArn"]
        if ":sqs:" not in channel:
            raise BootstrapError(
                f"the pipe's notification channel is a topic, {channel}: set "
                "events.route: topic and events.topic_arn"
            )
        check_place(aws, channel, "the pipe's queue", wanted)

    def edit(configuration: Configuration) -> Configuration:
        ours = [r for r in rules(configuration) if _is_our_rule(wanted.names, r)]
        kind = "QueueConfigurations"
        if ours == ([_rule(kind, item)] if item else []):
            return configuration
        left = dict(configuration)
        for each in KINDS:
            kept = [
                found
                for found in configuration.get(each, [])
                if not _is_our_rule(wanted.names, _rule(each, found))
            ]
            left.pop(each, None)
            left |= {each: kept} if kept else {}
        return {**left, kind: [*left.get(kind, []), item]} if item else left

    reason = f"notify {channel}, which the pipe reads" if item else "remove ours"
    return _edited(aws, wanted, edit, f"{reason}; all others stay")


def _edited(aws: Account, wanted: Resource, edit: Any, reason: str) -> list[Change]:
    """Return the change of the bucket's notifications, which S3 replaces whole."""
    where = wanted.s3

    def write(configuration: Configuration) -> None:
        """Write all of it.

        S3 sends a test message to every destination. One of another owner that is gone
        would stop ours, so S3 then skips the test.
        """

        def put(skip: bool) -> None:
            aws.s3.put_bucket_notification_configuration(
                **where,
                NotificationConfiguration=configuration,  # type: ignore[arg-type]
                SkipDestinationValidation=skip,
            )

        found = rules(configuration)
        ours = {r.arn for r in found if _is_our_rule(wanted.names, r)}
        try:
            put(skip=not ours)
        except ClientError as error:
            dead = _refused_arns(error)
            if not _is_validation(error) or not dead or dead & ours:
                raise
            put(skip=True)

    def refused(error: Exception) -> Exception:
        arns = "".join(f"\n  {rule}" for rule in rules(edit(read(aws, where))))
        said = message_of(error) if isinstance(error, ClientError) else error
        return Blocked(
            f"bucket {where['Bucket']}: S3 sent a test message to every destination, "
            f"and one refused it: {said}\nOne of these does not exist, or its policy "
            f"does not allow s3.amazonaws.com; its owner must correct that:{arns}"
        )

    name = f"event notifications of bucket {where['Bucket']}"
    # A new policy of the queue or topic takes time to reach S3.
    shared = Shared(name, lambda: read(aws, where), write, edit, _is_validation)
    return shared.changes(reason, refused=refused)


def _refused_arns(error: ClientError) -> set[str]:
    """Return the destinations that S3 could not reach."""
    details: dict[str, Any] = dict(error.response.get("Error", {}))
    return {
        str(value).split(",")[0]
        for key, value in details.items()
        if key.startswith("ArgumentName")
    }


def _is_validation(error: Exception) -> bool:
    return (
        isinstance(error, ClientError)
        and code_of(error) == "InvalidArgument"
        and "validate" in message_of(error).lower()
    )


def check_place(aws: Account, arn: str, what: str, wanted: Resource) -> None:
    """Check that a queue or topic is in the bucket's partition and region.

    S3 guide, "Supported event destinations".

    Raises:
        BootstrapError: It is not.
    """
    check_partition(aws, arn, what)
    if part_of(arn, 3) != wanted.region:
        raise BootstrapError(
            f"{what} {arn} is not in the region of bucket {wanted.names.bucket}, "
            f"{wanted.region}: S3 notifies destinations in its region only; use one "
            "there, or set events.route: none and schedule `notify`"
        )


def check_partition(aws: Account, arn: str, what: str) -> None:
    """Check that an ARN of Snowflake's is in the bucket's partition.

    Raises:
        BootstrapError: It is not; neither trust nor events cross partitions.
    """
    if part_of(arn, 1) != aws.partition:
        raise BootstrapError(
            f"{what} {arn} is in partition {part_of(arn, 1)}, the bucket in "
            f"{aws.partition}: use a Snowflake account in {aws.partition}"
        )


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

    def belongs_to(self, names: Names) -> bool:
        """Return whether it is ours; the mark of earlier versions has no prefix."""
        detail = self.pattern.get("detail", {})
        here = detail.get("bucket", {}).get("name") == [names.bucket]
        keys = [
            key.get("wildcard", "") for key in detail.get("object", {}).get("key", [])
        ]
        ours = here and any(key.startswith(f"{names.logs_prefix}*") for key in keys)
        return self.mark == names.mark or (self.mark == names.name and ours)


def bridge(
    aws: Account, names: Names, refuse_foreign: bool = True
) -> tuple[str, BridgeRule | None]:
    """Return the name of our rule and topic, and the rule, or None.

    Those of earlier versions keep their name.

    Args:
        aws: The bucket's account.
        names: Our names.
        refuse_foreign: Whether another owner's rule of that name is an error.

    Raises:
        Blocked: Another owner's rule has the name.
    """
    for name in (names.events, names.earlier_events):
        found = _describe(aws, name)
        if found is not None and found.belongs_to(names):
            return name, found
        if found is not None and name == names.events and refuse_foreign:
            raise _foreign(aws, name)
    return names.events, None


def _foreign(aws: Account, name: str) -> Blocked:
    return Blocked(
        f"EventBridge rule {name} in {aws.account_id} {aws.region} exists and was not "
        "made by this deployment: change `name`"
    )


def _describe(aws: Account, name: str) -> BridgeRule | None:
    found = unless(
        "ResourceNotFoundException", lambda: aws.events.describe_rule(Name=name)
    )
    if found is None:
        return None
    tags: Any = aws.events.list_tags_for_resource(ResourceARN=found["Arn"])["Tags"]
    targets = aws.events.list_targets_by_rule(Rule=name)["Targets"]
    return BridgeRule(
        json.loads(found.get("EventPattern") or "{}"),
        found.get("State") == "ENABLED",
        {"Key": EVENTBRIDGE_TAG, "Value": ADDED} in tags,
        {target["Id"]: target["Arn"] for target in targets},
        owner_of(tags),
    )


def compare_rule(aws: Account, wanted: Resource) -> Iterator[Change]:
    """Compare our rule and its target."""
    name, found = wanted.name, _describe(aws, wanted.name)
    ours = found is not None and found.belongs_to(wanted.names)
    if wanted.content is None:
        yield from _rule_removal(aws, wanted, found if ours else None)
        return
    if found is not None and not ours:
        raise _foreign(aws, name)
    pattern, arn = wanted.content["Pattern"], wanted.content["Target"]
    if found is None or found.pattern != pattern or not found.enabled:
        arguments: dict[str, Any] = {}
        if found is None:
            # Written before EventBridge is turned on, so that `destroy` finds it after
            # any interruption. The last of several deployments turns it off.
            is_on = EVENTBRIDGE in read(aws, wanted.s3)
            was_on = is_on and not _switched_on_by_a_team(aws, wanted.names)
            switch = {"Key": EVENTBRIDGE_TAG, "Value": FOUND if was_on else ADDED}
            arguments["Tags"] = [*wanted.content["Tags"], switch]
        yield Change(
            "update" if found else "create",
            wanted.label,
            "it publishes new log files to our topic",
            found and found.pattern,
            pattern,
            lambda: aws.events.put_rule(
                Name=name,
                EventPattern=policies.dumps(pattern),
                State="ENABLED",
                Description="New VPC Flow Log files, for Snowpipe.",
                **arguments,
            ),
        )
    if found is not None and found.mark != wanted.mark:
        yield _tag_rule(aws, name, wanted.names.tags({}), NEW_MARK)
    if found is None or found.targets.get(name) != arn:
        target: Any = [{"Id": name, "Arn": arn}]
        yield Change(
            "create",
            f"target of {wanted.label}",
            "the topic that the pipe subscribes to",
            None,
            arn,
            lambda: _check_entries(
                aws, name, aws.events.put_targets(Rule=name, Targets=target)
            ),
        )


def _rule_removal(
    aws: Account, wanted: Resource, found: BridgeRule | None
) -> Iterator[Change]:
    """Delete the target and then the rule, the order that EventBridge requires."""
    name = wanted.name
    if found is not None and found.targets:
        ids = list(found.targets)
        yield Change(
            "delete",
            f"target of {wanted.label}",
            "EventBridge refuses to delete a rule with targets",
            found.targets,
            None,
            lambda: _check_entries(
                aws, name, aws.events.remove_targets(Rule=name, Ids=ids)
            ),
        )
    if found is not None:
        yield Change(
            "delete",
            wanted.label,
            "this deployment made it",
            found.pattern,
            None,
            lambda: aws.events.delete_rule(Name=name),
        )


def _check_entries(aws: Account, name: str, answer: Any) -> None:
    """Raise the errors in an answer with status 200."""
    if answer.get("FailedEntryCount"):
        raise BootstrapError(
            f"EventBridge refused a target of rule {name} in {aws.account_id} "
            f"{aws.region}: {answer['FailedEntries']}. Run the command again"
        )


def _tag_rule(aws: Account, name: str, tags: Any, reason: str) -> Change:
    def tag() -> None:
        arn = aws.events.describe_rule(Name=name)["Arn"]
        aws.events.tag_resource(ResourceARN=arn, Tags=tags)

    return Change("update", f"tag of EventBridge rule {name}", reason, None, tags, tag)


def compare_switch(aws: Account, wanted: Resource) -> Iterator[Change]:
    """Turn on EventBridge for the bucket, or turn it off if we turned it on."""
    is_on = EVENTBRIDGE in read(aws, wanted.s3)
    if wanted.content is None and not is_on:
        return
    name, found = bridge(aws, wanted.names, refuse_foreign=False)
    if wanted.content is not None:
        if not is_on and found is not None and not found.switched_on:
            yield _tag_rule(
                aws,
                name,
                [{"Key": EVENTBRIDGE_TAG, "Value": ADDED}],
                "its owner turned off EventBridge; this deployment turns it on, and "
                "off again",
            )
        yield from _edited(
            aws,
            wanted,
            lambda found: found if EVENTBRIDGE in found else {EVENTBRIDGE: {}, **found},
            "turn on EventBridge; all notifications stay",
        )
        return
    if found is None or not found.switched_on:
        return
    others = _rules_of_others(aws, wanted.names)
    if others:
        reason = f"it stays on for these rules: {', '.join(others)}"
        yield Change("note", wanted.label, reason)
        return
    yield from _edited(
        aws,
        wanted,
        lambda found: {k: v for k, v in found.items() if k != EVENTBRIDGE},
        "turn off EventBridge, which this deployment turned on; all others stay",
    )


def uses_of_others(aws: Account, wanted: Resource) -> list[str]:
    """Return the bucket's notifications and rules of others, in words."""
    found = rules(read(aws, wanted.s3))
    theirs = [rule for rule in found if not _is_our_rule(wanted.names, rule)]
    named = _rules_of_others(aws, wanted.names, named=True)
    return [
        *(f"notification `{rule.id}` to {rule.arn}" for rule in theirs),
        *(f"EventBridge rule `{name}`" for name in named),
    ]


def _switched_on_by_a_team(aws: Account, names: Names) -> bool:
    """Return whether another deployment turned on EventBridge."""
    found = (_describe(aws, name) for name in _rules_of_others(aws, names, named=True))
    return any(rule.switched_on for rule in found if rule)


def _rules_of_others(aws: Account, names: Names, named: bool = False) -> list[str]:
    """Return other rules that match events of this bucket.

    Args:
        aws: The bucket's account.
        names: Our names.
        named: Whether the rule must name the bucket.
    """
    found = []
    for page in aws.events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            event = json.loads(rule.get("EventPattern") or "{}")
            buckets = event.get("detail", {}).get("bucket", {}).get("name")
            matches = "aws.s3" in event.get("source", []) and (
                (buckets is None and not named) or names.bucket in (buckets or ())
            )
            found += [rule["Name"]] if matches else []
    ours = bridge(aws, names, refuse_foreign=False)[0] if found else ""
    return sorted(name for name in found if name != ours)


# ----- the topic that the pipe subscribes to: ours, or another owner's


def _read_policy(aws: Account, arn: str) -> str | None:
    """Return the text of a topic's policy, or None if there is no topic."""
    answer = unless(
        "NotFound NotFoundException",
        lambda: aws.sns.get_topic_attributes(TopicArn=arn)["Attributes"],
    )
    if answer is None:
        return None
    return answer.get("Policy", '{"Version":"2012-10-17","Statement":[]}')


def compare_topic(aws: Account, wanted: Resource) -> Iterator[Change]:
    """Compare our own topic; an earlier version's keeps its name.

    Raises:
        Blocked: Another owner's topic has our name.
    """
    name, names = wanted.name, wanted.names
    arn = f"arn:{aws.partition}:sns:{wanted.region}:{wanted.account}:{name}"
    is_there, mark = _read_policy(aws, arn) is not None, None
    if is_there:
        mark = owner_of(aws.sns.list_tags_for_resource(ResourceArn=arn).get("Tags"))
    ours = mark == names.mark or (mark == names.name and name == names.earlier_events)
    if wanted.content is None:
        if ours:
            yield Change(
                "delete",
                f"topic {arn}",
                "this deployment made it; a pipe on it gets no more events, and for 72 "
                "hours no new pipe can use it",
                apply=lambda: aws.sns.delete_topic(TopicArn=arn),
            )
        return
    if not is_there:
        policy, tags = wanted.content["Policy"], wanted.content["Tags"]
        yield Change(
            "create",
            wanted.label,
            "EventBridge publishes to it and the pipe subscribes",
            None,
            policy,
            lambda: aws.sns.create_topic(
                Name=name, Attributes={"Policy": policies.dumps(policy)}, Tags=tags
            ),
            temporary=_principal_not_seen,
        )
    elif not ours:
        raise Blocked(
            f"topic {arn} exists and was not made by this deployment: change `name`"
        )
    elif mark != names.mark:
        new: Any = names.tags({})
        yield Change(
            "update",
            f"tag of topic {arn}",
            NEW_MARK,
            mark,
            names.mark,
            lambda: aws.sns.tag_resource(ResourceArn=arn, Tags=new),
        )


def compare_topic_policy(aws: Account, wanted: Resource) -> list[Change]:
    """Compare a topic's policy with the same policy plus our statements.

    Raises:
        Blocked: The topic does not exist, or is in another region.
    """
    arn, ours = wanted.name, wanted.content or []
    if part_of(arn, 4) != wanted.account:
        reason = "in another account: its owner must merge these statements"
        return [Change("note", wanted.label, reason, None, ours)] if ours else []
    if ours:
        check_place(aws, arn, "topic", wanted)
    if _read_policy(aws, arn) is None:
        if wanted.ours or wanted.content is None:
            return []
        raise Blocked(
            f"topic {arn} does not exist, although bucket {wanted.names.bucket} "
            "notifies it: its owner must create it, or remove the notification"
        )
    user = next((s["Principal"] for s in ours if s["Action"] == "sns:Subscribe"), None)

    def is_earlier(statement: policies.Document) -> bool:
        # Ours, if the subscriber is Snowflake's user of our integration.
        is_reader = str(statement["Sid"]).endswith(TOPIC_SNOWFLAKE)
        return is_reader and statement.get("Principal") == user

    def edit(text: str) -> str:
        found = policies.edited(text, ours, wanted.names, is_earlier)
        # Each topic has a policy, which may be empty.
        return found or policies.render_like(
            text, {**json.loads(text), "Statement": []}
        )

    shared = Shared(
        wanted.label,
        lambda: _read_policy(aws, arn),
        lambda text: aws.sns.set_topic_attributes(
            TopicArn=arn, AttributeName="Policy", AttributeValue=text
        ),
        edit,
        _principal_not_seen,
        json.loads,
    )
    return shared.changes(
        "Snowflake may subscribe; other statements stay unchanged"
        if ours
        else "remove our statement; others stay unchanged"
    )


def _principal_not_seen(error: Exception) -> bool:
    return (
        isinstance(error, ClientError)
        and code_of(error) == "InvalidParameter"
        and "principal" in str(error).lower()
    )
