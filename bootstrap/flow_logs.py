"""Flow logs: created in batches, recognised by their destination, never changed."""

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
# The most resources in one CreateFlowLogs call.
BATCH = 300
TRANSIT_GATEWAY_BATCH = 25


def plan_flow_logs(d: Deployment) -> list[Change]:
    """Compare the flow logs of every source with the wanted ones.

    Raises:
        BootstrapError: A source selects no resource.
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
    """Delete the flow logs that have our tag; delivered files stay."""
    return [
        Change(
            "delete",
            f"flow logs in {account.account_id} {account.region}",
            "this deployment made them; delivered files stay",
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
        raise_unsuccessful(
            answer,
            "DeleteFlowLogs",
            f"in {self.account.account_id} {self.account.region}",
            ignore="InvalidFlowLogId.NotFound",
        )


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
        raise_unsuccessful(answer, "CreateFlowLogs", where, ignore=ALREADY_THERE)

    return Change(
        "create",
        f"flow logs {where}",
        f"for {len(ids)} {source.resource_type}, to {d.place.destination}",
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
            "it differs, and AWS cannot change a flow log; a new one replaces it",
            log.shape,
            wanted,
            _Deletion(account, [log.id]),
        )
    advice = "--replace-flow-logs replaces it"
    if not log.ours:
        advice = "another owner made it, so it stays"
    return Change("note", resource, f"it differs: {advice}", log.shape, wanted)


def _left_over(d: Deployment, account: Account, ids: set[str]) -> list[Change]:
    """Note our flow logs on resources that no source selects any more."""
    return [
        Change(
            "note",
            f"flow log {log.id} of {log.resource_id} "
            f"in {account.account_id} {account.region}",
            "no source selects its resource any more; it stays until `destroy`",
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
