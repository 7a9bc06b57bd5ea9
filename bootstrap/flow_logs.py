"""Flow logs: the resources that have one, what exists, and what is missing.

They are created in batches and recognised by mark and destination. AWS cannot change
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bootstrap.aws import Account
from bootstrap.changes import NEW_MARK, BootstrapError, Change
from bootstrap.description import Resource
from bootstrap.naming import Names, Place, owner_of

if TYPE_CHECKING:
    from bootstrap.settings import Source

# How EC2 lists them: the paginated call, the key of its answer and the id in an item.
KINDS = {
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
    "transit-gateway-attachment": (
        "describe_transit_gateway_attachments",
        "TransitGatewayAttachments",
        "TransitGatewayAttachmentId",
    ),
    "regional-nat-gateway": ("describe_nat_gateways", "NatGateways", "NatGatewayId"),
}
# The argument of the calls that take ids.
ID_ARGUMENTS = {"subnet": "SubnetIds", "network-interface": "NetworkInterfaceIds"}
ALREADY_THERE = "FlowLogAlreadyExists"
# The most resources in one CreateFlowLogs call.
BATCH = 300
SMALL_BATCH = 25
# The most values in one filter of EC2.
FILTER_VALUES = 200


# ----- what the sources select


def chosen_ids(account: Account, source: Source) -> list[str]:
    """Return the sorted ids that a source selects in the region of the clients.

    Ids in the settings are not checked; ``CreateFlowLogs`` names those that do not
    exist. VPCs that another account shares are left out.

    Raises:
        BootstrapError: Tags select nothing, usually by a typing error.
    """
    if source.ids:
        return sorted(set(source.ids))
    call, key, name = KINDS[source.resource_type]
    filters: list[dict[str, Any]] = [
        {"Name": f"tag:{tag}", "Values": [value]} for tag, value in source.tags.items()
    ]
    owner = {
        "transit-gateway-attachment": "resource-owner-id",
        "regional-nat-gateway": "",
    }.get(source.resource_type, "owner-id")
    if owner:
        filters.append({"Name": owner, "Values": [source.account_id]})
    client: Any = account.ec2
    # The one call whose argument has another name.
    argument = "Filter" if call == "describe_nat_gateways" else "Filters"
    pages = client.get_paginator(call).paginate(**{argument: filters})
    # AWS lists a deleted gateway for another hour.
    found = sorted(
        item[name]
        for page in pages
        for item in page[key]
        if item.get("State") not in ("deleting", "deleted")
        and (key != "NatGateways" or item.get("AvailabilityMode") == "regional")
    )
    if not found and source.tags:
        tags = ", ".join(f"{tag}={value}" for tag, value in source.tags.items())
        raise BootstrapError(
            f"account {source.account_id} has no {source.resource_type} with tags "
            f"{tags} in {account.region}: correct the source's tags or regions"
        )
    return found


def chosen(
    account: Account, sources: Sequence[Source]
) -> list[tuple[Source, list[str]]]:
    """Return what each source selects in one account and region.

    Raises:
        BootstrapError: Two select the same traffic.
    """
    found = [(source, chosen_ids(account, source)) for source in sources]
    seen: dict[str, str] = {}
    for source, ids in found:
        for identity in ids:
            if identity in seen:
                raise BootstrapError(
                    f"two sources select {identity} in {source.account_id} "
                    f"{account.region}, so every record would come twice: remove one"
                )
            seen[identity] = source.resource_type
    for inner, outer in _nested(account, found, seen):
        raise BootstrapError(
            f"sources select {inner} and also {outer}, which contains it, in "
            f"{sources[0].account_id} {account.region}, so every record would come "
            "twice: remove one"
        )
    return found


def _nested(
    account: Account, found: list[tuple[Source, list[str]]], seen: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield each selected resource inside another selected one."""
    if len({source.resource_type for source, _ in found}) < 2:
        return
    client: Any = account.ec2
    for source, ids in found:
        if source.resource_type not in ID_ARGUMENTS:
            continue
        call, key, name = KINDS[source.resource_type]
        for batch in chunks(ids, FILTER_VALUES):
            arguments = {ID_ARGUMENTS[source.resource_type]: batch}
            for page in client.get_paginator(call).paginate(**arguments):
                for item in page[key]:
                    for outer in (item.get("VpcId"), item.get("SubnetId")):
                        if outer in seen and outer != item[name]:
                            yield item[name], outer


# ----- what exists


