"""Events: which notifications overlap, and which route follows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bootstrap import steps
from bootstrap.changes import BootstrapError
from bootstrap.events import Rule
from bootstrap.snowflake import Pipe
from bootstrap.tests.world import (
    BUCKET,
    HOME,
    NAMES,
    QUEUE,
    REGION,
    USER,
    World,
    apply,
    base_settings,
    destroy,
    their_bucket,
)

CREATED, PUT = "s3:ObjectCreated:*", "s3:ObjectCreated:Put"
OURS = Rule("QueueConfigurations", "o", QUEUE, (CREATED,), "vpc/AWSLogs/", ".parquet")


@pytest.mark.parametrize(
    ("event", "prefix", "suffix", "overlaps", "covers"),
    [
        (CREATED, "", "", True, True),
        (CREATED, "vpc/", "", True, True),
        (CREATED, "vpc/", ".parquet", True, True),
        (CREATED, "vpc/", "quet", True, True),
        (PUT, "vpc/", "", True, False),
        (CREATED, "vpc/AWSLogs/1/", "", True, False),
        (CREATED, "vpc/", "x.parquet", True, False),
        (CREATED, "vpc/", ".gz", False, False),
        (CREATED, "vpc2/", "", False, False),
        ("s3:ObjectRemoved:*", "", "", False, False),
    ],
)
def test_overlaps_are_those_that_s3_refuses(
    event: str, prefix: str, suffix: str, overlaps: bool, covers: bool
) -> None:
    other = Rule("TopicConfigurations", "t", "arn", (event,), prefix, suffix)

    assert other.overlaps(OURS) is overlaps
    assert OURS.overlaps(other) is overlaps
    assert other.covers(OURS) is covers


def _read(world: World) -> dict[str, Any]:
    answer: Any = world.aws.s3.get_bucket_notification_configuration(Bucket=BUCKET)
    answer.pop("ResponseMetadata")
    return dict(answer)


def test_ours_is_added_to_theirs_with_suffix_and_prefix(world: World) -> None:
    their_bucket(world)
    before = _read(world)
    d = world.applied(create=False)

    after = _read(world)
    ours = after["QueueConfigurations"].pop()

    assert after == before
    assert after["EventBridgeConfiguration"] == {}
    assert ours == d.notification.content
    assert "=" not in json.dumps(ours["Filter"])


def test_the_pipe_subscribes_to_a_topic_that_overlaps(world: World) -> None:
    topic = their_bucket(world, conflicting="topic")["topic"]
    before = _read(world)
    world.applied(create=False)

    policy = world.aws.sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    statement = json.loads(policy)["Statement"][-1]

    assert ("stage", (topic, True)) in world.snowflake.calls
    assert statement["Action"] == "sns:Subscribe"
    assert statement["Principal"] == {"AWS": USER}
    assert len(json.loads(policy)["Statement"]) == 2
    assert _read(world) == before


@pytest.mark.parametrize("conflicting", ["queue", "function", "part of a topic"])
def test_other_overlaps_lead_to_eventbridge_which_destroy_removes(
    world: World, conflicting: str
) -> None:
    their_bucket(world, conflicting=conflicting)
    before = _read(world)
    d = world.applied(create=False)
    during = _read(world)
    targets = world.aws.events.list_targets_by_rule(Rule=NAMES.events)
    arn = f"arn:aws:sns:{REGION}:{HOME}:{NAMES.events}"

    assert during.pop("EventBridgeConfiguration") == {}
    assert during == before
    policy = world.aws.sns.get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"]
    publish, subscribe = json.loads(policy)["Statement"]

    # EventBridge sets no condition keys, so a condition would never be true.
    assert "Condition" not in publish
    assert publish["Principal"] == {"Service": "events.amazonaws.com"}
    assert subscribe["Principal"] == {"AWS": USER}
    assert [target["Arn"] for target in targets["Targets"]] == [arn]
    assert ("stage", (arn, True)) in world.snowflake.calls

    destroy(d, delete_data=False)

    assert _read(world) == before
    assert world.aws.events.list_rules()["Rules"] == []


def test_eventbridge_that_was_on_already_stays_on(world: World) -> None:
    their_bucket(world, conflicting="queue")
    configuration: Any = {**_read(world), "EventBridgeConfiguration": {}}
    world.aws.s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration=configuration
    )
    d = world.applied(create=False)

    destroy(d, delete_data=False)

    assert _read(world) == configuration


def test_eventbridge_that_others_came_to_use_stays_on(world: World) -> None:
    their_bucket(world, conflicting="queue")
    d = world.applied(create=False)
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [BUCKET]}}}
    world.aws.events.put_rule(Name="theirs", EventPattern=json.dumps(pattern))

    done = destroy(d, delete_data=False)

    assert "EventBridgeConfiguration" in _read(world)
    assert any("these rules: theirs" in change.reason for change in done)


@pytest.mark.parametrize("kind", ["queue", "function"])
@pytest.mark.parametrize("events", [{"on_conflict": "stop"}, {"route": "queue"}])
def test_stopping_names_the_notification_and_what_its_owner_must_change(
    world: World, kind: str, events: dict[str, str]
) -> None:
    their_bucket(world, conflicting=kind)
    document = base_settings({"events": events}, create=False)

    with pytest.raises(BootstrapError) as caught:
        steps.plan(world.deployment(document))

    service = {"queue": "sqs", "function": "lambda"}[kind]
    for words in (f"`their-{kind}`", f"arn:aws:{service}:{REGION}:", "Its owner must"):
        assert words in str(caught.value)


def test_a_topic_may_be_named(world: World) -> None:
    topic = their_bucket(world, conflicting="topic")["topic"]
    events = {"route": "topic", "topic_arn": topic}
    document = base_settings({"events": events}, create=False)
    apply(world.deployment(document))
    assert ("stage", (topic, True)) in world.snowflake.calls

    events["topic_arn"] = f"{topic}-2"
    with pytest.raises(BootstrapError, match="owner must add that notification"):
        steps.plan(world.deployment(document))


def test_the_owner_of_a_topic_elsewhere_gets_the_statement(world: World) -> None:
    their_bucket(world, conflicting="topic")
    topic = f"arn:aws:sns:{REGION}:999900001111:theirs"
    configuration = _read(world)
    configuration["TopicConfigurations"][0]["TopicArn"] = topic
    world.aws.s3.put_bucket_notification_configuration(
        Bucket=BUCKET,
        NotificationConfiguration=configuration,  # type: ignore[arg-type]
    )
    d = world.applied(create=False)

    (note,) = steps.plan(d)

    assert (note.verb, note.pending) == ("note", False)
    assert note.resource == f"policy of topic {topic}"
    assert "its owner must merge these statements" in note.reason
    (statement,) = note.after
    assert statement["Principal"] == {"AWS": USER}
    assert statement["Resource"] == topic


def test_a_destination_that_refuses_is_waited_for_and_then_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    their_bucket(world)
    d = world.deployment(base_settings(create=False))
    message = "Unable to validate the following destination configurations"
    error = ClientError(
        {"Error": {"Code": "InvalidArgument", "Message": message}},
        "PutBucketNotificationConfiguration",
    )

    def refuse(**_: Any) -> None:
        raise error

    with monkeypatch.context() as patch, pytest.raises(BootstrapError) as caught:
        patch.setattr(d.home.s3, "put_bucket_notification_configuration", refuse)
        apply(d)

    for words in (message, QUEUE, "`their-queue`", "`their-topic`", "s3.amazonaws.com"):
        assert words in str(caught.value)
    assert sum(world.slept) == 300
    apply(d)
    assert steps.plan(d) == []


def test_a_pipe_on_another_topic_is_an_error(world: World) -> None:
    their_bucket(world, conflicting="topic")
    d = world.applied(create=False)
    other = f"arn:aws:sns:{REGION}:{HOME}:other"
    world.snowflake.pipe_ = Pipe("DB.S.P", other, "RUNNING")

    with pytest.raises(BootstrapError, match=f"subscribes to {other}"):
        steps.plan(d)


def test_another_owners_rule_with_our_name_is_refused(world: World) -> None:
    their_bucket(world, conflicting="queue")
    world.aws.events.put_rule(Name=NAMES.events, ScheduleExpression="rate(1 day)")

    with pytest.raises(BootstrapError, match="was not made by this deployment"):
        steps.plan(world.deployment(base_settings(create=False)))


def test_a_target_that_eventbridge_refuses_is_an_error_although_the_answer_is_200(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    their_bucket(world, conflicting="queue")
    d = world.deployment(base_settings(create=False))
    answer = {"FailedEntryCount": 1, "FailedEntries": [{"ErrorCode": "Concurrent"}]}

    with monkeypatch.context() as patch, pytest.raises(BootstrapError) as caught:
        patch.setattr(d.home.events, "put_targets", lambda **_: answer)
        apply(d)

    assert "EventBridge refused a target" in str(caught.value)
    assert "Concurrent" in str(caught.value)


def test_a_rule_that_was_disabled_is_enabled_again(world: World) -> None:
    their_bucket(world, conflicting="queue")
    d = world.applied(create=False)
    world.aws.events.disable_rule(Name=NAMES.events)

    (change,) = steps.apply(d)

    assert change.resource == f"EventBridge rule {NAMES.events}"
    assert steps.plan(d) == []


def test_the_pipes_queue_must_be_in_the_buckets_region(world: World) -> None:
    d = world.applied()
    elsewhere = QUEUE.replace(REGION, "us-east-1")
    world.snowflake.pipe_ = Pipe("DB.S.P", elsewhere, "RUNNING")

    with pytest.raises(BootstrapError, match="not in the region of bucket"):
        steps.plan(d)


def test_a_pipe_with_a_new_queue_is_followed(world: World) -> None:
    d = world.applied()
    world.snowflake.pipe_ = Pipe("DB.S.P", f"{QUEUE}-2", "RUNNING")

    apply(d)

    arns = [item["QueueArn"] for item in _read(world)["QueueConfigurations"]]
    assert arns == [f"{QUEUE}-2"]


def test_a_notification_that_is_not_needed_any_more_is_removed(world: World) -> None:
    world.applied()

    world.snowflake.pipe_ = None
    world.applied({"events": {"route": "none"}})

    assert _read(world) == {}
    # Without events, the pipe is made for REST.
    assert world.snowflake.calls[-1] == ("stage", (None, False))
