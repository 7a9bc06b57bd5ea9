"""Flow logs: resources, batches, recognition and drift."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import boto3
import jinja2
import pytest
from botocore.stub import ANY, Stubber
from moto.ec2.models import ec2_backends

from bootstrap import description, flow_logs, steps
from bootstrap.aws import Account
from bootstrap.changes import BootstrapError
from bootstrap.naming import (
    DEFAULT,
    EXTENDED,
    KNOWN_TRANSIT_GATEWAY,
    KNOWN_VPC,
    TRANSIT_GATEWAY,
    log_format,
)
from bootstrap.tests.world import (
    BUCKET,
    HOME,
    NAMES,
    OTHER,
    REGION,
    World,
    apply,
    base_settings,
    destroy,
    snapshot,
)

DESTINATION = f"arn:aws:s3:::{BUCKET}/vpc/"
ROOT = Path(__file__).parents[2]


def _logs(world: World, region: str = REGION) -> list[Any]:
    client = world.session.client("ec2", region_name=region)
    found: list[Any] = list(client.describe_flow_logs()["FlowLogs"])
    return found


def _with_source(**source: Any) -> dict[str, Any]:
    source = {"account_id": HOME, "regions": [REGION], **source}
    return base_settings({"sources": [source]})


def test_every_vpc_gets_one_with_all_its_options(world: World) -> None:
    world.aws.ec2.create_vpc(CidrBlock="10.1.0.0/16")
    options = {
        "hive_compatible_partitions": True,
        "hourly_partitions": True,
        "aggregation_seconds": 60,
        "fields": "extended",
    }
    world.applied({"flow_logs": options})

    found = _logs(world)
    assert sorted(log["ResourceId"] for log in found) == world.vpcs()
    for log in found:
        assert log["LogDestination"] == DESTINATION
        assert log["MaxAggregationInterval"] == 60
        assert log["LogFormat"].count("${") == len(EXTENDED)
        assert log["DestinationOptions"] == {
            "FileFormat": "parquet",
            "HiveCompatiblePartitions": True,
            "PerHourPartition": True,
        }
        assert {"Key": "vpc-flow-logs:deployment", "Value": NAMES.mark} in log["Tags"]


@pytest.mark.parametrize(
    "resource_type", ["vpc", "subnet", "network-interface", "transit-gateway"]
)
def test_resources_are_selected_by_tag(world: World, resource_type: str) -> None:
    ec2 = world.aws.ec2
    wanted: list[str] = []
    for value in ("wanted", "not"):
        vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")["Subnet"]
        made = {
            "vpc": vpc,
            "subnet": subnet["SubnetId"],
            "network-interface": ec2.create_network_interface(
                SubnetId=subnet["SubnetId"]
            )["NetworkInterface"]["NetworkInterfaceId"],
            "transit-gateway": ec2.create_transit_gateway()["TransitGateway"][
                "TransitGatewayId"
            ],
        }[resource_type]
        ec2.create_tags(Resources=[made], Tags=[{"Key": "logs", "Value": value}])
        wanted += [made] if value == "wanted" else []
    document = _with_source(tags={"logs": "wanted"}, resource_type=resource_type)
    apply(world.deployment(document))

    assert [log["ResourceId"] for log in _logs(world)] == wanted
    assert steps.plan(world.deployment(document)) == []


def test_a_deleted_transit_gateway_is_not_selected(world: World) -> None:
    gateways = [
        world.aws.ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
        for _ in range(2)
    ]
    tags: Any = [{"Key": "logs", "Value": "wanted"}]
    world.aws.ec2.create_tags(Resources=gateways, Tags=tags)
    ec2_backends[HOME][REGION].transit_gateways[gateways[0]].state = "deleted"
    source = {"tags": {"logs": "wanted"}, "resource_type": "transit-gateway"}

    apply(world.deployment(_with_source(**source)))

    assert [log["ResourceId"] for log in _logs(world)] == gateways[1:]


def test_tags_that_select_nothing_are_an_error(world: World) -> None:
    with pytest.raises(BootstrapError, match="has no vpc with tags"):
        steps.plan(world.deployment(_with_source(tags={"a": "b"})))


def test_refused_deletions_are_errors_too(world: World) -> None:
    answer = {
        "Unsuccessful": [{"ResourceId": "fl-1", "Error": {"Code": "Unavailable"}}]
    }

    with pytest.raises(BootstrapError, match="fl-1: Unavailable"):
        flow_logs.raise_unsuccessful(answer, "DeleteFlowLogs", world.aws, "x")


def test_the_request_fits_the_service_model(world: World) -> None:
    ids = [f"tgw-{n:03}" for n in range(30)]
    d = world.deployment(_with_source(ids=ids, resource_type="transit-gateway"))
    ec2: Any = d.home.ec2
    with Stubber(ec2) as stub:
        stub.add_response("describe_flow_logs", {"FlowLogs": []})
        (step,) = (s for s in steps.apply_steps(d) if s.title == "flow logs")
        changes = list(step.read())
        for size in (25, 5):
            stub.add_response(
                "create_flow_logs",
                {"FlowLogIds": ["fl-1"]},
                {
                    "ResourceIds": ANY,
                    "ResourceType": "TransitGateway",
                    "LogDestinationType": "s3",
                    "LogDestination": DESTINATION,
                    "LogFormat": log_format(TRANSIT_GATEWAY),
                    "MaxAggregationInterval": 60,
                    "DestinationOptions": ANY,
                    "TagSpecifications": ANY,
                },
            )
            assert len(changes[0 if size == 25 else 1].after["ResourceIds"]) == size
        for change in changes:
            assert change.apply is not None
            change.apply()
        stub.assert_no_pending_responses()


def _foreign(world: World, destination: str = DESTINATION) -> None:
    world.aws.ec2.create_flow_logs(
        ResourceIds=world.vpcs(),
        ResourceType="VPC",
        TrafficType="REJECT",
        LogDestinationType="s3",
        LogDestination=destination,
    )


def test_drift_is_shown_and_left_without_the_flag(world: World) -> None:
    world.applied()
    before = snapshot(world)["flow logs"]
    document = base_settings({"flow_logs": {"traffic_type": "REJECT"}})

    (change,) = steps.plan(world.deployment(document))
    apply(world.deployment(document))

    assert (change.verb, change.pending) == ("note", False)
    assert "--replace-flow-logs" in change.reason
    assert '+  "TrafficType": "REJECT"' in "\n".join(change.as_lines())
    assert snapshot(world)["flow logs"] == before

    apply(world.deployment(document, replace_flow_logs=True))

    assert [log["TrafficType"] for log in _logs(world)] == ["REJECT"]


def test_another_owners_flow_log_to_our_prefix_is_recognised_and_kept(
    world: World,
) -> None:
    d = world.applied()
    ids = [log["FlowLogId"] for log in _logs(world)]
    world.aws.ec2.delete_flow_logs(FlowLogIds=ids)
    _foreign(world)

    d = world.deployment(base_settings(), replace_flow_logs=True)
    changes = steps.plan(d)
    apply(d)

    assert [change.verb for change in changes] == ["note"]
    assert "another owner" in changes[0].reason
    assert [log["TrafficType"] for log in _logs(world)] == ["REJECT"]

    with pytest.raises(BootstrapError, match="others use it: flow log fl-"):
        destroy(d)
    assert len(_logs(world)) == 1


def test_clients_of_a_few_accounts_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client takes megabytes; an account makes it again when it needs it."""
    monkeypatch.setattr("bootstrap.aws.MOST_ACCOUNTS", 2)
    living: Any = OrderedDict()
    accounts = [Account(world.session, REGION, living) for _ in range(4)]

    arns = [account.sts.get_caller_identity()["Arn"] for account in accounts]

    assert [bool(a._clients) for a in accounts] == [False, False, True, True]
    assert accounts[0].sts.get_caller_identity()["Arn"] == arns[0]
    assert len(living) == 2


