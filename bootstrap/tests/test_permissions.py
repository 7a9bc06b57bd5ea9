"""The printed permissions are those of the calls that the commands make."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from bootstrap import events, steps, verify
from bootstrap.errors import BootstrapError
from bootstrap.permissions import OPERATIONS, actions_of
from bootstrap.tests.world import (
    BUCKET,
    HOME,
    REGION,
    World,
    apply,
    base_settings,
    destroy,
    their_bucket,
)


def _wander(world: World, document: dict[str, Any], **more: Any) -> None:
    """Plan, apply, verify and destroy."""
    d = world.deployment(document, **more)
    steps.plan(d)
    apply(d)
    list(verify.check(d))
    destroy(d)


def _calls(world: World) -> set[tuple[str, str]]:
    world.recorder.start()
    found: set[tuple[str, str]] = set()
    key = world.aws.kms.create_key()["KeyMetadata"]["Arn"]
    world.recorder.start()
    encryption = {"type": "sse-kms", "key_arn": key}
    _wander(world, base_settings(encryption=encryption, expire_days=3))
    for resource_type in ("subnet", "network-interface", "transit-gateway"):
        document = base_settings()
        document["sources"][0] |= {"resource_type": resource_type, "tags": {"a": "b"}}
        del document["sources"][0]["all"]
        with suppress(BootstrapError):
            steps.plan(world.deployment(document))
    document["sources"][0]["role_arn"] = f"arn:aws:iam::{HOME}:role/admin"
    with suppress(BootstrapError):
        steps.plan(world.deployment(document))
    found |= set(world.recorder.services)

    topics = their_bucket(world, conflicting="queue")
    world.recorder.start()
    document = base_settings(create=False)
    d = world.deployment(document)
    apply(d)
    # Its owner turned on EventBridge; and files in another owner's bucket.
    found |= set(world.recorder.services)
    world.aws.events.tag_resource(
        ResourceARN=events.rule_arn(d),
        Tags=[{"Key": "vpc-flow-logs:eventbridge", "Value": "found"}],
    )
    configuration: Any = world.aws.s3.get_bucket_notification_configuration(
        Bucket=BUCKET
    )
    for name in ("EventBridgeConfiguration", "ResponseMetadata"):
        configuration.pop(name)
    world.aws.s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration=configuration
    )
    (log,) = world.aws.ec2.describe_flow_logs()["FlowLogs"]
    name = f"{HOME}_vpcflowlogs_{REGION}_{log['FlowLogId']}_x_y.log.parquet"
    world.aws.s3.put_object(
        Bucket=BUCKET, Key=f"{d.place.folders(HOME)[0]}{name}", Body=b""
    )
    world.recorder.start()
    apply(d)
    destroy(d)
    found |= set(world.recorder.services)

    configuration["QueueConfigurations"] = []
    configuration["TopicConfigurations"] = [
        {"TopicArn": topics["topic"], "Events": ["s3:ObjectCreated:*"], "Id": "t"}
    ]
    world.aws.s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration=configuration
    )
    world.snowflake.integration_ = world.snowflake.pipe_ = None
    world.recorder.start()
    _wander(world, document)
    return found | set(world.recorder.services)


def test_the_policy_allows_the_calls_that_are_made_and_no_others(
    world: World,
) -> None:
    made = _calls(world)
    # A policy with our statements only.
    assert ("s3", "DeleteBucketPolicy") in made
    documented = {
        (service, operation)
        for service, operations in OPERATIONS.values()
        for operation in operations
    }

    assert made == documented


def test_every_action_has_the_prefix_of_its_service() -> None:
    for service, operations in OPERATIONS.values():
        for operation in operations:
            prefixes = {a.split(":")[0] for a in actions_of(operation, service)}
            assert prefixes <= {service, "logs"}
