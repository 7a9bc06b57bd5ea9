"""The printed permissions are those of the calls that the commands make."""

from __future__ import annotations

import fnmatch
import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import parliament
import pytest
from policy_sentry.querying.actions import get_actions_for_service

from bootstrap import flow_logs, inventory, steps, verify
from bootstrap.changes import BootstrapError
from bootstrap.naming import TAG, Place, Senders
from bootstrap.permissions import (
    OPERATIONS,
    actions_of,
    administrator_policy,
    policies_of,
)
from bootstrap.policies import (
    as_list,
    delivery_statements,
    deny_plain_http,
    key_statements,
    role_policy,
)
from bootstrap.settings import Settings
from bootstrap.tests.evaluator import Request, allows
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
    their_bucket,
)


def _wander(world: World, document: dict[str, Any], **more: Any) -> None:
    """Plan, apply, verify and destroy."""
    d = world.deployment(document, **more)
    steps.plan(d)
    apply(d)
    list(verify.check(d))
    inventory.take(d, lambda name, content: None, datetime.now(UTC))
    destroy(d)


def _calls(world: World) -> set[tuple[str, str]]:
    world.recorder.start()
    found: set[tuple[str, str]] = set()
    key = world.aws.kms.create_key()["KeyMetadata"]["Arn"]
    encryption = {"type": "sse-kms", "key_arn": key}
    document = base_settings(encryption=encryption, expire_days=3)
    subnet = world.aws.ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    world.aws.elbv2.create_load_balancer(Name="a", Subnets=[subnet], Type="network")
    world.recorder.start()
    apply(world.deployment(document))
    found |= set(world.recorder.services)
    # What somebody else changes is restored.
    world.aws.s3.delete_bucket_ownership_controls(Bucket=BUCKET)
    world.recorder.start()
    _wander(world, document)
    for resource_type in list(flow_logs.KINDS)[1:]:
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
        ResourceARN=_rule_arn(world),
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
    return found | set(world.recorder.services) | _calls_after_an_upgrade(world)


def _rule_arn(world: World, name: str = NAMES.events) -> str:
    return world.aws.events.describe_rule(Name=name)["Arn"]


def _calls_after_an_upgrade(world: World) -> set[tuple[str, str]]:
    document = base_settings(name="second", expire_days=9)
    document["events"] = {"route": "eventbridge"}
    d = world.deployment(document)
    apply(d)
    name, key = d.settings.name, d.names.events
    tag: Any = [{"Key": TAG, "Value": name}]
    world.aws.s3.put_bucket_tagging(Bucket="second", Tagging={"TagSet": tag})
    ids = [log["FlowLogId"] for log in world.aws.ec2.describe_flow_logs()["FlowLogs"]]
    world.aws.ec2.create_tags(Resources=ids, Tags=tag)
    policies = world.aws.iam.list_role_policies(RoleName=d.names.role)["PolicyNames"]
    for policy in policies:
        world.aws.iam.delete_role_policy(RoleName=d.names.role, PolicyName=policy)
    world.aws.iam.tag_role(RoleName=d.names.role, Tags=tag)
    world.aws.events.tag_resource(ResourceARN=_rule_arn(world, key), Tags=tag)
    old = f"{name}-snowpipe"
    world.aws.sns.create_topic(Name=old, Tags=tag)
    pattern = world.aws.events.describe_rule(Name=key)["EventPattern"]
    world.aws.events.put_rule(Name=old, EventPattern=pattern, Tags=tag)
    world.aws.events.remove_targets(Rule=key, Ids=[key])
    world.aws.events.delete_rule(Name=key)
    world.snowflake.integration_ = world.snowflake.pipe_ = None
    world.recorder.start()
    apply(world.deployment(document))
    return set(world.recorder.services)


def test_the_policy_allows_the_calls_that_are_made_and_no_others(
    world: World,
) -> None:
    made = _calls(world) - {("sts", "GetCallerIdentity")}  # It needs no permission.
    # Other tests make these calls.
    made |= {
        ("organizations", "ListAccounts"),
        ("s3", "PutObject"),
        ("sts", "DecodeAuthorizationMessage"),
    }
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


KEY = f"arn:aws:kms:{REGION}:{HOME}:key/1"
SETTINGS = Settings.model_validate(
    base_settings(
        {
            "sources": [
                {"account_id": HOME, "regions": [REGION], "all": True},
                {
                    "account_id": OTHER,
                    "regions": [REGION],
                    "all": True,
                    "role_arn": f"arn:aws:iam::{OTHER}:role/admin",
                    "flow_logs": {"fields": "extended"},
                },
            ]
        },
        encryption={"type": "sse-kms", "key_arn": KEY},
    )
)


