"""What can go wrong, as messages that name the thing and the next step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ProfileNotFound,
)

from bootstrap.permissions import actions_of

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
    """A message for the person at the terminal; the program ends with code 1."""


class Blocked(BootstrapError):
    """Something that belongs to somebody else is in the way."""


def code_of(error: ClientError) -> str:
    """Return the error code AWS gave, such as ``NoSuchBucket``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: ClientError) -> str:
    """Return the sentence AWS gave with the code."""
    return str(error.response.get("Error", {}).get("Message", ""))


def unless(codes: str, call: Callable[[], Answer]) -> Answer | None:
    """Return what a call answers, or None where AWS has no such thing.

    Args:
        codes: The error codes that say so, separated by spaces.
        call: The call.

    Raises:
        ClientError: Any other error; that is not the same as absent.
    """
    try:
        return call()
    except ClientError as error:
        if code_of(error) in codes.split():
            return None
        raise


def explain(error: ClientError, resource: str) -> BootstrapError:
    """Turn AWS's answer into a sentence.

    Args:
        error: What botocore raised.
        resource: What the call was about, in words.

    Returns:
        An error that names the call, the resource, what AWS said and, where access
        was denied, the missing permission.
    """
    operation = str(error.operation_name)
    service = resource.split(":")[2] if resource.startswith("arn:") else None
    actions = " and ".join(actions_of(operation, service))
    said = f"{code_of(error)}: {message_of(error)}".rstrip(": ")
    text = f"{operation} on {resource} failed.\n  AWS said: {said}"
    if code_of(error) in DENIED:
        text += (
            f"\n  The caller needs {actions}, and no policy of the resource or the "
            "organisation may deny it (docs/bootstrap.md lists all permissions)."
        )
        if operation == "HeadBucket":
            text += "\n  The same answer comes if the bucket is another account's."
    return BootstrapError(text)


def explain_failure(error: BotoCoreError, what: str) -> BootstrapError:
    """Turn a call that AWS never answered into a sentence.

    Args:
        error: What botocore raised.
        what: What the call was about, in words.
    """
    text = f"{what}: {error}"
    if isinstance(error, NoCredentialsError | ProfileNotFound):
        text += (
            "\n  Log in as for the AWS command line (`aws configure`, `aws sso login`, "
            "or its\n  environment variables), and name another profile with `profile`."
        )
    return BootstrapError(text)
