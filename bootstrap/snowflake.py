"""Snowflake's side and the handshake: role, trust, integration, pipe, and texts."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from bootstrap import policies
from bootstrap.aws import Account
from bootstrap.changes import (
    HIDDEN,
    NEW_MARK,
    Blocked,
    BootstrapError,
    Change,
    code_of,
    unless,
)
from bootstrap.description import Resource, role_arn
from bootstrap.events import Route, check_partition
from bootstrap.naming import owner_of
from bootstrap.policies import trust_policy

if TYPE_CHECKING:
    from bootstrap.settings import Settings


# Operations and variables of the dbt project.
DESCRIBE_INTEGRATION = "describe_integration"
DESCRIBE_PIPE = "describe_pipe"
DESCRIBE_LOAD = "describe_load"
DESCRIBE_ACCOUNT = "describe_account_parameters"
DESCRIBE_TEARDOWN = "describe_teardown"
SET_UP = "setup_snowflake"
STAGE = "stage_external_sources"
TEAR_DOWN = "teardown_snowflake"
TOPIC_VARIABLE = "snowpipe_sns_topic"
ROLE_VARIABLE = "setup_role"
INTEGRATION_VARIABLE = "storage_integration"
AUTO_INGEST_VARIABLE = "snowpipe_auto_ingest"


@dataclass(frozen=True)
class Integration:
    """A storage integration, as DESC INTEGRATION shows it.

    Args:
        role_arn: The role that Snowflake assumes.
        iam_user_arn: Snowflake's user in AWS, which assumes the role.
        external_id: The external id in the role's trust; never printed.
        locations: The URLs that it may read; empty if unknown.
        enabled: Whether it is enabled.
    """

    role_arn: str = ""
    iam_user_arn: str = ""
    external_id: str = field(default="", repr=False)
    locations: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def is_known(self) -> bool:
        """Whether user and external id are known, as the trust needs them."""
        return bool(self.iam_user_arn and self.external_id)


@dataclass(frozen=True)
class Pipe:
    """A pipe, as DESC PIPE and SYSTEM$PIPE_STATUS show it.

    Args:
        name: Its full name.
        notification_channel: The ARN that events come from; empty without events.
        execution_state: ``RUNNING`` or another state; empty if unknown.
    """

    name: str = ""
    notification_channel: str = ""
    execution_state: str = ""


class ByHand:
    """Values from the settings, if another person administers Snowflake.

    Args:
        settings: The validated settings.
    """

    by_hand = True

    def __init__(self, settings: Settings) -> None:
        self._snowflake = settings.snowflake

    def integration(self) -> Integration | None:
        """Return the integration, or None while it is unknown."""
        given = self._snowflake
        if not given.iam_user_arn and not given.external_id:
            return None
        return Integration(
            iam_user_arn=given.iam_user_arn or "", external_id=given.external_id or ""
        )

    def pipe(self) -> Pipe | None:
        """Return the pipe, or None while it is unknown."""
        channel = self._snowflake.notification_channel
        return Pipe(notification_channel=channel) if channel else None

    def set_up(self, role_arn: str, locations: list[str], stage_url: str) -> None:
        """Create or change the integration and the objects around it."""

    def stage(self, topic_arn: str | None, auto_ingest: bool) -> None:
        """Create the landing table and the pipe."""

    def left(self, delete_data: bool) -> list[str]:
        """Return the statements that ``tear_down`` would run now."""
        return []

    def tear_down(self, delete_data: bool) -> None:
        """Drop what set-up made, and with ``delete_data`` the landing table."""

    def load(self) -> dict[str, Any] | None:
        """Return the newest loaded file, or None if it is unknown here."""
        return None

    def parameters(self) -> dict[str, Any] | None:
        """Return the account's parameters, or None if they are unknown here."""
        return None


