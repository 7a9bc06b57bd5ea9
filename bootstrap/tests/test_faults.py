"""A fault at each AWS call: AWS refuses it, or the program dies right after it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
from moto.ec2.models import ec2_backends

from bootstrap import steps
from bootstrap.changes import BootstrapError
from bootstrap.tests.faithful import Aws
from bootstrap.tests.world import (
    OTHER,
    REGION,
    Crash,
    World,
    base_settings,
    snapshot,
    their_bucket,
    writes,
)

ROLE = f"arn:aws:iam::{OTHER}:role/admin"
LOGS = f"flow logs in {OTHER} {REGION}"
DESTROY = steps.destroy_steps(delete_data=True, with_snowflake=True)
Order = steps.Order
# Writes to the role are those of the account with a new bucket.
NO_ROLE = "^(?!.*Role)"


class Scenario:
    """An account and the settings for it.

    Args:
        world: The account.
        document: The settings.
        key_arn: The bucket's key, if it has one.
        faults: The calls that are disturbed, as a regular expression.
    """

    def __init__(
        self,
        world: World,
        document: dict[str, Any],
        key_arn: str | None = None,
        faults: str = "",
    ) -> None:
        self.world, self.key_arn, self.faults = world, key_arn, faults
        self.d = world.deployment(document)

    def look(self) -> dict[str, Any]:
        """Return the account's state, and Snowflake's."""
        found = snapshot(self.world, self.key_arn)
        found["snowflake"] = (
            self.world.snowflake.integration_,
            self.world.snowflake.pipe_,
        )
        found["flow logs of another account"] = [
            (log.resource_id, log.log_destination, log.log_format)
            for log in ec2_backends[OTHER][REGION].flow_logs.values()
        ]
        return found

    def start(self, **fault: int) -> None:
        """Start as a new process does, without clients from earlier runs."""
        self.world.accounts.forget_all()
        self.world.recorder.start(**fault)

    def run(self, order: Order) -> list[str]:
        """Run undisturbed and return the calls."""
        self.start()
        list(steps.apply(self.d, order))
        return list(self.world.recorder.calls)

    def plan(self, order: Order) -> list[str]:
        """Plan undisturbed and return the calls."""
        self.start()
        steps.plan(self.d, order)
        return list(self.world.recorder.calls)

    def writes(self, calls: list[str]) -> list[int]:
        """Return the numbers of the calls that change something."""
        return [
            number
            for number, call in enumerate(calls)
            if (writes([call]) or call == "AssumeRole") and re.search(self.faults, call)
        ]

    @contextmanager
    def stopped(self, order: Order, kind: str, number: int) -> Iterator[None]:
        """Run until a fault; errors in the block get a note with the fault."""
        expected: type[BaseException] = Crash if kind == "crash" else BootstrapError
        self.start(**{kind: number})
        with pytest.raises(expected):
            list(steps.apply(self.d, order))
        calls = list(self.world.recorder.calls)
        # Nothing is called after a crash; other steps go on after a refusal.
        assert kind == "refuse" or len(calls) == number + 1
        try:
            yield
        except BaseException as error:
            error.add_note(f"{kind} at call {number}, {calls[number]}")
            raise


def _new_bucket(world: World) -> Scenario:
    key: str = world.aws.kms.create_key()["KeyMetadata"]["Arn"]
    encryption = {"type": "sse-kms", "key_arn": key}
    document = base_settings(encryption=encryption, expire_days=30)
    return Scenario(world, document, key)


def _conflicting_queue(world: World) -> Scenario:
    their_bucket(world, conflicting="queue")
    document = base_settings(create=False, expire_days=30)
    return Scenario(world, document, faults=NO_ROLE)


def _conflicting_topic(world: World) -> Scenario:
    their_bucket(world, conflicting="topic")
    return Scenario(world, base_settings(create=False), faults=NO_ROLE)


def _assumed_role(world: World) -> Scenario:
    document = base_settings()
    document["sources"][0] |= {"account_id": OTHER, "role_arn": ROLE}
    # Other calls do not use the role.
    return Scenario(world, document, faults="AssumeRole|FlowLogs")


MAKERS: dict[str, Callable[[World], Scenario]] = {
    "new": _new_bucket,
    "bridge": _conflicting_queue,
    "topic": _conflicting_topic,
    "role": _assumed_role,
}

POLICIES: dict[str, Literal["overwritten", "appended to"]] = {
    "bridge": "overwritten",
    "topic": "appended to",
}


@pytest.fixture
def scenario(world: World, aws: Aws, name: str) -> Scenario:
    """The account that a test is about."""
    # Creating a flow log may change the policy, in one of two ways.
    aws.policy = POLICIES.get(name, "kept")
    return MAKERS[name](world)


@pytest.mark.parametrize("name", MAKERS)
def test_a_run_that_stopped_at_a_write_is_finished_or_taken_back(
    scenario: Scenario,
) -> None:
    """Reads change nothing, so these are all the states that a fault can leave."""
    before = scenario.look()
    applying = scenario.writes(scenario.run(steps.apply_steps))
    after = scenario.look()
    destroying = scenario.writes(scenario.run(DESTROY))
    assert scenario.look() == before
    assert len(applying) >= len(destroying) >= 2

    for number, other in zip(applying, itertools.cycle(destroying), strict=False):
        with scenario.stopped(steps.apply_steps, "refuse", number):
            scenario.run(DESTROY)
            assert scenario.look() == before
        with scenario.stopped(steps.apply_steps, "crash", number):
            scenario.run(steps.apply_steps)
            assert scenario.look() == after
        with scenario.stopped(DESTROY, "refuse", other):
            scenario.run(DESTROY)
            assert scenario.look() == before


@pytest.mark.parametrize(
    ("name", "reads"),
    [
        ("new", ""),
        # The others of its reads are those of a new bucket.
        ("bridge", "Encryption|Versions|Topic|Rule|Tags|Targets"),
        ("role", "AssumeRole|Caller|FlowLogs|Vpcs"),
    ],
)
def test_a_read_that_is_refused_is_named_and_nothing_is_written(
    scenario: Scenario, reads: str
) -> None:
    """A refusal never counts as a missing resource, before `apply` or after it."""
    seen: set[tuple[str, str]] = set()
    for _ in ("before", "after"):
        for order in (steps.apply_steps, DESTROY):
            calls = scenario.plan(order)
            assert writes(calls) == []
            for number, pair in enumerate(itertools.pairwise(["", *calls])):
                if pair in seen or not re.search(reads, calls[number]):
                    continue
                seen.add(pair)
                scenario.start(refuse=number)
                with pytest.raises(BootstrapError, match=calls[number]):
                    steps.plan(scenario.d, order)
                assert writes(scenario.world.recorder.calls) == []
        scenario.run(steps.apply_steps)


@pytest.mark.parametrize("name", ["role"])
@pytest.mark.parametrize(
    ("call", "action", "words"),
    [
        (
            "AssumeRole",
            "sts",
            f"on {ROLE} (flow logs in {OTHER} {REGION}) failed in {REGION}.",
        ),
        (
            "DescribeVpcs",
            "ec2",
            f"on flow logs in {OTHER} {REGION} failed in {REGION} as {ROLE}.",
        ),
    ],
)
def test_a_refusal_is_named_with_place_and_missing_permission(
    scenario: Scenario, call: str, action: str, words: str
) -> None:
    scenario.start(refuse=scenario.plan(steps.apply_steps).index(call))

    with pytest.raises(BootstrapError) as caught:
        steps.plan(scenario.d)

    assert f"{call} {words}" in str(caught.value)
    assert f"The caller needs {action}:{call}" in str(caught.value)
