"""The desired resources of a deployment, as a list, and what changes are made of them.

Its functions are pure: they take the settings and what was found, and call nothing.
`plan`, `apply`, `verify`, `destroy`, `permissions`, `inventory` and `export` read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bootstrap.naming import Names, Senders, log_format
from bootstrap.policies import (
    VERSION,
    delivery_statements,
    deny_plain_http,
    key_statements,
    role_policy,
    topic_events_statement,
    topic_snowflake_statement,
    trust_policy,
)

if TYPE_CHECKING:
    from bootstrap.events import Route
    from bootstrap.settings import Settings, Source
    from bootstrap.snowflake import Integration

# How users name a resource, by its kind; otherwise kind and name.
LABELS = {
    "bucket policy": "policy of bucket {}",
    "lifecycle rules": "lifecycle rules of bucket {}",
    "public access block": "public access block of bucket {}",
    "object ownership": "object ownership of bucket {}",
    "encryption": "encryption of bucket {}",
    "versioning": "versioning of bucket {}",
    "notification": "event notifications of bucket {}",
    "EventBridge": "EventBridge of bucket {}",
    "role policy": "policy {0[1]} of role {0[0]}",
    "role trust": "trust of role {}",
    "key policy": "policy of key {}",
    "topic policy": "policy of topic {}",
    "event rule": "EventBridge rule {}",
    "pipe": "landing table and pipe",
}
# In an existing bucket, these are for its owner if `bucket.manage` is false.
OF_THE_OWNER = ("bucket policy", "lifecycle rules", "notification", "EventBridge")
# How the API names the resources of flow logs.
RESOURCE_TYPES = {
    "vpc": "VPC",
    "subnet": "Subnet",
    "network-interface": "NetworkInterface",
    "transit-gateway": "TransitGateway",
    "transit-gateway-attachment": "TransitGatewayAttachment",
    "regional-nat-gateway": "RegionalNatGateway",
}


@dataclass(frozen=True)
class Waits:
    """In place of a content: it follows from a step that is not done.

    Args:
        reason: What comes first.
    """

    reason: str


@dataclass(frozen=True)
class Resource:
    """One resource of a deployment.

    Args:
        account: Its account.
        region: Its region.
        kind: What it is, such as ``bucket policy``.
        name: Its identity there.
        content: Its value, in the form of AWS's API; None if it must not be there.
        names: The owner's mark, and the names that carry it.
        ours: Whether all of it is ours; else it is our part of another owner's thing.
    """

    account: str
    region: str
    kind: str
    name: Any
    content: Any
    names: Names
    ours: bool = True

    @property
    def mark(self) -> str:
        """The owner's mark that it bears."""
        return self.names.mark

    @property
    def s3(self) -> dict[str, Any]:
        """The arguments of every S3 call: the bucket, and its expected owner."""
        return {"Bucket": self.names.bucket, "ExpectedBucketOwner": self.account}

    @property
    def label(self) -> str:
        """How users name it."""
        return LABELS.get(self.kind, f"{self.kind} {{}}").format(self.name)


def _home(
    s: Settings, kind: str, name: Any, content: Any, ours: bool = True
) -> Resource:
    bucket = s.bucket
    return Resource(
        bucket.account_id, bucket.region, kind, name, content, s.names, ours
    )


def absent(s: Settings, kind: str, name: Any) -> Resource:
    """Return a resource of the bucket's account that must not be there."""
    return _home(s, kind, name, None)


# ----- the bucket and its key


def bucket(s: Settings) -> Iterator[Resource]:
    """Yield our bucket and its settings; nothing for an existing bucket."""
    if not s.bucket.create:
        return
    encryption = s.bucket.encryption
    default = {"SSEAlgorithm": "AES256"}
    if encryption.key_arn:
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": encryption.key_arn}
    rule = {
        "ApplyServerSideEncryptionByDefault": default,
        "BucketKeyEnabled": encryption.type == "sse-kms",
    }
    blocks = (
        "BlockPublicAcls",
        "IgnorePublicAcls",
        "BlockPublicPolicy",
        "RestrictPublicBuckets",
    )
    contents: dict[str, Any] = {
        "bucket": {"Tags": s.names.tags(s.tags)},
        "public access block": dict.fromkeys(blocks, True),
        "object ownership": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "encryption": {"Rules": [rule]},
    }
    if s.bucket.versioning:
        contents["versioning"] = {"Status": "Enabled"}
    for kind, content in contents.items():
        yield _home(s, kind, s.bucket.name, content)


