"""Snowflake's side, as the steps see it: values given by hand, or through dbt."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bootstrap.changes import HIDDEN
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
