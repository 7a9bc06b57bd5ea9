"""The bucket, its settings, its policy, its key's policy, its rules and its files."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from bootstrap import description, policies
from bootstrap.aws import Account
from bootstrap.changes import (
    NEW_MARK,
    Blocked,
    BootstrapError,
    Change,
    Shared,
    code_of,
    unless,
)
from bootstrap.description import Resource
from bootstrap.naming import (
    DELIVERY_WRITE,
    KEY_SNOWFLAKE,
    Names,
    Place,
    Senders,
    owner_of,
    part_of,
)

if TYPE_CHECKING:
    from bootstrap.settings import Settings

# S3 guide, "Bucket policies": 20 KB. With a longer policy, creating a flow log fails
# with LogDestinationPermissionIssueException.
POLICY_LIMIT = 20_480
# KMS guide, "Key policies": 32 KB.
KEY_POLICY_LIMIT = 32_768
# S3 guide, "Managing your storage lifecycle".
RULES_LIMIT = 1000
# The most objects in one DeleteObjects call.
BATCH = 1000
# The age of a copy of the policy, in seconds, after which only a person restores it.
JOURNAL_SECONDS = 86_400


class Owner(Enum):
    """The owner of the bucket."""

    ABSENT = "absent"
    OURS = "ours"
    THEIRS = "theirs"


def read(aws: Account, where: dict[str, Any], names: Names) -> tuple[Owner, str | None]:
    """Return the bucket's owner, and the mark in its tags.

    Raises:
        Blocked: It is in another region than ``bucket.region``.
        ClientError: AWS refused to answer; the bucket may exist.
    """
    head = unless("404 NoSuchBucket", lambda: aws.s3.head_bucket(**where))
    if head is None:
        return Owner.ABSENT, None
    # botocore follows redirects to another region.
    region = head.get("BucketRegion", aws.region)
    if region != aws.region:
        raise Blocked(f"bucket {names.bucket} is in {region}: correct bucket.region")
    tags = _tags(aws, where)
    is_ours = names.owns(tags) or names.owned_earlier(tags)
    return Owner.OURS if is_ours else Owner.THEIRS, owner_of(tags)


def _tags(aws: Account, where: dict[str, Any]) -> list[Any]:
    answer = unless(
        "NoSuchTagSet NoSuchBucket", lambda: aws.s3.get_bucket_tagging(**where)
    )
    return list(answer["TagSet"]) if answer else []


# ----- the bucket and its settings


def compare_bucket(aws: Account, wanted: Resource) -> Iterator[Change]:
    """Compare our bucket.

    Raises:
        Blocked: It is another owner's.
    """
    owner, mark = read(aws, wanted.s3, wanted.names)
    if owner is Owner.ABSENT:
        yield _creation(aws, wanted)
    elif owner is Owner.THEIRS:
        by = f"; its mark is {mark}" if mark else ""
        raise Blocked(
            f"{wanted.label} exists and was not made by this deployment{by}: "
            "set bucket.create: false to use it and keep its settings"
        )
    elif mark != wanted.mark:
        yield from _new_mark(aws, wanted)


def _creation(aws: Account, wanted: Resource) -> Change:
    configuration: dict[str, Any] = {**wanted.content}
    if wanted.region != "us-east-1":
        configuration["LocationConstraint"] = wanted.region
    # S3 guide, "Namespaces for general purpose buckets": names that end so belong to
    # one account and region.
    regional = wanted.name.endswith("-an")
    more: Any = {"BucketNamespace": "account-regional"} if regional else {}
    return Change(
        "create",
        wanted.label,
        f"AWS delivers logs to it, in {wanted.region}",
        None,
        configuration,
        lambda: aws.s3.create_bucket(
            Bucket=wanted.name,
            CreateBucketConfiguration=configuration,  # type: ignore[arg-type]
            ObjectOwnership="BucketOwnerEnforced",
            **more,
        ),
    )


def _new_mark(aws: Account, wanted: Resource) -> list[Change]:
    """Replace the mark of earlier versions; other tags stay."""
    names, where = wanted.names, wanted.s3

    def write(tags: Any) -> object:
        return aws.s3.put_bucket_tagging(**where, Tagging={"TagSet": tags})

    def edit(tags: list[Any]) -> list[Any]:
        return [
            {**tag, "Value": names.mark} if names.owned_earlier([tag]) else tag
            for tag in tags
        ]

    name = f"tags of {wanted.label}"
    shared = Shared(name, lambda: _tags(aws, where), write, edit, show=owner_of)
    return shared.changes(NEW_MARK)


def check_existing(aws: Account, s: Settings) -> None:
    """Check that another owner's bucket exists and has the key of the settings.

    Raises:
        Blocked: It is missing or has another key.
    """
    if read(aws, s.s3, s.names)[0] is Owner.ABSENT:
        raise Blocked(
            f"bucket {s.bucket.name} does not exist in account {s.bucket.account_id}: "
            "set bucket.create: true, or correct bucket.name"
        )
    answer = unless(
        "ServerSideEncryptionConfigurationNotFoundError",
        lambda: aws.s3.get_bucket_encryption(**s.s3),
    )
    bucket, wanted = s.bucket.name, s.bucket.encryption.key_arn
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


# By kind: the end of the calls' names, the error code if it was never set, the argument
# and key of the answer, and why our bucket has it.
SETTINGS = {
    "public access block": (
        "public_access_block",
        "NoSuchPublicAccessBlockConfiguration",
        "PublicAccessBlockConfiguration",
        "no object is ever public",
    ),
    "object ownership": (
        "bucket_ownership_controls",
        "OwnershipControlsNotFoundError",
        "OwnershipControls",
        "the bucket's owner owns delivered files",
    ),
    "encryption": (
        "bucket_encryption",
        "ServerSideEncryptionConfigurationNotFoundError",
        "ServerSideEncryptionConfiguration",
        "files are encrypted",
    ),
    "versioning": (
        "bucket_versioning",
        "",
        "VersioningConfiguration",
        "overwritten and deleted logs can be restored",
    ),
}


def compare_setting(aws: Account, wanted: Resource) -> Iterator[Change]:
    """Compare one setting of our bucket."""
    call, absent, argument, reason = SETTINGS[wanted.kind]
    get = getattr(aws.s3, f"get_{call}")
    answer = unless(f"{absent} NoSuchBucket", lambda: get(**wanted.s3)) or {}
    kept = {k: v for k, v in answer.items() if k == "Status"}
    current = answer.get(argument, kept) or None
    if not holds(current, wanted.content):
        put = getattr(aws.s3, f"put_{call}")
        yield Change(
            "update" if current else "create",
            wanted.label,
            reason,
            current,
            wanted.content,
            lambda: put(**wanted.s3, **{argument: wanted.content}),
        )


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


# ----- the policies of the bucket and of its key


def fitting(
    what: str,
    text: str | None,
    limit: int,
    forms: Sequence[Resource],
    is_earlier: Callable[[policies.Document], bool] = lambda _: False,
) -> Resource:
    """Return our statements in the first form that fits into a policy.

    Args:
        what: The policy, for the message.
        text: The policy now, or None.
        limit: The most bytes that AWS allows.
        forms: The same statements, by the ways of naming the accounts.
        is_earlier: Whether a statement of earlier versions is ours.

    Raises:
        Blocked: None fits.
    """
    for form in forms:
        after = policies.edited(text, form.content, form.names, is_earlier) or ""
        size = len(after.encode())
        if size <= limit:
            return form
    raise Blocked(
        f"{what} would have {size} bytes, and AWS allows {limit}: set organization_id, "
        "so that one statement names all accounts, or split the sources among several "
        "buckets"
    )


def asks_for_acl(aws: Account, s: Settings) -> bool:
    """Return whether files must give the bucket's owner full control.

    In our bucket its owner owns all files, and perhaps in another owner's.
    """
    if s.bucket.create:
        return False
    answer = unless(
        "OwnershipControlsNotFoundError NoSuchBucket",
        lambda: aws.s3.get_bucket_ownership_controls(**s.s3),
    )
    rules = answer["OwnershipControls"]["Rules"] if answer else []
    return all(rule["ObjectOwnership"] != "BucketOwnerEnforced" for rule in rules)


def read_policy(aws: Account, where: dict[str, Any]) -> str | None:
    """Return the text of the bucket's policy, or None."""
    return unless(
        "NoSuchBucketPolicy NoSuchBucket",
        lambda: aws.s3.get_bucket_policy(**where)["Policy"],
    )


