"""How the pipe will hear of files: decided by what the bucket already has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bootstrap import eventbridge, notifications
from bootstrap.deployment import Deployment
from bootstrap.errors import Blocked


@dataclass(frozen=True)
class Route:
    """The way from S3 to the pipe.

    Args:
        kind: ``queue`` straight to the pipe's queue, ``topic`` through somebody's
            topic, ``eventbridge`` through a rule and a topic of ours, or ``none``.
        topic_arn: The topic the pipe subscribes to, for the two in the middle.
        reason: Why this one.
    """

    kind: Literal["queue", "topic", "eventbridge", "none"]
    topic_arn: str | None
    reason: str


def choose(d: Deployment, configuration: notifications.Configuration) -> Route:
    """Return the route, from the settings or from what is in the way.

    Raises:
        Blocked: A configuration of somebody else's overlaps and the settings leave no
            other way; the message says what its owner must change.
    """
    settings = d.settings.events
    if settings.route == "none":
        return Route("none", None, "events.route: none; `notify` hands files over")
    wanted = notifications.wanted_rule(d)
    others = [r for r in notifications.rules(configuration) if r.id != wanted.id]
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
    if settings.route == "auto" and eventbridge.read_rule(d) is not None:
        return _bridge(d, "the rule is there already")
    if not in_the_way:
        return Route("queue", None, "nothing of the bucket's is in the way")
    named = "; ".join(str(rule) for rule in in_the_way)
    if settings.route == "auto" and topics:
        return Route("topic", topics[0].arn, f"the bucket already has {topics[0]}")
    if settings.route == "auto" and settings.on_conflict == "eventbridge":
        return _bridge(d, f"S3 would refuse ours beside {named}")
    raise Blocked(
        f"bucket {d.settings.bucket.name} has {named}, which overlaps with "
        f"{', '.join(wanted.events)}, prefix `{wanted.prefix}`, suffix "
        f"`{wanted.suffix}`; S3 refuses both together. Its owner must give it a prefix "
        "or suffix that leaves these keys out, or send it to a topic that the pipe can "
        "subscribe to; or set events.on_conflict: eventbridge"
    )


def _named_topic(d: Deployment, topics: list[notifications.Rule]) -> Route:
    named = d.settings.events.topic_arn
    for rule in topics:
        if named in (None, rule.arn):
            return Route("topic", rule.arn, f"the bucket has {rule}")
    wanted = notifications.wanted_rule(d)
    raise Blocked(
        f"bucket {d.settings.bucket.name} tells {named or 'no topic'} not of all of "
        f"{', '.join(wanted.events)}, prefix `{wanted.prefix}`, suffix "
        f"`{wanted.suffix}`: the topic's owner must add that notification"
    )


def _bridge(d: Deployment, reason: str) -> Route:
    return Route("eventbridge", eventbridge.topic_arn(d), reason)
