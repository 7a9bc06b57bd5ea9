"""The bucket, its settings, its policy and its lifecycle rules."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from bootstrap import documents
from bootstrap.aws import Shared
from bootstrap.changes import Change
from bootstrap.deployment import Deployment, state_folder
from bootstrap.errors import Blocked, BootstrapError, code_of, unless
from bootstrap.naming import DELIVERY_WRITE, owner_of
from bootstrap.policies import Senders, delivery_statements, deny_plain_http

# S3 guide, "Bucket policies": 20 KB. With a longer policy, creating a flow log fails
# with LogDestinationPermissionIssueException.
POLICY_LIMIT = 20_480
# S3 guide, "Managing your storage lifecycle".
RULES_LIMIT = 1000
# The most objects in one DeleteObjects call.
BATCH = 1000
# The age of a copy of the policy, in seconds, after which only a person restores it.
JOURNAL_SECONDS = 86_400


class Bucket(Enum):
    """The owner of the bucket."""

    ABSENT = "absent"
    OURS = "ours"
    THEIRS = "theirs"


@dataclass(frozen=True)
class Found:
    """The bucket as it is.

    Args:
        owner: Its owner.
        mark: The owner's mark in its tags, if any.
    """

    owner: Bucket
    mark: str | None = None


def read(d: Deployment) -> Found:
    """Return whether the bucket exists and has our mark.

    Raises:
        Blocked: It is in another region than ``bucket.region``.
        ClientError: AWS refused to answer; the bucket may exist.
    """
    s3 = d.home.s3
    head = unless("404 NoSuchBucket", lambda: s3.head_bucket(**d.bucket))
    if head is None:
        return Found(Bucket.ABSENT)
    # botocore follows redirects to another region.
    region = head.get("BucketRegion", d.settings.bucket.region)
    if region != d.settings.bucket.region:
        raise Blocked(
            f"bucket {d.settings.bucket.name} is in {region}: correct bucket.region"
        )
    tags = _tags(d)
    is_ours = d.names.owns(tags) or d.names.owned_earlier(tags)
    return Found(Bucket.OURS if is_ours else Bucket.THEIRS, owner_of(tags))


def _tags(d: Deployment) -> list[Any]:
    answer = unless(
        "NoSuchTagSet NoSuchBucket", lambda: d.home.s3.get_bucket_tagging(**d.bucket)
    )
    return list(answer["TagSet"]) if answer else []


# ----- the bucket and its settings


def plan_bucket(d: Deployment) -> list[Change]:
    """Compare the bucket and, if it is ours, its settings with the wanted ones.

    Raises:
        Blocked: ``bucket.create`` is true and the bucket is another owner's, or it is
            false and the bucket is missing or has another key.
    """
    wanted, found = d.settings.bucket, read(d)
    if found.owner is Bucket.ABSENT:
        if not wanted.create:
            raise Blocked(
                f"bucket {wanted.name} does not exist in account {wanted.account_id}: "
                "set bucket.create: true, or correct bucket.name"
            )
        return [_creation(d), *(s.change(d, None) for s in bucket_settings(d))]
    if found.owner is Bucket.THEIRS:
        if wanted.create:
            by = f"; its mark is {found.mark}" if found.mark else ""
            raise Blocked(
                f"bucket {wanted.name} exists and was not made by this deployment{by}: "
                "set bucket.create: false to use it and keep its settings"
            )
        _check_foreign_encryption(d)
        return []
    changes = []
    if found.mark != d.names.mark:
        changes.append(_new_mark(d, found.mark))
    for setting in bucket_settings(d):
        current = setting.read()
        if not holds(current, setting.wanted):
            changes.append(setting.change(d, current))
    return changes


def _creation(d: Deployment) -> Change:
    wanted = d.settings.bucket
    configuration: dict[str, Any] = {"Tags": d.names.tags(d.settings.tags)}
    if wanted.region != "us-east-1":
        configuration["LocationConstraint"] = wanted.region
    # S3 guide, "Namespaces for general purpose buckets": names that end so belong to
    # one account and region.
    more: Any = (
        {"BucketNamespace": "account-regional"} if wanted.name.endswith("-an") else {}
    )
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
            **more,
        ),
    )


def _new_mark(d: Deployment, mark: str | None) -> Change:
    """Replace the mark of earlier versions; other tags stay."""

    def write(tags: Any) -> object:
        return d.home.s3.put_bucket_tagging(**d.bucket, Tagging={"TagSet": tags})

    def change(tags: list[Any]) -> list[Any]:
        if d.names.owns(tags):
            return tags
        return [
            {**tag, "Value": d.names.mark} if d.names.owned_earlier([tag]) else tag
            for tag in tags
        ]

    shared = Shared(f"tags of bucket {d.settings.bucket.name}", lambda: _tags(d), write)
    return Change(
        "update",
        shared.name,
        "this version's mark has bucket and prefix",
        mark,
        d.names.mark,
        lambda: d.edit(shared, change),
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
        if key != wanted and not key.startswith("arn:"):
            kind = "an alias" if key.startswith("alias/") else "an id"
            raise Blocked(
                f"bucket {bucket} is encrypted with key {key}, which is {kind}: log "
                "delivery needs the key's ARN. Its owner must set the ARN as the "
                "bucket's default key; then set bucket.encryption to type: sse-kms "
                "with that ARN"
            )
        if key != wanted:
            raise Blocked(
                f"bucket {bucket} is encrypted with key {key}: set bucket.encryption "
                "to type: sse-kms with that key's ARN"
            )
    if wanted and not with_kms:
        raise Blocked(
            f"bucket {bucket} is not encrypted with key {wanted}: set "
            "bucket.encryption.type: sse-s3, as the bucket has it"
        )


@dataclass(frozen=True)
class BucketSetting:
    """One setting: the call that reads it, its value, and the call that writes it.

    Args:
        what: Its name for users.
        reason: Why our bucket has it.
        call: The end of both calls' names, such as ``bucket_encryption``.
        absent_code: The error code if it was never set.
        argument: The argument that has it, and the key of the answer.
        wanted: Its value.
        d: The deployment.
    """

    what: str
    reason: str
    call: str
    absent_code: str
    argument: str
    wanted: dict[str, Any]
    d: Deployment

    def read(self) -> Any:
        """Return the value now, or None."""
        get = getattr(self.d.home.s3, f"get_{self.call}")
        answer = unless(self.absent_code, lambda: get(**self.d.bucket))
        if answer is None:
            return None
        if self.argument not in answer:
            return {k: v for k, v in answer.items() if k == "Status"} or None
        return answer[self.argument]

    def change(self, d: Deployment, current: Any) -> Change:
        """Return the call that sets it."""
        put = getattr(d.home.s3, f"put_{self.call}")
        return Change(
            "update" if current else "create",
            f"{self.what} of bucket {d.settings.bucket.name}",
            self.reason,
            current,
            self.wanted,
            lambda: put(**d.bucket, **{self.argument: self.wanted}),
        )


def bucket_settings(d: Deployment) -> list[BucketSetting]:
    """Return every setting of our bucket."""
    encryption = d.settings.bucket.encryption
    default = {"SSEAlgorithm": "AES256"}
    if encryption.key_arn:
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": encryption.key_arn}
    rule = {
        "ApplyServerSideEncryptionByDefault": default,
        "BucketKeyEnabled": encryption.type == "sse-kms",
    }
    blocks = (
        "BlockPublicAcls",
        "IgnorePublicAcls",
        "BlockPublicPolicy",
        "RestrictPublicBuckets",
    )
    found = [
        BucketSetting(
            "public access block",
            "no object is ever public",
            "public_access_block",
            "NoSuchPublicAccessBlockConfiguration",
            "PublicAccessBlockConfiguration",
            dict.fromkeys(blocks, True),
            d,
        ),
        BucketSetting(
            "object ownership",
            "the bucket's owner owns delivered files",
            "bucket_ownership_controls",
            "OwnershipControlsNotFoundError",
            "OwnershipControls",
            {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            d,
        ),
        BucketSetting(
            "encryption",
            encryption.type.upper(),
            "bucket_encryption",
            "ServerSideEncryptionConfigurationNotFoundError",
            "ServerSideEncryptionConfiguration",
            {"Rules": [rule]},
            d,
        ),
    ]
    if d.settings.bucket.versioning:
        found.append(
            BucketSetting(
                "versioning",
                "overwritten and deleted logs can be restored",
                "bucket_versioning",
                "",
                "VersioningConfiguration",
                {"Status": "Enabled"},
                d,
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


# ----- the policy


def wanted_statements(
    d: Deployment, ask_for_acl: bool, short: bool = False
) -> list[documents.Document]:
    """Return our statements of the bucket's policy.

    Args:
        d: The deployment.
        ask_for_acl: Whether files must give the bucket's owner full control.
        short: Whether they name accounts without their regions.
    """
    senders = replace(d.senders, short=short)
    found = delivery_statements(d.names, d.place, senders, ask_for_acl)
    # A denial for all keys belongs in our own bucket only.
    if d.settings.bucket.create:
        found.append(deny_plain_http(d.names, d.place))
    return found


def asks_for_acl(d: Deployment) -> bool:
    """Return whether files must give the bucket's owner full control.

    In our bucket its owner owns all files, and perhaps in another owner's.
    """
    if d.settings.bucket.create:
        return False
    answer = unless(
        "OwnershipControlsNotFoundError NoSuchBucket",
        lambda: d.home.s3.get_bucket_ownership_controls(**d.bucket),
    )
    rules = answer["OwnershipControls"]["Rules"] if answer else []
    return all(rule["ObjectOwnership"] != "BucketOwnerEnforced" for rule in rules)


def read_policy(d: Deployment) -> str | None:
    """Return the text of the bucket's policy, or None."""
    return unless(
        "NoSuchBucketPolicy NoSuchBucket",
        lambda: d.home.s3.get_bucket_policy(**d.bucket)["Policy"],
    )


