"""Errors whose messages name the resource and the next step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ProfileNotFound,
)

from bootstrap.permissions import actions_of

if TYPE_CHECKING:
    from bootstrap.changes import Change

Answer = TypeVar("Answer")
DENIED = frozenset(
    {
        "403",
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "UnauthorizedOperation",
    }
)


class BootstrapError(Exception):
    """An error whose message the user sees; the program exits with code 1."""


class Blocked(BootstrapError):
    """A resource of another owner, or its state, prevents a change."""


class Incomplete(BootstrapError):
    """Some steps failed; the others are planned or made.

    Args:
        changes: Everything that the run listed, with the failures.
    """

    def __init__(self, changes: Sequence[Change]) -> None:
        self.changes = changes
        lines = [
            f"{change.resource}: {change.reason}"
            for change in changes
            if change.verb == "failed"
        ]
        super().__init__("\n".join(lines))


def code_of(error: ClientError) -> str:
    """Return AWS's error code, such as ``NoSuchBucket``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: ClientError) -> str:
    """Return AWS's error message."""
    return str(error.response.get("Error", {}).get("Message", ""))


def unless(codes: str, call: Callable[[], Answer]) -> Answer | None:
    """Return a call's answer, or None if the resource does not exist.

    Args:
        codes: The error codes for a missing resource, separated by spaces.
        call: The call.

    Raises:
        ClientError: AWS answered with any other code.
    """
    try:
        return call()
    except ClientError as error:
        if code_of(error) in codes.split():
            return None
        raise


def explain(error: ClientError, resource: str, place: str = "") -> BootstrapError:
    """Explain an error that AWS returned.

    Args:
        error: The error that botocore raised.
        resource: The resource of the call, as its name or ARN.
        place: The region and role of the call.

    Returns:
        An error that names the call, the resource, AWS's message and, if access was
        denied, the missing permission.
    """
    operation = str(error.operation_name)
    service = resource.split(":")[2] if resource.startswith("arn:") else None
    actions = " and ".join(actions_of(operation, service))
    said = f"{code_of(error)}: {message_of(error)}".rstrip(": ")
    text = f"{operation} on {resource} failed {place}".rstrip()
    text += f".\n  AWS answered: {said}"
    if code_of(error) in DENIED:
        text += (
            f"\n  The caller needs {actions}, and no policy of the resource or the "
            "organisation may deny it (`python -m bootstrap permissions` prints all)."
        )
        if operation == "HeadBucket":
            text += (
                "\n  A bucket of another account gives the same answer: check "
                "bucket.name and bucket.account_id."
            )
    return BootstrapError(text)


def explain_failure(error: BotoCoreError, what: str) -> BootstrapError:
    """Explain a call that got no answer from AWS.

    Args:
        error: The error that botocore raised.
        what: The step that made the call.
    """
    text = f"{what}: {error}"
    if isinstance(error, NoCredentialsError | ProfileNotFound):
        text += (
            "\n  Log in as for the AWS command line (`aws configure`, `aws sso login` "
            "or its\n  environment variables), or set `profile` to another profile."
        )
    return BootstrapError(text)
