"""The owner's mark and its names, the place of logs, their senders and fields."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import botocore.session

TAG = "vpc-flow-logs:deployment"
EVENTBRIDGE_TAG = "vpc-flow-logs:eventbridge"

# A pattern for any account id: `?` is one character.
ANY_ACCOUNT = "?" * 12

# The statements that this program adds to policies.
DELIVERY_WRITE = "DeliveryWrite"
DELIVERY_CHECK = "DeliveryCheck"
DENY_PLAIN_HTTP = "DenyPlainHttp"
KEY_DELIVERY = "KeyDelivery"
KEY_SNOWFLAKE = "KeySnowflake"
TOPIC_EVENTS = "TopicEvents"
TOPIC_SNOWFLAKE = "TopicSnowflake"
KINDS = (
    DELIVERY_WRITE,
    DELIVERY_CHECK,
    DENY_PLAIN_HTTP,
    KEY_DELIVERY,
    KEY_SNOWFLAKE,
    TOPIC_EVENTS,
    TOPIC_SNOWFLAKE,
)

SCHEMES = {
    "aws": "s3",
    "aws-us-gov": "s3gov",
    "aws-cn": "s3china",
    "aws-eusc": "s3",
}


@dataclass(frozen=True)
class Names:
    """The names of a deployment: its name, bucket and prefix decide all of them.

    Two teams with the same name, or two prefixes of one bucket, never share one.

    Args:
        name: ``name`` of ``bootstrap.yml``.
        bucket: The bucket's name.
        prefix: The folders above ``AWSLogs``, without slashes at the ends.
        role_name: ``snowflake.role_name``, if given.
    """

    name: str
    bucket: str
    prefix: str
    role_name: str | None = None

    @cached_property
    def mark(self) -> str:
        """Return the owner's mark, the value of our tag."""
        # A tag's value has no `!`, and a prefix has no `:`.
        return f"{self.name}@{self.bucket}/{self.prefix}".replace("!", ":")

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(self.mark.encode()).hexdigest()[:8]

    @property
    def key(self) -> str:
        """Return the mark in a form that every name allows."""
        return f"{self.name}-{self._digest}"

    def sid(self, kind: str) -> str:
        """Return a statement id; IAM allows letters and digits only."""
        return f"{self._words}{self._digest}{kind}"

    @property
    def sids(self) -> frozenset[str]:
        """Return every statement id of ours."""
        return frozenset(self.sid(kind) for kind in KINDS)

    @property
    def logs_prefix(self) -> str:
        """Return the key prefix of every log, without ``=``, for event filters."""
        return Place("", self.bucket, self.prefix).logs_prefix

    @property
    def role(self) -> str:
        """Return the name of the role that Snowflake assumes."""
        return self.role_name or f"{self.key}-snowflake"

    @property
    def role_policy(self) -> str:
        """Return the name of the role's inline policy."""
        return f"{self.name}-access"

    @property
    def expiry(self) -> str:
        """Return the beginning of the ids of our lifecycle rules."""
        return f"{self.key}-expiry"

    @property
    def events(self) -> str:
        """Return the name of the notification, the topic and the EventBridge rule."""
        return f"{self.key}-snowpipe"

    def tags(self, more: dict[str, str]) -> list[dict[str, str]]:
        """Return the user's tags and ours, in AWS's form."""
        merged = {**more, TAG: self.mark}
        return [{"Key": key, "Value": value} for key, value in merged.items()]

    def owns(self, tags: object) -> bool:
        """Return whether a list of tags, as AWS returns it, has our mark."""
        return owner_of(tags) == self.mark

    # Before the mark had bucket and prefix, it was the name alone.

    @property
    def _words(self) -> str:
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def earlier_sids(self) -> dict[str, str]:
        """Return the statement ids of earlier versions, and what each became."""
        return {self._words + kind: self.sid(kind) for kind in KINDS}

    @property
    def earlier_role(self) -> str:
        """Return the role's name in earlier versions."""
        return self.role_name or f"{self.name}-snowflake"

    @property
    def earlier_expiry(self) -> str:
        """Return the lifecycle rule's id in earlier versions."""
        return f"{self.name}-expiry"

    @property
    def earlier_events(self) -> str:
        """Return the name of notification, topic and rule in earlier versions."""
        return f"{self.name}-snowpipe"

    def owned_earlier(self, tags: object) -> bool:
        """Return whether a list of tags has the mark of earlier versions."""
        return owner_of(tags) == self.name


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
    def inventory(self) -> str:
        """Return the key prefix of `inventory`; loaders skip names that begin so."""
        return f"{self.prefix}/_inventory/" if self.prefix else "_inventory/"

    @property
    def destination(self) -> str:
        """Return the ``LogDestination`` of a flow log."""
        return f"{self.arn}/{self.prefix}/" if self.prefix else self.arn

    @property
    def location(self) -> str:
        """Return the stage's URL.

        Snowflake, CREATE STORAGE INTEGRATION: s3, s3gov or s3china.
        """
        scheme = SCHEMES[self.partition]
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

    def condition(self, partition: str) -> dict[str, Any]:
        """Return the condition that only these accounts fulfil."""
        if self.organization:
            return {"StringEquals": {"aws:SourceOrgID": self.organization}}
        found: dict[str, Any] = {"StringEquals": {"aws:SourceAccount": self.accounts}}
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