def fitting_statements(d: Deployment) -> list[documents.Document]:
    """Return our statements in the form that fits into the bucket's policy.

    Raises:
        Blocked: The policy would be longer than S3 allows.
    """
    return _fitting(d, read_policy(d), asks_for_acl(d))[0]


def _fitting(
    d: Deployment, text: str | None, ask_for_acl: bool
) -> tuple[list[documents.Document], str]:
    """Return our statements, and the whole policy with them, within S3's limit."""
    for short in (False, True):
        ours = wanted_statements(d, ask_for_acl, short)
        with_ours = _with_ours(d, text, ours)
        size = len(with_ours.encode())
        if size <= POLICY_LIMIT:
            return ours, with_ours
    raise Blocked(
        f"the policy of bucket {d.settings.bucket.name} would have {size} bytes, and "
        f"S3 allows {POLICY_LIMIT}: set organization_id, so that one statement names "
        "all accounts, or split the sources among several buckets"
    )


def plan_policy(d: Deployment) -> list[Change]:
    """Compare the bucket's policy with the same policy plus our statements.

    Raises:
        Blocked: The policy would be longer than S3 allows.
    """
    ask_for_acl = asks_for_acl(d)

    def change(text: str | None) -> str | None:
        with_ours = _fitting(d, _restored(d, text), ask_for_acl)[1]
        return text if _same(text, with_ours) else with_ours

    text = read_policy(d)
    desired = change(text)
    if desired == text:
        return []
    overwritten = _restored(d, text) != text
    return [
        Change(
            "update" if text else "create",
            f"policy of bucket {d.settings.bucket.name}",
            "AWS changed it when a flow log was created: restore its statements"
            if overwritten
            else "log delivery may write; other statements stay unchanged",
            json.loads(text) if text else None,
            json.loads(desired or "null"),
            lambda: d.edit(_shared_policy(d), change),
        )
    ]


