"""The IAM permissions that the caller needs.

The names are those of the Service Authorization Reference. A test compares the table
with the calls that all commands make.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from bootstrap.naming import Names, partition_of_region

if TYPE_CHECKING:
    from bootstrap.settings import Settings

# The actions of operations whose action is not `<service>:<Operation>`.
SPECIAL: dict[str, tuple[str, ...]] = {
    # With tags, it needs both.
    "CreateBucket": ("s3:CreateBucket", "s3:TagResource"),
    "DeleteObjects": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "GetBucketEncryption": ("s3:GetEncryptionConfiguration",),
    "GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration",),
    "GetBucketNotificationConfiguration": ("s3:GetBucketNotification",),
    "GetPublicAccessBlock": ("s3:GetBucketPublicAccessBlock",),
    "HeadBucket": ("s3:ListBucket",),
    "ListObjectVersions": ("s3:ListBucketVersions",),
    "ListObjectsV2": ("s3:ListBucket",),
    "DeleteBucketLifecycle": ("s3:PutLifecycleConfiguration",),
    "PutBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "PutBucketLifecycleConfiguration": ("s3:PutLifecycleConfiguration",),
    "PutBucketNotificationConfiguration": ("s3:PutBucketNotification",),
    "PutPublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    "CreateRole": ("iam:CreateRole", "iam:TagRole"),
    # VPC guide, "IAM permissions for publishing flow logs to Amazon S3".
    "CreateFlowLogs": (
        "ec2:CreateFlowLogs",
        "ec2:CreateTags",
        "logs:CreateLogDelivery",
    ),
    "DeleteFlowLogs": ("ec2:DeleteFlowLogs", "logs:DeleteLogDelivery"),
    "CreateTopic": ("sns:CreateTopic", "sns:TagResource"),
    "PutRule": ("events:PutRule", "events:TagResource"),
}

# By statement of the policy: the service and its operations.
OPERATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Bucket": (
        "s3",
        (
            "CreateBucket",
            "DeleteBucket",
            "DeleteBucketLifecycle",
            "DeleteBucketPolicy",
            "DeleteObjects",
            "GetBucketEncryption",
            "GetBucketLifecycleConfiguration",
            "GetBucketNotificationConfiguration",
            "GetBucketOwnershipControls",
            "GetBucketPolicy",
            "GetBucketTagging",
            "GetBucketVersioning",
            "GetPublicAccessBlock",
            "HeadBucket",
            "ListObjectVersions",
            "ListObjectsV2",
            "PutBucketEncryption",
            "PutBucketLifecycleConfiguration",
            "PutBucketNotificationConfiguration",
            "PutBucketOwnershipControls",
            "PutBucketPolicy",
            "PutBucketTagging",
            "PutBucketVersioning",
            "PutPublicAccessBlock",
        ),
    ),
    "FlowLogs": (
        "ec2",
        (
            "CreateFlowLogs",
            "CreateTags",
            "DeleteFlowLogs",
            "DescribeFlowLogs",
            "DescribeNatGateways",
            "DescribeNetworkInterfaces",
            "DescribeSubnets",
            "DescribeTransitGatewayAttachments",
            "DescribeTransitGateways",
            "DescribeVpcs",
        ),
    ),
    "Role": (
        "iam",
        (
            "CreateRole",
            "DeleteRole",
            "DeleteRolePolicy",
            "GetRole",
            "GetRolePolicy",
            "PutRolePolicy",
            "TagRole",
            "UpdateAssumeRolePolicy",
        ),
    ),
    "Key": ("kms", ("DescribeKey", "GetKeyPolicy", "PutKeyPolicy")),
    "Topic": (
        "sns",
        (
            "CreateTopic",
            "DeleteTopic",
            "GetTopicAttributes",
            "ListTagsForResource",
            "SetTopicAttributes",
            "TagResource",
        ),
    ),
    "Rule": (
        "events",
        (
            "DeleteRule",
            "DescribeRule",
            "ListRules",
            "ListTagsForResource",
            "ListTargetsByRule",
            "PutRule",
            "PutTargets",
            "RemoveTargets",
            "TagResource",
        ),
    ),
    "Organization": ("organizations", ("ListAccounts",)),
    "Identity": ("sts", ("AssumeRole",)),
}


def actions_of(operation: str, service: str | None = None) -> tuple[str, ...]:
    """Return the IAM actions that an API operation needs.

    Args:
        operation: The operation's name in botocore, such as ``HeadBucket``.
        service: IAM's prefix of the service, if two services share the name.
    """
    if operation in SPECIAL:
        return SPECIAL[operation]
    prefixes = [p for p, names in OPERATIONS.values() if operation in names]
    if service in prefixes:
        prefixes = [service]
    return tuple(f"{prefix}:{operation}" for prefix in prefixes or [service or "?"])


READS = ("Describe", "Get", "Head", "List")
# VPC guide, "Flow log records": without these of the caller, `ecs-` fields stay empty.
ECS_ACTIONS = (
    "ecs:ListClusters",
    "ecs:ListContainerInstances",
    "ecs:ListServices",
    "ecs:ListTaskDefinitions",
    "ecs:ListTasks",
)
# Actions that the Service Authorization Reference lists without a resource.
EVERYWHERE = ("ec2:Describe", "ecs:", "events:ListRules", "logs:")

# A policy has 6,144 characters (IAM guide, quotas); with more roles, any account.
CALLER_ROLES = 40

Policy = dict[str, object]


def administrator_policy() -> Policy:
    """Return the policy for the caller: every call that the program can make.

    ``Resource`` is ``*``; ``permissions --config`` narrows it.
    """
    everything = {sid: ["*"] for sid in OPERATIONS}
    return _policy(everything, read_only=False, ecs=True)


def policies_of(settings: Settings) -> dict[str, dict[str, Policy]]:
    """Return the policies that the settings need, by account.

    Args:
        settings: The validated settings; no call is made.

    Returns:
        For each account ``administrator`` and ``read_only``, for plan, verify and
        inventory; and ``caller`` for the login that assumes roles.
    """
    home = settings.bucket
    accounts = sorted({home.account_id, *(s.account_id for s in settings.sources)})
    found: dict[str, dict[str, Policy]] = {}
    for account in accounts:
        resources: dict[str, list[str]] = {}
        if account == home.account_id:
            resources |= _home_resources(settings)
        here = [s for s in settings.sources if s.account_id == account]
        if here:
            resources["FlowLogs"] = _flow_log_resources(settings, account)
        ecs = any(
            name.startswith("ecs-")
            for source in here
            for name in settings.field_names(source)
        )
        found[account] = {
            "administrator": _policy(resources, read_only=False, ecs=ecs),
            "read_only": _policy(resources, read_only=True, ecs=False),
        }
    roles = {home.role_arn, *(s.role_arn for s in settings.sources)} - {None}
    if roles:
        arns = sorted(str(role) for role in roles)
        if len(arns) > CALLER_ROLES:
            arns = sorted({re.sub(r"::\d{12}:", "::*:", arn) for arn in arns})
        statements = [
            _statement("AssumeRoles", ["sts:AssumeRole"], arns),
            _statement("Organization", ["organizations:ListAccounts"], ["*"]),
        ]
        found["caller"] = {"administrator": _document(statements)}
    return found


def _home_resources(settings: Settings) -> dict[str, list[str]]:
    """Return the ARNs in the bucket's account, by statement."""
    home, given = settings.bucket, settings.snowflake
    partition = partition_of_region(home.region)
    names = Names(settings.name, home.name, home.prefix, given.role_name)
    place = f"{home.region}:{home.account_id}"
    buckets = {home.name}
    if home.moved_from and home.moved_from.name:
        buckets.add(home.moved_from.name)
    roles = {f"{given.role_path}{names.role}", f"/{names.earlier_role}"}
    # In another owner's bucket, its topics may notify the pipe.
    topics = ["*"]
    if home.create and not settings.events.topic_arn:
        topics = [names.events, names.earlier_events]
    found = {
        "Bucket": [
            arn
            for name in sorted(buckets)
            for arn in (
                f"arn:{partition}:s3:::{name}",
                f"arn:{partition}:s3:::{name}/*",
            )
        ],
        "Role": [
            f"arn:{partition}:iam::{home.account_id}:role{name}"
            for name in sorted(roles)
        ],
        "Topic": [f"arn:{partition}:sns:{place}:{name}" for name in topics],
        "Rule": [
            f"arn:{partition}:events:{place}:rule/{name}"
            for name in (names.events, names.earlier_events)
        ],
    }
    if home.encryption.key_arn and home.encryption.manage_key_policy:
        found["Key"] = [home.encryption.key_arn]
    return found


