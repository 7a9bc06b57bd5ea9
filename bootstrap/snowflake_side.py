"""The other half: what the steps ask of Snowflake, and answers given by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from bootstrap.settings import Settings


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