def plan_policy_again(d: Deployment) -> list[Change]:
    """Compare the policy again after flow logs are created, and clear the journal."""
    changes = plan_policy(d)
    if not changes:
        journal(d).clear()
        return []
    (change,) = changes
    assert change.apply is not None
    return [replace(change, apply=_both(change.apply, journal(d).clear))]


def plan_policy_removal(d: Deployment) -> list[Change]:
    """Remove our statements from the bucket's policy; all others stay.

    If AWS removed statements for a flow log, and ``apply`` was interrupted before it
    restored them, they are restored here.
    """

    def change(text: str | None) -> str | None:
        restored = _restored(d, text)
        left = _without_ours(d, restored)
        return text if _same(text, left) else left

    text = read_policy(d)
    desired = change(text)
    if desired == text:
        journal(d).clear()
        return []
    return [
        Change(
            "update" if desired else "delete",
            f"policy of bucket {d.settings.bucket.name}",
            "remove our statements; all others stay unchanged"
            if desired
            else "all its statements are ours",
            json.loads(text) if text else None,
            json.loads(desired) if desired else None,
            _both(lambda: d.edit(_shared_policy(d), change), journal(d).clear),
        )
    ]


def _both(first: Callable[[], object], then: Callable[[], object]) -> Any:
    def both() -> None:
        first()
        then()

    return both


