"""Snowflake's side and the handshake: role, trust, integration, pipe, and texts."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from bootstrap import documents
from bootstrap.aws import Account
from bootstrap.changes import Change
from bootstrap.dbt import (
    AUTO_INGEST_VARIABLE,
    DESCRIBE_INTEGRATION,
    DESCRIBE_PIPE,
    INTEGRATION_VARIABLE,
    ROLE_VARIABLE,
    SET_UP,
    STAGE,
    TEAR_DOWN,
    TOPIC_VARIABLE,
    ByHand,
)
from bootstrap.description import Resource, role_arn
from bootstrap.errors import Blocked, BootstrapError, code_of, unless
from bootstrap.events import Route, check_partition
from bootstrap.naming import owner_of
from bootstrap.policies import trust_policy

if TYPE_CHECKING:
    from bootstrap.settings import Settings

PIPE = "landing table and pipe"
SCHEDULE = "No event reaches the pipe: schedule `python -m bootstrap notify`"
GONE = "NoSuchEntity"


# ----- the role


def role_name(aws: Account, s: Settings) -> str:
    """Return the role's name; a role of an earlier version or place keeps its own.

    IAM renames no role, and a new one would stop the pipe for a while.
    """
    places = [s, *([s.earlier] if s.earlier else [])]
    names = [n for x in places for n in (x.names.role, x.names.earlier_role)]
    if len(set(names)) == 1 or _read(aws, s.names.role) is not None:
        return s.names.role
    for name in names[1:]:
        found = _read(aws, name)
        if found is not None and _is_ours(aws, s, name, found):
            return name
    return s.names.role


def _is_ours(aws: Account, s: Settings, name: str, role: dict[str, Any]) -> bool:
    """Return whether a role has our mark, of this or an earlier version or place."""
    mark = owner_of(role.get("Tags"))
    if mark == s.names.mark:
        return True
    if s.earlier and _is_ours(aws, s.earlier, name, role):
        return True
    # The mark of earlier versions has no place; the policy does.
    reads = [
        resource
        for statement in documents.statements(_policy(aws, name, s.names.role_policy))
        for resource in documents.as_list(statement["Resource"])
    ]
    place = f"{s.place.arn}/{s.place.read_prefix}*"
    return mark == s.names.name and (not reads or place in reads)


def _read(aws: Account, name: str) -> dict[str, Any] | None:
    found: Any = unless(GONE, lambda: aws.iam.get_role(RoleName=name)["Role"])
    return dict(found) if found else None


def _policy(aws: Account, role: str, policy: str) -> documents.Document | None:
    answer = unless(
        GONE, lambda: aws.iam.get_role_policy(RoleName=role, PolicyName=policy)
    )
    return _document(answer["PolicyDocument"]) if answer else None


def _document(value: Any) -> documents.Document:
    # botocore returns a mapping; older versions return URL-encoded text.
    found = json.loads(unquote(value)) if isinstance(value, str) else value
    return dict(found)


def compare_role(aws: Account, wanted: Resource, s: Settings) -> Iterator[Change]:
    """Compare the role.

    Raises:
        Blocked: Another owner's role has the name.
    """
    name, found = wanted.name, _read(aws, wanted.name)
    ours = found is not None and _is_ours(aws, s, name, found)
    if wanted.content is None:
        if found is not None and ours:
            yield Change(
                "delete",
                wanted.label,
                "this deployment made it",
                _document(found["AssumeRolePolicyDocument"]),
                None,
                lambda: aws.iam.delete_role(RoleName=name),
            )
        return
    mark = owner_of(found.get("Tags")) if found else None
    if found is None:
        yield _creation(aws, wanted)
    elif not ours:
        by = f"; its mark is {mark}" if mark else ""
        raise Blocked(
            f"role {name} exists and was not made by this deployment{by}: set "
            "snowflake.role_name to another name"
        )
    elif mark != wanted.mark:
        tags: Any = wanted.names.tags({})
        yield Change(
            "update",
            f"tag of {wanted.label}",
            "this version's mark has bucket and prefix",
            mark,
            wanted.mark,
            lambda: aws.iam.tag_role(RoleName=name, Tags=tags),
        )
    if s.earlier and name not in (s.names.role, s.names.earlier_role):
        reason = f"it keeps its name: set snowflake.role_name: {name}, and keep it"
        yield Change("note", wanted.label, reason)


def _creation(aws: Account, wanted: Resource) -> Change:
    # The external id is random and never shown, so nobody can assume the role until the
    # trust is written: Snowflake, "Configuring secure access to Amazon S3", step 2.
    placeholder = trust_policy(
        f"arn:{aws.partition}:iam::{wanted.account}:root",
        f"placeholder-{secrets.token_hex(16)}",
    )
    given: Any = {key: value for key, value in wanted.content.items() if value}
    return Change(
        "create",
        wanted.label,
        "Snowflake assumes it, as soon as its trust is written",
        None,
        placeholder,
        lambda: aws.iam.create_role(
            RoleName=wanted.name,
            AssumeRolePolicyDocument=documents.dumps(placeholder),
            Description="Snowflake reads VPC Flow Logs with it.",
            **given,
        ),
    )


def compare_role_policy(aws: Account, wanted: Resource, s: Settings) -> list[Change]:
    """Compare the role's policy; IAM refuses to delete a role that has one."""
    role, policy = wanted.name
    current = _policy(aws, role, policy)
    if wanted.content is None:
        found = _read(aws, role)
        if current is None or found is None or not _is_ours(aws, s, role, found):
            return []
        reason = "IAM refuses to delete a role with policies"
        return [
            Change(
                "delete",
                wanted.label,
                reason,
                current,
                None,
                lambda: aws.iam.delete_role_policy(RoleName=role, PolicyName=policy),
            )
        ]
    if documents.same(current, wanted.content):
        return []
    return [
        Change(
            "update" if current else "create",
            wanted.label,
            "read flow logs; read, write and delete below the prefix"
            if s.snowflake.allow_unload
            else "read flow logs of the accounts in `sources`, nothing else",
            current,
            wanted.content,
            lambda: aws.iam.put_role_policy(
                RoleName=role,
                PolicyName=policy,
                PolicyDocument=documents.dumps(wanted.content),
            ),
            temporary=lambda error: _is(error, GONE),
        )
    ]


