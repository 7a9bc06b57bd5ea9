"""The policy statements that this program writes."""

from __future__ import annotations

from collections.abc import Sequence

from bootstrap import naming
from bootstrap.documents import VERSION, Document
from bootstrap.naming import ANY_ACCOUNT, Names, Place, Senders

DELIVERY_SERVICE = "delivery.logs.amazonaws.com"
# The role's policy has 10,240 characters (IAM guide, quotas).
ROLE_ACCOUNTS = 20


def delivery_statements(
    names: Names, place: Place, senders: Senders, ask_for_acl: bool
) -> list[Document]:
    """Return the bucket policy's statements for delivery, in both folder layouts.

    VPC guide, "Publish flow logs to Amazon S3", bucket permissions.

    Args:
        names: Gives the statement ids.
        place: The bucket and prefix.
        senders: The accounts.
        ask_for_acl: Whether files must give the bucket's owner full control. In a
            bucket whose owner owns all files, delivery may send no such header.
    """
    condition = senders.condition(place.partition)
    equals = condition["StringEquals"]
    if ask_for_acl:
        equals = {**equals, "s3:x-amz-acl": "bucket-owner-full-control"}
    return [
        {
            "Sid": names.sid(naming.DELIVERY_WRITE),
            "Effect": "Allow",
            "Principal": {"Service": DELIVERY_SERVICE},
            "Action": "s3:PutObject",
            "Resource": senders.folders(place),
            "Condition": {**condition, "StringEquals": equals},
        },
        {
            "Sid": names.sid(naming.DELIVERY_CHECK),
            "Effect": "Allow",
            "Principal": {"Service": DELIVERY_SERVICE},
            "Action": ["s3:GetBucketAcl", "s3:ListBucket"],
            "Resource": place.arn,
            "Condition": condition,
        },
    ]


def deny_plain_http(names: Names, place: Place) -> Document:
    """Return the statement that denies requests without TLS."""
    return {
        "Sid": names.sid(naming.DENY_PLAIN_HTTP),
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [place.arn, f"{place.arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def key_statements(
    names: Names,
    place: Place,
    senders: Senders,
    role_arn: str,
    allow_unload: bool = False,
) -> list[Document]:
    """Return the key policy's statements for delivery and for Snowflake's role.

    CloudWatch Logs guide, "Amazon S3 bucket server-side encryption".
    """
    delivery: Document = {
        "Sid": names.sid(naming.KEY_DELIVERY),
        "Effect": "Allow",
        "Principal": {"Service": DELIVERY_SERVICE},
        "Action": [
            "kms:Encrypt",
            "kms:Decrypt",
            "kms:ReEncrypt*",
            "kms:GenerateDataKey*",
            "kms:DescribeKey",
        ],
        "Resource": "*",
        "Condition": senders.condition(place.partition),
    }
    reader: Document = {
        "Sid": names.sid(naming.KEY_SNOWFLAKE),
        "Effect": "Allow",
        "Principal": {"AWS": role_arn},
        "Action": _key_actions(allow_unload),
        "Resource": "*",
    }
    return [delivery, reader]


def _key_actions(allow_unload: bool) -> list[str]:
    return ["kms:Decrypt", *(["kms:GenerateDataKey"] if allow_unload else [])]


def role_policy(
    places: Sequence[Place],
    accounts: Sequence[str],
    key_arn: str | None = None,
    allow_unload: bool = False,
) -> Document:
    """Return the policy of Snowflake's role: read flow logs, nothing else.

    Requests for GetBucketLocation have no ``s3:prefix``, so a condition on it never
    matches (IAM guide, condition operators): the action has its own statement, unlike
    in Snowflake's sample.

    Args:
        places: The bucket and prefix; while logs move, the earlier ones too.
        accounts: The accounts whose flow logs it reads.
        key_arn: The bucket's KMS key, if it has one.
        allow_unload: Whether the role may also put and delete below the prefix.
    """
    if len(accounts) * len(places) > ROLE_ACCOUNTS:
        accounts = [ANY_ACCOUNT]
    found: list[Document] = []
    for number, place in enumerate(places):
        end = str(number or "")
        found += [
            {
                "Sid": f"ReadFlowLogs{end}",
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                "Resource": [
                    f"{place.arn}/{folder}*"
                    for account in accounts
                    for folder in place.folders(account)
                ],
            },
            {
                "Sid": f"ListPrefix{end}",
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": place.arn,
                # Without the slash, it would list what begins alike.
                "Condition": {"StringLike": {"s3:prefix": f"{place.read_prefix}*"}},
            },
            {
                "Sid": f"FindBucket{end}",
                "Effect": "Allow",
                "Action": "s3:GetBucketLocation",
                "Resource": place.arn,
            },
        ]
    if allow_unload:
        found.append(
            {
                "Sid": "Unload",
                "Effect": "Allow",
                "Action": [
                    "s3:GetObject",
                    "s3:PutObject",
                    "s3:DeleteObject",
                    "s3:DeleteObjectVersion",
                ],
                "Resource": f"{places[0].arn}/{places[0].read_prefix}*",
            }
        )
    if key_arn:
        found.append(
            {
                "Sid": "UseKey",
                "Effect": "Allow",
                "Action": _key_actions(allow_unload),
                "Resource": key_arn,
            }
        )
    return {"Version": VERSION, "Statement": found}


def trust_policy(principal_arn: str, external_id: str) -> Document:
    """Return the role's trust: one principal with one external id.

    IAM guide, "The confused deputy problem".
    """
    return {
        "Version": VERSION,
        "Statement": [
            {
                "Sid": "SnowflakeOnly",
                "Effect": "Allow",
                "Principal": {"AWS": principal_arn},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
            }
        ],
    }


def topic_events_statement(names: Names, topic_arn: str) -> Document:
    """Return the statement that lets EventBridge publish to our topic.

    It has no condition: "You can't use Condition blocks in Amazon SNS topic policies
    for EventBridge" (EventBridge guide, resource-based policies). With one, the
    statement never matches, and messages are lost without an error.
    """
    return {
        "Sid": names.sid(naming.TOPIC_EVENTS),
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic_arn,
    }


def topic_snowflake_statement(names: Names, topic_arn: str, user_arn: str) -> Document:
    """Return the statement that lets Snowflake subscribe the pipe's queue to a topic.

    SYSTEM$GET_AWS_SNS_IAM_POLICY returns the same (Snowflake, "Automating Snowpipe for
    Amazon S3", option 2).
    """
    return {
        "Sid": names.sid(naming.TOPIC_SNOWFLAKE),
        "Effect": "Allow",
        "Principal": {"AWS": user_arn},
        "Action": "sns:Subscribe",
        "Resource": topic_arn,
    }