def _shared_policy(d: Deployment) -> Shared:
    def write(text: str | None) -> object:
        if text is None:
            return d.home.s3.delete_bucket_policy(**d.bucket)
        return d.home.s3.put_bucket_policy(**d.bucket, Policy=text)

    name = f"policy of bucket {d.settings.bucket.name}"
    return Shared(name, lambda: read_policy(d), write)


def _same(one: str | None, other: str | None) -> bool:
    return documents.same(
        json.loads(one) if one else None, json.loads(other) if other else None
    )


def _with_ours(d: Deployment, text: str | None, ours: list[Any]) -> str:
    document = _with_new_ids(d, json.loads(text) if text else None)
    merged = documents.merge(document, ours, d.names.sids)
    return documents.render_like(text, merged)


def _without_ours(d: Deployment, text: str | None) -> str | None:
    document = _with_new_ids(d, json.loads(text) if text else None)
    left = documents.without(document, d.names.sids)
    return None if left is None else documents.render_like(text, left)


def _with_new_ids(
    d: Deployment, document: documents.Document | None
) -> documents.Document | None:
    """Return the policy with this version's statement ids, if the old ones are ours.

    Two deployments of one name had the same ids: they are ours if delivery writes to
    our prefix.
    """
    earlier = d.names.earlier_sids
    ours = next(i for i in earlier if i.endswith(DELIVERY_WRITE))
    folder = f"{d.place.arn}/{d.place.logs_prefix}"
    is_ours = any(
        s.get("Sid") == ours
        and all(r.startswith(folder) for r in documents.as_list(s["Resource"]))
        for s in documents.statements(document)
    )
    return documents.with_ids(document, earlier) if is_ours else document


# ----- what AWS does to the policy when a flow log is created