def compare_trust(aws: Account, wanted: Resource) -> list[Change]:
    """Compare the trust with the integration's user and external id.

    Raises:
        BootstrapError: Snowflake's user is in another partition.
    """
    (statement,) = wanted.content["Statement"]
    user = statement["Principal"]["AWS"]
    check_partition(aws, user, "Snowflake's user")
    found = _read(aws, wanted.name)
    current = _document(found["AssumeRolePolicyDocument"]) if found else None
    if documents.same(current, wanted.content):
        return []
    return [
        Change(
            "update",
            wanted.label,
            f"only {user}, with the integration's external id",
            current,
            wanted.content,
            lambda: aws.iam.update_assume_role_policy(
                RoleName=wanted.name, PolicyDocument=documents.dumps(wanted.content)
            ),
            temporary=_principal_not_seen,
        )
    ]


def _principal_not_seen(error: Exception) -> bool:
    # IAM guide, "Troubleshoot IAM": a new principal is not known everywhere at once.
    # Neither is our new role.
    return _is(error, GONE) or (
        _is(error, "MalformedPolicyDocument") and "Invalid principal" in str(error)
    )


def _is(error: Exception, code: str) -> bool:
    return isinstance(error, ClientError) and code_of(error) == code


# ----- what dbt does in Snowflake