class Dbt(ByHand):
    """Values through ``dbt run-operation``.

    Args:
        settings: The validated settings.
        say: Shows dbt's output as progress.
    """

    by_hand = False

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._dbt = settings.snowflake.dbt
        # First the dbt beside this Python, so that nobody has to activate its .venv.
        places = [os.path.dirname(sys.executable), os.environ.get("PATH", "")]
        name = self._dbt.executable
        self._executable = shutil.which(name, path=os.pathsep.join(places)) or name
        # The same for all calls: dbt parses the project again when variables change.
        self._variables: dict[str, Any] = {
            INTEGRATION_VARIABLE: settings.snowflake.integration,
            AUTO_INGEST_VARIABLE: settings.events.route != "none",
        }
        if settings.snowflake.setup_role:
            self._variables[ROLE_VARIABLE] = settings.snowflake.setup_role
        self._say = say
        self._answers: dict[str, dict[str, Any]] = {}
        self._secret = ""

    def integration(self) -> Integration | None:
        """Return the integration, or None while it does not exist."""
        answer = self._ask(DESCRIBE_INTEGRATION)
        if answer.get("exists") is False:
            return None
        self._secret = answer.get("storage_aws_external_id") or ""
        return Integration(
            role_arn=answer.get("storage_aws_role_arn") or "",
            iam_user_arn=answer.get("storage_aws_iam_user_arn") or "",
            external_id=self._secret,
            locations=tuple(answer.get("storage_allowed_locations") or ()),
            enabled=str(answer.get("enabled", True)).lower() == "true",
        )

    def pipe(self) -> Pipe | None:
        """Return the pipe, or None while it does not exist."""
        answer = self._ask(DESCRIBE_PIPE)
        if answer.get("exists") is False:
            return None
        return Pipe(
            answer.get("name") or "",
            answer.get("notification_channel") or "",
            answer.get("execution_state") or "",
        )

    def set_up(self, role_arn: str, locations: list[str], stage_url: str) -> None:
        """Create or change the integration and the objects around it."""
        arguments = {
            "role_arn": role_arn,
            "locations": locations,
            "stage_url": stage_url,
        }
        self._run(SET_UP, arguments)

    def stage(self, topic_arn: str | None, auto_ingest: bool) -> None:
        """Create the landing table and the pipe, as the loader."""
        variables = {AUTO_INGEST_VARIABLE: auto_ingest}
        topic = {TOPIC_VARIABLE: topic_arn} if topic_arn else {}
        self._run(STAGE, variables={**variables, **topic})

    def left(self, delete_data: bool) -> list[str]:
        """Return the statements that ``tear_down`` would run now."""
        arguments = {"drop_landing_table": delete_data}
        return list(self._ask(DESCRIBE_TEARDOWN, arguments)["drops"])

    def tear_down(self, delete_data: bool) -> None:
        """Drop what set-up made, and with ``delete_data`` the landing table."""
        arguments: dict[str, Any] = {"drop_landing_table": delete_data}
        # The operation takes the database's name as confirmation.
        confirm = self._ask(DESCRIBE_TEARDOWN, arguments)["confirm"]
        self._run(TEAR_DOWN, {"confirm": confirm, **arguments})

    def load(self) -> dict[str, Any] | None:
        """Return the newest loaded file, or None if dbt cannot run the operation."""
        return self._ask_if_offered(DESCRIBE_LOAD)

    def parameters(self) -> dict[str, Any] | None:
        """Return the account's parameters, or None if dbt cannot run the operation."""
        return self._ask_if_offered(DESCRIBE_ACCOUNT)

    def _ask_if_offered(self, operation: str) -> dict[str, Any] | None:
        try:
            return self._ask(operation)
        except BootstrapError:
            return None

    def _ask(
        self, operation: str, arguments: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        if operation not in self._answers:
            self._answers[operation] = self._answer(operation, arguments)
        return self._answers[operation]

    def _answer(
        self, operation: str, arguments: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        printed = self._call("--quiet", operation, arguments)
        for line in reversed(printed):
            if line.lstrip().startswith("{"):
                try:
                    answer: dict[str, Any] = json.loads(line)
                except ValueError:
                    continue
                return answer
        raise BootstrapError(
            f"dbt run-operation {operation} printed no line of JSON: run it by hand in "
            "this project to see why"
        )

    def _clean(self, line: str) -> str:
        """Return a line of dbt's output with external ids masked."""
        line = line.replace(self._secret, HIDDEN) if self._secret else line
        return HIDDEN if "external_id" in line.lower() else line

    def _run(
        self,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            self._call("--no-use-colors", operation, arguments, variables or {})
        finally:
            # Even a failed operation may have changed something.
            self._answers.clear()

    def _call(
        self,
        flag: str,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Run an operation and return what it printed, line by line.

        Args:
            flag: A flag of dbt's.
            operation: Its name.
            arguments: Its arguments.
            variables: More variables; if given, even empty, output is shown as it
                comes.
        """
        command = [self._executable, flag, "run-operation", operation]
        command += ["--vars", json.dumps({**self._variables, **(variables or {})})]
        command += ["--args", json.dumps(arguments)] if arguments else []
        command += ["--target", self._dbt.target]
        printed = []
        self._say(f"dbt run-operation {operation}")
        try:
            process = subprocess.Popen(
                command,
                cwd=self._dbt.project_dir,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except FileNotFoundError:
            raise BootstrapError(
                f"{self._dbt.executable} was not found: set snowflake.dbt.executable "
                "to the path of dbt, or set snowflake.handshake: manual"
            ) from None
        too_late = threading.Event()

        def stop() -> None:
            too_late.set()
            process.kill()

        timer = threading.Timer(self._dbt.timeout_seconds, stop)
        timer.start()
        try:
            with process:
                assert process.stdout is not None
                for line in process.stdout:
                    printed.append(line.rstrip())
                    if variables is not None:
                        self._say(f"  {self._clean(line.rstrip())}")
        finally:
            timer.cancel()
        what = f"dbt run-operation {operation}"
        if too_late.is_set():
            seconds = self._dbt.timeout_seconds
            raise BootstrapError(
                f"{what} took longer than {seconds} s and was stopped: see its log, or "
                "raise snowflake.dbt.timeout_seconds"
            )
        if process.returncode != 0:
            lines = "\n  ".join(map(self._clean, printed[-12:]))
            raise BootstrapError(f"{what} failed:\n  {lines}")
        return printed


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
        for statement in policies.statements(_policy(aws, name, s.names.role_policy))
        for resource in policies.as_list(statement["Resource"])
    ]
    place = f"{s.place.arn}/{s.place.read_prefix}*"
    return mark == s.names.name and (not reads or place in reads)


def _read(aws: Account, name: str) -> dict[str, Any] | None:
    found: Any = unless(GONE, lambda: aws.iam.get_role(RoleName=name)["Role"])
    return dict(found) if found else None


def _policy(aws: Account, role: str, policy: str) -> policies.Document | None:
    answer = unless(
        GONE, lambda: aws.iam.get_role_policy(RoleName=role, PolicyName=policy)
    )
    return _document(answer["PolicyDocument"]) if answer else None


def _document(value: Any) -> policies.Document:
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
            NEW_MARK,
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
            AssumeRolePolicyDocument=policies.dumps(placeholder),
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
    if policies.same(current, wanted.content):
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
                PolicyDocument=policies.dumps(wanted.content),
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
    if policies.same(current, wanted.content):
        return []
    return [
        Change(
            "update",
            wanted.label,
            f"only {user}, with the integration's external id",
            current,
            wanted.content,
            lambda: aws.iam.update_assume_role_policy(
                RoleName=wanted.name, PolicyDocument=policies.dumps(wanted.content)
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
    with_arguments = f" --args '{policies.dumps(arguments)}'" if arguments else ""
    return (
        f"  dbt {quiet}run-operation {operation} --vars '{policies.dumps(named)}'"
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
