"""The names, tags and statement ids of what this program makes."""

from __future__ import annotations

from dataclasses import dataclass

TAG = "vpc-flow-logs:deployment"
EVENTBRIDGE_TAG = "vpc-flow-logs:eventbridge"

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

SCHEMES = {"aws": "s3", "aws-us-gov": "s3gov", "aws-cn": "s3china"}


@dataclass(frozen=True)
class Names:
    """The names derived from the deployment's name.

    Args:
        name: ``name`` of ``bootstrap.yml``.
        role_name: ``snowflake.role_name``, if given.
    """

    name: str
    role_name: str | None = None

    def sid(self, kind: str) -> str:
        """Return a statement id; IAM allows letters and digits only."""
        return "".join(part.capitalize() for part in self.name.split("-")) + kind

    @property
    def sids(self) -> frozenset[str]:
        """Return every statement id of ours."""
        return frozenset(self.sid(kind) for kind in KINDS)

    @property
    def role(self) -> str:
        """Return the name of the role that Snowflake assumes."""
        return self.role_name or f"{self.name}-snowflake"

    @property
    def role_policy(self) -> str:
        """Return the name of the role's inline policy."""
        return f"{self.name}-access"

    @property
    def lifecycle_rule(self) -> str:
        """Return the id of the lifecycle rule."""
        return f"{self.name}-expiry"

    @property
    def notification(self) -> str:
        """Return the id of the bucket's event notification."""
        return f"{self.name}-snowpipe"

    @property
    def topic(self) -> str:
        """Return the name of the topic that EventBridge publishes to."""
        return f"{self.name}-snowpipe"

    @property
    def rule(self) -> str:
        """Return the name of the EventBridge rule and of its target."""
        return f"{self.name}-snowpipe"

    def tags(self, more: dict[str, str]) -> list[dict[str, str]]:
        """Return the user's tags and ours, in AWS's form."""
        merged = {**more, TAG: self.name}
        return [{"Key": key, "Value": value} for key, value in merged.items()]

    def owns(self, tags: object) -> bool:
        """Return whether a list of tags, as AWS returns it, includes ours."""
        return isinstance(tags, list) and any(
            tag.get("Key") == TAG and tag.get("Value") == self.name for tag in tags
        )


def partition_of(arn: str) -> str:
    """Return the partition of an ARN: ``aws``, ``aws-us-gov`` or ``aws-cn``."""
    return arn.split(":")[1]


def part_of(arn: str, index: int) -> str:
    """Return one part of an ARN: 2 service, 3 region, 4 account."""
    return arn.split(":")[index]