def compare_integration(side: ByHand, wanted: Resource) -> list[Change]:
    """Compare the storage integration with the role and the location.

    Raises:
        BootstrapError: dbt failed.
    """
    found = side.integration()
    if side.by_hand:
        if found is not None and found.is_known:
            return []
        reason = "Snowflake's administrator runs what `apply` prints"
        return [Change("wait", wanted.label, reason)]
    role, (location,) = wanted.content["role_arn"], wanted.content["locations"]
    current, wrong = None, "it does not exist"
    if found is not None:
        current = {"role_arn": found.role_arn, "locations": list(found.locations)}
        wrong = ""
        if not found.enabled:
            wrong = "it is not enabled"
        elif found.role_arn != role:
            wrong = f"it assumes {found.role_arn}"
        elif location not in found.locations:
            wrong = f"it may not read {location}"
        # Without a pipe, set-up may have stopped after the integration.
        elif side.pipe() is None:
            wrong = "the objects around it may be missing"
        if not wrong:
            return []
    locations = [*(found.locations if found else ())]
    locations += [] if location in locations else [location]
    return [
        Change(
            "run",
            wanted.label,
            f"{wrong}: dbt run-operation {SET_UP} creates warehouse, database, "
            "integration, stage, roles and service user, if missing; it replaces "
            "nothing",
            current,
            wanted.content,
            lambda: side.set_up(role, locations, location),
        )
    ]


def compare_pipe(
    side: ByHand, wanted: Resource, is_trusted: Callable[[], bool]
) -> list[Change]:
    """Compare the pipe with the route of events.

    Args:
        side: Snowflake's side.
        wanted: The pipe.
        is_trusted: Returns whether Snowflake can assume the role.

    Raises:
        BootstrapError: The pipe subscribes to another topic.
    """
    pipe, topic = side.pipe(), wanted.content["topic_arn"]
    with_events = wanted.content["auto_ingest"]
    if pipe is None and side.by_hand and not with_events:
        who = "Snowflake's administrator stages once; no event reaches the pipe"
        return [Change("note", wanted.label, who)]
    if pipe is None and side.by_hand:
        who = "Snowflake's administrator stages, and returns the channel"
        return [Change("wait", wanted.label, who)]
    if pipe is None and not is_trusted():
        return [Change("wait", wanted.label, "the role's trust comes first")]
    if pipe is None:
        # IAM needs seconds to minutes for a new trust, and Snowflake keeps credentials
        # for up to 60 minutes.
        return [
            Change(
                "run",
                wanted.label,
                f"dbt run-operation {STAGE} creates them and loads files that exist",
                None,
                {TOPIC_VARIABLE: topic, AUTO_INGEST_VARIABLE: with_events},
                lambda: side.stage(topic, with_events),
                temporary=_cannot_assume,
            )
        ]
    channel = pipe.notification_channel
    if topic and ":sns:" in channel and channel != topic:
        raise BootstrapError(
            f"pipe {pipe.name} subscribes to {channel}, and the events go to {topic}: "
            "pause the pipe and recreate it on that topic, see "
            "SYSTEM$CONVERT_PIPES_SQS_TO_SNS"
        )
    return []


def _cannot_assume(error: Exception) -> bool:
    said = str(error).lower()
    return isinstance(error, BootstrapError) and (
        "assum" in said or "access denied" in said
    )


def tear_down(side: ByHand, wanted: bool, delete_data: bool) -> list[Change]:
    """Drop what set-up made in Snowflake, if wanted, or note who can."""
    resource = "Snowflake"
    if not wanted:
        reason = "what set-up made stays; --with-snowflake drops it"
        return [Change("note", resource, reason)]
    if side.by_hand:
        reason = f"its administrator runs: dbt run-operation {TEAR_DOWN}"
        return [Change("note", resource, reason)]
    left = side.left(delete_data)
    if not left:
        return []
    return [
        Change(
            "run",
            resource,
            f"dbt run-operation {TEAR_DOWN}; the landing table "
            f"{'is dropped too' if delete_data else 'and its database stay'}",
            left,
            None,
            lambda: side.tear_down(delete_data),
            removes=tuple(left),
        )
    ]


