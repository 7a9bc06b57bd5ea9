"""The steps that depend on Snowflake, in their order."""

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
        BootstrapError: Snowflake's account cannot use this bucket, or dbt failed.
    """
    d.check_snowflake_region()
    resource = f"storage integration {d.settings.snowflake.integration}"
    found = d.snowflake.integration()
    if d.snowflake.by_hand:
        if found is not None and found.is_known:
            return []
        reason = "its administrator runs what `apply` prints and sends two values back"
        return [Change("wait", resource, reason)]
    wanted = {"role_arn": d.role_arn, "locations": [d.place.location]}
    current = None
    if found is not None:
        current = {"role_arn": found.role_arn, "locations": list(found.locations)}
        fits = found.role_arn == d.role_arn and d.place.location in found.locations
        # Before there is a pipe, set-up may have stopped after the integration.
        if fits and found.enabled and d.snowflake.pipe() is not None:
            return []
    locations = [*(found.locations if found else ())]
    if d.place.location not in locations:
        locations.append(d.place.location)
    return [
        Change(
            "run",
            resource,
            f"dbt run-operation {SET_UP} makes what is missing of warehouse, database, "
            "integration, stage, roles and service user; nothing is replaced",
            current,
            wanted,
            lambda: d.snowflake.set_up(d.role_arn, locations, d.place.location),
        )
    ]


def plan_pipe(d: Deployment) -> list[Change]:
    """Compare the pipe with the route of events.

    Raises:
        BootstrapError: The pipe listens to another topic and must be made anew.
    """
    resource = PIPE
    pipe = d.snowflake.pipe()
    route = routes.choose(d, notifications.read(d))
    if pipe is None:
        if d.snowflake.by_hand:
            if route.kind == "none":
                who = "its administrator stages once; no event will reach the pipe"
                return [Change("note", resource, who)]
            who = "its administrator stages, and sends the notification channel back"
            return [Change("wait", resource, who)]
        if role.plan_trust(d):
            return [Change("wait", resource, "the role must trust Snowflake first")]
        return [
            Change(
                "run",
                resource,
                f"dbt run-operation {STAGE}, which loads what is there already",
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
            f"pipe {pipe.name} listens to {channel}, the files are announced on "
            f"{route.topic_arn}: pause it, recreate it on that topic, see "
            "SYSTEM$CONVERT_PIPES_SQS_TO_SNS"
        )
    return []


def plan_notification(d: Deployment) -> list[Change]:
    """Compare the bucket's notification with the pipe's queue.

    Raises:
        BootstrapError: The queue lies in another partition or region.
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
        return [Change("wait", resource, "the pipe's queue is not known yet")]
    if ":sqs:" not in channel:
        raise BootstrapError(
            f"the pipe's notification channel {channel} is no queue: a pipe on a topic "
            "needs events.route: topic and events.topic_arn"
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
            f"the pipe hears of new files; all others stay ({route.reason})",
            configuration,
            merged,
            lambda: notifications.write(d, merged),
        )
    ]


def _stage(d: Deployment, route: routes.Route) -> None:
    """Stage, and try again while the new trust is not seen everywhere.

    Snowflake keeps credentials of AssumeRole for up to 60 minutes, and IAM needs
    seconds to minutes.
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
            d.say(f"Snowflake cannot assume the role yet; again in {pause:.0f} s")
            d.sleep(pause)
            waited += pause
            pause = min(pause * 2, 60.0)
