"""The order of things: planning reads every step, applying walks them one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from bootstrap import (
    bucket,
    destroy,
    eventbridge,
    flow_logs,
    handshake,
    kms,
    lifecycle,
    role,
    topics,
)
from bootstrap.changes import Change
from bootstrap.deployment import Deployment
from bootstrap.errors import explain, explain_failure


@dataclass(frozen=True)
class Step:
    """One part of the work: reads, and says what is to be done.

    Args:
        title: What it is about, for progress and for errors.
        read: Makes the list of changes; changes nothing.
        planned: Whether ``plan`` shows it; a second look is only for ``apply``.
    """

    title: str
    read: Callable[[Deployment], list[Change]]
    planned: bool = True


APPLY = (
    Step("bucket", bucket.plan_bucket),
    Step("bucket policy", bucket.plan_policy),
    Step("role", role.plan_role),
    Step("key policy", kms.plan_key_policy),
    Step("lifecycle rule", lifecycle.plan_lifecycle),
    Step("flow logs", flow_logs.plan_flow_logs),
    # Creating a flow log may have changed the policy.
    Step("bucket policy, read again", bucket.plan_policy_again, planned=False),
    Step("storage integration", handshake.plan_integration),
    Step("role trust", role.plan_trust),
    Step("topic", topics.plan_topic),
    Step("pipe", handshake.plan_pipe),
    Step("event notification", handshake.plan_notification),
)


def destroy_steps(delete_data: bool, with_snowflake: bool) -> tuple[Step, ...]:
    """Return the steps of ``destroy``, in their order.

    Args:
        delete_data: Whether what was delivered goes too.
        with_snowflake: Whether pipe, stage and integration go too.
    """
    return (
        Step("data", lambda d: destroy.plan_data(d, delete_data)),
        Step("flow logs", flow_logs.plan_removal),
        # Before the pipe goes: S3 checks every queue whenever it is written to.
        Step("event notification", eventbridge.plan_switch_off),
        Step("topics", destroy.plan_topics),
        Step("rule", eventbridge.plan_rule_removal),
        Step("own topic", topics.plan_removal),
        Step(
            "Snowflake",
            lambda d: destroy.plan_snowflake(d, with_snowflake, delete_data),
        ),
        # Before the role: KMS would turn the principal of a missing role into an id.
        Step("key policy", lambda d: kms.plan_key_policy(d, remove=True)),
        Step("role", role.plan_removal),
        Step("lifecycle rule", lambda d: lifecycle.plan_lifecycle(d, remove=True)),
        Step("bucket policy", destroy.plan_policy),
        Step("bucket", lambda d: destroy.plan_bucket(d, delete_data)),
    )


def plan(d: Deployment, steps: Sequence[Step] = APPLY) -> list[Change]:
    """Read everything and return what applying would do.

    Raises:
        BootstrapError: Something cannot be read, or is in the way.
    """
    return [change for step in steps if step.planned for change in _guarded(d, step)]


def apply(d: Deployment, steps: Sequence[Step] = APPLY) -> Iterator[Change]:
    """Do it step by step, reading each step anew, and yield what was done.

    An interruption anywhere leaves a state from which running it again goes on: what
    exists is found by its tag, name or statement id.

    Raises:
        BootstrapError: A call failed; it names the call and the resource.
    """
    for step in steps:
        for change in _guarded(d, step):
            if change.apply is not None:
                _guard(d, change.resource, change.apply)
            yield change


def _guarded(d: Deployment, step: Step) -> list[Change]:
    found: list[Change] = []
    _guard(d, step.title, lambda: found.extend(step.read(d)))
    return found


def _guard(d: Deployment, what: str, call: Callable[[], object]) -> None:
    try:
        call()
    except ClientError as error:
        named = d.accounts.last_resource
        resource = f"{named} ({what})" if named else what
        raise explain(error, resource) from error
    except BotoCoreError as error:
        raise explain_failure(error, what) from error
