"""What `apply` says at its end: for the other administrator, or about what is left."""

from __future__ import annotations

from bootstrap import notifications, routes
from bootstrap.deployment import Deployment, dumps
from bootstrap.through_dbt import (
    AUTO_INGEST_VARIABLE,
    DESCRIBE_INTEGRATION,
    DESCRIBE_PIPE,
    INTEGRATION_VARIABLE,
    ROLE_VARIABLE,
    SET_UP,
    STAGE,
    TOPIC_VARIABLE,
)

SCHEDULE = "No event reaches the pipe: schedule `python -m bootstrap notify`"


def hand_over(d: Deployment) -> str:
    """Return what the Snowflake administrator must run now; empty if nothing.

    It shows an external id only if one was chosen in the settings: Snowflake's
    CREATE STORAGE INTEGRATION accepts it, and otherwise makes one.
    """
    if not d.snowflake.by_hand:
        return ""
    integration, pipe = d.snowflake.integration(), d.snowflake.pipe()
    if integration is None or not integration.is_known:
        return _for_the_integration(d)
    route = routes.choose(d, notifications.read(d))
    if pipe is not None:
        return ""
    more = {TOPIC_VARIABLE: route.topic_arn} if route.topic_arn else {}
    text = (
        "For the Snowflake administrator, now that the role trusts Snowflake:\n\n"
        f"{_command(d, STAGE, **more)}"
    )
    if route.kind == "none":
        return f"{text}\nOnce that is done: {SCHEDULE}.\n"
    return (
        f"{text}{_command(d, DESCRIBE_PIPE)}\n"
        "Send back notification_channel; it goes into bootstrap.yml as\n"
        "snowflake.notification_channel. Then run `apply` again.\n"
    )


def closing_words(d: Deployment) -> str:
    """Return what is left to do once, after events began to flow.

    S3 needs about five minutes to send by a new notification, and no event tells of
    files that came before it: Snowflake, "Managing Snowpipe", loading historic data.
    """
    target = d.settings.snowflake.dbt.target
    if d.settings.events.route == "none":
        return f"{SCHEDULE}, and `dbt build --target {target}` after it.\n"
    return (
        "Events flow in about five minutes. Once the first file was announced, and "
        "within seven\ndays, stage once more: it refreshes the pipe, so that files "
        "delivered in between are\nloaded too.\n\n"
        f"  dbt run-operation {STAGE} --target {target}\n\n"
        "`python -m bootstrap verify` checks the whole way, and the answers come from\n"
        f"`dbt build --target {target}`.\n"
    )


def _command(
    d: Deployment, operation: str, arguments: object = None, **variables: str
) -> str:
    """Return a line to run; it names the role that sets up, which is never guessed."""
    given = d.settings.snowflake
    named = {
        INTEGRATION_VARIABLE: given.integration,
        ROLE_VARIABLE: given.setup_role or "<the role that sets up>",
        AUTO_INGEST_VARIABLE: d.settings.events.route != "none",
        **variables,
    }
    quiet = "--quiet " if operation.startswith("describe") else ""
    with_arguments = f" --args '{dumps(arguments)}'" if arguments else ""
    return (
        f"  dbt {quiet}run-operation {operation} --vars '{dumps(named)}'"
        f"{with_arguments} --target {given.dbt.target}\n"
    )


def _for_the_integration(d: Deployment) -> str:
    given, location = d.settings.snowflake, d.place.location
    arguments = {"role_arn": d.role_arn, "locations": [location]}
    chosen = ""
    if given.external_id:
        literal = given.external_id.replace("'", "''")
        chosen = f"\n    storage_aws_external_id = '{literal}'"
    # The run-operation takes the external id that Snowflake makes; an integration
    # that fits, it leaves as it is.
    when = "beforehand, to set this external id:" if chosen else "if SQL is preferred:"
    return (
        "For the Snowflake administrator, with this project and a profile:\n\n"
        f"{_command(d, SET_UP, arguments)}"
        f"{_command(d, DESCRIBE_INTEGRATION)}\n"
        "The first makes all that is missing. The integration alone can be made in a\n"
        f"worksheet {when} (never `create or replace`, which breaks every stage)\n\n"
        f"  create storage integration if not exists {given.integration}\n"
        "    type = external_stage\n"
        f"    storage_provider = '{location.partition('://')[0].upper()}'\n"
        "    enabled = true\n"
        f"    storage_aws_role_arn = '{d.role_arn}'{chosen}\n"
        f"    storage_allowed_locations = ('{location}');\n"
        f"  desc integration {given.integration};\n\n"
        "Send back STORAGE_AWS_IAM_USER_ARN and STORAGE_AWS_EXTERNAL_ID; they go into\n"
        "bootstrap.yml as snowflake.iam_user_arn and snowflake.external_id, or into\n"
        "the environment. Then run `apply` again.\n"
    )