# ----- what is printed at the end of `apply`


def hand_over(s: Settings, side: ByHand, role: str, route: Route) -> str:
    """Return what the Snowflake administrator must run now, or an empty text.

    It shows an external id only if the settings have one, for CREATE STORAGE
    INTEGRATION. Otherwise Snowflake generates it.

    Args:
        s: The settings.
        side: Snowflake's side.
        role: The role's name.
        route: The route of events.
    """
    integration = side.integration()
    if integration is None or not integration.is_known:
        return _for_the_integration(s, role)
    if side.pipe() is not None:
        return ""
    more = {TOPIC_VARIABLE: route.topic_arn} if route.topic_arn else {}
    text = (
        "The role trusts Snowflake. The Snowflake administrator runs:\n\n"
        f"{_command(s, STAGE, **more)}"
    )
    if route.kind == "none":
        return f"{text}\nAfterwards: {SCHEDULE}.\n"
    return (
        f"{text}{_command(s, DESCRIBE_PIPE)}\n"
        "Set snowflake.notification_channel in bootstrap.yml to the "
        "notification_channel\nthat the second command prints, and run `apply` again.\n"
    )


def closing_words(s: Settings) -> str:
    """Return the one step that is left after events reach the pipe.

    A new notification takes about five minutes to work, and there is no event for
    earlier files (Snowflake, "Managing Snowpipe", loading historic data).
    """
    target = s.snowflake.dbt.target
    if s.events.route == "none":
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
    s: Settings, operation: str, arguments: object = None, **variables: str
) -> str:
    """Return a dbt command with its variables; ``setup_role`` has no default."""
    given = s.snowflake
    named = {
        INTEGRATION_VARIABLE: given.integration,
        ROLE_VARIABLE: given.setup_role or "<the role for set-up>",
        AUTO_INGEST_VARIABLE: s.events.route != "none",
        **variables,
    }
    quiet = "--quiet " if operation.startswith("describe") else ""
    with_arguments = f" --args '{documents.dumps(arguments)}'" if arguments else ""
    return (
        f"  dbt {quiet}run-operation {operation} --vars '{documents.dumps(named)}'"
        f"{with_arguments} --target {given.dbt.target}\n"
    )


def _for_the_integration(s: Settings, role: str) -> str:
    given, location, arn = s.snowflake, s.place.location, role_arn(s, role)
    arguments = {"role_arn": arn, "locations": [location]}
    chosen = ""
    if given.external_id:
        literal = given.external_id.replace("'", "''")
        chosen = f"\n    storage_aws_external_id = '{literal}'"
    # The run-operation keeps an integration that fits. It cannot set an external id.
    when = "first, to set this external id:" if chosen else "if you prefer SQL:"
    return (
        "The Snowflake administrator runs, in this project with a profile:\n\n"
        f"{_command(s, SET_UP, arguments)}"
        f"{_command(s, DESCRIBE_INTEGRATION)}\n"
        "The first command creates everything that is missing. The integration can\n"
        f"also be created in a worksheet {when}\n"
        "(never use `create or replace`, which breaks every stage)\n\n"
        f"  create storage integration if not exists {given.integration}\n"
        "    type = external_stage\n"
        f"    storage_provider = '{location.partition('://')[0].upper()}'\n"
        "    enabled = true\n"
        f"    storage_aws_role_arn = '{arn}'{chosen}\n"
        f"    storage_allowed_locations = ('{location}');\n"
        f"  desc integration {given.integration};\n\n"
        "Set snowflake.iam_user_arn and snowflake.external_id, in bootstrap.yml or in "
        "the\nenvironment, to STORAGE_AWS_IAM_USER_ARN and STORAGE_AWS_EXTERNAL_ID. "
        "Then run\n`apply` again.\n"
    )
