"""The steps of `apply` and `destroy` in their order, and how they are run.

A step that fails stops only the steps that need it. The run ends with all failures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from bootstrap import access, bucket, events, flow_logs, snowflake
from bootstrap.changes import Change
from bootstrap.deployment import FAILURES, Deployment
from bootstrap.errors import BootstrapError, Incomplete


@dataclass(frozen=True)
class Step:
    """One step: it reads what exists and lists the changes that are needed.

    Args:
        title: Its name in errors.
        read: Returns the changes, without making them.
        needs: The titles of steps without which it is not tried.
        planned: Whether ``plan`` runs it; False for what only ``apply`` reads again.
        independent: Whether its changes go on after one of them fails.
    """

    title: str
    read: Callable[[Deployment], list[Change]]
    needs: tuple[str, ...] = ()
    planned: bool = True
    independent: bool = False


APPLY = (
    Step("bucket", bucket.plan_bucket),
    Step("bucket policy", bucket.plan_policy, ("bucket",)),
    Step("role", access.plan_role, ("bucket",)),
    Step("key policy", access.plan_key_policy, ("role",)),
    Step("lifecycle rules", bucket.plan_lifecycle, ("bucket",)),
    Step("flow logs", flow_logs.plan_flow_logs, ("bucket policy",), independent=True),
    # AWS may change the policy when a flow log is created.
    Step(
        "bucket policy, read again",
        bucket.plan_policy_again,
        ("bucket policy",),
        planned=False,
    ),
    Step("flow logs that move", flow_logs.plan_moved, ("bucket",), independent=True),
    Step("storage integration", snowflake.plan_integration, ("role",)),
    Step("role trust", access.plan_trust, ("role", "storage integration")),
    Step("topic", events.plan_topic, ("bucket",)),
    Step("pipe", snowflake.plan_pipe, ("role trust", "topic")),
    Step("event notification", events.plan_notification, ("bucket", "pipe")),
    Step(
        "earlier place",
        lambda d: plan_earlier_place(d),
        ("flow logs that move", "event notification"),
    ),
)


def plan_earlier_place(d: Deployment) -> list[Change]:
    """Remove our policy statements, rules and events at a place that logs left.

    They stay until its last flow log file is gone, unless the settings say otherwise.
    """
    earlier, moved = d.earlier(), d.settings.bucket.moved_from
    if earlier is None or moved is None:
        return []
    if moved.keep_until_empty and bucket.has_flow_logs(earlier):
        reason = "our statements, rules and events stay until its files have expired"
        return [Change("note", f"earlier place {earlier.place.location}", reason)]
    return [
        *events.plan_switch_off(earlier),
        *events.plan_statement_removal(earlier),
        *events.plan_rule_removal(earlier),
        *events.plan_topic_removal(earlier),
        *access.plan_key_policy(earlier, remove=True),
        *bucket.plan_lifecycle(earlier, remove=True),
        *bucket.plan_policy_removal(earlier),
    ]


def destroy_steps(delete_data: bool, with_snowflake: bool) -> tuple[Step, ...]:
    """Return the steps of ``destroy``, in their order.

    Args:
        delete_data: Whether to delete delivered files and the landing table.
        with_snowflake: Whether to drop what set-up made in Snowflake.
    """
    return (
        Step(
            "data",
            lambda d: bucket.plan_data(
                d, delete_data, lambda: flow_logs.our_ids(d), lambda: _uses(d)
            ),
        ),
        Step("flow logs", flow_logs.plan_removal, ("data",), independent=True),
        # Before the pipe: S3 checks that every queue exists when it writes.
        Step("event notification", events.plan_switch_off),
        Step("topics", events.plan_statement_removal),
        Step("rule", events.plan_rule_removal, ("event notification",)),
        Step("own topic", events.plan_topic_removal, ("rule",)),
        Step(
            "Snowflake",
            lambda d: snowflake.plan_tear_down(d, with_snowflake, delete_data),
            ("event notification",),
        ),
        # Before the role: KMS replaces the principal of a deleted role by an id.
        Step(
            "key policy",
            lambda d: access.plan_key_policy(d, remove=True),
            ("flow logs",),
        ),
        Step("role", access.plan_role_removal, ("key policy",)),
        Step("lifecycle rules", lambda d: bucket.plan_lifecycle(d, remove=True)),
        Step("bucket policy", bucket.plan_policy_removal, ("flow logs",)),
        Step(
            "bucket",
            lambda d: bucket.plan_removal(d, delete_data, lambda: _uses(d)),
            ("event notification", "lifecycle rules", "bucket policy"),
        ),
    )


def _uses(d: Deployment) -> list[str]:
    return [*events.uses_of_others(d), *flow_logs.uses_of_others(d)]


def plan(d: Deployment, steps: Sequence[Step] = APPLY) -> list[Change]:
    """Return the changes that the steps would make, without making them.

    Raises:
        Incomplete: A resource cannot be read, or is another owner's; all others are
            planned.
    """
    changes = list(_walk(d, [step for step in steps if step.planned]))
    _raise_failures(changes)
    return changes


def apply(
    d: Deployment,
    steps: Sequence[Step] = APPLY,
    shown: Collection[str] | None = None,
) -> Iterator[Change]:
    """Run the steps in order, and yield each change after it is made.

    After an interruption, the next run continues: it finds what exists by mark or
    statement id.

    Args:
        d: The deployment.
        steps: The steps.
        shown: What the plan said would be removed; None for any.

    Raises:
        Incomplete: Calls failed; the message names each with its resource. All that
            does not need them is done.
        BootstrapError: It would remove something that the plan did not show.
    """
    changes = []
    for change in _walk(d, steps, lambda change: _make(d, change, shown)):
        changes.append(change)
        yield change
    _raise_failures(changes)


def _raise_failures(changes: Sequence[Change]) -> None:
    if any(change.verb == "failed" for change in changes):
        raise Incomplete(changes)


def _walk(
    d: Deployment,
    steps: Sequence[Step],
    make: Callable[[Change], Change] = lambda change: change,
) -> Iterator[Change]:
    failed: dict[str, str] = {}
    for step in steps:
        missing = next((title for title in step.needs if title in failed), None)
        if missing:
            failed[step.title] = failed[missing]
            reason = f"not tried, since this comes first: {failed[missing]}"
            yield Change("wait", step.title, reason)
            continue
        for change in d.attempt(step.title, lambda step=step: step.read(d)):  # type: ignore[misc]
            if step.title in failed and not step.independent:
                break
            if step.planned and _is_of_the_owner(d, change):
                reason = "bucket.manage: false, so its owner must change it"
                made = replace(change, verb="wait", reason=reason, apply=None)
                if step.title == "bucket policy":
                    failed[step.title] = f"{step.title}, which its owner must change"
            else:
                made = make(change)
            if made.verb == "failed":
                failed[step.title] = step.title
            yield made


def _is_of_the_owner(d: Deployment, change: Change) -> bool:
    """Return whether only the bucket's owner makes this change.

    What AWS changes for a flow log is still restored, in the step after it.
    """
    bucket = d.settings.bucket
    is_its = change.resource.endswith(f"bucket {bucket.name}")
    return change.pending and is_its and not bucket.manage


def _make(d: Deployment, change: Change, shown: Collection[str] | None) -> Change:
    call = change.apply
    if call is None:
        return change
    extra = [] if shown is None else sorted(set(change.removed) - set(shown))
    if extra:
        raise BootstrapError(
            f"stopped before `{change.resource}`: it would remove what the plan did "
            f"not show: {', '.join(extra)}. Run `plan` again"
        )
    try:
        d.retry(call, lambda error: False)
    except FAILURES as error:
        return change.failed(d.explained(error, change.resource))
    return change
