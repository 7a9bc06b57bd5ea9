"""The bucket's key: what its policy must say for delivery and for Snowflake."""

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
    """Compare the key's policy with the same policy plus our statements, or less them.

    Raises:
        Blocked: The key is AWS's own, disabled, or lies in another account.
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
            reason = "its owner may take these statements out"
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
            "our statements go"
            if remove
            else "delivery encrypts, Snowflake's role decrypts; other statements stay",
            current,
            desired,
            lambda: _put(d, key, documents.render_like(text, desired)),
        )
    ]


def _put(d: Deployment, key: str, policy: str) -> object:
    # A role made a moment ago is not yet a principal KMS can find.
    return d.retry(
        lambda: d.home.kms.put_key_policy(
            KeyId=key, PolicyName="default", Policy=policy
        ),
        lambda error: code_of(error) == "MalformedPolicyDocumentException",
    )


def _check(d: Deployment, key: str) -> None:
    if part_of(key, 4) != d.settings.bucket.account_id:
        raise Blocked(
            f"key {key} is in another account: set bucket.encryption."
            "manage_key_policy: false, and its owner merges what `plan` prints"
        )
    found: Any = unless(
        "NotFoundException",
        lambda: d.home.kms.describe_key(KeyId=key)["KeyMetadata"],
    )
    if found is None:
        raise Blocked(f"key {key} does not exist in this account")
    if found.get("KeyManager") == "AWS":
        raise Blocked(f"key {key} is AWS's own: log delivery cannot use it")
    if not found.get("Enabled", True):
        raise Blocked(f"key {key} is not enabled: delivery would fail")
