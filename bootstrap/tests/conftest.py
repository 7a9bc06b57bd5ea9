"""Fixtures: moto in this process, with more of AWS's own refusals."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from bootstrap.tests.faithful import Aws, faithful
from bootstrap.tests.world import USER, World

# Otherwise moto reads a catalogue of machine images for every account.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"


@pytest.fixture(autouse=True)
def _no_real_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.fixture
def aws() -> Iterator[Aws]:
    """AWS: moto with the rules of `faithful`."""
    with faithful() as found, mock_aws():
        found.principals.add(USER)
        yield found


@pytest.fixture
def world(aws: Aws, tmp_path: Path) -> World:
    """An account with nothing but AWS's default VPC."""
    return World(tmp_path / "state")


@dataclass(frozen=True)
class FakeDbt:
    """A ``dbt`` on disk.

    Args:
        executable: The script to call.
        state: The file with its answers and its calls.
    """

    executable: Path
    state: Path

    def read(self) -> Any:
        """Return its state."""
        return json.loads(self.state.read_text("utf-8"))

    def change(self, **keys: Any) -> None:
        """Change its state."""
        self.state.write_text(json.dumps({**self.read(), **keys}), "utf-8")

    def operations(self) -> list[str]:
        """Return the run-operations that were called, in order."""
        return [w[w.index("run-operation") + 1] for w in self.read()["calls"]]


@pytest.fixture
def dbt(tmp_path: Path) -> FakeDbt:
    """A stand-in for dbt, with an empty Snowflake account."""
    state, executable = tmp_path / "dbt.json", tmp_path / "dbt"
    empty: dict[str, Any] = {
        "integration": None,
        "pipe": None,
        "others": [],
        "calls": [],
        "fails": {},
        "answers": {},
    }
    state.write_text(json.dumps(empty), "utf-8")
    script = Path(__file__).with_name("fake_dbt.py")
    executable.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -S -E "{script}" "{state}" "$@"\n', "utf-8"
    )
    executable.chmod(0o755)
    return FakeDbt(executable, state)
