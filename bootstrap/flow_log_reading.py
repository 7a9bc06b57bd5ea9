"""The flow logs that exist."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bootstrap.aws import Account
from bootstrap.deployment import Deployment
from bootstrap.naming import TAG

# The most values in one filter of EC2.
FILTER_VALUES = 200


@dataclass(frozen=True)
class FlowLog:
    """A flow log that delivers to S3.

    Args:
        id: ``fl-…``.
        resource_id: The resource whose traffic it logs.
        destination: The ARN that it delivers to, without a slash at its end.
        shape: Its options, for comparison; AWS cannot change them.
        ours: Whether it has our tag.
        status: AWS's ``DeliverLogsStatus`` and ``DeliverLogsErrorMessage``.
    """

    id: str
    resource_id: str
    destination: str
    shape: dict[str, Any]
    ours: bool
    status: tuple[str, str]


def existing(
    d: Deployment, account: Account, filters: Sequence[dict[str, Any]]
) -> list[FlowLog]:
    """Return the flow logs to S3 that match EC2 filters."""
    client: Any = account.ec2
    pages = client.get_paginator("describe_flow_logs").paginate(
        Filter=[{"Name": "log-destination-type", "Values": ["s3"]}, *filters]
    )
    return [_flow_log(d, item) for page in pages for item in page["FlowLogs"]]


def watching(d: Deployment, account: Account, ids: Sequence[str]) -> list[FlowLog]:
    """Return the flow logs of these resources that deliver to our prefix."""
    return [
        log
        for chunk in chunks(ids, FILTER_VALUES)
        for log in existing(d, account, [{"Name": "resource-id", "Values": chunk}])
        if log.destination == d.place.destination.rstrip("/")
    ]


def ours(d: Deployment) -> list[tuple[Account, list[FlowLog]]]:
    """Return our flow logs in each account and region of the settings."""
    found: dict[str, tuple[Account, list[FlowLog]]] = {}
    for source, account in d.sources():
        key = f"{source.account_id} {account.region}"
        if key not in found:
            mine = existing(d, account, [our_tag(d)])
            found[key] = (account, mine)
    return list(found.values())


def _flow_log(d: Deployment, item: Any) -> FlowLog:
    options = item.get("DestinationOptions", {})
    shape = {
        "LogFormat": item.get("LogFormat", ""),
        "MaxAggregationInterval": item.get("MaxAggregationInterval", 600),
        "DestinationOptions": {
            "FileFormat": options.get("FileFormat", "plain-text"),
            "HiveCompatiblePartitions": options.get("HiveCompatiblePartitions", False),
            "PerHourPartition": options.get("PerHourPartition", False),
        },
    }
    if item.get("TrafficType") and not item["ResourceId"].startswith("tgw"):
        shape["TrafficType"] = item["TrafficType"]
    if item.get("TagFieldSpecifications"):
        shape["TagFieldSpecifications"] = sorted(
            item["TagFieldSpecifications"], key=lambda found: found["ResourceType"]
        )
    return FlowLog(
        item["FlowLogId"],
        item["ResourceId"],
        item.get("LogDestination", "").rstrip("/"),
        shape,
        d.names.owns(item.get("Tags")),
        (item.get("DeliverLogsStatus", ""), item.get("DeliverLogsErrorMessage", "")),
    )


def our_tag(d: Deployment) -> dict[str, Any]:
    """Return the filter for our tag."""
    return {"Name": f"tag:{TAG}", "Values": [d.names.name]}


def chunks(items: Iterable[Any], size: int) -> list[list[Any]]:
    """Return the items in lists of at most ``size``."""
    listed = list(items)
    return [listed[i : i + size] for i in range(0, len(listed), size)]
