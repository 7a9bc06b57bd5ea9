"""The record formats of the sample flow logs: fields, their order and types."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: The columns of some records by field name. Text is held as codes of a
#: `Vocabulary`; numbers that have no value hold `NO_NUMBER`.
Columns = dict[str, NDArray[np.int64]]

#: Stands for "no value" in a number column; no field of the format is negative.
NO_NUMBER = -1

INT32_FIELDS = frozenset(
    ("version", "srcport", "dstport", "protocol", "tcp_flags", "traffic_path")
)
INT64_FIELDS = frozenset(("packets", "bytes", "start", "end"))

#: What a record without traffic (NODATA, SKIPDATA) still carries.
FIELDS_WITHOUT_TRAFFIC = frozenset(
    ("version", "account_id", "interface_id", "start", "end", "log_status")
)

ECS_FIELDS = (
    "ecs_cluster_name",
    "ecs_cluster_arn",
    "ecs_service_name",
    "ecs_task_id",
    "ecs_task_arn",
    "ecs_container_id",
)

_DEFAULT = (
    "version account_id interface_id srcaddr dstaddr srcport dstport protocol "
    "packets bytes start end action log_status"
)

# The order differs from the default on purpose: a reader that goes by position
# instead of by name must fail on these files.
_V5 = (
    "start end version account_id region vpc_id subnet_id az_id interface_id "
    "instance_id type flow_direction traffic_path action protocol tcp_flags "
    "dstaddr dstport srcaddr srcport pkt_dstaddr pkt_srcaddr "
    "pkt_dst_aws_service pkt_src_aws_service sublocation_type sublocation_id "
    "bytes packets log_status"
)

# A release that no reader can know today, with one field of its own.
_FUTURE = (
    "future_field log_status action end start bytes packets protocol tcp_flags "
    "flow_direction dstport srcport dstaddr srcaddr interface_id account_id version"
)

#: Fields in file order, by the value of `version` that AWS would write.
FORMATS: dict[int, tuple[str, ...]] = {
    2: tuple(_DEFAULT.split()),
    5: tuple(_V5.split()),
    8: ("reject_reason", *_V5.split(), *ECS_FIELDS),
    12: tuple(_FUTURE.split()),
}


def is_number(field: str) -> bool:
    """Whether `field` is an integer in Parquet; every other field is text."""
    return field in INT32_FIELDS or field in INT64_FIELDS


def parquet_type(field: str) -> pa.DataType:
    """The type that AWS gives `field` in Parquet."""
    if field in INT32_FIELDS:
        return pa.int32()
    if field in INT64_FIELDS:
        return pa.int64()
    return pa.string()
