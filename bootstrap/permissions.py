"""The IAM permissions that the caller needs.

The names are those of the Service Authorization Reference. A test compares the table
with the calls that all commands make.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from bootstrap.description import Resource, possible

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
_OPERATIONS = {
    "Bucket": (
        "s3",
        """
        CreateBucket DeleteBucket DeleteBucketLifecycle DeleteBucketPolicy
        DeleteObjects GetBucketEncryption GetBucketLifecycleConfiguration
        GetBucketNotificationConfiguration GetBucketOwnershipControls
        GetBucketPolicy GetBucketTagging GetBucketVersioning
        GetPublicAccessBlock HeadBucket ListObjectVersions ListObjectsV2
        PutBucketEncryption PutBucketLifecycleConfiguration
        PutBucketNotificationConfiguration PutBucketOwnershipControls
        PutBucketPolicy PutBucketTagging PutBucketVersioning
        PutPublicAccessBlock
        """,
    ),
    "FlowLogs": (
        "ec2",
        """
        CreateFlowLogs CreateTags DeleteFlowLogs DescribeFlowLogs
        DescribeInstances DescribeManagedPrefixLists DescribeNatGateways
        DescribeNetworkInterfaces DescribeRouteTables
        DescribeSecurityGroupRules DescribeSecurityGroups DescribeSubnets
        DescribeTransitGatewayAttachments DescribeTransitGateways
        DescribeVpcEndpoints DescribeVpcs GetManagedPrefixListEntries
        """,
    ),
    "Role": (
        "iam",
        """
        CreateRole DeleteRole DeleteRolePolicy GetRole GetRolePolicy
        PutRolePolicy TagRole UpdateAssumeRolePolicy
        """,
    ),
    "Key": ("kms", "DescribeKey GetKeyPolicy PutKeyPolicy"),
    "Topic": (
        "sns",
        """
        CreateTopic DeleteTopic GetTopicAttributes ListTagsForResource
        SetTopicAttributes TagResource
        """,
    ),
    "Rule": (
        "events",
        """
        DeleteRule DescribeRule ListRules ListTagsForResource
        ListTargetsByRule PutRule PutTargets RemoveTargets TagResource
        """,
    ),
    "Inventory": ("s3", "PutObject"),
    "LoadBalancers": ("elasticloadbalancing", "DescribeLoadBalancers DescribeTags"),
    "Organization": ("organizations", "ListAccounts"),
    "Identity": ("sts", "AssumeRole DecodeAuthorizationMessage"),
}
OPERATIONS = {
    sid: (service, tuple(names.split()))
    for sid, (service, names) in _OPERATIONS.items()
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
ECS_ACTIONS = tuple(
    f"ecs:List{what}"
    for what in "Clusters ContainerInstances Services TaskDefinitions Tasks".split()
)
# Actions that the Service Authorization Reference lists without a resource.
EVERYWHERE = (
    "ec2:Describe",
    "ecs:",
    "elasticloadbalancing:Describe",
    "events:ListRules",
    "logs:",
    "sts:DecodeAuthorizationMessage",
)

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
        For each account ``administrator``, and ``read_only`` for plan, verify and
        inventory; for the bucket's account ``inventory``, to write its files there;
        and ``caller`` for the login that assumes roles.
    """
    home = settings.bucket
    resources: dict[str, dict[str, list[str]]] = {}
    for resource in possible(settings):
        of_account = resources.setdefault(resource.account, {})
        sid, arns = _arns(resource, settings.partition)
        listed = of_account.setdefault(sid, [])
        listed += [arn for arn in arns if arn not in listed]
        if resource.kind == "flow log":
            of_account["LoadBalancers"] = ["*"]
    keys = f"{settings.place.arn}/{settings.place.inventory}*"
    resources[home.account_id]["Inventory"] = [keys]
    found: dict[str, dict[str, Policy]] = {}
    for account, arns_of in sorted(resources.items()):
        ecs = any(
            name.startswith("ecs-")
            for source in settings.sources
            for name in settings.field_names(source)
            if source.account_id == account
        )
        found[account] = {
            "administrator": _policy(arns_of, read_only=False, ecs=ecs),
            "read_only": _policy(arns_of, read_only=True, ecs=False),
        }
    writes = [_statement("Inventory", ["s3:PutObject"], [keys])]
    if home.encryption.key_arn:
        # S3 guide, "Required permissions for SSE-KMS".
        key = [home.encryption.key_arn]
        writes.append(_statement("InventoryKey", ["kms:GenerateDataKey"], key))
    found[home.account_id]["inventory"] = _document(writes)
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


# The resources that a statement of OPERATIONS is about, and the form of their ARNs.
ARNS = {
    "bucket": ("Bucket", ("arn:{p}:s3:::{n}", "arn:{p}:s3:::{n}/*")),
    "role": ("Role", ("arn:{p}:iam::{a}:role{n}",)),
    "topic": ("Topic", ("arn:{p}:sns:{r}:{a}:{n}",)),
    "event rule": ("Rule", ("arn:{p}:events:{r}:{a}:rule/{n}",)),
    "key policy": ("Key", ("{n}",)),
    "flow log": (
        "FlowLogs",
        (
            *(
                f"arn:{{p}}:ec2:{{r}}:{{a}}:{kind}/{{n}}"
                for kind in (
                    "vpc-flow-log",
                    "vpc",
                    "subnet",
                    "network-interface",
                    "transit-gateway",
                    "transit-gateway-attachment",
                    "natgateway",
                )
            ),
            # AWS and other accounts share prefix lists.
            "arn:{p}:ec2:{r}:*:prefix-list/*",
        ),
    ),
}


def _arns(resource: Resource, partition: str) -> tuple[str, list[str]]:
    """Return the statement that a resource belongs to, and its ARNs."""
    sid, forms = ARNS[resource.kind]
    parts = {"p": partition, "r": resource.region, "a": resource.account}
    return sid, [form.format(**parts, n=resource.name) for form in forms]


def _policy(resources: Mapping[str, list[str]], read_only: bool, ecs: bool) -> Policy:
    statements = []
    # It makes the reason of a refusal readable.
    anywhere = {"sts:DecodeAuthorizationMessage", *(ECS_ACTIONS if ecs else ())}
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
