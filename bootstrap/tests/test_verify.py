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
from bootstrap.deployment import Deployment
from bootstrap.snowflake import Pipe
from bootstrap.tests.world import (
    BUCKET,
    HOME,
    NAMES,
    QUEUE,
    REGION,
    World,
    apply,
    base_settings,
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
    (_no_notification, "events (queue)", "notifies no queue"),
    (_other_queue, "events (queue)", "the pipe reads"),
    (_paused, "pipe", "PAUSED"),
    (_role_policy, "role", "vpc-flow-logs-access"),
    (_lifecycle, "lifecycle rules", "lifecycle rules"),
    (_unversioned, "bucket", f"settings of {BUCKET}"),
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
    d = world.deployment(base_settings(create=False))
    apply(d)
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
