"""The handshake with Snowflake: through dbt, or by hand between two people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bootstrap import steps
from bootstrap.changes import BootstrapError
from bootstrap.steps import Deployment, hand_over
from bootstrap.tests.conftest import FakeDbt
from bootstrap.tests.world import (
    EXTERNAL_ID,
    HOME,
    NAMES,
    QUEUE,
    REGION,
    USER,
    Crash,
    World,
    apply,
    base_settings,
    destroy,
    snapshot,
    their_bucket,
)

ROLE_ARN = f"arn:aws:iam::{HOME}:role/{NAMES.role}"


def _through_dbt(world: World, dbt: FakeDbt, **more: Any) -> Deployment:
    settings = {"executable": str(dbt.executable), **more}
    snowflake = {"dbt": settings, "setup_role": "FLOW_LOG_ADMIN"}
    return world.deployment(base_settings({"snowflake": snowflake}))


def _by_hand(
    world: World, more: dict[str, Any] | None = None, **snowflake: Any
) -> Deployment:
    snowflake["handshake"] = "manual"
    return world.deployment(base_settings({"snowflake": snowflake, **(more or {})}))


FROM_SNOWFLAKE: dict[str, Any] = {"iam_user_arn": USER, "external_id": EXTERNAL_ID}


def test_apply_does_the_whole_chain_in_order(world: World, dbt: FakeDbt) -> None:
    d = _through_dbt(world, dbt)
    apply(d)

    assert dbt.operations() == [
        "describe_integration",
        "setup_snowflake",
        "describe_integration",
        "describe_pipe",
        "stage_external_sources",
        "describe_pipe",
    ]
    assert steps.plan(d) == []
    setup = next(w for w in dbt.read()["calls"] if "setup_snowflake" in w)
    assert setup[-2:] == ["--target", "snowflake"]
    assert json.loads(setup[setup.index("--args") + 1]) == {
        "role_arn": ROLE_ARN,
        "locations": [d.place.location],
        "stage_url": d.place.location,
    }
    # dbt parses the project again when variables change.
    variables = {w[w.index("--vars") + 1] for w in dbt.read()["calls"]}
    assert [json.loads(text) for text in variables] == [
        {
            "storage_integration": "vpc_flow_logs",
            "snowpipe_auto_ingest": True,
            "setup_role": "FLOW_LOG_ADMIN",
        }
    ]
    assert dbt.read()["integration"]["storage_aws_role_arn"] == ROLE_ARN
    assert dbt.read()["integration"]["storage_allowed_locations"] == [d.place.location]
    assert EXTERNAL_ID not in "\n".join(world.said)


def test_a_location_somebody_added_to_the_integration_stays(
    world: World, dbt: FakeDbt
) -> None:
    d = _through_dbt(world, dbt)
    apply(d)
    integration = dbt.read()["integration"]
    integration["storage_allowed_locations"] = ["s3://theirs/"]
    dbt.change(integration=integration)
    d = _through_dbt(world, dbt)

    apply(d)

    setup = [w for w in dbt.read()["calls"] if "setup_snowflake" in w][-1]
    arguments = json.loads(setup[setup.index("--args") + 1])
    assert arguments["locations"] == ["s3://theirs/", d.place.location]
    assert arguments["stage_url"] == d.place.location


def test_a_set_up_that_stopped_after_the_integration_is_finished(
    world: World, dbt: FakeDbt
) -> None:
    d = _through_dbt(world, dbt)
    apply(d)
    dbt.change(pipe=None)
    d = _through_dbt(world, dbt)

    apply(d)

    assert dbt.operations().count("setup_snowflake") == 2
    assert steps.plan(d) == []


def test_tearing_down_drops_what_is_left_of_the_set_up(
    world: World, dbt: FakeDbt
) -> None:
    d = _through_dbt(world, dbt)
    apply(d)
    dbt.change(integration=None, pipe=None, others=["drop warehouse w"])
    d = _through_dbt(world, dbt)
    order = steps.destroy_steps(True, True)

    (change,) = [c for c in steps.plan(d, order) if c.verb == "run"]
    destroy(d)

    assert change.before == ["drop warehouse w"]
    teardown = next(w for w in dbt.read()["calls"] if "teardown_snowflake" in w)
    assert json.loads(teardown[teardown.index("--args") + 1]) == {
        "confirm": "DB",
        "drop_landing_table": True,
    }
    assert json.loads(teardown[teardown.index("--vars") + 1])["setup_role"]
    assert steps.plan(d, order) == []


def test_staging_is_repeated_until_the_role_can_be_assumed(
    world: World, dbt: FakeDbt
) -> None:
    dbt.change(fails={"stage_external_sources": 2}, error="Error assuming AWS_ROLE")
    apply(_through_dbt(world, dbt))

    assert dbt.operations().count("stage_external_sources") == 3
    assert world.slept == [2.0, 4.0]
    assert any("retry in 2 s" in line for line in world.said)


def test_any_other_failure_of_dbt_is_an_error_with_its_message(
    world: World, dbt: FakeDbt
) -> None:
    dbt.change(fails={"stage_external_sources": 9}, error="SQL compilation error")

    with pytest.raises(BootstrapError, match="SQL compilation error"):
        apply(_through_dbt(world, dbt))
    assert dbt.operations().count("stage_external_sources") == 1


def test_an_external_id_in_the_output_of_dbt_is_masked(
    world: World, dbt: FakeDbt
) -> None:
    d = _through_dbt(world, dbt)
    apply(d)
    assert d.snowflake.integration() is not None
    dbt.change(fails={"stage_external_sources": 9}, error=f"because of {EXTERNAL_ID}")

    with pytest.raises(BootstrapError) as caught:
        d.snowflake.stage(None, True)

    assert EXTERNAL_ID not in str(caught.value)
    assert "because of ********" in str(caught.value)


@pytest.mark.parametrize("operation", ["set_up", "stage", "tear_down"])
@pytest.mark.parametrize("after", [False, True])
def test_after_a_crash_around_snowflake_the_next_run_continues(
    world: World, monkeypatch: pytest.MonkeyPatch, operation: str, after: bool
) -> None:
    before = snapshot(world)
    d = world.deployment(base_settings())
    real = getattr(world.snowflake, operation)

    def crash(*given: Any) -> None:
        if after:
            real(*given)
        raise Crash(operation)

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(world.snowflake, operation, crash)
        apply(d)
        destroy(d)

    apply(d)
    assert steps.plan(d) == []
    destroy(d)
    assert snapshot(world) == before
    assert world.snowflake.integration_ is None


def test_a_dbt_that_hangs_is_stopped(world: World, dbt: FakeDbt) -> None:
    dbt.executable.write_text("#!/bin/sh\nexec sleep 60\n", "utf-8")
    d = _through_dbt(world, dbt, timeout_seconds=1)

    with pytest.raises(BootstrapError, match="describe_pipe took longer than 1 s"):
        d.snowflake.pipe()


def test_a_missing_dbt_is_an_error(world: World, dbt: FakeDbt) -> None:
    d = _through_dbt(world, dbt, executable="no-such-dbt")

    with pytest.raises(BootstrapError, match=r"snowflake\.dbt\.executable"):
        d.snowflake.integration()


def test_two_people_exchange_two_texts(world: World) -> None:
    first = _by_hand(world)
    apply(first)
    text = hand_over(first)

    for words in (
        f"storage_aws_role_arn = '{ROLE_ARN}'",
        f'"role_arn":"{ROLE_ARN}"',
        "storage_allowed_locations = ('s3://acme-flow-data/vpc/')",
        "create storage integration if not exists vpc_flow_logs",
        "desc integration vpc_flow_logs",
        "dbt run-operation setup_snowflake",
        "snowflake.external_id",
    ):
        assert words in text

    second = _by_hand(world, **FROM_SNOWFLAKE)
    apply(second)
    text = hand_over(second)
    assert "dbt run-operation stage_external_sources" in text
    assert "snowflake.notification_channel" in text

    third = _by_hand(world, **FROM_SNOWFLAKE, notification_channel=QUEUE)
    apply(third)
    assert hand_over(third) == ""
    assert steps.plan(third) == []


def test_a_chosen_external_id_is_shown_in_the_hand_over_only(world: World) -> None:
    d = _by_hand(world, external_id="it's-mine")
    shown = "\n".join(line for c in steps.plan(d) for line in c.as_lines())
    done = "\n".join(line for c in steps.apply(d) for line in c.as_lines())

    assert "it's-mine" not in shown + done + "\n".join(world.said) + repr(
        d.snowflake.integration()
    )
    text = hand_over(d)
    assert "storage_aws_external_id = 'it''s-mine'" in text
    # The run-operation alone would let Snowflake generate another one.
    assert "first, to set this external id" in text
    assert "it's-mine" not in repr(d.settings)


def test_the_hand_over_names_the_topic_the_pipe_must_use(world: World) -> None:
    topic = their_bucket(world, conflicting="topic")["topic"]
    snowflake = {"handshake": "manual", **FROM_SNOWFLAKE}
    d = world.applied({"snowflake": snowflake}, create=False)

    assert f'"snowpipe_sns_topic":"{topic}"' in hand_over(d)


def test_without_events_the_hand_over_is_to_stage_once(world: World) -> None:
    d = _by_hand(world, {"events": {"route": "none"}}, **FROM_SNOWFLAKE)
    apply(d)
    text = hand_over(d)

    assert '"snowpipe_auto_ingest":false' in text
    assert "notification_channel" not in text
    assert [c.verb for c in steps.plan(d)] == ["note"]


def test_a_user_of_another_partition_is_refused(world: World) -> None:
    gov = USER.replace("arn:aws:", "arn:aws-us-gov:")
    d = _by_hand(world, iam_user_arn=gov, external_id=EXTERNAL_ID)

    with pytest.raises(BootstrapError, match="use a Snowflake account in aws"):
        steps.plan(d)


@pytest.mark.parametrize(
    ("region", "partition", "scheme"),
    [
        ("us-gov-west-1", "aws-us-gov", "s3gov"),
        ("cn-north-1", "aws-cn", "s3china"),
        ("eusc-de-east-1", "aws-eusc", "s3"),
    ],
)
def test_the_whole_chain_works_in_the_other_partitions(
    world: World, aws: Any, region: str, partition: str, scheme: str
) -> None:
    user = USER.replace("arn:aws:", f"arn:{partition}:")
    queue = QUEUE.replace("arn:aws:", f"arn:{partition}:").replace(REGION, region)
    aws.principals.add(user)
    document = base_settings(region=region)
    document["sources"][0]["regions"] = [region]
    document["snowflake"] = {
        "handshake": "manual",
        "region": f"AWS_{region.upper().replace('-', '_')}",
        "iam_user_arn": user,
        "external_id": EXTERNAL_ID,
        "notification_channel": queue,
    }
    d = world.deployment(document)
    apply(d)

    policy = d.home.s3.get_bucket_policy(Bucket=d.settings.bucket.name)["Policy"]
    assert d.place.location.startswith(f"{scheme}://")
    assert f"arn:{partition}:s3:::" in policy
    assert "arn:aws:" not in policy
    assert steps.plan(d) == []
