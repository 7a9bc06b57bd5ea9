"""The IAM permissions that the caller needs.

The names are those of the Service Authorization Reference. A test compares the table
with the calls that all commands make.
"""

from __future__ import annotations

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
            "PutBucketVersioning",
            "PutPublicAccessBlock",
        ),
    ),
    "FlowLogs": (
        "ec2",
        (
            "CreateFlowLogs",
            "DeleteFlowLogs",
            "DescribeFlowLogs",
            "DescribeNetworkInterfaces",
            "DescribeSubnets",
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
    "Identity": ("sts", ("AssumeRole", "GetCallerIdentity")),
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


def administrator_policy() -> dict[str, object]:
    """Return the policy for the caller: every call that the program can make.

    ``Resource`` is ``*``; narrow it to the bucket, role, topic and key.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": sid,
                "Effect": "Allow",
                "Action": sorted(
                    {a for name in names for a in actions_of(name, service)}
                ),
                "Resource": "*",
            }
            for sid, (service, names) in OPERATIONS.items()
        ],
    }