@dataclass(frozen=True)
class FlowLog:
    """A flow log that delivers to S3.

    Args:
        id: ``fl-…``.
        resource_id: The resource whose traffic it logs.
        destination: The ARN that it delivers to, without a slash at its end.
        shape: Its options, for comparison; AWS cannot change them.
        mark: The owner's mark in its tags, if any.
        status: AWS's ``DeliverLogsStatus`` and ``DeliverLogsErrorMessage``.
    """

    id: str
    resource_id: str
    destination: str
    shape: dict[str, Any]
    mark: str | None
    status: tuple[str, str]


def existing(account: Account, filters: Sequence[dict[str, Any]] = ()) -> list[FlowLog]:
    """Return the flow logs to S3 that match EC2 filters."""
    client: Any = account.ec2
    pages = client.get_paginator("describe_flow_logs").paginate(
        Filter=[{"Name": "log-destination-type", "Values": ["s3"]}, *filters]
    )
    return [_flow_log(item) for page in pages for item in page["FlowLogs"]]


def delivering(account: Account, place: Place) -> list[FlowLog]:
    """Return the flow logs of an account and region that deliver to a place."""
    wanted = place.destination.rstrip("/")
    return [log for log in existing(account) if log.destination == wanted]


def ours(account: Account, place: Place, names: Names) -> list[FlowLog]:
    """Return the flow logs that we made: by mark and destination."""
    marks = (names.mark, names.name)
    return [log for log in delivering(account, place) if log.mark in marks]


def of_others(account: Account, place: Place, names: Names) -> list[str]:
    """Return the flow logs of others that deliver to the bucket, in words."""
    mine = {log.id for log in ours(account, place, names)}
    return [
        f"flow log {log.id} of {log.resource_id} in {account.account_id} "
        f"{account.region}"
        for log in existing(account)
        if f"{log.destination}/".startswith(f"{place.arn}/") and log.id not in mine
    ]


def _flow_log(item: Any) -> FlowLog:
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
        owner_of(item.get("Tags")),
        (item.get("DeliverLogsStatus", ""), item.get("DeliverLogsErrorMessage", "")),
    )


def chunks(items: Iterable[Any], size: int) -> list[list[Any]]:
    """Return the items in lists of at most ``size``."""
    listed = list(items)
    return [listed[i : i + size] for i in range(0, len(listed), size)]


# ----- apply

SHAPE = (
    "LogFormat",
    "MaxAggregationInterval",
    "DestinationOptions",
    "TrafficType",
    "TagFieldSpecifications",
)


