"""Flow logs: the resources that have one, what exists, and what is missing.

They are created in batches and recognised by mark and destination. AWS cannot change
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bootstrap.aws import Account
from bootstrap.bucket import save_policy
from bootstrap.changes import Change
from bootstrap.deployment import Deployment
from bootstrap.errors import BootstrapError
from bootstrap.fields import log_format
from bootstrap.naming import owner_of

if TYPE_CHECKING:
    from bootstrap.settings import Source

# The name in the API, and how EC2 lists them: the paginated call, the key of its answer
# and the id in an item.
KINDS = {
    "vpc": ("VPC", "describe_vpcs", "Vpcs", "VpcId"),
    "subnet": ("Subnet", "describe_subnets", "Subnets", "SubnetId"),
    "network-interface": (
        "NetworkInterface",
        "describe_network_interfaces",
        "NetworkInterfaces",
        "NetworkInterfaceId",
    ),
    "transit-gateway": (
        "TransitGateway",
        "describe_transit_gateways",
        "TransitGateways",
        "TransitGatewayId",
    ),
    "transit-gateway-attachment": (
        "TransitGatewayAttachment",
        "describe_transit_gateway_attachments",
        "TransitGatewayAttachments",
        "TransitGatewayAttachmentId",
    ),
    "regional-nat-gateway": (
        "RegionalNatGateway",
        "describe_nat_gateways",
        "NatGateways",
        "NatGatewayId",
    ),
}
# The argument of the calls that take ids.
ID_ARGUMENTS = {"subnet": "SubnetIds", "network-interface": "NetworkInterfaceIds"}
ALREADY_THERE = "FlowLogAlreadyExists"
# The most resources in one CreateFlowLogs call.
BATCH = 300
TRANSIT_GATEWAY_BATCH = 25
# The most values in one filter of EC2.
FILTER_VALUES = 200
# Accounts and regions that are read at the same time.
PARALLEL = 16


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
    _, call, key, name = KINDS[source.resource_type]
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
        _, call, key, name = KINDS[source.resource_type]
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


def delivering(d: Deployment, account: Account) -> list[FlowLog]:
    """Return the flow logs of an account and region that deliver to our prefix."""
    wanted = d.place.destination.rstrip("/")
    return [log for log in existing(account) if log.destination == wanted]


def is_ours(d: Deployment, log: FlowLog) -> bool:
    """Return whether we made it: by mark and destination."""
    return log.destination == d.place.destination.rstrip("/") and (
        log.mark in (d.names.mark, d.names.name)
    )


def our_ids(d: Deployment) -> list[str]:
    """Return the ids of our flow logs, in every account and region."""
    found = []
    for _, region, sources in d.source_regions():
        with d.visiting(sources[0], region) as account:
            logs = delivering(d, account)
            found += [log.id for log in logs if is_ours(d, log)]
    return found


def uses_of_others(d: Deployment) -> list[str]:
    """Return the flow logs of others that deliver to the bucket, in words.

    Only those of the accounts and regions in ``sources`` can be seen.
    """
    bucket = d.place.arn
    found = []
    for account_id, region, sources in d.source_regions():
        with d.visiting(sources[0], region) as account:
            found += [
                f"flow log {log.id} of {log.resource_id} in {account_id} {region}"
                for log in existing(account)
                if f"{log.destination}/".startswith(f"{bucket}/")
                and not is_ours(d, log)
            ]
    return found


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


def plan_flow_logs(d: Deployment) -> list[Change]:
    """Compare the flow logs of every source with the wanted ones.

    An account or region that cannot be read is one failed change.
    """
    return _everywhere(d, _plan_region)


def _everywhere(
    d: Deployment,
    plan: Callable[[Deployment, Account, list[Source]], list[Change]],
) -> list[Change]:
    """Plan every account and region, several at a time, in the order of the file."""

    def one(place: tuple[str, str, list[Source]]) -> list[Change]:
        account_id, region, sources = place

        def read() -> list[Change]:
            with d.visiting(sources[0], region) as account:
                return plan(d, account, sources)

        what = f"flow logs in {account_id} {region}"
        return d.attempt(what, read, account_id, region)

    # Before the threads, which share it.
    assert d.home.partition
    places = list(d.source_regions())
    if len(places) < 2:
        return [change for place in places for change in one(place)]
    with ThreadPoolExecutor(PARALLEL) as pool:
        return [change for found in pool.map(one, places) for change in found]


def _plan_region(
    d: Deployment, account: Account, sources: list[Source]
) -> list[Change]:
    where = f"in {sources[0].account_id} {account.region}"
    selected = chosen(account, sources)
    here = delivering(d, account)
    found = {log.resource_id: log for log in here}
    changes: list[Change] = []
    renamed = [log for log in here if is_ours(d, log) and log.mark != d.names.mark]
    if renamed:
        changes.append(_new_mark(d, account, renamed, where))
    for source, ids in selected:
        wanted = shape(d, source)
        missing = [i for i in ids if i not in found]
        for i in ids:
            if i in found and found[i].shape != wanted:
                changes.append(_drift(d, source, account, found[i], wanted, where))
        size = BATCH if source.resource_type == "vpc" else TRANSIT_GATEWAY_BATCH
        changes += [
            _creation(d, source, account, batch, wanted, where)
            for batch in chunks(missing, size)
        ]
        if not ids:
            changes.append(
                Change("note", f"flow logs {where}", f"no {source.resource_type} there")
            )
    all_ids = {i for _, ids in selected for i in ids}
    changes += [
        Change(
            "note",
            f"flow log {log.id} of {log.resource_id} {where}",
            "no source selects its resource any more; it stays until `destroy`",
        )
        for log in here
        if is_ours(d, log) and log.resource_id not in all_ids
    ]
    return changes


def _new_mark(
    d: Deployment, account: Account, logs: list[FlowLog], where: str
) -> Change:
    ids = [log.id for log in logs]
    tags: Any = d.names.tags({})
    return Change(
        "update",
        f"tags of flow logs {where}",
        "this version's mark has bucket and prefix",
        {"mark": d.names.name},
        {"mark": d.names.mark, "flow logs": ids},
        lambda: account.ec2.create_tags(Resources=ids, Tags=tags),
    )


def request(d: Deployment, source: Source, ids: list[str]) -> dict[str, Any]:
    """Return the arguments of CreateFlowLogs."""
    return {
        "ResourceIds": ids,
        "ResourceType": KINDS[source.resource_type][0],
        "LogDestinationType": "s3",
        "LogDestination": d.place.destination,
        **shape(d, source),
        "TagSpecifications": [
            {"ResourceType": "vpc-flow-log", "Tags": d.names.tags(d.settings.tags)}
        ],
    }


def _creation(
    d: Deployment,
    source: Source,
    account: Account,
    ids: list[str],
    wanted: dict[str, Any],
    where: str,
) -> Change:
    arguments = request(d, source, ids)
    return Change(
        "create",
        f"flow logs {where}",
        f"for {len(ids)} {source.resource_type}, to {d.place.destination}",
        None,
        arguments,
        lambda: _create(d, account, arguments, where),
    )


def _create(
    d: Deployment, account: Account, arguments: dict[str, Any], where: str
) -> None:
    save_policy(d)
    answer: Any = account.ec2.create_flow_logs(**arguments)
    raise_unsuccessful(answer, "CreateFlowLogs", where, ignore=ALREADY_THERE)


def _delete(account: Account, ids: list[str]) -> None:
    answer: Any = account.ec2.delete_flow_logs(FlowLogIds=ids)
    where = f"in {account.account_id} {account.region}"
    gone = "InvalidFlowLogId.NotFound"
    raise_unsuccessful(answer, "DeleteFlowLogs", where, ignore=gone)


def raise_unsuccessful(
    answer: dict[str, Any], call: str, where: str, ignore: str
) -> None:
    """Raise the errors in an answer with status 200.

    API reference, CreateFlowLogs: ``Unsuccessful`` has one item for each resource.

    Args:
        answer: AWS's answer.
        call: The name of the call.
        where: The account and region.
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
            f"{call} failed for {len(failed)} resources {where}:{lines}\n  Correct "
            "these, then run the command again."
        )