def _generated() -> dict[str, Any]:
    """Return every policy that the program writes or prints."""
    senders = Senders([(HOME, REGION), (OTHER, REGION)])
    place = Place("aws", BUCKET, "vpc")
    found: dict[str, Any] = {
        f"{account} {kind}": policy
        for account, policies in policies_of(SETTINGS).items()
        for kind, policy in policies.items()
    }
    role = f"arn:aws:iam::{HOME}:role/x"
    key = key_statements(NAMES, place, senders, role)
    bucket = delivery_statements(NAMES, place, senders, True)
    bucket.append(deny_plain_http(NAMES, place))
    return found | {
        "all": administrator_policy(),
        "role": role_policy([place], [HOME, OTHER], KEY),
        "role that unloads": role_policy([place], [HOME], KEY, allow_unload=True),
        "bucket": {"Version": "2012-10-17", "Statement": bucket},
        "key": {"Version": "2012-10-17", "Statement": key},
    }


POLICIES = _generated()


# What parliament says about a policy by its nature.
EXPECTED = {
    # Whoever sets up a bucket may write its policy.
    f"{HOME} administrator": {"RESOURCE_POLICY_PRIVILEGE_ESCALATION"},
    # AWS gives these actions of ECS without a resource.
    f"{OTHER} administrator": {"RESOURCE_STAR"},
    "all": {"RESOURCE_POLICY_PRIVILEGE_ESCALATION", "RESOURCE_STAR"},
    # In a key's policy, `*` is the key.
    "key": {"RESOURCE_STAR"},
}


@pytest.mark.parametrize("name", POLICIES)
def test_parliament_finds_nothing_else(name: str) -> None:
    analysed = parliament.analyze_policy_string(
        json.dumps(POLICIES[name]), ignore_private_auditors=True
    )

    found = {finding.issue for finding in analysed.findings}
    assert found == EXPECTED.get(name, set()), [str(f) for f in analysed.findings]


@pytest.mark.parametrize("name", POLICIES)
def test_policy_sentry_has_every_action(name: str) -> None:
    for statement in POLICIES[name]["Statement"]:
        for action in as_list(statement["Action"]):
            service, _, call = action.partition(":")
            known = get_actions_for_service(service)
            assert any(fnmatch.fnmatchcase(a, f"{service}:{call}") for a in known)


@pytest.mark.parametrize("account", [HOME, OTHER])
def test_read_only_has_no_action_that_writes(account: str) -> None:
    policy: Any = policies_of(SETTINGS)[account]["read_only"]
    actions = {a for s in policy["Statement"] for a in s["Action"]}

    writes = {a for a in actions if not re.match(r"\w+:(Describe|Get|List|Decode)", a)}
    assert writes == set()


def test_each_account_gets_what_it_needs_and_other_names_stay_out_of_reach() -> None:
    found = policies_of(SETTINGS)
    home: Any = found[HOME]["administrator"]
    other: Any = found[OTHER]["administrator"]
    caller: Any = found["caller"]["administrator"]

    def arn(service: str, rest: str) -> str:
        return f"arn:aws:{service}:{rest}"

    bucket = arn("s3", f"::{BUCKET}")
    role = arn("iam", f":{HOME}:role/{NAMES.role}")
    vpc = arn("ec2", f"{REGION}:{OTHER}:vpc/vpc-1")
    assert allows(home, Request("s3:PutBucketPolicy", bucket))
    assert not allows(home, Request("s3:PutBucketPolicy", f"{bucket}-2"))
    assert allows(home, Request("iam:PutRolePolicy", role))
    assert not allows(home, Request("iam:PutRolePolicy", f"{role}2"))
    assert allows(home, Request("kms:PutKeyPolicy", KEY))
    assert not allows(home, Request("kms:PutKeyPolicy", f"{KEY}2"))
    assert allows(other, Request("ec2:CreateFlowLogs", vpc))
    assert not allows(other, Request("ec2:CreateFlowLogs", vpc.replace(OTHER, HOME)))
    assert not allows(other, Request("s3:PutBucketPolicy", bucket))
    # The fields of ECS are in its format only.
    assert allows(other, Request("ecs:ListTasks", "*"))
    assert not allows(home, Request("ecs:ListTasks", "*"))
    admin = f"arn:aws:iam::{OTHER}:role/admin"
    assert allows(caller, Request("sts:AssumeRole", admin))
    assert not allows(caller, Request("sts:AssumeRole", f"{admin}2"))
