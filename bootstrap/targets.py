"""The network resources that a source selects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bootstrap.aws import Account
from bootstrap.errors import BootstrapError

if TYPE_CHECKING:
    from bootstrap.settings import Source

# The paginated call, the key of its answer, and the id in an item.
DESCRIPTIONS = {
    "vpc": ("describe_vpcs", "Vpcs", "VpcId"),
    "subnet": ("describe_subnets", "Subnets", "SubnetId"),
    "network-interface": (
        "describe_network_interfaces",
        "NetworkInterfaces",
        "NetworkInterfaceId",
    ),
    "transit-gateway": (
        "describe_transit_gateways",
        "TransitGateways",
        "TransitGatewayId",
    ),
}


def chosen_ids(account: Account, source: Source) -> list[str]:
    """Return the sorted ids that a source selects in the region of the clients.

    Ids in the settings are not checked; ``CreateFlowLogs`` names those that do not
    exist. VPCs that another account shares are left out.

    Raises:
        BootstrapError: Tags or ``all`` select nothing, usually by a typing error.
    """
    if source.ids:
        return sorted(set(source.ids))
    call, key, name = DESCRIPTIONS[source.resource_type]
    filters: list[dict[str, Any]] = [
        {"Name": f"tag:{tag}", "Values": [value]} for tag, value in source.tags.items()
    ]
    filters.append({"Name": "owner-id", "Values": [source.account_id]})
    client: Any = account.ec2
    pages = client.get_paginator(call).paginate(Filters=filters)
    # AWS lists a deleted transit gateway for another hour.
    found = sorted(
        item[name]
        for page in pages
        for item in page[key]
        if item.get("State") not in ("deleting", "deleted")
    )
    if not found:
        tags = ", ".join(f"{tag}={value}" for tag, value in source.tags.items())
        raise BootstrapError(
            f"account {source.account_id} has no {source.resource_type} "
            f"{f'with tags {tags} ' if tags else ''}in {account.region}: correct "
            "the source's tags or regions"
        )
    return found
