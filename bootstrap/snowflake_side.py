"""The Snowflake side: what the steps need from it, and values given by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from bootstrap.settings import Settings


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
