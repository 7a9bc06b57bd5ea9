"""`export`: the code that it writes and `apply` describe equal resources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cfnlint
import hcl2
import pytest

from bootstrap import steps, verify
from bootstrap.export import OWNER, export
from bootstrap.tests.world import (
    BUCKET,
    EXTERNAL_ID,
    HOME,
    NAMES,
    QUEUE,
    REGION,
    USER,
    World,
    apply,
    base_settings,
    destroy,
    snapshot,
    their_bucket,
)

VALUES = {
    "snowflake_user_arn": USER,
    "snowflake_external_id": EXTERNAL_ID,
    "snowpipe_queue_arn": QUEUE,
    "SnowflakeUserArn": USER,
    "SnowflakeExternalId": EXTERNAL_ID,
    "SnowpipeQueueArn": QUEUE,
}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "bucket": base_settings(
        {"flow_logs": {"fields": "extended", "hourly_partitions": True}},
        expire_days=9,
    ),
    "eventbridge": base_settings({"events": {"route": "eventbridge"}}),
    "two regions": base_settings(
        {
            "sources": [
                {"account_id": HOME, "regions": [REGION, "us-east-1"], "all": True}
            ]
        }
    ),
    "existing bucket": base_settings(create=False, expire_days=9),
}


@pytest.fixture
def applied(world: World, name: str) -> Any:
    """A deployment after `apply`."""
    if "existing" in name:
        their_bucket(world)
    d = world.deployment(DOCUMENTS[name])
    apply(d)
    return d


def _plain(value: Any) -> Any:
    """Return what python-hcl2 parsed, with variables resolved."""
    if isinstance(value, dict):
        return {
            _plain(key): _plain(below)
            for key, below in value.items()
            if key not in ("__is_block__", "__comments__")
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, str):
        return value
    if value.startswith('"'):
        text: str = json.loads(value)
        return text.replace("$${", "${")
    inner = value.removeprefix("${").removesuffix("}")
    if inner.startswith("jsonencode("):
        body = hcl2.loads(f"x = {inner.removeprefix('jsonencode(').removesuffix(')')}")
        return _plain(body["x"])
    return VALUES.get(inner.removeprefix("var."), inner)


def _of_terraform(text: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for block in hcl2.loads(text)["resource"]:
        for kind, labels in _plain(block).items():
            for body in labels.values():
                found.setdefault(kind, []).append(body)
    return found


def _of_cloudformation(files: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    def resolved(value: Any) -> Any:
        if isinstance(value, dict):
            if set(value) == {"Ref"}:
                return VALUES.get(value["Ref"], value["Ref"])
            return {key: resolved(below) for key, below in value.items()}
        if isinstance(value, list):
            return [resolved(item) for item in value]
        return value

    for name, text in files.items():
        if name != OWNER:
            for resource in json.loads(text)["Resources"].values():
                yield resource["Type"], resolved(resource["Properties"])


def _tags(tags: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _logs(world: World, *regions: str) -> list[dict[str, Any]]:
    found = []
    for region in regions:
        client: Any = world.session.client("ec2", region_name=region)
        found += client.describe_flow_logs()["FlowLogs"]
    return sorted(found, key=lambda log: str(log["ResourceId"]))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_terraform_describes_what_apply_makes(world: World, applied: Any) -> None:
    files = export(applied, "terraform")
    found, made = _of_terraform(files["main.tf"]), snapshot(world)
    bucket = made["buckets"][BUCKET]

    logs = _logs(world, *applied.settings.sources[0].regions)
    written = sorted(found["aws_flow_log"], key=lambda log: str(log["vpc_id"]))
    assert [
        (
            log["vpc_id"],
            log["log_destination"],
            log["log_format"],
            log["max_aggregation_interval"],
            log["traffic_type"],
            log["tags"],
            log["destination_options"][0],
        )
        for log in written
    ] == [
        (
            log["ResourceId"],
            log["LogDestination"],
            log["LogFormat"],
            log["MaxAggregationInterval"],
            log["TrafficType"],
            _tags(log["Tags"]),
            {
                "file_format": log["DestinationOptions"]["FileFormat"],
                "hive_compatible_partitions": log["DestinationOptions"][
                    "HiveCompatiblePartitions"
                ],
                "per_hour_partition": log["DestinationOptions"]["PerHourPartition"],
            },
        )
        for log in logs
    ]
    (role,) = found["aws_iam_role"]
    (policy,) = found["aws_iam_role_policy"]
    trust, policies = made["roles"][role["name"]]
    assert role["assume_role_policy"] == trust
    assert {policy["name"]: policy["policy"]} == policies
    if "aws_s3_bucket" not in found:
        return
    (written_bucket,) = found["aws_s3_bucket"]
    assert written_bucket["bucket"] == BUCKET
    assert written_bucket["tags"] == _tags(bucket["get_bucket_tagging"]["TagSet"])
    (one,) = found["aws_s3_bucket_policy"]
    assert one["policy"] == json.loads(bucket["get_bucket_policy"]["Policy"])
    (block,) = found["aws_s3_bucket_public_access_block"]
    assert sum(value is True for value in block.values()) == 4
    (versioning,) = found["aws_s3_bucket_versioning"]
    (status,) = versioning["versioning_configuration"]
    assert status["status"] == bucket["get_bucket_versioning"]["Status"]
    (encryption,) = found["aws_s3_bucket_server_side_encryption_configuration"]
    (written_rule,) = encryption["rule"]
    (default,) = written_rule["apply_server_side_encryption_by_default"]
    there = bucket["get_bucket_encryption"]["ServerSideEncryptionConfiguration"]
    (rule,) = there["Rules"]
    by_default = rule["ApplyServerSideEncryptionByDefault"]
    assert default["sse_algorithm"] == by_default["SSEAlgorithm"]
    assert written_rule["bucket_key_enabled"] == rule["BucketKeyEnabled"]
    (owner,) = found["aws_s3_bucket_ownership_controls"]
    assert [rule["object_ownership"] for rule in owner["rule"]] == [
        rule["ObjectOwnership"]
        for rule in bucket["get_bucket_ownership_controls"]["OwnershipControls"][
            "Rules"
        ]
    ]
    if applied.settings.bucket.expire_days:
        (rules,) = found["aws_s3_bucket_lifecycle_configuration"]
        assert [
            (rule["id"], rule["filter"][0]["prefix"], rule["expiration"][0]["days"])
            for rule in rules["rule"]
        ] == [
            (rule["ID"], rule["Filter"]["Prefix"], rule["Expiration"]["Days"])
            for rule in bucket["get_bucket_lifecycle_configuration"]["Rules"]
        ]
    (events,) = found["aws_s3_bucket_notification"]
    configuration = bucket["get_bucket_notification_configuration"]
    assert events.get("eventbridge", False) is (
        "EventBridgeConfiguration" in configuration
    )
    queues = [(q["id"], q["queue_arn"], q["events"]) for q in events.get("queue", [])]
    assert queues == [
        (q["Id"], q["QueueArn"], q["Events"])
        for q in configuration.get("QueueConfigurations", [])
    ]
    for rule in found.get("aws_cloudwatch_event_rule", []):
        event, state, targets = made["rules"][rule["name"]]
        assert rule["event_pattern"] == json.loads(event)
        assert (state, targets[0]["Id"]) == ("ENABLED", rule["name"])
        (topic,) = found["aws_sns_topic_policy"]
        ((arn, text),) = made["topics"].items()
        assert topic["policy"] == json.loads(text)
        assert arn.endswith(f":{found['aws_sns_topic'][0]['name']}")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_cloudformation_describes_what_apply_makes(
    world: World, applied: Any, tmp_path: Path
) -> None:
    files = export(applied, "cloudformation")
    found, made = list(_of_cloudformation(files)), snapshot(world)
    bucket = made["buckets"][BUCKET]

    def of(kind: str) -> list[dict[str, Any]]:
        return [properties for name, properties in found if name == f"AWS::{kind}"]

    keys = (
        "ResourceId LogDestination LogFormat MaxAggregationInterval TrafficType"
        " DestinationOptions LogDestinationType"
    ).split()
    logs = _logs(world, *applied.settings.sources[0].regions)
    written = sorted(of("EC2::FlowLog"), key=lambda log: str(log["ResourceId"]))
    assert [[log[key] for key in keys] for log in written] == [
        [log[key] for key in keys] for log in logs
    ]
    assert [_tags(log["Tags"]) for log in written] == [
        _tags(log["Tags"]) for log in logs
    ]
    (role,) = of("IAM::Role")
    trust, policies = made["roles"][role["RoleName"]]
    assert role["AssumeRolePolicyDocument"] == trust
    assert {p["PolicyName"]: p["PolicyDocument"] for p in role["Policies"]} == policies
    for one in of("S3::Bucket"):
        assert _tags(one["Tags"]) == _tags(bucket["get_bucket_tagging"]["TagSet"])
        (encryption,) = one["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        found_there = bucket["get_bucket_encryption"]
        (rule,) = found_there["ServerSideEncryptionConfiguration"]["Rules"]
        assert (
            encryption["ServerSideEncryptionByDefault"]
            == (rule["ApplyServerSideEncryptionByDefault"])
        )
        status = bucket["get_bucket_versioning"]["Status"]
        assert one["VersioningConfiguration"] == {"Status": status}
        for key, call in (
            ("PublicAccessBlockConfiguration", "get_public_access_block"),
            ("OwnershipControls", "get_bucket_ownership_controls"),
        ):
            assert one[key] == bucket[call][key]
        rules = one.get("LifecycleConfiguration", {"Rules": []})["Rules"]
        there = bucket["get_bucket_lifecycle_configuration"] or {"Rules": []}
        assert [(r["Id"], r["Prefix"], r["ExpirationInDays"]) for r in rules] == [
            (r["ID"], r["Filter"]["Prefix"], r["Expiration"]["Days"])
            for r in there["Rules"]
        ]
        (policy,) = of("S3::BucketPolicy")
        text = bucket["get_bucket_policy"]["Policy"]
        assert policy["PolicyDocument"] == json.loads(text)
        events = one["NotificationConfiguration"].get("QueueConfigurations", [])
        configuration = bucket["get_bucket_notification_configuration"]
        assert [(q["Queue"], [q["Event"]]) for q in events] == [
            (q["QueueArn"], q["Events"])
            for q in configuration.get("QueueConfigurations", [])
        ]
    for rule in of("Events::Rule"):
        event, state, _ = made["rules"][rule["Name"]]
        assert (rule["EventPattern"], rule["State"]) == (json.loads(event), state)
    for name, text in files.items():
        if name != OWNER:
            (tmp_path / name).write_text(text)
            config = cfnlint.ManualArgs(regions=[REGION])
            assert cfnlint.lint(text, config=config) == []


@pytest.mark.parametrize("name", ["existing bucket"])
@pytest.mark.parametrize("form", ["terraform", "cloudformation"])
def test_the_owner_of_a_bucket_gets_the_parts_to_paste(
    world: World, applied: Any, form: str
) -> None:
    files = export(applied, form)
    parts = {part["kind"]: part for part in json.loads(files[OWNER])}
    bucket = snapshot(world)["buckets"][BUCKET]

    policy = json.loads(bucket["get_bucket_policy"]["Policy"])
    ours = [s for s in policy["Statement"] if s.get("Sid") in NAMES.sids]
    assert parts["bucket policy"]["content"] == ours
    rules = bucket["get_bucket_lifecycle_configuration"]["Rules"]
    expected = [rule for rule in rules if rule["ID"].startswith(NAMES.expiry)]
    assert parts["lifecycle rules"]["content"] == expected
    assert parts["notification"]["content"]["Id"] == NAMES.events
    whole = "".join(text for file, text in files.items() if file != OWNER)
    assert "their-" not in whole
    assert "AWS::S3::Bucket" not in whole
    assert '"aws_s3_bucket' not in whole


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("form", ["terraform", "cloudformation"])
def test_no_secret_is_exported(applied: Any, form: str) -> None:
    assert EXTERNAL_ID not in json.dumps(export(applied, form))


@pytest.mark.parametrize("name", ["existing bucket"])
def test_a_bucket_that_its_owner_manages_is_only_checked(
    world: World, applied: Any
) -> None:
    """What the owner pastes is what `plan` and `verify` look for."""
    document = base_settings(create=False, manage=False, expire_days=9)
    assert steps.plan(world.deployment(document)) == []
    states = {link.name: link.state for link in verify.check(applied)}
    assert states["bucket policy"] == states["lifecycle rules"] == "ok"

    there = snapshot(world)["buckets"]
    kept = destroy(world.deployment(document), delete_data=False)
    assert snapshot(world)["buckets"] == there
    assert sum("its owner must change it" in c.reason for c in kept) == 3
    destroy(applied, delete_data=False)
    world.snowflake.integration_ = world.snowflake.pipe_ = None
    before = snapshot(world)["buckets"]
    done = apply(world.deployment(document))

    assert snapshot(world)["buckets"] == before
    waiting = [c.resource for c in done if "its owner must change it" in c.reason]
    parts = ("policy", "lifecycle rules", "event notifications")
    assert waiting == [f"{part} of bucket {BUCKET}" for part in parts]
    # Without the policy, AWS would write its own.
    assert world.aws.ec2.describe_flow_logs()["FlowLogs"] == []
    links = {link.name: link.state for link in verify.check(world.deployment(document))}
    assert links["bucket policy"] == "broken"
