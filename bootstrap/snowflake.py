"""Snowflake's side: the storage integration and the pipe, through dbt or by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bootstrap import access, events
from bootstrap.changes import HIDDEN, Change
from bootstrap.deployment import Deployment, dumps
from bootstrap.errors import BootstrapError
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

PIPE = "landing table and pipe"
SCHEDULE = "No event reaches the pipe: schedule `python -m bootstrap notify`"


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


class SnowflakeSide(Protocol):
    """What the steps need from Snowflake."""

    @property
    def by_hand(self) -> bool:
        """Whether another person runs the statements, and values are given by hand."""

    def integration(self) -> Integration | None:
        """Return the integration, or None while it does not exist."""

    def pipe(self) -> Pipe | None:
        """Return the pipe, or None while it does not exist."""

    def set_up(self, role_arn: str, locations: list[str], stage_url: str) -> None:
        """Create or change the integration and the objects around it."""

    def stage(self, topic_arn: str | None, auto_ingest: bool) -> None:
        """Create the landing table and the pipe."""

    def left(self, delete_data: bool) -> list[str]:
        """Return the statements that ``tear_down`` would run now."""

    def tear_down(self, delete_data: bool) -> None:
        """Drop what set-up made, and with ``delete_data`` the landing table."""

    def load(self) -> dict[str, Any] | None:
        """Return the newest loaded file, or None if it is unknown here."""

    def parameters(self) -> dict[str, Any] | None:
        """Return the account's parameters, or None if they are unknown here."""


class ByHand:
    """Values from the settings, if another person administers Snowflake.

    Args:
        settings: The validated settings.
    """

    by_hand = True

    def __init__(self, settings: Settings) -> None:
        self._snowflake = settings.snowflake

    def integration(self) -> Integration | None:
        """Return the values in the settings."""
        given = self._snowflake
        if not given.iam_user_arn and not given.external_id:
            return None
        return Integration(
            iam_user_arn=given.iam_user_arn or "", external_id=given.external_id or ""
        )

    def pipe(self) -> Pipe | None:
        """Return the values in the settings."""
        channel = self._snowflake.notification_channel
        return Pipe(notification_channel=channel) if channel else None

    def set_up(self, role_arn: str, locations: list[str], stage_url: str) -> None:
        """Do nothing; the other person does it."""

    def stage(self, topic_arn: str | None, auto_ingest: bool) -> None:
        """Do nothing; the other person does it."""

    def left(self, delete_data: bool) -> list[str]:
        """Return an empty list, since it is unknown here."""
        return []

    def tear_down(self, delete_data: bool) -> None:
        """Do nothing; the other person does it."""

    def load(self) -> dict[str, Any] | None:
        """Return None, since it is unknown here."""
        return None

    def parameters(self) -> dict[str, Any] | None:
        """Return None, since it is unknown here."""
        return None


class Dbt:
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


# ----- the steps that depend on Snowflake


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
    wanted = {"role_arn": access.role_arn(d), "locations": [d.place.location]}
    current = None
    if found is not None:
        current = {
            "role_arn": found.role_arn,
            "locations": list(found.locations),
        }
        fits = (
            found.role_arn == access.role_arn(d) and d.place.location in found.locations
        )
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
            lambda: d.snowflake.set_up(access.role_arn(d), locations, d.place.location),
        )
    ]


def plan_pipe(d: Deployment) -> list[Change]:
    """Compare the pipe with the route of events.

    Raises:
        BootstrapError: The pipe subscribes to another topic.
    """
    resource = PIPE
    pipe = d.snowflake.pipe()
    route = events.choose(d, events.read(d))
    if pipe is None:
        if d.snowflake.by_hand:
            if route.kind == "none":
                who = "Snowflake's administrator stages once; no event reaches the pipe"
                return [Change("note", resource, who)]
            who = "Snowflake's administrator stages, and returns the channel"
            return [Change("wait", resource, who)]
        if access.plan_trust(d):
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


def _stage(d: Deployment, route: events.Route) -> None:
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


def plan_tear_down(d: Deployment, wanted: bool, delete_data: bool) -> list[Change]:
    """Drop what set-up made in Snowflake, if wanted, or note who can."""
    resource = "Snowflake"
    if not wanted:
        reason = "what set-up made stays; --with-snowflake drops it"
        return [Change("note", resource, reason)]
    if d.snowflake.by_hand:
        reason = f"its administrator runs: dbt run-operation {TEAR_DOWN}"
        return [Change("note", resource, reason)]
    left = d.snowflake.left(delete_data)
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
            lambda: d.snowflake.tear_down(delete_data),
            removes=tuple(left),
        )
    ]


# ----- what is printed at the end of `apply`


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
    route = events.choose(d, events.read(d))
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
    arguments = {"role_arn": access.role_arn(d), "locations": [location]}
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
        f"    storage_aws_role_arn = '{access.role_arn(d)}'{chosen}\n"
        f"    storage_allowed_locations = ('{location}');\n"
        f"  desc integration {given.integration};\n\n"
        "Set snowflake.iam_user_arn and snowflake.external_id, in bootstrap.yml or in "
        "the\nenvironment, to STORAGE_AWS_IAM_USER_ARN and STORAGE_AWS_EXTERNAL_ID. "
        "Then run\n`apply` again.\n"
    )
