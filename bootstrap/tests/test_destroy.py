"""`destroy`: it removes what we made; data stays unless wanted, others' always."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bootstrap import steps
from bootstrap.changes import BootstrapError
from bootstrap.tests.world import (
    BUCKET,
    HOME,
    NAMES,
    REGION,
    World,
    apply,
    base_settings,
    destroy,
    snapshot,
    their_bucket,
)

FOLDER = f"vpc/AWSLogs/{HOME}/vpcflowlogs/{REGION}/2026/01/01/"


def _put(world: World, key: str) -> None:
    world.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")


def _keys(world: World) -> list[str]:
    answer: Any = world.aws.s3.list_object_versions(Bucket=BUCKET)
    return sorted(item["Key"] for item in answer.get("Versions", []))


def _file(world: World, name: str = "") -> str:
    logs: Any = world.aws.ec2.describe_flow_logs()["FlowLogs"]
    log = name or logs[0]["FlowLogId"]
    return f"{FOLDER}{HOME}_vpcflowlogs_{REGION}_{log}_20260101T0005Z_ab.log.parquet"


def test_data_stays_unless_asked(world: World) -> None:
    d = world.applied()
    key = _file(world)
    _put(world, key)

    done = destroy(d, delete_data=False)

    assert _keys(world) == [key]
    assert (done[-1].verb, done[-1].pending) == ("note", False)
    assert "--delete-data" in done[-1].reason
    assert world.aws.iam.list_roles()["Roles"] == []
    # Running apply again takes the kept bucket up.
    apply(d)
    assert _keys(world) == [key]


def test_every_version_goes_when_asked(world: World) -> None:
    before = snapshot(world)
    d = world.applied()
    key = _file(world)
    _put(world, key)
    _put(world, key)
    world.aws.s3.delete_object(Bucket=BUCKET, Key=key)

    destroy(d)

    assert snapshot(world) == before


def test_in_their_bucket_only_files_of_our_flow_logs_go(world: World) -> None:
    their_bucket(world)
    d = world.applied(create=False)
    theirs = ["reports/1", f"{FOLDER}note.txt", _file(world, "fl-0123456789abcdef0")]
    for key in [*theirs, _file(world)]:
        _put(world, key)

    destroy(d)

    assert _keys(world) == sorted(theirs)


def test_a_file_delivered_while_the_bucket_is_deleted_is_an_error(world: World) -> None:
    d = world.applied()

    def late(**_: Any) -> None:
        d.home.s3.meta.events.unregister("before-call.s3.DeleteBucket", late)
        _put(world, _file(world, "fl-1"))

    d.home.s3.meta.events.register("before-call.s3.DeleteBucket", late)

    with pytest.raises(BootstrapError, match="got new files meanwhile"):
        destroy(d)
    destroy(d)

    assert world.aws.s3.list_buckets()["Buckets"] == []


def test_resources_of_others_with_our_names_stay(world: World) -> None:
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    world.aws.iam.create_role(RoleName=NAMES.role, AssumeRolePolicyDocument=trust)
    world.aws.sns.create_topic(Name=NAMES.events)
    world.aws.events.put_rule(Name=NAMES.events, ScheduleExpression="rate(1 day)")
    before = snapshot(world)

    destroy(world.deployment(base_settings()))

    assert snapshot(world) == before


def test_files_that_s3_refuses_to_delete_are_an_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = world.applied()
    _put(world, f"{FOLDER}a")
    error = {"Key": "a", "Code": "AccessDenied", "Message": "locked"}

    with monkeypatch.context() as patch, pytest.raises(BootstrapError) as caught:
        patch.setattr(d.home.s3, "delete_objects", lambda **_: {"Errors": [error]})
        destroy(d)

    assert "the first: a: AccessDenied: locked" in str(caught.value)
    assert _keys(world) == [f"{FOLDER}a"]


def test_the_other_administrator_gets_the_command_to_tear_down(world: World) -> None:
    d = world.applied({"snowflake": {"handshake": "manual"}})

    changes = destroy(d)

    (note,) = [change for change in changes if not change.pending]
    assert "dbt run-operation teardown_snowflake" in note.reason
    assert world.aws.s3.list_buckets()["Buckets"] == []


def test_destroying_nothing_does_nothing(world: World) -> None:
    d = world.deployment(base_settings())

    assert steps.plan(d, steps.destroy_steps(True, True)) == []
