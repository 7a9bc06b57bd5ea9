"""The bucket and its policy: a new bucket, or an existing one kept as it is."""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import Any

from bootstrap import documents
from bootstrap.bucket_settings import bucket_settings, holds
from bootstrap.changes import Change, then
from bootstrap.deployment import Deployment
from bootstrap.errors import Blocked, unless
from bootstrap.policies import delivery_statements, deny_plain_http

# S3 guide, "Bucket policies": 20 KB. With a longer policy, creating a flow log fails
# with LogDestinationPermissionIssueException.
POLICY_LIMIT = 20_480


class Bucket(Enum):
    """The owner of the bucket."""

    ABSENT = "absent"
    OURS = "ours"
    THEIRS = "theirs"


def read(d: Deployment) -> Bucket:
    """Return whether the bucket exists and has our tag.

    Raises:
        Blocked: It is in another region than ``bucket.region``.
        ClientError: AWS refused to answer; the bucket may exist.
    """
    s3 = d.home.s3
    head = unless("404 NoSuchBucket", lambda: s3.head_bucket(**d.bucket))
    if head is None:
        return Bucket.ABSENT
    # botocore follows redirects to another region.
    region = head.get("BucketRegion", d.settings.bucket.region)
    if region != d.settings.bucket.region:
        raise Blocked(
            f"bucket {d.settings.bucket.name} is in {region}: correct bucket.region"
        )
    answer = unless("NoSuchTagSet", lambda: s3.get_bucket_tagging(**d.bucket))
    is_ours = answer is not None and d.names.owns(answer["TagSet"])
    return Bucket.OURS if is_ours else Bucket.THEIRS


def plan_bucket(d: Deployment) -> list[Change]:
    """Compare the bucket and, if it is ours, its settings with the wanted ones.

    Raises:
        Blocked: ``bucket.create`` is true and the bucket is another owner's, or it is
            false and the bucket is missing or has another key.
    """
    wanted, found = d.settings.bucket, read(d)
    if found is Bucket.ABSENT:
        if not wanted.create:
            raise Blocked(
                f"bucket {wanted.name} does not exist in account {wanted.account_id}: "
                "set bucket.create: true, or correct bucket.name"
            )
        return [_creation(d), *(s.change(d, None) for s in bucket_settings(d))]
    if found is Bucket.THEIRS:
        if wanted.create:
            raise Blocked(
                f"bucket {wanted.name} exists and was not made by this deployment: "
                "set bucket.create: false to use it and keep its settings"
            )
        _check_foreign_encryption(d)
        return []
    changes = []
    for setting in bucket_settings(d):
        current = setting.read()
        if not holds(current, setting.wanted):
            changes.append(setting.change(d, current))
    return changes


def plan_policy(d: Deployment) -> list[Change]:
    """Compare the bucket's policy with the same policy plus our statements.

    Raises:
        Blocked: The policy would be longer than S3 allows.
    """
    text = read_policy_text(d)
    current = json.loads(text) if text else None
    style, base = whole_policy(d, text)
    desired = documents.merge(base, _wanted_statements(d), d.names.sids)
    if documents.same(current, desired):
        return []
    new_text = documents.render_like(style, desired)
    if len(new_text.encode()) > POLICY_LIMIT:
        raise Blocked(
            f"the policy of bucket {d.settings.bucket.name} would have "
            f"{len(new_text.encode())} bytes, and S3 allows {POLICY_LIMIT}: split the "
            "sources among several buckets"
        )
    return [
        Change(
            "update" if current else "create",
            f"policy of bucket {d.settings.bucket.name}",
            "log delivery may write; other statements stay unchanged"
            if documents.same(base, current)
            else "AWS changed it when a flow log was created: restore its statements",
            current,
            desired,
            lambda: d.home.s3.put_bucket_policy(**d.bucket, Policy=new_text),
        )
    ]


def plan_policy_again(d: Deployment) -> list[Change]:
    """Compare the policy again after flow logs are created, and clear the journal."""
    changes = plan_policy(d)
    if changes:
        return [then(change, d.journal.clear) for change in changes]
    d.journal.clear()
    return []