def delivery(aws: Account, s: Settings, journal: Journal) -> Resource:
    """Return our statements of the bucket's policy, in the form that fits.

    Raises:
        Blocked: The policy would be longer than S3 allows.
    """
    acl = asks_for_acl(aws, s)
    text = journal.restored(read_policy(aws, s.s3))
    forms = [description.delivery(s, senders, acl) for senders in s.senders]
    is_earlier = _is_earlier(s.names)
    return fitting(forms[0].label, text, POLICY_LIMIT, forms, is_earlier)


def compare_policy(
    aws: Account, wanted: Resource, journal: Journal, clear: bool = False
) -> list[Change]:
    """Compare the bucket's policy with the same policy with our statements.

    If AWS removed statements for a flow log, and ``apply`` was interrupted before it
    restored them, they are restored here.

    Args:
        aws: The bucket's account.
        wanted: Our statements.
        journal: The copy of the policy.
        clear: Whether the copy is not needed afterwards; it is not either if ours go.
    """
    ours, is_earlier = wanted.content or [], _is_earlier(wanted.names)

    def edit(text: str | None) -> str | None:
        restored = journal.restored(text)
        after = policies.edited(restored, ours, wanted.names, is_earlier)
        return text if policies.same_text(text, after) else after

    def write(text: str | None) -> object:
        if text is None:
            return aws.s3.delete_bucket_policy(**wanted.s3)
        return aws.s3.put_bucket_policy(**wanted.s3, Policy=text)

    def why(text: str | None) -> str:
        if journal.restored(text) != text:
            return "AWS changed it when a flow log was created: restore its statements"
        if ours:
            return "log delivery may write; other statements stay unchanged"
        return "remove our statements; all others stay unchanged"

    shared = Shared(
        wanted.label,
        lambda: read_policy(aws, wanted.s3),
        write,
        edit,
        show=lambda text: json.loads(text) if text else None,
    )
    changes = shared.changes(why)
    if ours and not clear:
        return changes
    if not changes:
        journal.clear()
        return []
    (change,) = changes
    assert change.apply is not None
    first = change.apply

    def both() -> None:
        first()
        journal.clear()

    return [replace(change, apply=both)]


