"""The steps that depend on Snowflake, in order."""

from __future__ import annotations

from bootstrap import notifications, role, routes
from bootstrap.changes import Change
from bootstrap.deployment import Deployment
from bootstrap.errors import BootstrapError
from bootstrap.through_dbt import (
    AUTO_INGEST_VARIABLE,
    SET_UP,
    STAGE,
    TOPIC_VARIABLE,
)

PIPE = "landing table and pipe"


def plan_integration(d: Deployment) -> list[Change]:
    """Compare the storage integration with the role and the location.

    Raises:
        BootstrapError: The Snowflake account cannot read this bucket, or dbt failed.
    """
    d.check_snowflake_region()
    resource = f"storage integration {d.settings.snowflake.integration}"
    found = d.snowflake.integration()
    if d.snowflake.by_hand:
        if found is not None and found.is_known:
            return []
        reason = "Snowflake's administrator runs what `apply` prints"
        return [Change("wait", resource, reason)]
    wanted = {"role_arn": d.role_arn, "locations": [d.place.location]}
    current = None
    if found is not None:
        current = {"role_arn": found.role_arn, "locations": list(found.locations)}
        fits = found.role_arn == d.role_arn and d.place.location in found.locations
        # Without a pipe, set-up may have stopped after the integration.
        if fits and found.enabled and d.snowflake.pipe() is not None:
            return []
    locations = [*(found.locations if found else ())]
    if d.place.location not in locations:
        locations.append(d.place.location)
    return [
        Change(
            "run",
            resource,
            f"dbt run-operation {SET_UP} creates warehouse, database, integration, "
            "stage, roles and service user, if missing; it replaces nothing",
            current,
            wanted,
            lambda: d.snowflake.set_up(d.role_arn, locations, d.place.location),
        )
    ]


def plan_pipe(d: Deployment) -> list[Change]:
    """Compare the pipe with the route of events.

    Raises:
        BootstrapError: The pipe subscribes to another topic.
    """
    resource = PIPE
    pipe = d.snowflake.pipe()
    route = routes.choose(d, notifications.read(d))
    if pipe is None:
        if d.snowflake.by_hand:
            if route.kind == "none":
                who = "Snowflake's administrator stages once; no event reaches the pipe"
                return [Change("note", resource, who)]
            who = "Snowflake's administrator stages, and returns the channel"
            return [Change("wait", resource, who)]
        if role.plan_trust(d):
            return [Change("wait", resource, "the role's trust comes first")]
        return [
            Change(
                "run",
                resource,
                f"dbt run-operation {STAGE} creates them and loads files that exist",
                None,
                {
                    TOPIC_VARIABLE: route.topic_arn,
                    AUTO_INGEST_VARIABLE: route.kind != "none",
                },
                lambda: _stage(d, route),
            )
        ]
    channel = pipe.notification_channel
    if route.topic_arn and ":sns:" in channel and channel != route.topic_arn:
        raise BootstrapError(
            f"pipe {pipe.name} subscribes to {channel}, and the events go to "
            f"{route.topic_arn}: pause the pipe and recreate it on that topic, see "
            "SYSTEM$CONVERT_PIPES_SQS_TO_SNS"
        )
    return []


def plan_notification(d: Deployment) -> list[Change]:
    """Compare the bucket's notification with the pipe's queue.

    Raises:
        BootstrapError: The queue is in another partition or region.
    """
    configuration = notifications.read(d)
    route = routes.choose(d, configuration)
    resource = f"event notifications of bucket {d.settings.bucket.name}"
    if route.kind != "queue":
        left = notifications.without_ours(configuration, d.names.notification)
        if left == configuration:
            return []
        return [
            Change(
                "update",
                resource,
                f"ours is not needed any more ({route.reason}); all others stay",
                configuration,
                left,
                lambda: notifications.write(d, left),
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
    wanted = notifications.wanted_rule(d, channel)
    if wanted in notifications.rules(configuration):
        return []
    merged = notifications.with_ours(configuration, wanted)
    return [
        Change(
            "update",
            resource,
            f"notify the pipe of new files; all others stay ({route.reason})",
            configuration,
            merged,
            lambda: notifications.write(d, merged),
        )
    ]


def _stage(d: Deployment, route: routes.Route) -> None:
    """Stage, and repeat it until Snowflake can assume the role.

    IAM needs seconds to minutes for a new trust, and Snowflake keeps credentials for
    up to 60 minutes.
    """
    waited, pause = 0.0, 5.0
    while True:
        try:
            d.snowflake.stage(route.topic_arn, route.kind != "none")
            return
        except BootstrapError as error:
            transient = (
                "assum" in str(error).lower() or "access denied" in str(error).lower()
            )
            if not transient or waited >= d.settings.wait_seconds:
                raise
            d.say(f"Snowflake cannot assume the role yet; retry in {pause:.0f} s")
            d.sleep(pause)
            waited += pause
            pause = min(pause * 2, 60.0)
