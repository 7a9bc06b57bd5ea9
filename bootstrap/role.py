"""The role that Snowflake assumes: its policy, and later its trust."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from bootstrap import documents
from bootstrap.changes import Change
from bootstrap.deployment import Deployment, dumps
from bootstrap.errors import Blocked, code_of, message_of, unless
from bootstrap.policies import role_policy, trust_policy

GONE = "NoSuchEntity"


@dataclass(frozen=True)
class Role:
    """The role in IAM.

    Args:
        trust: Its trust policy.
        ours: Whether it has our tag.
        policy: Our inline policy, or None.
    """

    trust: documents.Document
    ours: bool
    policy: documents.Document | None


def read(d: Deployment) -> Role | None:
    """Return the role, or None."""
    iam, names = d.home.iam, d.names
    found = unless(GONE, lambda: iam.get_role(RoleName=names.role)["Role"])
    if found is None:
        return None
    answer = unless(
        GONE,
        lambda: iam.get_role_policy(RoleName=names.role, PolicyName=names.role_policy),
    )
    return Role(
        _document(found["AssumeRolePolicyDocument"]),
        names.owns(found.get("Tags")),
        _document(answer["PolicyDocument"]) if answer else None,
    )


def plan_role(d: Deployment) -> list[Change]:
    """Compare the role and its policy with what Snowflake needs.

    Raises:
        Blocked: Another owner's role has the name.
    """
    wanted = role_policy(
        d.place,
        d.settings.bucket.encryption.key_arn,
        d.settings.snowflake.allow_unload,
    )
    found = read(d)
    if found is not None and not found.ours:
        raise Blocked(
            f"role {d.names.role} exists and was not made by this deployment: "
            "set snowflake.role_name to another name"
        )
    changes = []
    if found is None:
        changes.append(_creation(d))
    current = found.policy if found else None
    if not documents.same(current, wanted):
        changes.append(
            Change(
                "update" if current else "create",
                f"policy {d.names.role_policy} of role {d.names.role}",
                "read, write and delete below the prefix"
                if d.settings.snowflake.allow_unload
                else "read below the prefix, nothing else",
                current,
                wanted,
                lambda: d.retry(
                    lambda: d.home.iam.put_role_policy(
                        RoleName=d.names.role,
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
    resource = f"trust of role {d.names.role}"
    d.check_snowflake_region()
    integration = d.snowflake.integration()
    if integration is None or not integration.is_known:
        return [
            Change(
                "wait", resource, "the integration's user and external id come first"
            )
        ]
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
                    RoleName=d.names.role, PolicyDocument=dumps(wanted)
                ),
                _principal_not_seen,
            ),
        )
    ]


def plan_removal(d: Deployment) -> list[Change]:
    """Delete the inline policy and then the role, the order that IAM requires."""
    found = read(d)
    if found is None or not found.ours:
        return []
    iam, names = d.home.iam, d.names
    changes = []
    if found.policy is not None:
        changes.append(
            Change(
                "delete",
                f"policy {names.role_policy} of role {names.role}",
                "IAM refuses to delete a role with policies",
                found.policy,
                None,
                lambda: iam.delete_role_policy(
                    RoleName=names.role, PolicyName=names.role_policy
                ),
            )
        )
    changes.append(
        Change(
            "delete",
            f"role {names.role}",
            "this deployment made it",
            found.trust,
            None,
            lambda: iam.delete_role(RoleName=names.role),
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
    return Change(
        "create",
        f"role {d.names.role}",
        "Snowflake assumes it, as soon as its trust is written",
        None,
        placeholder,
        lambda: d.home.iam.create_role(
            RoleName=d.names.role,
            AssumeRolePolicyDocument=dumps(placeholder),
            Description="Snowflake reads VPC Flow Logs with it.",
            Tags=tags,
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