def _is_earlier(names: Names) -> Callable[[policies.Document], bool]:
    """Return what recognises a bucket policy's statements of earlier versions.

    Two deployments of one name had the same ids: they are ours if delivery writes to
    our prefix.
    """

    def is_earlier(statement: policies.Document) -> bool:
        keys = [r.partition("/")[2] for r in policies.as_list(statement["Resource"])]
        return str(statement["Sid"]).endswith(DELIVERY_WRITE) and all(
            key.startswith(names.logs_prefix) for key in keys
        )

    return is_earlier


def key_policy(aws: Account, s: Settings, role_arn: str) -> Resource | None:
    """Return our statements of the key's policy, in the form that fits, or None.

    Raises:
        Blocked: The policy would be longer than KMS allows.
    """
    forms = [found for x in s.senders if (found := description.key(s, role_arn, x))]
    if not forms or not s.bucket.encryption.manage_key_policy or len(forms) == 1:
        return forms[0] if forms else None
    if part_of(forms[0].name, 4) != s.bucket.account_id:
        return forms[0]
    text = unless("NotFoundException", lambda: _read_key(aws, forms[0].name))
    return fitting(forms[0].label, text, KEY_POLICY_LIMIT, forms)


def _read_key(aws: Account, key: str) -> str:
    return aws.kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]


def compare_key_policy(
    aws: Account, wanted: Resource, role_arn: str, manage: bool
) -> list[Change]:
    """Compare the key's policy with the same policy with our statements, or without.

    Args:
        aws: The bucket's account.
        wanted: Our statements; absent to remove them.
        role_arn: The role, by which statements of earlier versions are recognised.
        manage: Whether the program changes the policy.

    Raises:
        Blocked: The key is AWS's own, disabled, missing, or in another account.
    """
    key, ours = wanted.name, wanted.content or []
    if not manage:
        reason = "its owner must merge these statements (manage_key_policy: false)"
        if not ours:
            reason = "its owner may remove our statements"
        return [Change("note", wanted.label, reason, None, wanted.content)]
    _check_key(aws, wanted)

    def is_earlier(statement: policies.Document) -> bool:
        is_reader = str(statement["Sid"]).endswith(KEY_SNOWFLAKE)
        return is_reader and statement.get("Principal") == {"AWS": role_arn}

    shared = Shared(
        wanted.label,
        lambda: _read_key(aws, key),
        lambda text: aws.kms.put_key_policy(
            KeyId=key, PolicyName="default", Policy=text
        ),
        # A key always has a policy.
        lambda text: policies.edited(text, ours, wanted.names, is_earlier) or text,
        # KMS does not find a role at once after it is created.
        lambda error: (
            isinstance(error, ClientError)
            and code_of(error) == "MalformedPolicyDocumentException"
        ),
        json.loads,
    )
    return shared.changes(
        "delivery encrypts, Snowflake's role decrypts; other statements stay"
        if ours
        else "remove our statements; other statements stay unchanged"
    )


