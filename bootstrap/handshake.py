"""The steps that depend on Snowflake, in their order, and the text for two people."""

from __future__ import annotations

from bootstrap import notifications, role, routes
from bootstrap.changes import Change
from bootstrap.deployment import Deployment, dumps
from bootstrap.errors import BootstrapError
from bootstrap.snowflake_side import (
    AUTO_INGEST_VARIABLE,
    DESCRIBE_INTEGRATION,
    DESCRIBE_PIPE,
    INTEGRATION_VARIABLE,
    ROLE_VARIABLE,
    SET_UP,
    STAGE,
    TOPIC_VARIABLE,
)


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
    resource = "landing table and pipe"
    pipe = d.snowflake.pipe()
    route = routes.choose(d, notifications.read(d))
    if pipe is None:
        if d.snowflake.by_hand:
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


def hand_over(d: Deployment) -> str:
    """Return what the Snowflake administrator must run now; empty if nothing.

    It shows an external id only if one was chosen in the settings: Snowflake's
    CREATE STORAGE INTEGRATION accepts it, and otherwise makes one.
    """
    if not d.snowflake.by_hand:
        return ""
    given = d.settings.snowflake
    integration, pipe = d.snowflake.integration(), d.snowflake.pipe()
    if integration is None or not integration.is_known:
        return _first_text(d)
    route = routes.choose(d, notifications.read(d))
    if pipe is not None or route.kind == "none":
        return ""
    variables = dumps({AUTO_INGEST_VARIABLE: True, **_topic_variable(route.topic_arn)})
    return (
        "For the Snowflake administrator, now that the role trusts Snowflake:\n\n"
        f"  dbt run-operation {STAGE} --vars '{variables}' --target "
        f"{given.dbt.target}\n"
        f"  dbt --quiet run-operation {DESCRIBE_PIPE} --target {given.dbt.target}\n\n"
        "Send back notification_channel; it goes into bootstrap.yml as\n"
        "snowflake.notification_channel. Then run `apply` again.\n"
    )


def closing_words(d: Deployment) -> str:
    """Return what is left to do once, after events began to flow.

    S3 needs about five minutes to send by a new notification, and no event tells of
    files that came before it: Snowflake, "Managing Snowpipe", loading historic data.
    """
    target = d.settings.snowflake.dbt.target
    return (
        "Events flow in about five minutes. Once the first file was announced, and "
        "within seven\ndays, stage once more: it refreshes the pipe, so that files "
        "delivered in between are\nloaded too.\n\n"
        f"  dbt run-operation {STAGE} --target {target}\n\n"
        "`python -m bootstrap verify` checks the whole way, and the answers come from\n"
        f"`dbt build --target {target}`.\n"
    )


def _topic_variable(topic_arn: str | None) -> dict[str, str]:
    return {TOPIC_VARIABLE: topic_arn} if topic_arn else {}


def _first_text(d: Deployment) -> str:
    given = d.settings.snowflake
    provider = d.place.location.partition("://")[0].upper()
    arguments = dumps({"role_arn": d.role_arn, "locations": [d.place.location]})
    variables = dumps(
        {
            INTEGRATION_VARIABLE: given.integration,
            ROLE_VARIABLE: given.setup_role or "<the role that sets up>",
        }
    )
    chosen = ""
    if given.external_id:
        literal = given.external_id.replace("'", "''")
        chosen = f"\n    storage_aws_external_id = '{literal}'"
    through_dbt = (
        "with this project and a profile:\n\n"
        f"  dbt run-operation {SET_UP} --vars '{variables}' --args '{arguments}' "
        f"--target {given.dbt.target}\n"
        f"  dbt --quiet run-operation {DESCRIBE_INTEGRATION} --vars '{variables}' "
        f"--target {given.dbt.target}\n\n"
        "or, "
    )
    # The run-operation takes the external id that Snowflake makes.
    way = "" if chosen else through_dbt
    return (
        f"For the Snowflake administrator, {way}in a worksheet (never `create or "
        "replace`: it breaks every stage):\n\n"
        f"  create storage integration if not exists {given.integration}\n"
        "    type = external_stage\n"
        f"    storage_provider = '{provider}'\n"
        "    enabled = true\n"
        f"    storage_aws_role_arn = '{d.role_arn}'{chosen}\n"
        f"    storage_allowed_locations = ('{d.place.location}');\n"
        f"  desc integration {given.integration};\n\n"
        "Send back STORAGE_AWS_IAM_USER_ARN and STORAGE_AWS_EXTERNAL_ID; they go into\n"
        "bootstrap.yml as snowflake.iam_user_arn and snowflake.external_id, or into\n"
        "the environment. Then run `apply` again.\n"
    )


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
