"""The policy statements that this program writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootstrap import naming
from bootstrap.documents import VERSION, Document
from bootstrap.naming import Names

DELIVERY_SERVICE = "delivery.logs.amazonaws.com"
# A pattern for any account id: `?` is one character.
ANY_ACCOUNT = "?" * 12
# The role's policy has 10,240 characters (IAM guide, quotas).
ROLE_ACCOUNTS = 20


@dataclass(frozen=True)
class Place:
    """The bucket and prefix that logs are delivered to.

    Args:
        partition: Such as ``aws`` or ``aws-us-gov``.
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
        """Return the key prefix of the stage; never the whole bucket."""
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

    def folders(self, account: str) -> tuple[str, str]:
        """Return the folders of an account's flow logs, in both layouts.

        VPC guide, "Flow log files". Other services write beside them.
        """
        return (
            f"{self.logs_prefix}{account}/vpcflowlogs/",
            f"{self.logs_prefix}aws-account-id={account}/aws-service=vpcflowlogs/",
        )


Sources = Sequence[tuple[str, str]]
"""Pairs of account id and region."""


@dataclass(frozen=True)
class Senders:
    """The accounts and regions that deliver, and how statements name them.

    Args:
        sources: Every (account id, region) pair.
        organization: The organisation's id, in place of accounts.
        short: Whether statements name accounts without their regions.
    """

    sources: Sources
    organization: str | None = None
    short: bool = False

    @property
    def accounts(self) -> list[str]:
        """Return the account ids, sorted."""
        return sorted({account for account, _ in self.sources})

    def condition(self, partition: str) -> Document:
        """Return the condition that only these accounts fulfil."""
        if self.organization:
            return {"StringEquals": {"aws:SourceOrgID": self.organization}}
        found: Document = {"StringEquals": {"aws:SourceAccount": self.accounts}}
        if not self.short:
            arns = {f"arn:{partition}:logs:{r}:{a}:*" for a, r in self.sources}
            found["ArnLike"] = {"aws:SourceArn": sorted(arns)}
        return found

    def folders(self, place: Place) -> list[str]:
        """Return the ARNs that delivery writes to, in both folder layouts."""
        any_account = self.short or self.organization
        accounts = [ANY_ACCOUNT] if any_account else self.accounts
        return [
            f"{place.arn}/{place.logs_prefix}{key}{account}/*"
            for account in accounts
            for key in ("", "aws-account-id=")
        ]


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
