"""The policy statements that this program writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootstrap import naming
from bootstrap.documents import VERSION, Document
from bootstrap.naming import Names

DELIVERY_SERVICE = "delivery.logs.amazonaws.com"


@dataclass(frozen=True)
class Place:
    """The bucket and prefix that logs are delivered to.

    Args:
        partition: ``aws``, ``aws-us-gov`` or ``aws-cn``.
        bucket: The bucket's name.
        prefix: The folders above ``AWSLogs``, without slashes at the ends.
    """

    partition: str
    bucket: str
    prefix: str

    @property
    def arn(self) -> str:
        """Return the bucket's ARN."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def logs_prefix(self) -> str:
        """Return the key prefix of every log, without ``=``, for event filters."""
        return f"{self.prefix}/AWSLogs/" if self.prefix else "AWSLogs/"

    @property
    def read_prefix(self) -> str:
        """Return the key prefix that Snowflake may read; never the whole bucket."""
        return f"{self.prefix}/" if self.prefix else "AWSLogs/"

    @property
    def destination(self) -> str:
        """Return the ``LogDestination`` of a flow log."""
        return f"{self.arn}/{self.prefix}/" if self.prefix else self.arn

    @property
    def location(self) -> str:
        """Return the stage's URL.

        Snowflake, CREATE STORAGE INTEGRATION: s3, s3gov or s3china.
        """
        scheme = naming.SCHEMES[self.partition]
        return f"{scheme}://{self.bucket}/{self.read_prefix}"


Sources = Sequence[tuple[str, str]]
"""Pairs of account id and region."""


def _delivery_condition(partition: str, sources: Sources) -> Document:
    accounts = sorted({account for account, _ in sources})
    arns = sorted(
        {f"arn:{partition}:logs:{region}:{account}:*" for account, region in sources}
    )
    return {
        "StringEquals": {"aws:SourceAccount": accounts},
        "ArnLike": {"aws:SourceArn": arns},
    }


def delivery_statements(names: Names, place: Place, sources: Sources) -> list[Document]:
    """Return the bucket policy's statements for delivery, in both folder layouts.

    VPC guide, "Publish flow logs to Amazon S3", bucket permissions.
    """
    condition = _delivery_condition(place.partition, sources)
    folders = [
        f"{place.arn}/{place.logs_prefix}{key}{account}/*"
        for account in sorted({account for account, _ in sources})
        for key in ("", "aws-account-id=")
    ]
    return [
        {
            "Sid": names.sid(naming.DELIVERY_WRITE),
            "Effect": "Allow",
            "Principal": {"Service": DELIVERY_SERVICE},
            "Action": "s3:PutObject",
            "Resource": folders,
            "Condition": {
                **condition,
                "StringEquals": {
                    **condition["StringEquals"],
                    # Delivery sends it even if the bucket owner owns all objects.
                    "s3:x-amz-acl": "bucket-owner-full-control",
                },
            },
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
    sources: Sources,
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
        "Condition": _delivery_condition(place.partition, sources),
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
    place: Place, key_arn: str | None = None, allow_unload: bool = False
) -> Document:
    """Return the policy of Snowflake's role: read below the prefix, nothing else.

    Requests for GetBucketLocation have no ``s3:prefix``, so a condition on it never
    matches (IAM guide, condition operators): the action has its own statement, unlike
    in Snowflake's sample.

    Args:
        place: The bucket and prefix.
        key_arn: The bucket's KMS key, if it has one.
        allow_unload: Whether the role may also put and delete below the prefix.
    """
    bare = place.read_prefix.rstrip("/")
    objects = ["s3:GetObject", "s3:GetObjectVersion"]
    if allow_unload:
        objects += ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"]
    found: list[Document] = [
        {
            "Sid": "ReadObjects",
            "Effect": "Allow",
            "Action": objects,
            "Resource": f"{place.arn}/{place.read_prefix}*",
        },
        {
            "Sid": "ListPrefix",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": place.arn,
            "Condition": {"StringLike": {"s3:prefix": [bare, f"{bare}/*"]}},
        },
        {
            "Sid": "FindBucket",
            "Effect": "Allow",
            "Action": "s3:GetBucketLocation",
            "Resource": place.arn,
        },
    ]
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