def delivery(s: Settings, senders: Senders, ask_for_acl: bool) -> Resource:
    """Return our statements of the bucket's policy.

    Args:
        s: The settings.
        senders: The accounts, and how statements name them.
        ask_for_acl: Whether files must give the bucket's owner full control.
    """
    found = delivery_statements(s.names, s.place, senders, ask_for_acl)
    # A denial for all keys belongs in our own bucket only.
    if s.bucket.create:
        found.append(deny_plain_http(s.names, s.place))
    return _home(s, "bucket policy", s.bucket.name, found, s.bucket.create)


def key(s: Settings, role_arn: str, senders: Senders) -> Resource | None:
    """Return our statements of the key's policy, or None without a key."""
    arn = s.bucket.encryption.key_arn
    if arn is None:
        return None
    unload = s.snowflake.allow_unload
    found = key_statements(s.names, s.place, senders, role_arn, unload)
    return _home(s, "key policy", arn, found, ours=False)


def lifecycle(s: Settings) -> Resource:
    """Return our rules: for each account, its flow logs in both folder layouts."""
    days, later = s.bucket.expire_days, s.bucket.noncurrent_expire_days
    rules = [
        {
            "ID": f"{s.names.expiry}-{account}{layout}",
            "Status": "Enabled",
            "Filter": {"Prefix": folder},
            "Expiration": {"Days": days},
            "NoncurrentVersionExpiration": {"NoncurrentDays": later},
        }
        for account in s.senders[0].accounts
        for folder, layout in zip(s.place.folders(account), ("", "-hive"), strict=True)
    ]
    wanted = rules if days else None
    return _home(s, "lifecycle rules", s.bucket.name, wanted, s.bucket.create)


# ----- Snowflake's role, and the handshake


def role(s: Settings, name: str) -> list[Resource]:
    """Return the role that Snowflake assumes, and its policy.

    Args:
        s: The settings.
        name: The role's name.
    """
    given = s.snowflake
    content = {
        "Path": given.role_path,
        "PermissionsBoundary": given.permissions_boundary,
        "Tags": s.names.tags(s.tags),
    }
    places = [s.place, *([s.earlier.place] if s.earlier else [])]
    policy = role_policy(
        places,
        s.senders[0].accounts,
        s.bucket.encryption.key_arn,
        given.allow_unload,
    )
    return [
        _home(s, "role", name, content),
        _home(s, "role policy", (name, s.names.role_policy), policy),
    ]


def role_arn(s: Settings, name: str) -> str:
    """Return the ARN of the role that Snowflake assumes."""
    path, account = s.snowflake.role_path, s.bucket.account_id
    return f"arn:{s.partition}:iam::{account}:role{path}{name}"


def trust(s: Settings, name: str, integration: Integration | None) -> Resource:
    """Return the role's trust in the integration's user."""
    content: Any = Waits("the integration's user and external id come first")
    if integration is not None and integration.is_known:
        content = trust_policy(integration.iam_user_arn, integration.external_id)
    return _home(s, "role trust", name, content)


def integration(s: Settings, role: str) -> Resource:
    """Return the storage integration."""
    content = {"role_arn": role_arn(s, role), "locations": [s.place.location]}
    return _home(s, "storage integration", s.snowflake.integration, content)


def pipe(s: Settings, route: Route) -> Resource:
    """Return the landing table and the pipe, for a route of events."""
    content = {"topic_arn": route.topic_arn, "auto_ingest": route.kind != "none"}
    return _home(s, "pipe", "", content)


# ----- events


def notification(s: Settings, route: Route, channel: str) -> Resource:
    """Return the notification of the pipe's queue, absent on other routes.

    Args:
        s: The settings.
        route: The route of events.
        channel: The queue's ARN; empty while there is none.
    """
    filters = {"prefix": s.place.logs_prefix, "suffix": s.suffix}
    rules = [{"Name": name, "Value": value} for name, value in filters.items()]
    content: Any = {
        "Id": s.names.events,
        "QueueArn": channel,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": rules}},
    }
    if route.kind != "queue":
        content = None
    elif not channel:
        content = Waits("the pipe's queue comes first")
    return _home(s, "notification", s.bucket.name, content, s.bucket.create)


