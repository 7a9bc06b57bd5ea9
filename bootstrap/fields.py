"""The fields of a flow log: VPC guide, "Flow log records".

Names are written as in the API's ``LogFormat``, with hyphens.
"""

from __future__ import annotations

DEFAULT = (
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
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

# Version 11 too, but each needs a tag key of yours (`TagFieldSpecifications`).
NEED_TAG_KEYS = (
    "instance-tag",
    "instance-tag-2",
    "interface-tag",
    "interface-tag-2",
    "asg-tag",
    "asg-tag-2",
)

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
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
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

KNOWN_VPC = frozenset(EXTENDED)
KNOWN_TRANSIT_GATEWAY = frozenset(TRANSIT_GATEWAY)


def log_format(fields: str | tuple[str, ...], transit_gateway: bool) -> str:
    """Return the API's ``LogFormat`` for ``default``, ``extended`` or a list.

    Args:
        fields: The configured value; a list keeps its order.
        transit_gateway: Transit gateways have one documented default, which already
            holds every field of theirs.
    """
    if isinstance(fields, tuple):
        names = fields
    elif transit_gateway:
        names = TRANSIT_GATEWAY
    else:
        names = DEFAULT if fields == "default" else EXTENDED
    return " ".join(f"${{{name}}}" for name in names)
