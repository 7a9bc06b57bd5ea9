"""The key policy of the bucket's key, for delivery and for Snowflake."""

from __future__ import annotations

import json
from typing import Any

from bootstrap import documents
from bootstrap.changes import Change
from bootstrap.deployment import Deployment
from bootstrap.errors import Blocked, code_of, unless
from bootstrap.naming import part_of
from bootstrap.policies import key_statements


def plan_key_policy(d: Deployment, remove: bool = False) -> list[Change]:
    """Compare the key's policy with the same policy with our statements, or without.

    Args:
        d: The deployment.
        remove: Whether to remove our statements instead.

    Raises:
        Blocked: The key is AWS's own, disabled, missing, or in another account.
    """
    encryption = d.settings.bucket.encryption
    key = encryption.key_arn
    if key is None:
        return []
    wanted = key_statements(
        d.names,
        d.place,
        d.source_pairs(),
        d.role_arn,
        d.settings.snowflake.allow_unload,
    )
    if not encryption.manage_key_policy:
        reason = "its owner must merge these statements (manage_key_policy: false)"
        if remove:
            reason = "its owner may remove these statements"
        return [Change("note", f"policy of key {key}", reason, None, wanted)]
    _check(d, key)
    text = d.home.kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    current = json.loads(text)
    desired = (
        documents.without(current, d.names.sids)
        if remove
        else documents.merge(current, wanted, d.names.sids)
    )
    if desired is None or documents.same(current, desired):
        return []
    return [
        Change(
            "update",
            f"policy of key {key}",
            "remove our statements; other statements stay unchanged"
            if remove
            else "delivery encrypts, Snowflake's role decrypts; other statements stay",
            current,
            desired,
            lambda: _put(d, key, documents.render_like(text, desired)),
        )
    ]


def _put(d: Deployment, key: str, policy: str) -> object:
    # KMS does not find a role at once after it is created.
    return d.retry(
        lambda: d.home.kms.put_key_policy(
            KeyId=key, PolicyName="default", Policy=policy
        ),
        lambda error: code_of(error) == "MalformedPolicyDocumentException",
    )


def _check(d: Deployment, key: str) -> None:
    if part_of(key, 4) != d.settings.bucket.account_id:
        raise Blocked(
            f"key {key} is in another account than the bucket: set bucket.encryption."
            "manage_key_policy: false; its owner must merge what `plan` prints"
        )
    found: Any = unless(
        "NotFoundException",
        lambda: d.home.kms.describe_key(KeyId=key)["KeyMetadata"],
    )
    if found is None:
        raise Blocked(f"key {key} does not exist: correct bucket.encryption.key_arn")
    if found.get("KeyManager") == "AWS":
        raise Blocked(
            f"key {key} is managed by AWS, and log delivery cannot use it: set "
            "bucket.encryption.key_arn to a key of your own"
        )
    if not found.get("Enabled", True):
        raise Blocked(f"key {key} is not enabled, so delivery would fail: enable it")
