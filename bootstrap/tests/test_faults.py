"""A fault at each AWS call in turn: refused before it, or dead right after it.

The list of calls is recorded from an undisturbed run, and every test is one of them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import pytest
from moto import mock_aws
from moto.ec2.models import ec2_backends

from bootstrap import steps
from bootstrap.errors import BootstrapError
from bootstrap.tests.faithful import faithful
from bootstrap.tests.world import (
    REGION,
    USER,
    Crash,
    World,
    base_settings,
    snapshot,
    their_bucket,
    writes,
)

OTHER = "210987654321"
DESTROY = steps.destroy_steps(delete_data=True, with_snowflake=True)


class Scenario:
    """An account, what was in it before, and what an undisturbed run makes of it.

    Args:
        world: The account.
        document: The settings.
        key_arn: The bucket's key, if it has one.
    """

    def __init__(
        self, world: World, document: dict[str, Any], key_arn: str | None = None
    ) -> None:
        self.world, self.key_arn = world, key_arn
        self.d = world.deployment(document)
        self.before = self.look()
        self.apply_calls = self.record(steps.APPLY)
        self.after = self.look()
        self.destroy_calls = self.record(DESTROY)
        assert self.look() == self.before

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
        """Begin anew, as the program does: knowing nobody, and with a fault."""
        self.world.accounts.forget()
        self.world.recorder.start(**fault)

    def record(self, order: Any) -> list[str]:
        """Run undisturbed and return the calls."""
        self.start()
        list(steps.apply(self.d, order))
        return list(self.world.recorder.calls)

    def disturb(self, order: Any, kind: str, number: int) -> None:
        """Run until the fault."""
        expected: type[BaseException] = Crash if kind == "crash" else BootstrapError
        self.start(**{kind: number})
        with pytest.raises(expected):
            list(steps.apply(self.d, order))

    def run(self, order: Any) -> None:
        """Run undisturbed."""
        self.start()
        list(steps.apply(self.d, order))


def _new_bucket(world: World) -> Scenario:
    key: str = world.aws.kms.create_key()["KeyMetadata"]["Arn"]
    encryption = {"type": "sse-kms", "key_arn": key}
    document = base_settings(encryption=encryption, expire_days=30)
    return Scenario(world, document, key)


def _conflicting_queue(world: World) -> Scenario:
    their_bucket(world, conflicting="queue")
    return Scenario(world, base_settings(create=False, expire_days=30))


def _conflicting_topic(world: World) -> Scenario:
    their_bucket(world, conflicting="topic")
    return Scenario(world, base_settings(create=False))


def _assumed_role(world: World) -> Scenario:
    document = base_settings()
    role = f"arn:aws:iam::{OTHER}:role/admin"
    document["sources"][0] |= {"account_id": OTHER, "role_arn": role}
    return Scenario(world, document)


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


@contextmanager
def _account(name: str) -> Iterator[Scenario]:
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory() as folder,
        mock_aws(),
        faithful() as aws,
    ):
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        aws.principals.add(USER)
        # Creating a flow log may change the policy, in one of two ways.
        aws.policy = POLICIES.get(name, "kept")
        yield MAKERS[name](World(Path(folder)))


class Accounts:
    """Keeps one account open: every test leaves it as it was."""

    def __init__(self) -> None:
        self._name = ""
        self._open = ExitStack()

    def get(self, name: str) -> Scenario:
        """Return the account of that name, as it was before anything of ours."""
        if name != self._name:
            self._open.close()
            self._name = name
            self._scenario = self._open.enter_context(_account(name))
        return self._scenario

    def close(self) -> None:
        """Close the last one."""
        self._open.close()


@pytest.fixture(scope="module")
def accounts() -> Iterator[Accounts]:
    """The accounts of this file."""
    found = Accounts()
    yield found
    found.close()


@pytest.fixture
def scenario(accounts: Accounts, name: str) -> Scenario:
    """The account a test is about."""
    return accounts.get(name)


@functools.cache
def _recorded() -> dict[str, tuple[list[str], list[str]]]:
    found = {}
    for name in MAKERS:
        with _account(name) as recorded:
            found[name] = recorded.apply_calls, recorded.destroy_calls
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of every call of an undisturbed run, recorded here.

    A crash after a read is a crash before the next call, so crashes follow writes.
    """
    if "number" not in metafunc.fixturenames:
        return
    index = 0 if "test_apply" in metafunc.function.__name__ else 1
    found = []
    elsewhere: set[str] = set()
    for name, recorded in _recorded().items():
        seldom = name == "topic" or (index == 1 and name == "bridge")
        for number, call in enumerate(recorded[index]):
            both = writes([call]) or call == "AssumeRole"
            kinds = ("refuse", "crash") if both else ("refuse",)
            if not both and seldom and call in elsewhere:
                continue  # These reads are those of the others.
            if name == "role" and not re.search(
                r"AssumeRole|Caller|FlowLogs|Vpcs", call
            ):
                continue  # These are not made through the role.
            found += [
                pytest.param(name, number, kind, id=f"{name}-{number}-{call}-{kind}")
                for kind in kinds
            ]
        elsewhere |= set(recorded[index])
    metafunc.parametrize(("name", "number", "kind"), found)


def test_apply_goes_on_and_destroy_cleans_up_after_a_fault(
    scenario: Scenario, number: int, kind: str
) -> None:
    scenario.disturb(steps.APPLY, kind, number)
    scenario.run(DESTROY)
    assert scenario.look() == scenario.before

    scenario.disturb(steps.APPLY, kind, number)
    scenario.run(steps.APPLY)
    assert scenario.look() == scenario.after

    scenario.run(DESTROY)


def test_destroy_goes_on_after_a_fault(
    scenario: Scenario, number: int, kind: str
) -> None:
    scenario.run(steps.APPLY)
    scenario.disturb(DESTROY, kind, number)

    scenario.run(DESTROY)

    assert scenario.look() == scenario.before


def test_a_role_that_refuses_is_named_with_the_missing_permission(
    accounts: Accounts,
) -> None:
    scenario = accounts.get("role")
    number = scenario.apply_calls.index("AssumeRole")
    scenario.start(refuse=number)

    with pytest.raises(BootstrapError) as caught:
        list(steps.apply(scenario.d))
    scenario.run(DESTROY)

    said = str(caught.value)
    assert f"AssumeRole on arn:aws:iam::{OTHER}:role/admin" in said
    assert "The caller needs sts:AssumeRole" in said
