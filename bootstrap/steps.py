"""The steps of `apply` and `destroy` in their order, and how they are run."""

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
    """One step: it reads what exists and lists the changes that are needed.

    Args:
        title: Its name in errors.
        read: Returns the changes, without making them.
        planned: Whether ``plan`` runs it; False for what only ``apply`` reads again.
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
    # AWS may change the policy when a flow log is created.
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
        delete_data: Whether to delete delivered files and the landing table.
        with_snowflake: Whether to drop what set-up made in Snowflake.
    """
    return (
        Step("data", lambda d: destroy.plan_data(d, delete_data)),
        Step("flow logs", flow_logs.plan_removal),
        # Before the pipe: S3 checks that every queue exists when it writes.
        Step("event notification", eventbridge.plan_switch_off),
        Step("topics", destroy.plan_topics),
        Step("rule", eventbridge.plan_rule_removal),
        Step("own topic", topics.plan_removal),
        Step(
            "Snowflake",
            lambda d: destroy.plan_snowflake(d, with_snowflake, delete_data),
        ),
        # Before the role: KMS replaces the principal of a deleted role by an id.
        Step("key policy", lambda d: kms.plan_key_policy(d, remove=True)),
        Step("role", role.plan_removal),
        Step("lifecycle rule", lambda d: lifecycle.plan_lifecycle(d, remove=True)),
        Step("bucket policy", destroy.plan_policy),
        Step("bucket", lambda d: destroy.plan_bucket(d, delete_data)),
    )


def plan(d: Deployment, steps: Sequence[Step] = APPLY) -> list[Change]:
    """Return the changes that the steps would make, without making them.

    Raises:
        BootstrapError: A resource cannot be read, or is another owner's.
    """
    return [change for step in steps if step.planned for change in _guarded(d, step)]


def apply(d: Deployment, steps: Sequence[Step] = APPLY) -> Iterator[Change]:
    """Run the steps in order, and yield each change after it is made.

    After an interruption, the next run continues: it finds what exists by tag, name or
    statement id.

    Raises:
        BootstrapError: A call failed; the message names the call and the resource.
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
        raise explain(error, resource, d.accounts.last_place) from error
    except BotoCoreError as error:
        raise explain_failure(error, what) from error
