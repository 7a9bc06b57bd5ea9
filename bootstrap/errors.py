"""Errors whose messages name the resource and the next step."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
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


EXPIRED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
)
# The answers of services to credentials that are unknown in their region.
UNKNOWN_THERE = frozenset(
    {
        "AuthFailure",
        "InvalidClientTokenId",
        "OptInRequired",
        "UnrecognizedClientException",
    }
)
LOG_IN = (
    "Log in as for the AWS command line (`aws configure`, `aws sso login` or its\n"
    "  environment variables), or set `profile` to another profile."
)
LOGINS = (
    NoCredentialsError,
    ProfileNotFound,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
# The file in `state_dir` that has the encoded reason of the last refusal.
DENIED_FILE = "denied.txt"
ENCODED = "Encoded authorization failure message:"


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
            f"{change.named}: {change.reason}"
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


def explain(
    error: ClientError, resource: str, place: str = "", hint: str = ""
) -> BootstrapError:
    """Explain an error that AWS returned.

    Args:
        error: The error that botocore raised.
        resource: The resource of the call, as its name or ARN.
        place: The region and role of the call.
        hint: What the encoded reason says, if it could be decoded.

    Returns:
        An error that names the call, the resource, AWS's message and, if access was
        denied, the missing permission.
    """
    operation, code = str(error.operation_name), code_of(error)
    service = resource.split(":")[2] if resource.startswith("arn:") else None
    actions = " and ".join(actions_of(operation, service))
    message, _, encoded = message_of(error).partition(ENCODED)
    said = f"{code}: {message.strip()}".rstrip(": ")
    text = f"{operation} on {resource} failed {place}".rstrip()
    text += f".\n  AWS answered: {said}"
    if code in EXPIRED:
        text += f"\n  The login has expired. {LOG_IN}"
    elif code in UNKNOWN_THERE:
        text += (
            "\n  The region may not be enabled in this account: enable it there, or "
            f"remove it from `regions`. Otherwise the login is wrong. {LOG_IN}"
        )
    elif "service control policy" in message or hint.startswith(BEYOND):
        text += (
            f"\n  A service control policy of the organisation denies {actions}: "
            "whoever manages the organisation must allow it for this role or region."
        )
    elif code in DENIED:
        text += (
            f"\n  The caller needs {actions}, and no policy of the resource or the "
            "organisation may deny it (`python -m bootstrap permissions` prints all)."
        )
        if operation == "HeadBucket":
            text += (
                "\n  A bucket of another account gives the same answer: check "
                "bucket.name and bucket.account_id."
            )
    if hint:
        text += f"\n  {hint}"
    elif encoded:
        text += (
            "\n  `aws sts decode-authorization-message --encoded-message "
            f"file://{DENIED_FILE}` in `state_dir` shows the policy that decides."
        )
    return BootstrapError(text)


def encoded_message(error: ClientError) -> str:
    """Return the encoded reason of a refusal, which EC2 adds to its message."""
    return message_of(error).partition(ENCODED)[2].strip()


# How a hint begins if a policy outside of this account's denies.
BEYOND = "Denied by a policy that this account does not have"


def decoded(message: str | None) -> str:
    """Return what a decoded authorization message says, in one sentence.

    STS guide, DecodeAuthorizationMessage: it has the statements that match, the action,
    the resource and the caller. Of a service control policy, it shows no statement.

    Args:
        message: The decoded message, in JSON; None if it could not be decoded.
    """
    if message is None:
        return ""
    found = json.loads(message)
    context = found.get("context", {})
    of = f"{context.get('action')} on {context.get('resource')}"
    items = found.get("matchedStatements", {}).get("items", [])
    if not found.get("explicitDeny"):
        return f"No policy allows {of}."
    if not items:
        return f"{BEYOND}: a service control policy or a boundary, for {of}."
    sids = ", ".join(f"`{item.get('statementId') or '(no id)'}`" for item in items)
    return f"Denied by statement {sids}, for {of}."


def explain_failure(error: BotoCoreError, what: str) -> BootstrapError:
    """Explain a call that got no answer from AWS.

    Args:
        error: The error that botocore raised.
        what: The step that made the call.
    """
    text = f"{what}: {error}"
    if isinstance(error, LOGINS):
        text += f"\n  {LOG_IN}"
    elif isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        text += "\n  Check the network and its proxy, and that the region exists."
    return BootstrapError(text)
