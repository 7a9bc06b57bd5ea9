"""The changes that a step lists, how they are made, and how failures are explained."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

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


# ----- changes

HIDDEN = "********"
SECRET_KEYS = frozenset({"sts:ExternalId", "external_id", "storage_aws_external_id"})
NEW_MARK = "this version's mark has bucket and prefix"
SIGNS = {"create": "+", "update": "~", "delete": "-", "run": ">", "failed": "!"}


@dataclass(frozen=True)
class Change:
    """A call that is needed and not made yet, with its reason.

    Args:
        verb: The kind of change; ``wait``, ``note`` and ``failed`` only inform.
        resource: The resource, as users name it.
        reason: Why the change is needed, or why it failed.
        before: The resource now, for the diff.
        after: The resource after the change.
        apply: Makes the call; None for what only informs.
        account: The account of the call.
        region: The region of the call.
        removes: What is gone afterwards; of a deletion, at least its resource.
        temporary: Whether an error of the call is temporary, so that it is repeated.
        refused: Explains an error that stays; None for the usual explanation.
    """

    verb: Literal["create", "update", "delete", "run", "wait", "note", "failed"]
    resource: str
    reason: str
    before: Any = None
    after: Any = None
    apply: Callable[[], object] | None = None
    account: str = ""
    region: str = ""
    removes: tuple[str, ...] = ()
    temporary: Callable[[Exception], bool] = lambda error: is_busy(error)
    refused: Callable[[Exception], Exception] | None = None

    @property
    def pending(self) -> bool:
        """Whether `apply` makes a call for it."""
        return self.apply is not None

    @property
    def removed(self) -> tuple[str, ...]:
        """What is gone afterwards."""
        return self.removes or ((self.resource,) if self.verb == "delete" else ())

    @property
    def named(self) -> str:
        """The resource with its account and region."""
        where = f" ({self.account} {self.region})" if self.account else ""
        return self.resource if self.account in self.resource else self.resource + where

    def at(self, account: str, region: str) -> Change:
        """Return the change with its account and region, unless it has them."""
        return replace(
            self, account=self.account or account, region=self.region or region
        )

    def failed(self, why: object) -> Change:
        """Return the change after its call failed."""
        return replace(self, verb="failed", reason=str(why), apply=None)

    def as_json(self) -> dict[str, Any]:
        """Return the change for ``plan --json``, with external ids masked."""
        return {
            "verb": self.verb,
            "account": self.account,
            "region": self.region,
            "resource": self.resource,
            "reason": self.reason,
            "before": mask(self.before),
            "after": mask(self.after),
            "removes": list(self.removed),
        }

    def as_lines(self) -> list[str]:
        """Return a headline and a diff, with external ids masked."""
        sign = SIGNS.get(self.verb, "·")
        lines = [f"{sign} {self.verb} {self.named}: {self.reason}"]
        before, after = _lines(mask(self.before)), _lines(mask(self.after))
        if self.before is None or self.after is None:
            mark = "+" if self.before is None else "-"
            lines += [f"    {mark} {line}" for line in before or after]
        else:
            diff = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
            if before == after:
                diff = ["(a masked value differs)"]
            lines += [f"    {line}" for line in diff]
        return lines


def mask(value: Any) -> Any:
    """Return a document with every external id masked."""
    if isinstance(value, dict):
        return {
            key: HIDDEN if key in SECRET_KEYS else mask(below)
            for key, below in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask(item) for item in value]
    return value


def _lines(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return value.splitlines()
    return json.dumps(value, indent=2, default=str).splitlines()


def any_pending(changes: Iterable[Change]) -> bool:
    """Return whether `apply` makes a call for any of the changes."""
    return any(change.pending for change in changes)


# ----- making them

# S3 and EventBridge answer so while another change of the same thing is in progress.
BUSY = frozenset(
    {"OperationAborted", "ConflictException", "ConcurrentModificationException"}
)
# How often a document is written again that others overwrite at the same time.
TRIES = 5


def is_busy(error: Exception) -> bool:
    """Return whether another change is in progress, so that a call may be repeated."""
    return isinstance(error, ClientError) and code_of(error) in BUSY


def retry(
    change: Change,
    wait_seconds: float,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
) -> None:
    """Make a change, and repeat its call until AWS has processed an earlier one.

    Args:
        change: The change; its call reads again what it writes.
        wait_seconds: The most to wait in all, in seconds.
        say: Shows a line before each pause.
        sleep: Pauses for a number of seconds.

    Raises:
        Exception: Another error, or the same one when the time is over.
    """
    waited, pause = 0.0, 1.0
    while change.apply:
        try:
            change.apply()
            return
        except (ClientError, BootstrapError) as error:
            again = is_busy(error) or change.temporary(error)
            if not again or waited >= wait_seconds:
                raise (
                    change.refused(error) if again and change.refused else error
                ) from (error.__cause__)
            pause = min(pause * 2, 20.0, wait_seconds - waited)
            said = str(error).partition("\n")[0]
            if isinstance(error, ClientError):
                said = f"{error.operation_name}: {code_of(error)} ({message_of(error)})"
            left = wait_seconds - waited
            say(f"{said}; retry in {pause:.0f} s, for at most {left:.0f} s")
            sleep(pause)
            waited += pause


@dataclass(frozen=True)
class Shared:
    """A document that others change too, such as a policy; AWS replaces it whole.

    AWS offers no condition for these writes (PutBucketPolicy,
    PutBucketNotificationConfiguration, PutBucketLifecycleConfiguration, PutKeyPolicy,
    SetTopicAttributes). So it is read right before each try, and again afterwards.

    Args:
        name: The document, as users name it.
        read: Returns it, or None.
        write: Replaces it; of None, deletes it.
        edit: Returns the document with ours, or without; the same document if it is
            right already.
        temporary: Whether an error of ``write`` is temporary.
        show: Returns what a plan shows of it.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    edit: Callable[[Any], Any]
    temporary: Callable[[Exception], bool] = is_busy
    show: Callable[[Any], Any] = lambda value: value

    def changes(self, reason: str | Callable[[Any], str], **more: Any) -> list[Change]:
        """Return the change that it needs, if any.

        Args:
            reason: The change's reason, or what gives it for the document now.
            more: More arguments of the change.
        """
        now = self.read()
        after = self.edit(now)
        if after == now:
            return []
        shown = self.show(now), self.show(after)
        verb: Any = "update" if all(shown) else "create" if shown[1] else "delete"
        said = reason if isinstance(reason, str) else reason(now)
        found = Change(verb, self.name, said, *shown, self._write, **more)
        return [replace(found, temporary=self.temporary)]

    def _write(self) -> None:
        for _ in range(TRIES):
            now = self.read()
            wanted = self.edit(now)
            if wanted != now:
                self.write(wanted)
            now = self.read()
            if self.edit(now) == now:
                return
        raise BootstrapError(
            f"{self.name}: others overwrote it {TRIES} times at the same moment; run "
            "the command again when they are done"
        )
