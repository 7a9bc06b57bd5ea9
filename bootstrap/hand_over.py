"""The end of `apply`'s output: statements for Snowflake, or what is left to do."""

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
    """Return what the Snowflake administrator must run now, or an empty text.

    It shows an external id only if the settings have one, for CREATE STORAGE
    INTEGRATION. Otherwise Snowflake generates it.
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
        "The role trusts Snowflake. The Snowflake administrator runs:\n\n"
        f"{_command(d, STAGE, **more)}"
    )
    if route.kind == "none":
        return f"{text}\nAfterwards: {SCHEDULE}.\n"
    return (
        f"{text}{_command(d, DESCRIBE_PIPE)}\n"
        "Set snowflake.notification_channel in bootstrap.yml to the "
        "notification_channel\nthat the second command prints, and run `apply` again.\n"
    )


def closing_words(d: Deployment) -> str:
    """Return the one step that is left after events reach the pipe.

    A new notification takes about five minutes to work, and there is no event for
    earlier files (Snowflake, "Managing Snowpipe", loading historic data).
    """
    target = d.settings.snowflake.dbt.target
    if d.settings.events.route == "none":
        return f"{SCHEDULE}, and `dbt build --target {target}` after it.\n"
    return (
        "Events reach the pipe in about five minutes. After the first one, and within "
        "seven\ndays, stage again: it refreshes the pipe, which loads the files from "
        "before.\n\n"
        f"  dbt run-operation {STAGE} --target {target}\n\n"
        "`python -m bootstrap verify` checks every link, and "
        f"`dbt build --target {target}`\nbuilds the answers.\n"
    )


def _command(
    d: Deployment, operation: str, arguments: object = None, **variables: str
) -> str:
    """Return a dbt command with its variables; ``setup_role`` has no default."""
    given = d.settings.snowflake
    named = {
        INTEGRATION_VARIABLE: given.integration,
        ROLE_VARIABLE: given.setup_role or "<the role for set-up>",
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
    # The run-operation keeps an integration that fits. It cannot set an external id.
    when = "first, to set this external id:" if chosen else "if you prefer SQL:"
    return (
        "The Snowflake administrator runs, in this project with a profile:\n\n"
        f"{_command(d, SET_UP, arguments)}"
        f"{_command(d, DESCRIBE_INTEGRATION)}\n"
        "The first command creates everything that is missing. The integration can\n"
        f"also be created in a worksheet {when}\n"
        "(never use `create or replace`, which breaks every stage)\n\n"
        f"  create storage integration if not exists {given.integration}\n"
        "    type = external_stage\n"
        f"    storage_provider = '{location.partition('://')[0].upper()}'\n"
        "    enabled = true\n"
        f"    storage_aws_role_arn = '{d.role_arn}'{chosen}\n"
        f"    storage_allowed_locations = ('{location}');\n"
        f"  desc integration {given.integration};\n\n"
        "Set snowflake.iam_user_arn and snowflake.external_id, in bootstrap.yml or in "
        "the\nenvironment, to STORAGE_AWS_IAM_USER_ARN and STORAGE_AWS_EXTERNAL_ID. "
        "Then run\n`apply` again.\n"
    )
