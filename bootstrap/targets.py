"""Which network resources a source chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bootstrap.aws import Account
from bootstrap.errors import BootstrapError

if TYPE_CHECKING:
    from bootstrap.settings import Source

# The paginated call, the key of its answer, the id in an item, the filter by owner.
DESCRIPTIONS = {
    "vpc": ("describe_vpcs", "Vpcs", "VpcId", "owner-id"),
    "subnet": ("describe_subnets", "Subnets", "SubnetId", "owner-id"),
    "network-interface": (
        "describe_network_interfaces",
        "NetworkInterfaces",
        "NetworkInterfaceId",
        "owner-id",
    ),
    "transit-gateway": (
        "describe_transit_gateways",
        "TransitGateways",
        "TransitGatewayId",
        "owner-id",
    ),
}


def chosen_ids(account: Account, source: Source) -> list[str]:
    """Return the ids a source chooses in the region of the clients, sorted.

    Ids given by hand are taken as they are; ``CreateFlowLogs`` says which of them do
    not exist. Shared VPCs belong to another account and are left out.

    Raises:
        BootstrapError: Tags, or ``all``, choose nothing: a typing error more often
            than a wish.
    """
    if source.ids:
        return sorted(set(source.ids))
    call, key, name, owner = DESCRIPTIONS[source.resource_type]
    filters: list[dict[str, Any]] = [
        {"Name": f"tag:{tag}", "Values": [value]} for tag, value in source.tags.items()
    ]
    filters.append({"Name": owner, "Values": [source.account_id]})
    client: Any = account.ec2
    pages = client.get_paginator(call).paginate(Filters=filters)
    # A transit gateway that was deleted is shown for an hour more.
    found = sorted(
        item[name]
        for page in pages
        for item in page[key]
        if item.get("State") not in ("deleting", "deleted")
    )
    if not found:
        tags = ", ".join(f"{tag}={value}" for tag, value in source.tags.items())
        how = f"with tags {tags}" if tags else "at all"
        raise BootstrapError(
            f"account {source.account_id} has no {source.resource_type} {how} "
            f"in {account.region}"
        )
    return found