def test_accounts_and_regions_are_reached_through_roles(world: World) -> None:
    role = f"arn:aws:iam::{OTHER}:role/admin"
    sts: Any = world.session.client("sts")
    keys = sts.assume_role(RoleArn=role, RoleSessionName="xx")["Credentials"]
    there = boto3.client(
        "ec2",
        region_name="us-east-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    sources = [
        {"account_id": HOME, "regions": [REGION, "us-east-1"], "all": True},
        {"account_id": OTHER, "role_arn": role, "regions": ["us-east-1"], "all": True},
    ]
    d = world.applied({"sources": sources})

    theirs: Any = there.describe_flow_logs()["FlowLogs"]
    assert len(_logs(world)) == len(_logs(world, "us-east-1")) == len(theirs) == 1
    vpc = there.describe_vpcs()["Vpcs"][0]["VpcId"]
    assert theirs[0]["ResourceId"] == vpc
    assert steps.plan(d) == []

    destroy(d)
    assert there.describe_flow_logs()["FlowLogs"] == []
    assert _logs(world, "us-east-1") == []


def test_a_resource_may_be_selected_by_another_source(world: World) -> None:
    ids = [*world.vpcs()]
    for number in (1, 2):
        made = world.aws.ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")
        ids.append(str(made["Vpc"]["VpcId"]))
    document = _with_source()
    (one,) = document["sources"]
    document["sources"] = [{**one, "ids": [i]} for i in ids]
    apply(world.deployment(document))
    assert steps.plan(world.deployment(document)) == []

    document["sources"].pop()
    (change,) = steps.plan(world.deployment(document))

    assert ids[-1] in change.resource