def _check_key(aws: Account, wanted: Resource) -> None:
    key = wanted.name
    if part_of(key, 4) != wanted.account:
        raise Blocked(
            f"key {key} is in another account than the bucket: set bucket.encryption."
            "manage_key_policy: false; its owner must merge what `plan` prints"
        )
    found: Any = unless(
        "NotFoundException",
        lambda: aws.kms.describe_key(KeyId=key)["KeyMetadata"],
    )
    if found is None:
        raise Blocked(f"key {key} does not exist: correct bucket.encryption.key_arn")
    if found.get("KeyManager") == "AWS":
        raise Blocked(
            f"key {key} is managed by AWS, and log delivery cannot use it: set "
            "bucket.encryption.key_arn to a key of your own"
        )
    if wanted.content and not found.get("Enabled", True):
        raise Blocked(f"key {key} is not enabled, so delivery would fail: enable it")


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
        place: The place of the logs.
        senders: The accounts that deliver.
    """

    path: Path
    place: Place
    senders: Senders

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

    def restored(self, text: str | None) -> str | None:
        """Return the policy without AWS's own change for a flow log of ours.

        A policy in which only AWS's statements are left was overwritten, so the copy
        comes back. In any other, a statement that is missing was removed by its owner.
        Added statements of AWS's are left out if ours allow the same.
        """
        if text is None:
            return None
        copy = self.read()
        if copy is not None and _is_aws_own(text):
            earlier, added = json.loads(copy), policies.statements(json.loads(text))
            kept = [s for s in added if not self._covers(s)]
            if not kept:
                return copy
            whole = {**earlier, "Statement": [*policies.statements(earlier), *kept]}
            return policies.render_like(copy, whole)
        if copy is None:
            return text
        now, before = json.loads(text), policies.statements(json.loads(copy))
        left = [
            s
            for s in policies.statements(now)
            if not self._covers(s)
            or any(policies.same_statement(s, other) for other in before)
        ]
        if len(left) == len(policies.statements(now)) or not left:
            return text
        if policies.same({"Statement": left}, {"Statement": before}):
            return copy
        return policies.render_like(text, {**now, "Statement": left})

    def _covers(self, statement: policies.Document) -> bool:
        """Return whether AWS added this statement for deliveries that ours allow."""
        if not _is_of_aws(statement):
            return False
        condition = statement.get("Condition", {}).get("StringEquals", {})
        accounts = policies.as_list(condition.get("aws:SourceAccount", []))
        resources = {*self.senders.folders(self.place), self.place.arn}
        return (
            bool(accounts)
            and set(accounts) <= set(self.senders.accounts)
            and set(policies.as_list(statement.get("Resource"))) <= resources
        )


def state_folder(folder: Path) -> Path:
    """Return the folder for the program's own files, which git ignores."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    return folder


def _is_aws_own(text: str | None) -> bool:
    """Return whether every statement is one that AWS writes for a flow log."""
    found = policies.statements(json.loads(text)) if text else []
    return bool(found) and all(map(_is_of_aws, found))


def _is_of_aws(statement: policies.Document) -> bool:
    sid = statement.get("Sid", "")
    return bool(re.fullmatch(r"AWSLogDelivery(Write|(Acl)?Check)\d*", sid))


# ----- lifecycle rules