def owner_of(tags: Any) -> str | None:
    """Return the mark in a list of tags, as AWS returns it."""
    values = (tag.get("Value") for tag in tags or () if tag.get("Key") == TAG)
    return next(values, None)


@cache
def partition_of_region(region: str) -> str:
    """Return the partition of a region, offline."""
    session = botocore.session.get_session()
    return str(session.get_partition_for_region(region))


def part_of(arn: str, index: int) -> str:
    """Return one part of an ARN: 1 partition, 2 service, 3 region, 4 account."""
    return arn.split(":")[index]


# ----- fields of flow logs: VPC guide, "Flow log records", with the API's hyphens

_TRAFFIC = "srcaddr dstaddr srcport dstport protocol packets bytes start end"
DEFAULT = tuple(f"version account-id interface-id {_TRAFFIC} action log-status".split())

# In the order of the versions 2, 3, 4, 5, 7, 8, 9, 10 and 11.
EXTENDED = (
    *DEFAULT,
    *"""
    vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr
    region az-id sublocation-type sublocation-id
    pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path
    ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn
    ecs-container-instance-id ecs-container-id ecs-second-container-id
    ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id
    reject-reason
    resource-id
    encryption-status
    interface-type next-hop-interface-id next-hop-subnet-id next-hop-az-id
    next-hop-vpc-id next-hop-interface-type
    """.split(),
)

# Version 11 too: values of tags, by the kind of tagged resource. The API takes the tag
# keys in `TagFieldSpecifications`: the first key for the first field, and so on.
TagCarrier = Literal["instance", "network-interface", "auto-scaling-group"]
TAG_FIELDS: dict[TagCarrier, tuple[str, ...]] = {
    "instance": ("instance-tag", "instance-tag-2"),
    "network-interface": ("interface-tag", "interface-tag-2"),
    "auto-scaling-group": ("asg-tag", "asg-tag-2"),
}

TRANSIT_GATEWAY = tuple(
    f"""
    version resource-type account-id tgw-id tgw-attachment-id
    tgw-src-vpc-account-id tgw-dst-vpc-account-id tgw-src-vpc-id tgw-dst-vpc-id
    tgw-src-subnet-id tgw-dst-subnet-id tgw-src-eni tgw-dst-eni tgw-src-az-id
    tgw-dst-az-id tgw-pair-attachment-id {_TRAFFIC} log-status type
    packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded
    packets-lost-ttl-expired tcp-flags region flow-direction
    pkt-src-aws-service pkt-dst-aws-service
    """.split()
)

KNOWN_VPC = frozenset(EXTENDED).union(*TAG_FIELDS.values())
KNOWN_TRANSIT_GATEWAY = frozenset(TRANSIT_GATEWAY)


def names_of(
    fields: str | tuple[str, ...],
    transit_gateway: bool,
    tag_keys: Mapping[TagCarrier, tuple[str, ...]],
) -> tuple[str, ...]:
    """Return the field names for ``default``, ``extended`` or a list.

    Args:
        fields: The configured value; a list keeps its order.
        transit_gateway: Whether the flow log is a transit gateway's. Their default
            already has every field.
        tag_keys: Tag keys by resource; ``extended`` adds a field for each.
    """
    if isinstance(fields, tuple):
        return fields
    if transit_gateway:
        return TRANSIT_GATEWAY
    if fields == "default":
        return DEFAULT
    tags = (names[: len(tag_keys.get(kind, ()))] for kind, names in TAG_FIELDS.items())
    return EXTENDED + tuple(name for names in tags for name in names)


def log_format(names: tuple[str, ...]) -> str:
    """Return the API's ``LogFormat``."""
    return " ".join(f"${{{name}}}" for name in names)
