"""How the pipe is notified of files, given the bucket's other notifications."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bootstrap import eventbridge, notifications
from bootstrap.deployment import Deployment
from bootstrap.errors import Blocked


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


def choose(d: Deployment, configuration: notifications.Configuration) -> Route:
    """Return the route that the settings and the bucket's notifications allow.

    Raises:
        Blocked: Another owner's notification overlaps with ours, and the settings allow
            no other route; the message names what its owner must change.
    """
    settings = d.settings.events
    if settings.route == "none":
        return Route("none", None, "events.route: none, so `notify` sends files")
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


def _named_topic(d: Deployment, topics: list[notifications.Rule]) -> Route:
    named = d.settings.events.topic_arn
    for rule in topics:
        if named in (None, rule.arn):
            return Route("topic", rule.arn, f"the bucket has {rule}")
    wanted = notifications.wanted_rule(d)
    raise Blocked(
        f"bucket {d.settings.bucket.name} does not notify {named or 'any topic'} of "
        f"all of {', '.join(wanted.events)}, prefix `{wanted.prefix}`, suffix "
        f"`{wanted.suffix}`: the topic's owner must add that notification"
    )


def _bridge(d: Deployment, reason: str) -> Route:
    return Route("eventbridge", eventbridge.topic_arn(d), reason)