def whole_policy(
    d: Deployment, text: str | None
) -> tuple[str | None, documents.Document | None]:
    """Return the policy with the statements that AWS removed for a flow log.

    AWS's own delivery statements are left out if ours allow the same.

    Args:
        d: The deployment.
        text: The policy now.

    Returns:
        The text to keep byte for byte, and the document.
    """
    current = json.loads(text) if text else None
    earlier_text = d.journal.read()
    if earlier_text is None:
        return text, current
    earlier = json.loads(earlier_text)
    added = documents.missing_from(earlier, current)
    kept = [statement for statement in added if not _is_covered_by_ours(d, statement)]
    if len(kept) == len(added) and not documents.missing_from(current, earlier):
        return text, current
    return earlier_text, {
        **earlier,
        "Statement": [*documents.statements(earlier), *kept],
    }


def _is_covered_by_ours(d: Deployment, statement: documents.Document) -> bool:
    """Return whether AWS added this statement for deliveries that ours allow."""
    if not re.fullmatch(
        r"AWSLogDelivery(Write|(Acl)?Check)\d*", statement.get("Sid", "")
    ):
        return False
    ours = delivery_statements(d.names, d.place, d.source_pairs())
    accounts = documents.as_list(
        statement.get("Condition", {})
        .get("StringEquals", {})
        .get("aws:SourceAccount", [])
    )
    resources = {r for s in ours for r in documents.as_list(s["Resource"])}
    return (
        bool(accounts)
        and set(accounts) <= {account for account, _ in d.source_pairs()}
        and set(documents.as_list(statement.get("Resource"))) <= resources
    )


def read_policy_text(d: Deployment) -> str | None:
    """Return the text of the bucket's policy, or None."""
    return unless(
        "NoSuchBucketPolicy NoSuchBucket",
        lambda: d.home.s3.get_bucket_policy(**d.bucket)["Policy"],
    )


def _wanted_statements(d: Deployment) -> list[documents.Document]:
    found = delivery_statements(d.names, d.place, d.source_pairs())
    # A denial for all keys belongs in our own bucket only.
    if d.settings.bucket.create:
        found.append(deny_plain_http(d.names, d.place))
    return found


def _creation(d: Deployment) -> Change:
    wanted = d.settings.bucket
    configuration: dict[str, Any] = {"Tags": d.names.tags(d.settings.tags)}
    if wanted.region != "us-east-1":
        configuration["LocationConstraint"] = wanted.region
    return Change(
        "create",
        f"bucket {wanted.name}",
        f"AWS delivers logs to it, in {wanted.region}",
        None,
        configuration,
        lambda: d.home.s3.create_bucket(
            Bucket=wanted.name,
            CreateBucketConfiguration=configuration,  # type: ignore[arg-type]
            ObjectOwnership="BucketOwnerEnforced",
        ),
    )


def _check_foreign_encryption(d: Deployment) -> None:
    """Check that the bucket's key is the one in the settings."""
    answer = unless(
        "ServerSideEncryptionConfigurationNotFoundError",
        lambda: d.home.s3.get_bucket_encryption(**d.bucket),
    )
    bucket, wanted = d.settings.bucket.name, d.settings.bucket.encryption.key_arn
    rules = answer["ServerSideEncryptionConfiguration"]["Rules"] if answer else []
    defaults = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules]
    with_kms = [found for found in defaults if "kms" in found.get("SSEAlgorithm", "")]
    for found in with_kms:
        key = found.get("KMSMasterKeyID")
        if key is None:
            raise Blocked(
                f"bucket {bucket} is encrypted with the AWS managed key, and log "
                "delivery cannot use it: encrypt it with SSE-S3 or with your own key"
            )
        if key != wanted:
            raise Blocked(
                f"bucket {bucket} is encrypted with key {key}: set bucket.encryption "
                "to type: sse-kms with that key's ARN; the bucket must use the ARN too"
            )
    if wanted and not with_kms:
        raise Blocked(
            f"bucket {bucket} is not encrypted with key {wanted}: set "
            "bucket.encryption.type: sse-s3, as the bucket has it"
        )
