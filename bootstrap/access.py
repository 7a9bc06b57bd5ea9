"""What Snowflake may do in AWS: the role that it assumes, and the bucket's key."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from bootstrap import documents
from bootstrap.aws import Shared
from bootstrap.changes import Change
from bootstrap.deployment import Deployment, dumps
from bootstrap.errors import Blocked, code_of, message_of, unless
from bootstrap.naming import KEY_SNOWFLAKE, owner_of, part_of
from bootstrap.policies import key_statements, role_policy, trust_policy

GONE = "NoSuchEntity"
# KMS guide, "Key policies": 32 KB.
KEY_POLICY_LIMIT = 32_768


@dataclass(frozen=True)
class Role:
    """The role in IAM.

    Args:
        name: Its name.
        trust: Its trust policy.
        mark: The owner's mark in its tags, if any.
        policy: Our inline policy, or None.
    """

    name: str
    trust: documents.Document
    mark: str | None
    policy: documents.Document | None


# ----- the role


def role_name(d: Deployment) -> str:
    """Return the role's name; a role of an earlier version or place keeps its own.

    IAM renames no role, and a new one would stop the pipe for a while.
    """
    if "role" not in d.known:
        d.known["role"] = _find_role_name(d)
    return str(d.known["role"])


def _find_role_name(d: Deployment) -> str:
    before = d.earlier()
    places = [d, *([before] if before else [])]
    names = [n for p in places for n in (p.names.role, p.names.earlier_role)]
    if len(set(names)) == 1 or _read(d, d.names.role) is not None:
        return d.names.role
    for name in names[1:]:
        found = _read(d, name)
        if found is not None and is_ours(d, found):
            return name
    return d.names.role


def role_arn(d: Deployment) -> str:
    """Return the ARN of the role that Snowflake assumes."""
    account = d.settings.bucket.account_id
    path = d.settings.snowflake.role_path
    return f"arn:{d.home.partition}:iam::{account}:role{path}{role_name(d)}"


def is_ours(d: Deployment, role: Role) -> bool:
    """Return whether the role has our mark, of this or an earlier version or place."""
    before = d.earlier()
    if role.mark == d.names.mark or (before and is_ours(before, role)):
        return True
    # The mark of earlier versions has no place; the policy does.
    reads = [
        resource
        for statement in documents.statements(role.policy)
        for resource in documents.as_list(statement["Resource"])
    ]
    place = f"{d.place.arn}/{d.place.read_prefix}*"
    return role.mark == d.names.name and (not reads or place in reads)


def read(d: Deployment) -> Role | None:
    """Return the role, or None."""
    return _read(d, role_name(d))


def _read(d: Deployment, name: str) -> Role | None:
    iam = d.home.iam
    found = unless(GONE, lambda: iam.get_role(RoleName=name)["Role"])
    if found is None:
        return None
    answer = unless(
        GONE,
        lambda: iam.get_role_policy(RoleName=name, PolicyName=d.names.role_policy),
    )
    return Role(
        name,
        _document(found["AssumeRolePolicyDocument"]),
        owner_of(found.get("Tags")),
        _document(answer["PolicyDocument"]) if answer else None,
    )


def wanted_policy(d: Deployment) -> documents.Document:
    """Return the policy that the role needs."""
    return role_policy(
        d.places,
        d.senders.accounts,
        d.settings.bucket.encryption.key_arn,
        d.settings.snowflake.allow_unload,
    )


def plan_role(d: Deployment) -> list[Change]:
    """Compare the role and its policy with what Snowflake needs.

    Raises:
        Blocked: Another owner's role has the name.
    """
    wanted, found, name = wanted_policy(d), read(d), role_name(d)
    changes = []
    if found is None:
        changes.append(_creation(d))
    elif not is_ours(d, found):
        by = f"; its mark is {found.mark}" if found.mark else ""
        raise Blocked(
            f"role {name} exists and was not made by this deployment{by}: set "
            "snowflake.role_name to another name"
        )
    elif found.mark != d.names.mark:
        tags: Any = d.names.tags({})
        changes.append(
            Change(
                "update",
                f"tag of role {name}",
                "this version's mark has bucket and prefix",
                found.mark,
                d.names.mark,
                lambda: d.home.iam.tag_role(RoleName=name, Tags=tags),
            )
        )
    if d.earlier() and name not in (d.names.role, d.names.earlier_role):
        reason = f"it keeps its name: set snowflake.role_name: {name}, and keep it"
        changes.append(Change("note", f"role {name}", reason))
    current = found.policy if found else None
    if not documents.same(current, wanted):
        changes.append(
            Change(
                "update" if current else "create",
                f"policy {d.names.role_policy} of role {name}",
                "read flow logs; read, write and delete below the prefix"
                if d.settings.snowflake.allow_unload
                else "read flow logs of the accounts in `sources`, nothing else",
                current,
                wanted,
                lambda: d.retry(
                    lambda: d.home.iam.put_role_policy(
                        RoleName=name,
                        PolicyName=d.names.role_policy,
                        PolicyDocument=dumps(wanted),
                    ),
                    lambda error: code_of(error) == GONE,
                ),
            )
        )
    return changes


def plan_trust(d: Deployment) -> list[Change]:
    """Compare the trust with the integration's user and external id.

    Raises:
        BootstrapError: Snowflake's user is in another partition.
    """
    name = role_name(d)
    resource = f"trust of role {name}"
    d.check_snowflake_region()
    integration = d.snowflake.integration()
    if integration is None or not integration.is_known:
        reason = "the integration's user and external id come first"
        return [Change("wait", resource, reason)]
    d.check_partition(integration.iam_user_arn, "Snowflake's user")
    wanted = trust_policy(integration.iam_user_arn, integration.external_id)
    found = read(d)
    current = found.trust if found else None
    if documents.same(current, wanted):
        return []
    return [
        Change(
            "update",
            resource,
            f"only {integration.iam_user_arn}, with the integration's external id",
            current,
            wanted,
            lambda: d.retry(
                lambda: d.home.iam.update_assume_role_policy(
                    RoleName=name, PolicyDocument=dumps(wanted)
                ),
                _principal_not_seen,
            ),
        )
    ]


def plan_role_removal(d: Deployment) -> list[Change]:
    """Delete the inline policy and then the role, the order that IAM requires."""
    found = read(d)
    if found is None or not is_ours(d, found):
        return []
    iam, policy = d.home.iam, d.names.role_policy
    changes = []
    if found.policy is not None:
        changes.append(
            Change(
                "delete",
                f"policy {policy} of role {found.name}",
                "IAM refuses to delete a role with policies",
                found.policy,
                None,
                lambda: iam.delete_role_policy(RoleName=found.name, PolicyName=policy),
            )
        )
    changes.append(
        Change(
            "delete",
            f"role {found.name}",
            "this deployment made it",
            found.trust,
            None,
            lambda: iam.delete_role(RoleName=found.name),
        )
    )
    return changes


def _creation(d: Deployment) -> Change:
    account = d.settings.bucket.account_id
    # The external id is random and never shown, so nobody can assume the role until the
    # trust is written: Snowflake, "Configuring secure access to Amazon S3", step 2.
    placeholder = trust_policy(
        f"arn:{d.home.partition}:iam::{account}:root",
        f"placeholder-{secrets.token_hex(16)}",
    )
    tags: Any = d.names.tags(d.settings.tags)
    boundary = d.settings.snowflake.permissions_boundary
    more: Any = {"PermissionsBoundary": boundary} if boundary else {}
    return Change(
        "create",
        f"role {role_name(d)}",
        "Snowflake assumes it, as soon as its trust is written",
        None,
        placeholder,
        lambda: d.home.iam.create_role(
            RoleName=role_name(d),
            Path=d.settings.snowflake.role_path,
            AssumeRolePolicyDocument=dumps(placeholder),
            Description="Snowflake reads VPC Flow Logs with it.",
            Tags=tags,
            **more,
        ),
    )


def _principal_not_seen(error: ClientError) -> bool:
    # IAM guide, "Troubleshoot IAM": a new principal is not known everywhere at once.
    # Neither is our new role.
    if code_of(error) == GONE:
        return True
    return code_of(error) == "MalformedPolicyDocument" and (
        "Invalid principal" in message_of(error)
    )


def _document(value: Any) -> documents.Document:
    # botocore returns a mapping; older versions return URL-encoded text.
    found = json.loads(unquote(value)) if isinstance(value, str) else value
    return dict(found)


# ----- the bucket's key


def plan_key_policy(d: Deployment, remove: bool = False) -> list[Change]:
    """Compare the key's policy with the same policy with our statements, or without.

    Args:
        d: The deployment.
        remove: Whether to remove our statements instead.

    Raises:
        Blocked: The key is AWS's own, disabled, missing, or in another account, or its
            policy would be longer than KMS allows.
    """
    encryption = d.settings.bucket.encryption
    key = encryption.key_arn
    if key is None:
        return []
    if not encryption.manage_key_policy:
        reason = "its owner must merge these statements (manage_key_policy: false)"
        if remove:
            reason = "its owner may remove these statements"
        statements = wanted_key_statements(d)
        return [Change("note", f"policy of key {key}", reason, None, statements)]
    _check(d, key, must_work=not remove)

    def change(text: str) -> str:
        current = _with_new_ids(d, json.loads(text))
        for short in (False, True):
            desired = (
                documents.without(current, d.names.sids)
                if remove
                else documents.merge(
                    current, wanted_key_statements(d, short), d.names.sids
                )
            )
            if desired is None or documents.same(json.loads(text), desired):
                return text
            rendered = documents.render_like(text, desired)
            if len(rendered.encode()) <= KEY_POLICY_LIMIT:
                return rendered
        raise Blocked(
            f"the policy of key {key} would have {len(rendered.encode())} bytes, and "
            f"KMS allows {KEY_POLICY_LIMIT}: set organization_id"
        )

    shared = Shared(
        f"policy of key {key}",
        lambda: d.home.kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"],
        lambda text: d.home.kms.put_key_policy(
            KeyId=key, PolicyName="default", Policy=text
        ),
        # KMS does not find a role at once after it is created.
        lambda error: code_of(error) == "MalformedPolicyDocumentException",
    )
    text = shared.read()
    after = change(text)
    if after == text:
        return []
    return [
        Change(
            "update",
            shared.name,
            "remove our statements; other statements stay unchanged"
            if remove
            else "delivery encrypts, Snowflake's role decrypts; other statements stay",
            json.loads(text),
            json.loads(after),
            lambda: d.edit(shared, change),
        )
    ]


def wanted_key_statements(
    d: Deployment, short: bool = False
) -> list[documents.Document]:
    """Return our statements of the key's policy.

    Args:
        d: The deployment.
        short: Whether they name accounts without their regions.
    """
    return key_statements(
        d.names,
        d.place,
        replace(d.senders, short=short),
        role_arn(d),
        d.settings.snowflake.allow_unload,
    )


def _with_new_ids(
    d: Deployment, document: documents.Document
) -> documents.Document | None:
    """Return the policy with this version's statement ids, if the old ones are ours."""
    earlier = d.names.earlier_sids
    ours = next(i for i in earlier if i.endswith(KEY_SNOWFLAKE))
    is_ours = any(
        s.get("Sid") == ours and s.get("Principal") == {"AWS": role_arn(d)}
        for s in documents.statements(document)
    )
    return documents.with_ids(document, earlier) if is_ours else document


def _check(d: Deployment, key: str, must_work: bool) -> None:
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
    if must_work and not found.get("Enabled", True):
        raise Blocked(f"key {key} is not enabled, so delivery would fail: enable it")