def shape_of(content: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a flow log, which AWS cannot change."""
    return {key: content[key] for key in SHAPE if key in content}


def compare(
    account: Account,
    wanted: Sequence[Resource],
    place: Place,
    names: Names,
    replaces: bool,
    before: Callable[[], None],
) -> Iterator[Change]:
    """Compare the flow logs of one account and region with the wanted ones.

    Args:
        account: The clients.
        wanted: The flow logs; their names are the ids of their resources.
        place: Where they deliver.
        names: Our names.
        replaces: Whether to replace ours that differ.
        before: Called before one is created; AWS may change the bucket's policy.
    """
    where = f"in {account.account_id} {account.region}"
    here = delivering(account, place)
    found = {log.resource_id: log for log in here}
    mine = {log.id for log in here if log.mark in (names.mark, names.name)}
    renamed = [
        log for log in here if log.mark == names.name and names.mark != names.name
    ]
    if renamed:
        yield _new_mark(account, renamed, names, where)
    missing: dict[str, list[Resource]] = {}
    for resource in wanted:
        log = found.get(resource.name)
        if log is None:
            missing.setdefault(repr(resource.content), []).append(resource)
        elif log.shape != shape_of(resource.content):
            yield _drift(account, resource, log, log.id in mine, replaces, before)
    for resources in missing.values():
        content = resources[0].content
        kind = content["ResourceType"]
        for batch in chunks(resources, BATCH if kind == "VPC" else SMALL_BATCH):
            arguments = {"ResourceIds": [r.name for r in batch], **content}
            yield Change(
                "create",
                f"flow logs {where}",
                f"for {len(batch)} {kind}, to {place.destination}",
                None,
                arguments,
                partial(_create, account, arguments, before),
            )
    ids = {resource.name for resource in wanted}
    for log in here:
        if log.id in mine and log.resource_id not in ids:
            yield Change(
                "note",
                f"flow log {log.id} of {log.resource_id} {where}",
                "no source selects its resource any more; it stays until `destroy`",
            )


def _new_mark(
    account: Account, logs: list[FlowLog], names: Names, where: str
) -> Change:
    ids = [log.id for log in logs]
    tags: Any = names.tags({})
    return Change(
        "update",
        f"tags of flow logs {where}",
        NEW_MARK,
        {"mark": names.name},
        {"mark": names.mark, "flow logs": ids},
        lambda: account.ec2.create_tags(Resources=ids, Tags=tags),
    )


def _create(
    account: Account, arguments: dict[str, Any], before: Callable[[], None]
) -> None:
    before()
    answer: Any = account.ec2.create_flow_logs(**arguments)
    raise_unsuccessful(answer, "CreateFlowLogs", account, ALREADY_THERE)


def _delete(account: Account, ids: list[str]) -> None:
    answer: Any = account.ec2.delete_flow_logs(FlowLogIds=ids)
    raise_unsuccessful(answer, "DeleteFlowLogs", account, "InvalidFlowLogId.NotFound")


def raise_unsuccessful(
    answer: dict[str, Any], call: str, account: Account, ignore: str
) -> None:
    """Raise the errors in an answer with status 200.

    API reference, CreateFlowLogs: ``Unsuccessful`` has one item for each resource.

    Args:
        answer: AWS's answer.
        call: The name of the call.
        account: The account and region.
        ignore: The error code that is not a failure.

    Raises:
        BootstrapError: It names every resource, with AWS's message.
    """
    failed = [
        item
        for item in answer.get("Unsuccessful", [])
        if item.get("Error", {}).get("Code") != ignore
    ]
    if failed:
        lines = "".join(
            f"\n  {item.get('ResourceId')}: {item['Error'].get('Code')}: "
            f"{item['Error'].get('Message')}"
            for item in failed
        )
        raise BootstrapError(
            f"{call} failed for {len(failed)} resources in {account.account_id} "
            f"{account.region}:{lines}\n  Correct these, then run the command again."
        )


def _drift(
    account: Account,
    wanted: Resource,
    log: FlowLog,
    is_ours: bool,
    replaces: bool,
    before: Callable[[], None],
) -> Change:
    resource = (
        f"flow log {log.id} of {log.resource_id} in {wanted.account} {wanted.region}"
    )
    shape = shape_of(wanted.content)
    if is_ours and replaces:
        arguments = {"ResourceIds": [wanted.name], **wanted.content}

        def replace_it() -> None:
            _delete(account, [log.id])
            _create(account, arguments, before)

        reason = "it differs, and AWS cannot change a flow log; a new one replaces it"
        return Change("delete", resource, reason, log.shape, shape, replace_it)
    advice = "--replace-flow-logs replaces it"
    if not is_ours:
        advice = "another owner made it, so it stays"
    return Change("note", resource, f"it differs: {advice}", log.shape, shape)


# ----- destroy, and flow logs of an earlier place


def removal(account: Account, place: Place, names: Names) -> list[Change]:
    """Delete our flow logs; delivered files stay."""
    reason = "this deployment made them; delivered files stay"
    return _deletions(account, ours(account, place, names), reason)


def moved(
    account: Account, place: Place, earlier: Place, names: Names
) -> Iterator[Change]:
    """Delete our flow logs to the earlier place, whose resources have one to the new.

    Without that, every record would be delivered twice.

    Args:
        account: The clients.
        place: Where logs are delivered now.
        earlier: Where they were delivered before.
        names: Our names there.
    """
    done = {log.resource_id for log in delivering(account, place)}
    old = ours(account, earlier, names)
    reason = f"moved: a new one delivers to {place.destination}"
    yield from _deletions(account, [g for g in old if g.resource_id in done], reason)
    waiting = _listed(log for log in old if log.resource_id not in done)
    if waiting:
        yield Change(
            "wait",
            f"flow logs to {earlier.destination}",
            f"deleted after new ones deliver to {place.destination}",
            waiting,
            removes=tuple(waiting),
        )


def _deletions(account: Account, logs: list[FlowLog], reason: str) -> list[Change]:
    def deletion(chunk: list[FlowLog]) -> Change:
        ids, listed = [log.id for log in chunk], _listed(chunk)
        return Change(
            "delete",
            f"flow logs in {account.account_id} {account.region}",
            reason,
            listed,
            None,
            lambda: _delete(account, ids),
            removes=tuple(listed),
        )

    return [deletion(chunk) for chunk in chunks(logs, BATCH)]


def _listed(logs: Iterable[FlowLog]) -> list[str]:
    return [f"{log.id} of {log.resource_id}" for log in logs]
