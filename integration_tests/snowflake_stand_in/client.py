"""For tests: start the stand-in in a process, connect to it, control it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import snowflake.connector
from snowflake.connector import SnowflakeConnection
from snowflake.connector.cursor import DictCursor

_ROOT = Path(__file__).resolve().parents[2]


class StandIn:
    """A running stand-in."""

    def __init__(self, port: int) -> None:
        self.port = port

    @classmethod
    @contextmanager
    def start(
        cls,
        s3_endpoint: str,
    ) -> Iterator[StandIn]:
        """Run the stand-in in its own process until the block ends."""
        command = [sys.executable, "-m", str(__package__), "--s3-endpoint", s3_endpoint]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT)
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the Snowflake stand-in did not start")
            yield cls(json.loads(line)["port"])
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    # ----- connecting

    def connect(self, **arguments: Any) -> SnowflakeConnection:
        """A connection of the real connector, as an administrator by default."""
        if not {"private_key", "private_key_file"} & set(arguments):
            arguments.setdefault("password", "not-checked")
        defaults = {
            "account": "standin",
            "user": "STAND_IN",
            "host": "127.0.0.1",
            "port": self.port,
            "protocol": "http",
            "login_timeout": 10,
            "network_timeout": 60,
        }
        return snowflake.connector.connect(**(defaults | arguments))

    def rows(self, sql: str, **arguments: Any) -> list[dict[str, Any]]:
        """The rows of one or several statements' last result, as dictionaries."""
        with self.connect(**arguments) as connection:
            cursor = connection.cursor(DictCursor)
            cursor.execute(sql, num_statements=0)
            found: list[dict[str, Any]] = cursor.fetchall()
            while cursor.nextset():
                found = cursor.fetchall()
            return found

    def profile(self, **overrides: Any) -> dict[str, Any]:
        """An output of dbt's ``profiles.yml``; give the key, role and names."""
        defaults = {
            "type": "snowflake",
            "account": "standin",
            "user": "STAND_IN",
            "host": "127.0.0.1",
            "port": self.port,
            "protocol": "http",
            "threads": 2,
            "connect_retries": 0,
            "connect_timeout": 10,
        }
        return defaults | overrides

    # ----- control

    def _do(self, action: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/stand-in/{action}",
            json.dumps(body).encode(),
            method="POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["answer"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["error"]) from error

    def event(self, url: str) -> list[str]:
        """Announce an object by its URL; return the pipes that load it."""
        return list(self._do("event", url=url))

    def poll(self) -> list[str]:
        """Let the pipes read their SQS queue; return the objects' URLs."""
        return list(self._do("poll"))

    def lapse(self, name: str) -> int:
        """Clear a pipe's load history, as after 14 days; return its number of files."""
        return int(self._do("lapse", name=name))

    def account(self, **settings: Any) -> None:
        """Set what differs from account to account, for sessions to come.

        Args:
            settings: Parameters by their names in lower case, such as ``timezone``;
                ``edition``; ``first_row_number`` and ``row_numbers_restart`` (with
                each row group) of Parquet files; ``copy_limit``, how many files a
                COPY loads before it runs into the time limit for statements;
                ``patience``, seconds after which a client must ask for a result.
        """
        self._do("account", **settings)

    @contextmanager
    def hold(self, regex: str) -> Iterator[Callable[[], bool]]:
        """Let the next statement that matches wait before it runs until the block ends.

        Yields:
            Whether it waits by now.
        """
        self._do("hold", regex=regex)
        try:
            yield lambda: bool(self._do("is-held"))
        finally:
            self._do("release")

    def pipe_timezone(self, timezone: str | None) -> None:
        """Run pipes in a time zone (``None``: the account's)."""
        self._do("pipe-timezone", timezone=timezone)

    def idle_timeout(self, seconds: float | None) -> None:
        """Roll back what blocks and idles so long (``None``: five minutes)."""
        self._do("idle-timeout", seconds=seconds)

    def fail(
        self,
        regex: str,
        message: str = "Injected by the test",
        *,
        times: int = 1,
        when: str = "before",
    ) -> None:
        """Let the next statements that match fail, ``before`` or ``after`` they run."""
        self._do("fail", regex=regex, message=message, times=times, when=when)

    def forget_failures(self) -> None:
        """Cancel every ordered failure."""
        self._do("forget-failures")

    def log(self) -> list[dict[str, Any]]:
        """Every statement since the start or the last ``clear_log``."""
        return list(self._do("log"))

    def statements(self) -> Sequence[str]:
        """The text of every logged statement."""
        return [entry["text"] for entry in self.log()]

    def clear_log(self) -> None:
        """Clear the log."""
        self._do("clear-log")

    def age(self, url: str, days: float) -> None:
        """Pretend that a file was last modified some days ago."""
        self._do("age", url=url, days=days)

    def scan_time(self, minutes_ago: float | None) -> None:
        """Let loads report an earlier scan time (``None``: the real one)."""
        self._do("scan-time", minutes_ago=minutes_ago)