def test_the_formats_are_those_of_the_guide() -> None:
    assert len(DEFAULT) == 14
    assert len(set(EXTENDED)) == len(EXTENDED) == 48
    assert len(KNOWN_VPC) == 54
    assert log_format(("start", "end")) == "${start} ${end}"


def test_the_fields_are_those_that_the_models_read() -> None:
    """Macros write the same fields with underscores."""
    macros = ROOT / "macros" / "flow_log_fields.sql"
    template = jinja2.Environment(extensions=["jinja2.ext.do"]).from_string(
        macros.read_text("utf-8") + "{{ flow_log_fields() }}"
    )
    found: list[list[Any]] = []
    template.render({"return": found.append})

    names = {field["name"].replace("_", "-") for field in found[0]}
    assert names == KNOWN_VPC | KNOWN_TRANSIT_GATEWAY


def test_fields_of_tags_are_made_with_their_keys(world: World) -> None:
    keys = {"instance": ["team", "cost"], "auto-scaling-group": ["fleet"]}
    options = {"fields": "extended", "tag_keys": keys}
    document = base_settings({"flow_logs": options})
    apply(world.deployment(document))

    (log,) = _logs(world)
    assert log["LogFormat"].endswith("${instance-tag} ${instance-tag-2} ${asg-tag}")
    found = {s["ResourceType"]: s["TagKeys"] for s in log["TagFieldSpecifications"]}
    assert found == keys
    assert steps.plan(world.deployment(document)) == []

    keys["instance"] = ["cost", "team"]
    (change,) = steps.plan(world.deployment(document))
    assert "--replace-flow-logs" in change.reason


def test_a_region_without_a_vpc_is_a_note(world: World) -> None:
    ec2 = world.session.client("ec2", region_name="us-east-1")
    for vpc in world.vpcs("us-east-1"):
        for subnet in ec2.describe_subnets()["Subnets"]:
            ec2.delete_subnet(SubnetId=subnet["SubnetId"])
        ec2.delete_vpc(VpcId=vpc)
    d = world.deployment(_with_source(regions=[REGION, "us-east-1"], all=True))

    apply(d)
    (note,) = steps.plan(d)

    assert (note.verb, note.region, note.reason) == (
        "note",
        "us-east-1",
        "no vpc there",
    )


@pytest.mark.parametrize("kind", ["transit-gateway-attachment", "regional-nat-gateway"])
def test_attachments_and_regional_nat_gateways_may_be_sources(
    world: World, kind: str
) -> None:
    d = world.deployment(_with_source(ids=["x-1"], resource_type=kind))
    (source,) = d.settings.sources
    request = description.flow_log(d.settings, source)
    model = d.home.ec2.meta.service_model.operation_model("CreateFlowLogs")

    enum = model.input_shape.members["ResourceType"].enum  # type: ignore[union-attr]
    assert request["ResourceType"] in enum
    assert ("TrafficType" in request) is (kind == "regional-nat-gateway")
    assert request["MaxAggregationInterval"] == (
        60 if kind == "transit-gateway-attachment" else 600
    )