def _flow_log_resources(settings: Settings, account: str) -> list[str]:
    kinds = ("vpc-flow-log", "vpc", "subnet", "network-interface")
    more = ("transit-gateway", "transit-gateway-attachment", "natgateway")
    regions = sorted(
        {r for s in settings.sources if s.account_id == account for r in s.regions}
    )
    partition = partition_of_region(settings.bucket.region)
    return [
        f"arn:{partition}:ec2:{region}:{account}:{kind}/*"
        for region in regions
        for kind in (*kinds, *more)
    ]


def _policy(resources: Mapping[str, list[str]], read_only: bool, ecs: bool) -> Policy:
    statements = []
    anywhere: set[str] = set(ECS_ACTIONS) if ecs else set()
    for sid, arns in resources.items():
        service, names = OPERATIONS[sid]
        wanted = [n for n in names if n.startswith(READS) or not read_only]
        actions = {a for name in wanted for a in actions_of(name, service)}
        general = {a for a in actions if a.startswith(EVERYWHERE)}
        anywhere |= general
        if actions - general:
            statements.append(_statement(sid, actions - general, arns))
    if anywhere:
        statements.append(_statement("Everywhere", anywhere, ["*"]))
    return _document(statements)


def _statement(sid: str, actions: Iterable[str], arns: list[str]) -> Policy:
    return {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": arns}


def _document(statements: list[Policy]) -> Policy:
    return {"Version": "2012-10-17", "Statement": statements}
