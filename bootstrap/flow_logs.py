"""Flow logs: created in batches, never changed, told apart by where they deliver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bootstrap.aws import Account
from bootstrap.bucket import read_policy_text
from bootstrap.changes import Change
from bootstrap.deployment import Deployment
from bootstrap.errors import BootstrapError
from bootstrap.fields import log_format, names_of
from bootstrap.flow_log_reading import (
    FlowLog,
    chunks,
    existing,
    our_tag,
    ours,
    watching,
)
from bootstrap.targets import chosen_ids

if TYPE_CHECKING:
    from bootstrap.settings import Source

RESOURCE_TYPES = {
    "vpc": "VPC",
    "subnet": "Subnet",
    "network-interface": "NetworkInterface",
    "transit-gateway": "TransitGateway",
}
ALREADY_THERE = "FlowLogAlreadyExists"
# So many resources AWS takes in one call.
BATCH = 300
TRANSIT_GATEWAY_BATCH = 25


def plan_flow_logs(d: Deployment) -> list[Change]:
    """Compare the flow logs of every source with the wanted ones.

    Raises:
        BootstrapError: An id or a tag chooses nothing.
    """
    changes: list[Change] = []
    chosen: dict[tuple[str, str], tuple[Account, set[str]]] = {}
    for source, account in d.sources():
        ids = chosen_ids(account, source)
        key = source.account_id, account.region
        chosen.setdefault(key, (account, set()))[1].update(ids)
        wanted = _shape(d, source)
        found = {log.resource_id: log for log in watching(d, account, ids)}
        missing = [i for i in ids if i not in found]
        differing = [found[i] for i in ids if i in found and found[i].shape != wanted]
        where = f"in {source.account_id} {account.region}"
        for log in differing:
            changes.append(_drift(d, account, log, wanted, where))
            if log.ours and d.replace_flow_logs:
                missing.append(log.resource_id)
        size = TRANSIT_GATEWAY_BATCH if source.is_transit_gateway else BATCH
        changes += [
            _creation(d, source, account, batch, wanted, where)
            for batch in chunks(missing, size)
        ]
    for account, all_ids in chosen.values():
        changes += _left_over(d, account, all_ids)
    return changes


def plan_removal(d: Deployment) -> list[Change]:
    """Delete the flow logs that carry our tag; what they delivered stays."""
    return [
        Change(
            "delete",
            f"flow logs in {account.account_id} {account.region}",
            "they are ours; what they delivered stays",
            [f"{log.id} of {log.resource_id}" for log in chunk],
            None,
            _Deletion(account, [log.id for log in chunk]),
        )
        for account, logs in ours(d)
        for chunk in chunks(logs, BATCH)
    ]


@dataclass(frozen=True)
class _Deletion:
    account: Account
    ids: list[str]

    def __call__(self) -> None:
        answer: Any = self.account.ec2.delete_flow_logs(FlowLogIds=self.ids)
        raise_unsuccessful(answer, "DeleteFlowLogs", ignore="InvalidFlowLogId.NotFound")


def raise_unsuccessful(answer: dict[str, Any], call: str, ignore: str) -> None:
    """Raise what AWS put into an answer of status 200.

    API reference, CreateFlowLogs: ``Unsuccessful`` has one item a resource.

    Raises:
        BootstrapError: It names every resource, and what AWS said.
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
        raise BootstrapError(f"{call} failed for {len(failed)} resources:{lines}")


def _creation(
    d: Deployment,
    source: Source,
    account: Account,
    ids: list[str],
    wanted: dict[str, Any],
    where: str,
) -> Change:
    request: dict[str, Any] = {
        "ResourceIds": ids,
        "ResourceType": RESOURCE_TYPES[source.resource_type],
        "LogDestinationType": "s3",
        "LogDestination": d.place.destination,
        **wanted,
        "TagSpecifications": [
            {"ResourceType": "vpc-flow-log", "Tags": d.names.tags(d.settings.tags)}
        ],
    }

    def create() -> None:
        d.journal.save(read_policy_text(d))
        answer: Any = account.ec2.create_flow_logs(**request)
        raise_unsuccessful(answer, "CreateFlowLogs", ignore=ALREADY_THERE)

    return Change(
        "create",
        f"flow logs {where}",
        f"{len(ids)} {source.resource_type} without one to {d.place.destination}",
        None,
        request,
        create,
    )


def _drift(
    d: Deployment, account: Account, log: FlowLog, wanted: dict[str, Any], where: str
) -> Change:
    resource = f"flow log {log.id} of {log.resource_id} {where}"
    if log.ours and d.replace_flow_logs:
        return Change(
            "delete",
            resource,
            "it differs, and a flow log cannot be changed; a new one follows",
            log.shape,
            wanted,
            _Deletion(account, [log.id]),
        )
    advice = "--replace-flow-logs replaces it" if log.ours else "it is not ours"
    return Change("note", resource, f"it differs: {advice}", log.shape, wanted)


def _left_over(d: Deployment, account: Account, ids: set[str]) -> list[Change]:
    """Tell of our flow logs on resources that no source chooses any more."""
    return [
        Change(
            "note",
            f"flow log {log.id} of {log.resource_id} "
            f"in {account.account_id} {account.region}",
            "its resource is not chosen any more; `destroy` or its owner removes it",
        )
        for log in existing(d, account, [our_tag(d)])
        if log.resource_id not in ids
    ]


def _shape(d: Deployment, source: Source) -> dict[str, Any]:
    options = d.settings.options(source)
    names = names_of(options.fields, source.is_transit_gateway, options.tag_keys)
    shape: dict[str, Any] = {
        "LogFormat": log_format(names),
        "MaxAggregationInterval": options.aggregation_seconds,
        "DestinationOptions": {
            "FileFormat": options.file_format,
            "HiveCompatiblePartitions": options.hive_compatible_partitions,
            "PerHourPartition": options.hourly_partitions,
        },
    }
    if not source.is_transit_gateway:
        shape["TrafficType"] = options.traffic_type
    if options.tag_keys:
        shape["TagFieldSpecifications"] = [
            {"ResourceType": kind, "TagKeys": list(keys)}
            for kind, keys in sorted(options.tag_keys.items())
        ]
    return shape