def compare_lifecycle(aws: Account, wanted: Resource) -> list[Change]:
    """Compare the rules with the same rules with ours, or without them.

    Raises:
        Blocked: There would be more rules than S3 allows.
    """
    ours, names, where = wanted.content or [], wanted.names, wanted.s3

    def edit(answer: dict[str, Any]) -> dict[str, Any]:
        found: list[Any] = answer.get("Rules", [])
        others = [rule for rule in found if not _is_our_rule(names, rule)]
        present = [rule for rule in found if _is_our_rule(names, rule)]
        # S3 refuses a rule with `Filter` beside one of the old form with `Prefix`.
        old_form = any("Filter" not in rule for rule in others)
        mine = [_in_old_form(rule) if old_form else rule for rule in ours]
        if len(others) + len(mine) > RULES_LIMIT:
            raise Blocked(
                f"bucket {wanted.name} would have {len(others) + len(mine)} lifecycle "
                f"rules, and S3 allows {RULES_LIMIT}: remove expire_days and let the "
                "bucket's owner expire the prefix"
            )
        if sorted(present, key=_id_of) == sorted(mine, key=_id_of):
            return answer
        return {**answer, "Rules": [*others, *mine]}

    def read() -> dict[str, Any]:
        answer: Any = unless(
            "NoSuchLifecycleConfiguration NoSuchBucket",
            lambda: aws.s3.get_bucket_lifecycle_configuration(**where),
        )
        return {k: v for k, v in (answer or {}).items() if k != "ResponseMetadata"}

    def write(answer: dict[str, Any]) -> None:
        if not answer["Rules"]:
            aws.s3.delete_bucket_lifecycle(**where)
            return
        # Without it, the whole bucket gets AWS's default for this setting.
        key = "TransitionDefaultMinimumObjectSize"
        more: Any = {key: answer[key]} if key in answer else {}
        rules: Any = {"Rules": answer["Rules"]}
        aws.s3.put_bucket_lifecycle_configuration(
            **where, LifecycleConfiguration=rules, **more
        )

    def show(answer: dict[str, Any]) -> Any:
        found = [r for r in answer.get("Rules", []) if _is_our_rule(names, r)]
        return found or None

    shared = Shared(wanted.label, read, write, edit, show=show)
    days = ours[0]["Expiration"]["Days"] if ours else 0
    return shared.changes(
        f"delete flow logs after {days} days; other rules stay"
        if ours
        else "remove ours; other rules stay"
    )


def _id_of(rule: dict[str, Any]) -> str:
    return str(rule.get("ID", ""))


def _in_old_form(rule: dict[str, Any]) -> dict[str, Any]:
    more = {key: value for key, value in rule.items() if key != "Filter"}
    return {**more, "Prefix": rule["Filter"]["Prefix"]}


def _is_our_rule(names: Names, rule: dict[str, Any]) -> bool:
    if _id_of(rule).startswith(f"{names.expiry}-"):
        return True
    prefix = rule.get("Prefix", rule.get("Filter", {}).get("Prefix"))
    return _id_of(rule) == names.earlier_expiry and prefix == names.logs_prefix


# ----- destroy


