"""`verify`: each link broken in turn, and the report names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from moto.ec2.models import ec2_backends
from moto.s3.models import s3_backends

from bootstrap import verify
from bootstrap.snowflake import Pipe
from bootstrap.steps import Deployment
from bootstrap.tests.faithful import Aws
from bootstrap.tests.world import (
    BUCKET,
    HOME,
    NAMES,
    QUEUE,
    REGION,
    World,
    apply,
    base_settings,
    snapshot,
    their_bucket,
    writes,
)


@pytest.fixture
def d(world: World) -> Deployment:
    """A deployment without a broken link."""
    key = world.aws.kms.create_key()["KeyMetadata"]["Arn"]
    encryption = {"type": "sse-kms", "key_arn": key}
    found = world.deployment(base_settings(encryption=encryption, expire_days=9))
    apply(found)
    folder = f"vpc/AWSLogs/{HOME}/vpcflowlogs/{REGION}/{datetime.now(UTC):%Y/%m/%d}"
    s3_backends[HOME]["aws"].put_object(BUCKET, f"{folder}/a.log.parquet", b"x")
    world.snowflake.load_ = {
        "newest_file": "a",
        "newest_loaded_at": str(datetime.now(UTC)),
    }
    world.snowflake.parameters_ = {
        "REQUIRE_STORAGE_INTEGRATION_FOR_STAGE_CREATION": True,
        "prevent_unload_to_inline_url": False,
    }
    return found


def test_a_whole_chain_is_ok_and_nothing_is_written(
    world: World, d: Deployment
) -> None:
    world.recorder.start()

    links = list(verify.check(d))

    assert [link for link in links if link.state != "ok"] == []
    assert writes(world.recorder.calls) == []
    details = {link.name: link.detail for link in links}
    assert details["parameter REQUIRE_STORAGE_INTEGRATION_FOR_STAGE_CREATION"] == "true"
    assert details["parameter REQUIRE_STORAGE_INTEGRATION_FOR_STAGE_OPERATION"] == (
        "not set"
    )
    assert details["parameter PREVENT_UNLOAD_TO_INLINE_URL"] == "false"


def _flow_log_fails(world: World) -> None:
    (log,) = ec2_backends[HOME][REGION].flow_logs.values()
    log.deliver_logs_status = "FAILED"
    log.deliver_logs_error_message = "Access error"


def _no_flow_log(world: World) -> None:
    ec2_backends[HOME][REGION].flow_logs.clear()


def _no_policy(world: World) -> None:
    s3_backends[HOME]["aws"].buckets[BUCKET].policy = None


def _no_file(world: World) -> None:
    s3_backends[HOME]["aws"].buckets[BUCKET].keys.clear()


def _no_notification(world: World) -> None:
    s3_backends[HOME]["aws"].buckets[BUCKET].notification_configuration = None


def _other_queue(world: World) -> None:
    world.snowflake.pipe_ = Pipe("DB.S.P", f"{QUEUE}2", "RUNNING")


def _integration(world: World, **keys: Any) -> None:
    assert world.snowflake.integration_ is not None
    world.snowflake.integration_ = replace(world.snowflake.integration_, **keys)


def _paused(world: World) -> None:
    world.snowflake.pipe_ = Pipe("DB.S.P", QUEUE, "PAUSED")


def _role_policy(world: World) -> None:
    world.aws.iam.delete_role_policy(
        RoleName=NAMES.role, PolicyName="vpc-flow-logs-access"
    )


def _lifecycle(world: World) -> None:
    world.aws.s3.delete_bucket_lifecycle(Bucket=BUCKET)


def _loaded_long_ago(world: World) -> None:
    at = datetime.now(timezone(timedelta(hours=9))) - timedelta(hours=2)
    world.snowflake.load_ = {"newest_file": "a", "newest_loaded_at": str(at)}


def _unversioned(world: World) -> None:
    s3_backends[HOME]["aws"].buckets[BUCKET].versioning_status = "Suspended"


BREAKS: list[tuple[Callable[[World], object], str, str]] = [
    (_flow_log_fails, f"flow logs of {HOME} {REGION}", "Access error"),
    (_no_flow_log, f"flow logs of {HOME} {REGION}", "no flow log on vpc-"),
    (_no_policy, "bucket policy", "policy of bucket"),
    (_no_file, "newest delivered file", "no file of yesterday or today"),
    (_no_notification, "events (queue)", "which the pipe reads"),
    (_other_queue, "events (queue)", f"notify {QUEUE}2"),
    (_paused, "pipe", "PAUSED"),
    (_role_policy, "role", "vpc-flow-logs-access"),
    (_lifecycle, "lifecycle rules", "lifecycle rules"),
    (_unversioned, "bucket", f"versioning of bucket {BUCKET}"),
    (lambda w: _integration(w, enabled=False), "storage integration", "not enabled"),
    (lambda w: _integration(w, locations=()), "storage integration", "may not read"),
    (lambda w: _integration(w, role_arn="x"), "storage integration", "it assumes x"),
    (lambda w: _integration(w, external_id="x"), "role trust", "trust of role"),
    (lambda w: setattr(w.snowflake, "pipe_", None), "pipe", "does not exist"),
    (
        lambda w: setattr(w.snowflake, "load_", {}),
        "newest loaded file",
        "no file within",
    ),
    (_loaded_long_ago, "newest loaded file", "a, loaded 120 minutes ago"),
]


@pytest.mark.parametrize(("break_it", "name", "words"), BREAKS)
def test_a_broken_link_is_named_with_what_to_do(
    world: World,
    d: Deployment,
    break_it: Callable[[World], object],
    name: str,
    words: str,
) -> None:
    break_it(world)

    broken = [link for link in verify.check(d) if link.state == "broken"]

    assert name in [link.name for link in broken]
    link = next(link for link in broken if link.name == name)
    assert words in link.detail
    assert link.todo


def test_a_link_that_cannot_be_read_is_broken_and_the_others_are_checked(
    world: World, d: Deployment
) -> None:
    world.recorder.start()
    list(verify.check(d))
    number = world.recorder.calls.index("GetBucketPolicy")
    world.recorder.start(refuse=number)

    links = list(verify.check(d))

    (broken,) = [link for link in links if link.state == "broken"]
    assert broken.name == "bucket policy"
    assert "GetBucketPolicy on acme-flow-data (bucket policy) failed" in broken.detail
    assert "s3:GetBucketPolicy" in broken.todo


def test_what_cannot_be_read_is_unknown_and_not_ok(world: World, d: Deployment) -> None:
    world.snowflake.load_ = world.snowflake.parameters_ = None

    unknown = [link.name for link in verify.check(d) if link.state == "unknown"]

    assert unknown == [
        "newest loaded file",
        *(f"parameter {name}" for name in verify.PARAMETERS),
    ]


@pytest.mark.parametrize("conflicting", ["topic", "queue"])
def test_topic_and_eventbridge_are_verified_too(world: World, conflicting: str) -> None:
    their_bucket(world, conflicting=conflicting)
    d = world.applied(create=False)
    name = "events (topic)" if conflicting == "topic" else "events (eventbridge)"
    states = {link.name: link.state for link in verify.check(d)}
    assert states[name] == "ok"

    (topic,) = [
        found["TopicArn"]
        for found in world.aws.sns.list_topics()["Topics"]
        if ("theirs" in found["TopicArn"]) == (conflicting == "topic")
    ]
    world.aws.sns.set_topic_attributes(
        TopicArn=topic,
        AttributeName="Policy",
        AttributeValue='{"Version":"2012-10-17","Statement":[]}',
    )

    states = {link.name: link.state for link in verify.check(d)}
    assert states[name] == "broken"


# ----- the trial on a live account


def _trial(d: Deployment, delivers_after: float) -> list[verify.Link]:
    """Run the trial; a file comes after so many seconds of a clock of its own."""
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if sum(waited) == delivers_after:
            folder = f"vpc-trial/AWSLogs/{HOME}/vpcflowlogs/{REGION}"
            (log,) = (
                log.id
                for log in ec2_backends[HOME][REGION].flow_logs.values()
                if log.log_destination.endswith("/vpc-trial/")
            )
            name = f"{HOME}_vpcflowlogs_{REGION}_{log}_{datetime.now(UTC):%d}_a"
            key = f"{folder}/{datetime.now(UTC):%Y/%m/%d}/{name}.log.parquet"
            s3_backends[HOME]["aws"].put_object(BUCKET, key, b"x")

    links = list(verify.live(replace(d, sleep=sleep)))
    assert sum(waited) <= 1230
    return links


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("kept", "AWS kept it"),
        ("appended to", "AWS added 2 statements"),
        ("overwritten", "AWS overwrote it"),
    ],
)
def test_a_trial_says_what_aws_does_and_leaves_no_trace(
    world: World, d: Deployment, aws: Aws, how: Any, words: str
) -> None:
    before = snapshot(world)
    aws.policy = how

    policy, delivery, removal = _trial(d, 300)

    assert (policy.name, policy.state) == ("trial: bucket policy", "ok")
    assert words in policy.detail
    assert (delivery.name, delivery.state) == ("trial: delivery", "ok")
    assert "after 5 minutes; our policy does not ask for the ACL" in delivery.detail
    assert (removal.name, removal.state) == ("trial: removal", "ok")
    assert snapshot(world) == before
    assert "vpc-trial" not in str(world.aws.s3.list_object_versions(Bucket=BUCKET))


def test_a_trial_without_a_file_is_broken_after_twenty_minutes(
    world: World, d: Deployment
) -> None:
    before = snapshot(world)

    links = {link.name: link for link in _trial(d, 9999)}

    assert links["trial: delivery"].state == "broken"
    assert "no file after 20 minutes" in links["trial: delivery"].detail
    assert snapshot(world) == before
