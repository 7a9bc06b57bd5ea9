"""Our lifecycle rule, beside those of others."""

from __future__ import annotations

from typing import Any

from bootstrap.changes import Change
from bootstrap.deployment import Deployment
from bootstrap.errors import unless


def plan_lifecycle(d: Deployment, remove: bool = False) -> list[Change]:
    """Compare the rules with the same rules with ours, or without it.

    The call replaces all rules, so the others are written back (API reference,
    PutBucketLifecycleConfiguration).

    Args:
        d: The deployment.
        remove: Whether to remove our rule instead.
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
            f"delete logs after {wanted['Expiration']['Days']} days; other rules stay"
            if wanted
            else "remove our rule; other rules stay",
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
    # Without it, the whole bucket gets AWS's default for this setting.
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
