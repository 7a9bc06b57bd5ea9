"""The bucket's event notifications: read, merged and written together.

``PutBucketNotificationConfiguration`` replaces all notifications (API reference), so
those of others are written back as they were read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from bootstrap.deployment import Deployment
from bootstrap.errors import Blocked, code_of, message_of, unless

KINDS = {
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}
EVENTBRIDGE = "EventBridgeConfiguration"
CREATED = "s3:ObjectCreated:*"

Configuration = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """One notification, with the parts that decide whether two overlap.

    Args:
        kind: ``QueueConfigurations`` and so on.
        id: Its id.
        arn: Its destination.
        events: Event types, such as ``s3:ObjectCreated:*``.
        prefix: The key's prefix; empty for all.
        suffix: The key's suffix; empty for all.
    """

    kind: str
    id: str
    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def overlaps(self, other: Rule) -> bool:
        """Return whether S3 refuses the two together.

        S3 guide, "Configuring event notifications using object key name filtering":
        they share an event type, and one key can match both prefixes and suffixes.
        """
        return (
            any(_share(a, b) for a in self.events for b in other.events)
            and _nested(self.prefix, other.prefix)
            and _nested(self.suffix[::-1], other.suffix[::-1])
        )

    def covers(self, other: Rule) -> bool:
        """Return whether it gets every event that the other gets."""
        return (
            all(any(_includes(a, b) for a in self.events) for b in other.events)
            and other.prefix.startswith(self.prefix)
            and other.suffix.endswith(self.suffix)
        )

    def __str__(self) -> str:
        """Describe it for its owner."""
        kind = self.kind.removesuffix("Configurations").lower()
        return (
            f"{kind} notification `{self.id}` to {self.arn} ({', '.join(self.events)}, "
            f"prefix `{self.prefix}`, suffix `{self.suffix}`)"
        )


def _nested(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _includes(wide: str, narrow: str) -> bool:
    return wide == narrow or (wide.endswith("*") and narrow.startswith(wide[:-1]))


def _share(one: str, other: str) -> bool:
    return _includes(one, other) or _includes(other, one)


def read(d: Deployment) -> Configuration:
    """Return the bucket's whole configuration, without botocore's metadata."""
    answer: Any = unless(
        "NoSuchBucket 404",
        lambda: d.home.s3.get_bucket_notification_configuration(**d.bucket),
    )
    return {k: v for k, v in (answer or {}).items() if k != "ResponseMetadata"}


def write(d: Deployment, configuration: Configuration) -> object:
    """Write the whole configuration.

    Raises:
        Blocked: S3 cannot reach a destination, perhaps another owner's.
        ClientError: AWS answered with another error.
    """
    try:
        return d.retry(
            lambda: d.home.s3.put_bucket_notification_configuration(
                **d.bucket,
                NotificationConfiguration=configuration,  # type: ignore[arg-type]
            ),
            # A new policy of the queue or topic takes time to reach S3.
            _is_validation,
        )
    except ClientError as error:
        if _is_validation(error):
            arns = "".join(f"\n  {rule}" for rule in rules(configuration))
            raise Blocked(
                f"bucket {d.settings.bucket.name}: S3 sent a test message to every "
                f"destination, and one refused it: {message_of(error)}\nOne of these "
                f"does not exist, or its policy does not allow s3.amazonaws.com; its "
                f"owner must correct that:{arns}"
            ) from error
        raise


def _is_validation(error: ClientError) -> bool:
    return code_of(error) == "InvalidArgument" and (
        "validate" in message_of(error).lower()
    )


def rules(configuration: Configuration) -> list[Rule]:
    """Return every queue, topic and function configuration."""
    return [_rule(kind, item) for kind in KINDS for item in configuration.get(kind, [])]


def _rule(kind: str, item: dict[str, Any]) -> Rule:
    filters = item.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    # AWS returns `Prefix` or `prefix`.
    named = {f["Name"].lower(): f.get("Value", "") for f in filters}
    return Rule(
        kind,
        item.get("Id", ""),
        item[KINDS[kind]],
        tuple(item["Events"]),
        named.get("prefix", ""),
        named.get("suffix", ""),
    )


def wanted_rule(d: Deployment, queue_arn: str = "") -> Rule:
    """Return the notification that sends every new log file to a queue."""
    return Rule(
        "QueueConfigurations",
        d.names.notification,
        queue_arn,
        (CREATED,),
        d.place.logs_prefix,
        d.suffix,
    )


def as_item(rule: Rule) -> dict[str, Any]:
    """Return the notification in the API's form."""
    return {
        "Id": rule.id,
        KINDS[rule.kind]: rule.arn,
        "Events": list(rule.events),
        "Filter": {
            "Key": {
                "FilterRules": [
                    {"Name": "prefix", "Value": rule.prefix},
                    {"Name": "suffix", "Value": rule.suffix},
                ]
            }
        },
    }


def with_ours(configuration: Configuration, rule: Rule) -> Configuration:
    """Return the configuration with our notification, and all else unchanged."""
    merged = without_ours(configuration, rule.id)
    merged[rule.kind] = [*merged.get(rule.kind, []), as_item(rule)]
    return merged


def without_ours(configuration: Configuration, rule_id: str) -> Configuration:
    """Return the configuration without our notification, all else unchanged."""
    left = dict(configuration)
    for kind in KINDS:
        items = [i for i in configuration.get(kind, []) if i.get("Id") != rule_id]
        if items:
            left[kind] = items
        else:
            left.pop(kind, None)
    return left