def _drift(
    d: Deployment,
    source: Source,
    account: Account,
    log: FlowLog,
    wanted: dict[str, Any],
    where: str,
) -> Change:
    resource = f"flow log {log.id} of {log.resource_id} {where}"
    if is_ours(d, log) and d.replace_flow_logs:
        arguments = request(d, source, [log.resource_id])

        def replace_it() -> None:
            _delete(account, [log.id])
            _create(d, account, arguments, where)

        return Change(
            "delete",
            resource,
            "it differs, and AWS cannot change a flow log; a new one replaces it",
            log.shape,
            wanted,
            replace_it,
        )
    advice = "--replace-flow-logs replaces it"
    if not is_ours(d, log):
        advice = "another owner made it, so it stays"
    return Change("note", resource, f"it differs: {advice}", log.shape, wanted)


def shape(d: Deployment, source: Source) -> dict[str, Any]:
    """Return the options of a source's flow logs, as the API takes and lists them."""
    options = d.settings.options(source)
    names = d.settings.field_names(source)
    found: dict[str, Any] = {
        "LogFormat": log_format(names),
        "MaxAggregationInterval": options.aggregation_seconds,
        "DestinationOptions": {
            "FileFormat": options.file_format,
            "HiveCompatiblePartitions": options.hive_compatible_partitions,
            "PerHourPartition": options.hourly_partitions,
        },
    }
    if not source.is_transit_gateway:
        found["TrafficType"] = options.traffic_type
    if options.tag_keys:
        found["TagFieldSpecifications"] = [
            {"ResourceType": kind, "TagKeys": list(keys)}
            for kind, keys in sorted(options.tag_keys.items())
        ]
    return found


# ----- destroy, and flow logs of an earlier place


def plan_removal(d: Deployment) -> list[Change]:
    """Delete our flow logs; delivered files stay."""
    return _everywhere(
        d,
        lambda d, account, _: _deletions(
            account,
            [log for log in delivering(d, account) if is_ours(d, log)],
            "this deployment made them; delivered files stay",
        ),
    )


def plan_moved(d: Deployment) -> list[Change]:
    """Delete our flow logs to the earlier place, whose resources have one to the new.

    Without that, every record would be delivered twice.
    """
    earlier = d.earlier()
    if earlier is None:
        return []

    def plan(d: Deployment, account: Account, _: list[Source]) -> list[Change]:
        done = {log.resource_id for log in delivering(d, account)}
        old = [log for log in delivering(earlier, account) if is_ours(earlier, log)]
        moved = [log for log in old if log.resource_id in done]
        waiting = [log for log in old if log.resource_id not in done]
        changes = _deletions(
            account, moved, f"moved: a new one delivers to {d.place.destination}"
        )
        if waiting:
            changes.append(
                Change(
                    "wait",
                    f"flow logs to {earlier.place.destination}",
                    f"deleted after new ones deliver to {d.place.destination}",
                    _listed(waiting),
                    removes=tuple(_listed(waiting)),
                )
            )
        return changes

    return _everywhere(d, plan)


def _deletions(account: Account, logs: list[FlowLog], reason: str) -> list[Change]:
    def deletion(chunk: list[FlowLog]) -> Change:
        ids = [log.id for log in chunk]
        listed = _listed(chunk)
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
