"""The other half: what Snowflake says, through this project's own run-operations."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bootstrap.changes import HIDDEN
from bootstrap.errors import BootstrapError
from bootstrap.settings import Settings

# The names of the dbt side, in one place.
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
        role_arn: The role it assumes.
        iam_user_arn: The user of AWS that assumes it, one for a Snowflake account.
        external_id: What that user must name; never printed.
        locations: The URLs it may read, or empty if that is not known here.
        enabled: Whether it is.
    """

    role_arn: str = ""
    iam_user_arn: str = ""
    external_id: str = field(default="", repr=False)
    locations: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def is_known(self) -> bool:
        """Whether the trust can be written."""
        return bool(self.iam_user_arn and self.external_id)


@dataclass(frozen=True)
class Pipe:
    """A pipe, as DESC PIPE and SYSTEM$PIPE_STATUS show it.

    Args:
        name: Its full name.
        notification_channel: The ARN it hears of files from; empty without events.
        execution_state: ``RUNNING``, or what keeps it from that; empty if unknown.
    """

    name: str = ""
    notification_channel: str = ""
    execution_state: str = ""


class SnowflakeSide(Protocol):
    """What the steps ask of Snowflake; read once, until ``forget``."""

    @property
    def by_hand(self) -> bool:
        """Whether values are given by hand, and another person runs the statements."""

    def integration(self) -> Integration | None:
        """Return the integration, or None while it does not exist."""

    def pipe(self) -> Pipe | None:
        """Return the pipe, or None while it does not exist."""

    def set_up(self, role_arn: str, locations: list[str], stage_url: str) -> None:
        """Create or change the integration and what stands around it."""

    def stage(self, topic_arn: str | None, auto_ingest: bool) -> None:
        """Create the landing table and the pipe."""

    def left(self, delete_data: bool) -> list[str]:
        """Return what ``tear_down`` would drop now."""

    def tear_down(self, delete_data: bool) -> None:
        """Drop what set-up made; the landing table only with its data."""

    def load(self) -> dict[str, Any] | None:
        """Return what was loaded last, or None where that cannot be asked."""

    def parameters(self) -> dict[str, Any] | None:
        """Return the account's parameters, or None where that cannot be asked."""

    def forget(self) -> None:
        """Ask again the next time."""


class ByHand:
    """Values from the settings, for two administrators who are two people.

    Args:
        settings: The checked settings.
    """

    by_hand = True

    def __init__(self, settings: Settings) -> None:
        self._snowflake = settings.snowflake

    def integration(self) -> Integration | None:
        """Return what was given."""
        given = self._snowflake
        if not given.iam_user_arn and not given.external_id:
            return None
        return Integration(
            iam_user_arn=given.iam_user_arn or "", external_id=given.external_id or ""
        )

    def pipe(self) -> Pipe | None:
        """Return what was given."""
        channel = self._snowflake.notification_channel
        return Pipe(notification_channel=channel) if channel else None

    def set_up(self, role_arn: str, locations: list[str], stage_url: str) -> None:
        """Do nothing: the other person does it."""

    def stage(self, topic_arn: str | None, auto_ingest: bool) -> None:
        """Do nothing: the other person does it."""

    def left(self, delete_data: bool) -> list[str]:
        """Return nothing: it cannot be asked from here."""
        return []

    def tear_down(self, delete_data: bool) -> None:
        """Do nothing: the other person does it."""

    def load(self) -> dict[str, Any] | None:
        """Return None: it cannot be asked from here."""
        return None

    def parameters(self) -> dict[str, Any] | None:
        """Return None: it cannot be asked from here."""
        return None

    def forget(self) -> None:
        """Do nothing."""


class Dbt:
    """Values through ``dbt run-operation``.

    Args:
        settings: The checked settings.
        say: Shows dbt's own lines, as progress.
    """

    by_hand = False

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._dbt = settings.snowflake.dbt
        # The same in every call: dbt parses the project anew whenever they change.
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
        """Create or change the integration and what stands around it."""
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
        """Return what ``tear_down`` would drop now."""
        arguments = {"drop_landing_table": delete_data}
        return list(self._ask(DESCRIBE_TEARDOWN, arguments)["drops"])

    def tear_down(self, delete_data: bool) -> None:
        """Drop what set-up made; the landing table only with its data."""
        arguments: dict[str, Any] = {"drop_landing_table": delete_data}
        # The operation wants the database's name.
        confirm = self._ask(DESCRIBE_TEARDOWN, arguments)["confirm"]
        self._run(TEAR_DOWN, {"confirm": confirm, **arguments})

    def load(self) -> dict[str, Any] | None:
        """Return what was loaded last, or None without such an operation."""
        return self._ask_if_offered(DESCRIBE_LOAD)

    def parameters(self) -> dict[str, Any] | None:
        """Return the account's parameters, or None without such an operation."""
        return self._ask_if_offered(DESCRIBE_ACCOUNT)

    def forget(self) -> None:
        """Ask again the next time."""
        self._answers.clear()

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
        raise BootstrapError(f"dbt run-operation {operation} printed no line of JSON")

    def _clean(self, line: str) -> str:
        """Return a line of dbt's without any external id we know of."""
        line = line.replace(self._secret, HIDDEN) if self._secret else line
        return HIDDEN if "external_id" in line.lower() else line

    def _run(
        self,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self._say(f"dbt run-operation {operation}")
        try:
            self._call("--no-use-colors", operation, arguments, variables or {})
        finally:
            # It may have changed something even if it failed.
            self.forget()

    def _call(
        self,
        flag: str,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Run an operation and return what it printed, line by line.

        Args:
            flag: One of dbt's own.
            operation: Its name.
            arguments: Its arguments.
            variables: Variables beside those of every call; given, what is printed
                is shown as it comes.
        """
        command = [self._dbt.executable, flag, "run-operation", operation]
        command += ["--vars", json.dumps({**self._variables, **(variables or {})})]
        command += ["--args", json.dumps(arguments)] if arguments else []
        command += ["--target", self._dbt.target]
        printed = []
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
                f"{self._dbt.executable} was not found: set snowflake.dbt.executable, "
                "or snowflake.handshake: manual"
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
            raise BootstrapError(f"{what} took longer than {seconds} s")
        if process.returncode != 0:
            lines = "\n  ".join(map(self._clean, printed[-12:]))
            raise BootstrapError(f"{what} failed:\n  {lines}")
        return printed