def topic(s: Settings, route: Route, user: str) -> Iterator[Resource]:
    """Yield the topic of the route with our statements; of our own, all around it.

    Args:
        s: The settings.
        route: The route of events.
        user: Snowflake's user, which subscribes; empty while it is unknown.
    """
    arn = route.topic_arn
    if arn is None:
        return
    statements = [topic_snowflake_statement(s.names, arn, user)] if user else []
    ours = route.kind == "eventbridge"
    name, tags = arn.rpartition(":")[2], s.names.tags(s.tags)
    if ours:
        statements.insert(0, topic_events_statement(s.names, arn))
        policy = {"Version": VERSION, "Statement": statements}
        yield _home(s, "topic", name, {"Tags": tags, "Policy": policy})
    yield _home(s, "topic policy", arn, statements, ours)
    if ours:
        key = f"{s.place.logs_prefix}*{s.suffix}"
        pattern = {
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {
                "bucket": {"name": [s.bucket.name]},
                "object": {"key": [{"wildcard": key}]},
            },
        }
        content = {"Pattern": pattern, "Tags": tags, "Target": arn}
        yield _home(s, "event rule", name, content)
        yield _home(s, "EventBridge", s.bucket.name, {"Rule": name}, s.bucket.create)
    if not user:
        wait = Waits("Snowflake's user comes first")
        yield _home(s, "topic policy", arn, wait, ours)


# ----- flow logs


def flow_logs(
    s: Settings, region: str, chosen: Iterable[tuple[Source, Sequence[str]]]
) -> list[Resource]:
    """Return the flow logs of one account and region.

    Args:
        s: The settings.
        region: The region.
        chosen: The sources there, with the ids that each selects.
    """
    found = []
    for source, ids in chosen:
        content = flow_log(s, source)
        found += [
            Resource(source.account_id, region, "flow log", i, content, s.names)
            for i in ids
        ]
    return found


def flow_log(s: Settings, source: Source) -> dict[str, Any]:
    """Return the arguments of CreateFlowLogs, without the resources' ids."""
    options = s.options(source)
    found: dict[str, Any] = {
        "ResourceType": RESOURCE_TYPES[source.resource_type],
        "LogDestinationType": "s3",
        "LogDestination": s.place.destination,
        "LogFormat": log_format(s.field_names(source)),
        "MaxAggregationInterval": options.aggregation_seconds,
        "DestinationOptions": {
            "FileFormat": options.file_format,
            "HiveCompatiblePartitions": options.hive_compatible_partitions,
            "PerHourPartition": options.hourly_partitions,
        },
        "TagSpecifications": [
            {"ResourceType": "vpc-flow-log", "Tags": s.names.tags(s.tags)}
        ],
    }
    if not source.is_transit_gateway:
        found["TrafficType"] = options.traffic_type
    if options.tag_keys:
        found["TagFieldSpecifications"] = [
            {"ResourceType": kind, "TagKeys": list(keys)}
            for kind, keys in sorted(options.tag_keys.items())
        ]
    return found


# ----- all names that may be ours


def possible(s: Settings) -> Iterator[Resource]:
    """Yield every resource that may be ours, whatever exists, for `permissions`.

    The name of a flow log is ``*``, and so is that of another owner's topic.
    """
    for where in (s, *([s.earlier] if s.earlier else [])):
        yield _home(s, "bucket", where.bucket.name, None)
    names = s.names
    for path, name in (
        (s.snowflake.role_path, names.role),
        ("/", names.earlier_role),
    ):
        yield _home(s, "role", f"{path}{name}", None)
    for name in (names.events, names.earlier_events):
        yield _home(s, "event rule", name, None)
        theirs = not s.bucket.create or s.events.topic_arn
        yield _home(s, "topic", "*" if theirs else name, None)
    if s.bucket.encryption.key_arn and s.bucket.encryption.manage_key_policy:
        yield _home(s, "key policy", s.bucket.encryption.key_arn, None)
    for account, region in s.places:
        yield Resource(account, region, "flow log", "*", None, names)
