"""The record formats of the sample flow logs: fields, their order and types."""

from datetime import UTC, date, datetime, time

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: The columns of some records by field name. Text columns hold codes of a
#: `Vocabulary`; numbers without a value are `NO_NUMBER`.
Columns = dict[str, NDArray[np.int64]]

#: Stands for "no value" in a number column; no field of the format is negative.
NO_NUMBER = -1

_INT32 = {"version", "srcport", "dstport", "protocol", "tcp_flags", "traffic_path"}
_INT64 = {"packets", "bytes", "start", "end"}

#: The only fields with a value in records without traffic (NODATA, SKIPDATA).
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

# The order is not the default's: a reader that goes by position instead of by name
# fails on these files.
_V5 = (
    "start end version account_id region vpc_id subnet_id az_id interface_id "
    "instance_id type flow_direction traffic_path action protocol tcp_flags "
    "dstaddr dstport srcaddr srcport pkt_dstaddr pkt_srcaddr "
    "pkt_dst_aws_service pkt_src_aws_service sublocation_type sublocation_id "
    "bytes packets log_status"
)

# A version of the future, with a field that no reader has seen.
_FUTURE = (
    "future_field log_status action end start bytes packets protocol tcp_flags "
    "flow_direction dstport srcport dstaddr srcaddr interface_id account_id version"
)

#: Fields in file order, by the value of `version`.
FORMATS: dict[int, tuple[str, ...]] = {
    2: tuple(_DEFAULT.split()),
    5: tuple(_V5.split()),
    8: ("reject_reason", *_V5.split(), *ECS_FIELDS),
    12: tuple(_FUTURE.split()),
}


def is_number(field: str) -> bool:
    """Whether `field` is an integer in Parquet; every other field is text."""
    return field in _INT32 or field in _INT64


def parquet_type(field: str) -> pa.DataType:
    """The type that AWS gives `field` in Parquet."""
    if field in _INT32:
        return pa.int32()
    return pa.int64() if field in _INT64 else pa.string()


def midnight(day: date) -> int:
    """The epoch second at which a UTC day starts, as `start` and `end` count."""
    return int(datetime.combine(day, time(), UTC).timestamp())


def utc_text(second: int) -> str:
    """An epoch second as the truth has it."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"


def where(columns: Columns, kept: NDArray[np.bool_]) -> Columns:
    """The records that `kept` marks."""
    return {name: column[kept] for name, column in columns.items()}


def joined(groups: list[Columns]) -> Columns:
    """All records of `groups`, ordered by start; the order of equals is kept."""
    order = np.argsort(np.concatenate([g["start"] for g in groups]), kind="stable")
    return {
        name: np.concatenate([group[name] for group in groups])[order]
        for name in groups[0]
    }