@dataclass(frozen=True)
class Journal:
    """A copy of the bucket policy on disk, while AWS may overwrite the policy.

    AWS's guides contradict each other on what creating a flow log does to an existing
    bucket policy: "overwrites any existing policy" (VPC guide), "appended" (CloudWatch
    Logs guide). If the program stops before it repairs an overwritten policy, the next
    run restores the statements of others from this copy.

    Args:
        path: The file; one for each deployment.
    """

    path: Path

    def save(self, policy: str | None) -> None:
        """Write a policy's text, unless AWS has overwritten it already."""
        if policy is None or _is_aws_own(policy):
            return
        state_folder(self.path.parent)
        waiting = self.path.with_suffix(".new")
        waiting.write_text(policy, "utf-8")
        os.replace(waiting, self.path)

    def read(self) -> str | None:
        """Return the policy in the file, or None; a day later its owner decides."""
        if not self.path.exists():
            return None
        if time.time() - self.path.stat().st_mtime > JOURNAL_SECONDS:
            return None
        return self.path.read_text("utf-8")

    def clear(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def journal(d: Deployment) -> Journal:
    """Return the copy of the bucket policy that survives an interruption."""
    return Journal(d.settings.state_dir / f"{d.names.key}.policy.json")


def save_policy(d: Deployment) -> None:
    """Copy the policy to disk, before AWS may overwrite it."""
    journal(d).save(read_policy(d))


def _is_aws_own(text: str | None) -> bool:
    """Return whether every statement is one that AWS writes for a flow log."""
    found = documents.statements(json.loads(text)) if text else []
    return bool(found) and all(map(_is_of_aws, found))


def _is_of_aws(statement: documents.Document) -> bool:
    sid = statement.get("Sid", "")
    return bool(re.fullmatch(r"AWSLogDelivery(Write|(Acl)?Check)\d*", sid))


def _restored(d: Deployment, text: str | None) -> str | None:
    """Return the policy without AWS's own change for a flow log of ours.

    A policy in which only AWS's statements are left was overwritten, so the copy comes
    back. In any other, a statement that is missing was removed by its owner. Added
    statements of AWS's are left out if ours allow the same.
    """
    if text is None:
        return None
    copy = journal(d).read()
    if copy is not None and _is_aws_own(text):
        earlier, added = json.loads(copy), documents.statements(json.loads(text))
        kept = [s for s in added if not _is_covered_by_ours(d, s)]
        if not kept:
            return copy
        whole = {**earlier, "Statement": [*documents.statements(earlier), *kept]}
        return documents.render_like(copy, whole)
    if copy is None:
        return text
    now, before = json.loads(text), documents.statements(json.loads(copy))
    left = [
        s
        for s in documents.statements(now)
        if not _is_covered_by_ours(d, s)
        or any(documents.same_statement(s, other) for other in before)
    ]
    if len(left) == len(documents.statements(now)) or not left:
        return text
    if documents.same({"Statement": left}, {"Statement": before}):
        return copy
    return documents.render_like(text, {**now, "Statement": left})


def _is_covered_by_ours(d: Deployment, statement: documents.Document) -> bool:
    """Return whether AWS added this statement for deliveries that ours allow."""
    if not _is_of_aws(statement):
        return False
    accounts = documents.as_list(
        statement.get("Condition", {})
        .get("StringEquals", {})
        .get("aws:SourceAccount", [])
    )
    senders = Senders(d.source_pairs())
    resources = {*senders.folders(d.place), d.place.arn}
    return (
        bool(accounts)
        and set(accounts) <= set(senders.accounts)
        and set(documents.as_list(statement.get("Resource"))) <= resources
    )


# ----- lifecycle rules


def plan_lifecycle(d: Deployment, remove: bool = False) -> list[Change]:
    """Compare the rules with the same rules with ours, or without them.

    Args:
        d: The deployment.
        remove: Whether to remove our rules instead.

    Raises:
        Blocked: There would be more rules than S3 allows.
    """
    wanted = [] if remove else lifecycle_rules(d)

    def change(answer: dict[str, Any]) -> dict[str, Any]:
        found: list[Any] = answer.get("Rules", [])
        others = [rule for rule in found if not _is_our_rule(d, rule)]
        ours = [rule for rule in found if _is_our_rule(d, rule)]
        # S3 refuses a rule with `Filter` beside one of the old form with `Prefix`.
        old_form = any("Filter" not in rule for rule in others)
        mine = [_in_old_form(rule) if old_form else rule for rule in wanted]
        if len(others) + len(mine) > RULES_LIMIT:
            raise Blocked(
                f"bucket {d.settings.bucket.name} would have {len(others) + len(mine)} "
                f"lifecycle rules, and S3 allows {RULES_LIMIT}: remove expire_days and "
                "let the bucket's owner expire the prefix"
            )
        if sorted(ours, key=_id_of) == sorted(mine, key=_id_of):
            return answer
        return {**answer, "Rules": [*others, *mine]}

    now = _read_lifecycle(d)
    after = change(now)
    if after == now:
        return []
    before = [rule for rule in now.get("Rules", []) if _is_our_rule(d, rule)]
    bucket = d.settings.bucket
    shared = Shared(
        f"lifecycle rules of bucket {bucket.name}",
        lambda: _read_lifecycle(d),
        lambda answer: _write_lifecycle(d, answer),
    )
    return [
        Change(
            "delete" if not wanted else ("update" if before else "create"),
            shared.name,
            f"delete flow logs after {bucket.expire_days} days; other rules stay"
            if wanted
            else "remove ours; other rules stay",
            before or None,
            wanted or None,
            lambda: d.edit(shared, change),
        )
    ]


def lifecycle_rules(d: Deployment) -> list[dict[str, Any]]:
    """Return our rules: for each account, its flow logs in both folder layouts."""
    bucket = d.settings.bucket
    if bucket.expire_days is None:
        return []
    return [
        {
            "ID": f"{d.names.expiry}-{account}{layout}",
            "Status": "Enabled",
            "Filter": {"Prefix": folder},
            "Expiration": {"Days": bucket.expire_days},
            "NoncurrentVersionExpiration": {
                "NoncurrentDays": bucket.noncurrent_expire_days
            },
        }
        for account in d.senders.accounts
        for folder, layout in zip(d.place.folders(account), ("", "-hive"), strict=True)
    ]


def _id_of(rule: dict[str, Any]) -> str:
    return str(rule.get("ID", ""))


def _in_old_form(rule: dict[str, Any]) -> dict[str, Any]:
    more = {key: value for key, value in rule.items() if key != "Filter"}
    return {**more, "Prefix": rule["Filter"]["Prefix"]}


def _is_our_rule(d: Deployment, rule: dict[str, Any]) -> bool:
    if _id_of(rule).startswith(f"{d.names.expiry}-"):
        return True
    prefix = rule.get("Prefix", rule.get("Filter", {}).get("Prefix"))
    return _id_of(rule) == d.names.earlier_expiry and prefix == d.place.logs_prefix


def _read_lifecycle(d: Deployment) -> dict[str, Any]:
    answer: Any = unless(
        "NoSuchLifecycleConfiguration NoSuchBucket",
        lambda: d.home.s3.get_bucket_lifecycle_configuration(**d.bucket),
    )
    return {k: v for k, v in (answer or {}).items() if k != "ResponseMetadata"}


def _write_lifecycle(d: Deployment, answer: dict[str, Any]) -> None:
    if not answer["Rules"]:
        d.home.s3.delete_bucket_lifecycle(**d.bucket)
        return
    # Without it, the whole bucket gets AWS's default for this setting.
    key = "TransitionDefaultMinimumObjectSize"
    more: Any = {key: answer[key]} if key in answer else {}
    rules: Any = {"Rules": answer["Rules"]}
    d.home.s3.put_bucket_lifecycle_configuration(
        **d.bucket, LifecycleConfiguration=rules, **more
    )


# ----- destroy


Uses = Callable[[], list[str]]
"""Returns what others have at the bucket, beside what is in it, in words."""


def plan_data(
    d: Deployment, delete_data: bool, ids: Callable[[], list[str]], uses: Uses
) -> list[Change]:
    """Delete the files of our flow logs from a bucket that others use.

    A file's name has the id of its flow log, so files are deleted before flow logs.
    AWS may deliver more for some minutes.

    Args:
        d: The deployment.
        delete_data: Whether to delete anything.
        ids: Returns the ids of our flow logs.
        uses: Returns what others have at the bucket.
    """
    found = read(d)
    if not delete_data or found.owner is Bucket.ABSENT:
        return []
    if found.owner is Bucket.OURS and not _used_by_others(d, uses):
        return []
    ours = ids()
    mine = [
        item
        for account in d.senders.accounts
        for folder in d.place.folders(account)
        for item in _versions(d, folder)
        if any(f"_{i}_" in item["Key"].rpartition("/")[2] for i in ours)
    ]
    if not mine:
        return []
    return [
        Change(
            "delete",
            f"log files in bucket {d.settings.bucket.name}",
            f"--delete-data; {len(mine)} whose names have the ids of our flow logs",
            apply=lambda: _delete(d, iter(mine)),
        )
    ]


def plan_removal(d: Deployment, delete_data: bool, uses: Uses) -> list[Change]:
    """Delete our bucket if it is empty or may be emptied.

    Args:
        d: The deployment.
        delete_data: Whether to empty it.
        uses: Returns what others have at the bucket.

    Raises:
        Blocked: Others use it; the message counts what was found.
    """
    if read(d).owner is not Bucket.OURS:
        return []
    name = d.settings.bucket.name
    is_empty = next(_versions(d, ""), None) is None
    if not is_empty and not delete_data:
        reason = "it has files, so it stays; --delete-data deletes both"
        return [Change("note", f"bucket {name}", reason)]
    found = _used_by_others(d, uses)
    if found:
        raise Blocked(
            f"bucket {name} stays, with its files, since others use it: "
            f"{'; '.join(found)}. Its tag says that this deployment made it: give the "
            "bucket to its users, or remove what is theirs and run `destroy` again"
        )
    changes = []
    if not is_empty:
        changes.append(
            Change(
                "delete",
                f"every version of every object in bucket {name}",
                "--delete-data",
                apply=lambda: _empty(d, uses),
            )
        )
    changes.append(
        Change(
            "delete",
            f"bucket {name}",
            "this deployment made it",
            apply=lambda: _delete_bucket(d),
        )
    )
    return changes


def _used_by_others(d: Deployment, more: Uses) -> list[str]:
    """Return what others have in our bucket, in words."""
    uses = more()
    text = read_policy(d)
    theirs = json.loads(_without_ours(d, text) or "null")
    uses += [
        f"statement `{s.get('Sid', '(without id)')}` of its policy"
        for s in documents.statements(theirs)
        if not _is_of_aws(s)
    ]
    rules = _read_lifecycle(d).get("Rules", [])
    uses += [
        f"lifecycle rule `{_id_of(rule)}`"
        for rule in rules
        if not _is_our_rule(d, rule)
    ]
    uses += [
        f"{count} {'object' if count == 1 else 'objects'} in `{folder}`"
        for folder, count in _objects_of_others(d).most_common()
    ]
    return uses


def _objects_of_others(d: Deployment) -> Counter[str]:
    """Return the number of objects by folder, without flow logs of our accounts."""
    ours = tuple(f for a in d.senders.accounts for f in d.place.folders(a))
    counts: Counter[str] = Counter()
    for item in _versions(d, ""):
        if not item["Key"].startswith(ours):
            counts[_folder_of(item["Key"])] += 1
    return counts


def _folder_of(key: str) -> str:
    """Return the folder to count a key under: of AWS's logs, account and service."""
    parts = key.split("/")[:-1]
    depth = parts.index("AWSLogs") + 3 if "AWSLogs" in parts else 1
    return "".join(f"{part}/" for part in parts[:depth]) or "/"


def _empty(d: Deployment, uses: Uses) -> None:
    found = _used_by_others(d, uses)
    if found:
        raise Blocked(f"others use it meanwhile: {'; '.join(found)}")
    _delete(d, _versions(d, ""))


def has_flow_logs(d: Deployment) -> bool:
    """Return whether the bucket has a flow log file of our accounts."""
    folders = (f for a in d.senders.accounts for f in d.place.folders(a))
    return any(True for folder in folders for _ in _versions(d, folder))


def _delete_bucket(d: Deployment) -> None:
    try:
        d.home.s3.delete_bucket(**d.bucket)
    except ClientError as error:
        if code_of(error) != "BucketNotEmpty":
            raise
        raise BootstrapError(
            f"bucket {d.settings.bucket.name} got new files meanwhile: AWS delivers "
            "for some minutes after a flow log is gone. Run `destroy` again later"
        ) from error


def _versions(d: Deployment, prefix: str) -> Iterator[dict[str, Any]]:
    pages = d.home.s3.get_paginator("list_object_versions").paginate(
        **d.bucket, Prefix=prefix
    )
    for page in pages:
        for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            yield {"Key": item["Key"], "VersionId": item["VersionId"]}


def _delete(d: Deployment, items: Iterator[dict[str, Any]]) -> None:
    batch: list[Any] = []

    def flush() -> None:
        if not batch:
            return
        answer = d.home.s3.delete_objects(
            **d.bucket, Delete={"Objects": batch, "Quiet": True}
        )
        failed = answer.get("Errors", [])
        if failed:
            first = failed[0]
            raise BootstrapError(
                f"DeleteObjects failed for {len(failed)} files in bucket "
                f"{d.settings.bucket.name}, the first: {first.get('Key')}: "
                f"{first.get('Code')}: {first.get('Message')}"
            )
        d.say(f"{len(batch)} files deleted")
        batch.clear()

    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            flush()
    flush()
