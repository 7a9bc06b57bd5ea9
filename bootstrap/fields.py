"""The fields of a flow log: VPC guide, "Flow log records".

Names are written as in the API's ``LogFormat``, with hyphens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

TRAFFIC = (
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
)

DEFAULT = (
    "version",
    "account-id",
    "interface-id",
    *TRAFFIC,
    "action",
    "log-status",
)

EXTENDED = (
    *DEFAULT,
    # version 3
    "vpc-id",
    "subnet-id",
    "instance-id",
    "tcp-flags",
    "type",
    "pkt-srcaddr",
    "pkt-dstaddr",
    # version 4
    "region",
    "az-id",
    "sublocation-type",
    "sublocation-id",
    # version 5
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
    "flow-direction",
    "traffic-path",
    # version 7
    "ecs-cluster-arn",
    "ecs-cluster-name",
    "ecs-container-instance-arn",
    "ecs-container-instance-id",
    "ecs-container-id",
    "ecs-second-container-id",
    "ecs-service-name",
    "ecs-task-definition-arn",
    "ecs-task-arn",
    "ecs-task-id",
    # version 8
    "reject-reason",
    # version 9
    "resource-id",
    # version 10
    "encryption-status",
    # version 11
    "interface-type",
    "next-hop-interface-id",
    "next-hop-subnet-id",
    "next-hop-az-id",
    "next-hop-vpc-id",
    "next-hop-interface-type",
)

# Version 11 too: values of tags, by the kind of tagged resource. The API takes the tag
# keys in `TagFieldSpecifications`: the first key for the first field, and so on.
TagCarrier = Literal["instance", "network-interface", "auto-scaling-group"]
TAG_FIELDS: dict[TagCarrier, tuple[str, ...]] = {
    "instance": ("instance-tag", "instance-tag-2"),
    "network-interface": ("interface-tag", "interface-tag-2"),
    "auto-scaling-group": ("asg-tag", "asg-tag-2"),
}

TRANSIT_GATEWAY = (
    "version",
    "resource-type",
    "account-id",
    "tgw-id",
    "tgw-attachment-id",
    "tgw-src-vpc-account-id",
    "tgw-dst-vpc-account-id",
    "tgw-src-vpc-id",
    "tgw-dst-vpc-id",
    "tgw-src-subnet-id",
    "tgw-dst-subnet-id",
    "tgw-src-eni",
    "tgw-dst-eni",
    "tgw-src-az-id",
    "tgw-dst-az-id",
    "tgw-pair-attachment-id",
    *TRAFFIC,
    "log-status",
    "type",
    "packets-lost-no-route",
    "packets-lost-blackhole",
    "packets-lost-mtu-exceeded",
    "packets-lost-ttl-expired",
    "tcp-flags",
    "region",
    "flow-direction",
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
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
