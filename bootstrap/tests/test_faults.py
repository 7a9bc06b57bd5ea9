"""A fault at each AWS call in turn: refused before it, or dead right after it.

The list of calls is recorded from an undisturbed run, and every test is one of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from moto import mock_aws

from bootstrap import steps
from bootstrap.errors import BootstrapError
from bootstrap.tests.faithful import faithful
from bootstrap.tests.world import (
    HOME,
    USER,
    Crash,
    World,
    base_settings,
    snapshot,
    their_bucket,
    writes,
)

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
        # Asked once and remembered: a test of its own refuses it.
        assert self.d.home.account_id == HOME
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
        return found

    def record(self, order: Any) -> list[str]:
        """Run undisturbed and return the calls."""
        self.world.recorder.start()
        list(steps.apply(self.d, order))
        return list(self.world.recorder.calls)

    def disturb(self, order: Any, kind: str, number: int) -> None:
        """Run until the fault."""
        expected: type[BaseException] = Crash if kind == "crash" else BootstrapError
        self.world.recorder.start(**{kind: number})
        with pytest.raises(expected):
            list(steps.apply(self.d, order))
        self.world.recorder.start()

    def run(self, order: Any) -> None:
        """Run undisturbed."""
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


MAKERS: dict[str, Callable[[World], Scenario]] = {
    "new": _new_bucket,
    "bridge": _conflicting_queue,
    "topic": _conflicting_topic,
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
        # Creating a flow log may replace the policy: the harder of AWS's two answers.
        aws.overwrites_policy = name == "bridge"
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
    index = 0 if "test_apply" in metafunc.function.__name__ else 1
    found = []
    for name, recorded in _recorded().items():
        for number, call in enumerate(recorded[index]):
            kinds = ("refuse", "crash") if writes([call]) else ("refuse",)
            if not writes([call]) and (name == "topic" or (index and name != "new")):
                continue  # These reads are those of the others.
            found += [
                pytest.param(name, number, kind, id=f"{name}-{number}-{call}-{kind}")
                for kind in kinds
            ]
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
