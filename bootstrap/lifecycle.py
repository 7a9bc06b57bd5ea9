"""One lifecycle rule of ours beside everybody else's."""

from __future__ import annotations

from typing import Any

from bootstrap.changes import Change
from bootstrap.deployment import Deployment
from bootstrap.errors import unless


def plan_lifecycle(d: Deployment, remove: bool = False) -> list[Change]:
    """Compare the rules with the same rules plus ours, or less ours.

    The call that writes replaces every rule, so all of them are written back: API
    reference, PutBucketLifecycleConfiguration.

    Args:
        d: The deployment.
        remove: Take our rule out instead.
    """
    answer = _read(d)
    rules: list[dict[str, Any]] = answer.get("Rules", [])
    mine = d.names.lifecycle_rule
    wanted = None if remove else _rule(d)
    current = next((rule for rule in rules if rule.get("ID") == mine), None)
    if current == wanted:
        return []
    after = [wanted if rule is current else rule for rule in rules]
    if current is None:
        after.append(wanted)
    kept = [rule for rule in after if rule is not None]
    verb = "delete" if wanted is None else ("update" if current else "create")
    return [
        Change(
            verb,  # type: ignore[arg-type]
            f"lifecycle rule {mine} of bucket {d.settings.bucket.name}",
            f"logs go after {wanted['Expiration']['Days']} days; other rules stay"
            if wanted
            else "ours goes; other rules stay",
            current,
            wanted,
            lambda: _write(d, kept, answer.get("TransitionDefaultMinimumObjectSize")),
        )
    ]


def _read(d: Deployment) -> dict[str, Any]:
    answer = unless(
        "NoSuchLifecycleConfiguration NoSuchBucket",
        lambda: d.home.s3.get_bucket_lifecycle_configuration(**d.bucket),
    )
    return dict(answer or {})


def _write(d: Deployment, rules: list[dict[str, Any]], minimum: Any) -> None:
    if not rules:
        d.home.s3.delete_bucket_lifecycle(**d.bucket)
        return
    # Left out, this setting of the whole bucket would go back to AWS's default.
    configuration: Any = {"Rules": rules}
    more: Any = {"TransitionDefaultMinimumObjectSize": minimum} if minimum else {}
    d.home.s3.put_bucket_lifecycle_configuration(
        **d.bucket, LifecycleConfiguration=configuration, **more
    )


def _rule(d: Deployment) -> dict[str, Any] | None:
    wanted = d.settings.bucket
    if wanted.expire_days is None:
        return None
    return {
        "ID": d.names.lifecycle_rule,
        "Status": "Enabled",
        "Filter": {"Prefix": d.place.logs_prefix},
        "Expiration": {"Days": wanted.expire_days},
        "NoncurrentVersionExpiration": {
            "NoncurrentDays": wanted.noncurrent_expire_days
        },
    }
