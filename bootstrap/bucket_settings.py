"""The settings of our bucket, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bootstrap.changes import Change
from bootstrap.deployment import Deployment
from bootstrap.errors import unless


@dataclass(frozen=True)
class BucketSetting:
    """One setting: the call that reads it, its value, and the call that writes it."""

    what: str
    reason: str
    absent_code: str
    get: Callable[..., Any]
    answer_key: str
    put: Callable[..., object]
    argument: str
    wanted: dict[str, Any]
    arguments: dict[str, Any]

    def read(self) -> Any:
        """Return the value now, or None."""
        answer = unless(self.absent_code, lambda: self.get(**self.arguments))
        if answer is None:
            return None
        if not self.answer_key:
            return {k: v for k, v in answer.items() if k == "Status"} or None
        return answer[self.answer_key]

    def change(self, d: Deployment, current: Any) -> Change:
        """Return the call that sets it."""
        return Change(
            "update" if current else "create",
            f"{self.what} of bucket {d.settings.bucket.name}",
            self.reason,
            current,
            self.wanted,
            lambda: self.put(**self.arguments, **{self.argument: self.wanted}),
        )


def bucket_settings(d: Deployment) -> list[BucketSetting]:
    """Return every setting of our bucket."""
    s3, wanted = d.home.s3, d.settings.bucket
    default = {"SSEAlgorithm": "AES256"}
    if wanted.encryption.key_arn:
        default = {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": wanted.encryption.key_arn,
        }
    kms = wanted.encryption.type == "sse-kms"
    found = [
        BucketSetting(
            "public access block",
            "no object is ever public",
            "NoSuchPublicAccessBlockConfiguration",
            s3.get_public_access_block,
            "PublicAccessBlockConfiguration",
            s3.put_public_access_block,
            "PublicAccessBlockConfiguration",
            {
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
            d.bucket,
        ),
        BucketSetting(
            "object ownership",
            "the bucket's owner owns delivered files",
            "OwnershipControlsNotFoundError",
            s3.get_bucket_ownership_controls,
            "OwnershipControls",
            s3.put_bucket_ownership_controls,
            "OwnershipControls",
            {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            d.bucket,
        ),
        BucketSetting(
            "encryption",
            wanted.encryption.type.upper(),
            "ServerSideEncryptionConfigurationNotFoundError",
            s3.get_bucket_encryption,
            "ServerSideEncryptionConfiguration",
            s3.put_bucket_encryption,
            "ServerSideEncryptionConfiguration",
            {
                "Rules": [
                    {
                        "ApplyServerSideEncryptionByDefault": default,
                        "BucketKeyEnabled": kms,
                    }
                ]
            },
            d.bucket,
        ),
    ]
    if wanted.versioning:
        found.append(
            BucketSetting(
                "versioning",
                "overwritten and deleted logs can be restored",
                "",
                s3.get_bucket_versioning,
                "",
                s3.put_bucket_versioning,
                "VersioningConfiguration",
                {"Status": "Enabled"},
                d.bucket,
            )
        )
    return found


def holds(current: Any, wanted: Any) -> bool:
    """Return whether AWS's answer includes everything that is wanted."""
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(
            holds(current.get(key), value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(current, list)
            and len(current) == len(wanted)
            and all(map(holds, current, wanted))
        )
    # AWS leaves out false values.
    return bool(current == wanted or (wanted is False and current is None))