@dataclass(frozen=True)
class Files:
    """The files of a bucket, and who uses it.

    Args:
        aws: The bucket's account.
        bucket: The bucket.
        folders: The folders of our accounts' flow logs.
        inventory: The folder of `inventory`'s files, whose names have our key.
        uses: Returns what others have at the bucket beside files, policy and rules.
        say: Shows a line of progress.
    """

    aws: Account
    bucket: Resource
    folders: Sequence[str]
    inventory: str
    uses: Callable[[], list[str]]
    say: Callable[[str], None]

    def deletion_of_ours(self, ids: Callable[[], Collection[str]]) -> Iterator[Change]:
        """Delete the files of our flow logs from a bucket that others use.

        A file's name has the id of its flow log, so files are deleted before flow logs.
        AWS may deliver more for some minutes.

        Args:
            ids: Returns the ids of our flow logs.
        """
        owner, _ = read(self.aws, self.bucket.s3, self.bucket.names)
        if owner is Owner.ABSENT:
            return
        if owner is Owner.OURS and not self._of_others():
            return
        ours = ids()
        mine = [
            item
            for folder in self.folders
            for item in self._versions(folder)
            if any(f"_{i}_" in item["Key"].rpartition("/")[2] for i in ours)
        ]
        mine += filter(self._is_inventory, self._versions(self.inventory))
        if mine:
            yield Change(
                "delete",
                f"log files in {self.bucket.label}",
                f"--delete-data; {len(mine)} whose names have our ids",
                apply=lambda: self._delete(iter(mine)),
            )

    def deletion_of_bucket(self, delete_data: bool) -> Iterator[Change]:
        """Delete our bucket if it is empty or may be emptied.

        Args:
            delete_data: Whether to empty it.

        Raises:
            Blocked: Others use it; the message counts what was found.
        """
        owner, _ = read(self.aws, self.bucket.s3, self.bucket.names)
        if owner is not Owner.OURS:
            return
        name = self.bucket.label
        is_empty = next(self._versions(""), None) is None
        if not is_empty and not delete_data:
            reason = "it has files, so it stays; --delete-data deletes both"
            yield Change("note", name, reason)
            return
        found = self._of_others()
        if found:
            raise Blocked(
                f"{name} stays, with its files, since others use it: "
                f"{'; '.join(found)}. Its tag says that this deployment made it: give "
                "the bucket to its users, or remove what is theirs and run `destroy` "
                "again"
            )
        if not is_empty:
            yield Change(
                "delete",
                f"every version of every object in {name}",
                "--delete-data",
                apply=self._empty,
            )
        yield Change(
            "delete", name, "this deployment made it", apply=self._delete_bucket
        )

    def has_flow_logs(self) -> bool:
        """Return whether the bucket has a flow log file of our accounts."""
        return any(True for folder in self.folders for _ in self._versions(folder))

    def _of_others(self) -> list[str]:
        """Return what others have in our bucket, in words."""
        names, where = self.bucket.names, self.bucket.s3
        text = read_policy(self.aws, where)
        left = policies.edited(text, [], names, _is_earlier(names))
        answer: Any = unless(
            "NoSuchLifecycleConfiguration",
            lambda: self.aws.s3.get_bucket_lifecycle_configuration(**where),
        )
        rules = answer["Rules"] if answer else []
        counts: Counter[str] = Counter()
        for item in self._versions(""):
            is_log = item["Key"].startswith(tuple(self.folders))
            if not is_log and not self._is_inventory(item):
                counts[_folder_of(item["Key"])] += 1
        return [
            *self.uses(),
            *(
                f"statement `{s.get('Sid', '(without id)')}` of its policy"
                for s in policies.statements(json.loads(left or "null"))
                if not _is_of_aws(s)
            ),
            *(
                f"lifecycle rule `{_id_of(rule)}`"
                for rule in rules
                if not _is_our_rule(names, rule)
            ),
            *(
                f"{count} {'object' if count == 1 else 'objects'} in `{folder}`"
                for folder, count in counts.most_common()
            ),
        ]

    def _is_inventory(self, item: dict[str, Any]) -> bool:
        key, ours = item["Key"], f"_{self.bucket.names.key}.parquet"
        return bool(key.startswith(self.inventory) and key.endswith(ours))

    def _empty(self) -> None:
        found = self._of_others()
        if found:
            raise Blocked(f"others use it meanwhile: {'; '.join(found)}")
        self._delete(self._versions(""))

    def _delete_bucket(self) -> None:
        try:
            self.aws.s3.delete_bucket(**self.bucket.s3)
        except ClientError as error:
            if code_of(error) != "BucketNotEmpty":
                raise
            raise BootstrapError(
                f"{self.bucket.label} got new files meanwhile: AWS delivers for some "
                "minutes after a flow log is gone. Run `destroy` again later"
            ) from error

    def _versions(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages = self.aws.s3.get_paginator("list_object_versions").paginate(
            **self.bucket.s3, Prefix=prefix
        )
        for page in pages:
            for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                yield {"Key": item["Key"], "VersionId": item["VersionId"]}

    def _delete(self, items: Iterator[dict[str, Any]]) -> None:
        while batch := list(islice(items, BATCH)):
            answer = self.aws.s3.delete_objects(
                **self.bucket.s3,
                Delete={"Objects": batch, "Quiet": True},  # type: ignore[typeddict-item]
            )
            failed = answer.get("Errors", [])
            if failed:
                first = failed[0]
                raise BootstrapError(
                    f"DeleteObjects failed for {len(failed)} files in "
                    f"{self.bucket.label}, the first: {first.get('Key')}: "
                    f"{first.get('Code')}: {first.get('Message')}"
                )
            self.say(f"{len(batch)} files deleted")


def _folder_of(key: str) -> str:
    """Return the folder to count a key under: of AWS's logs, account and service."""
    parts = key.split("/")[:-1]
    depth = parts.index("AWSLogs") + 3 if "AWSLogs" in parts else 1
    return "".join(f"{part}/" for part in parts[:depth]) or "/"
