"""Where alerts go: a webhook, a file of JSON lines, a syslog server."""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import click

from .alert_forms import Finding, Message

TIMEOUT_SECONDS = 20
#: The waits between the tries of a message, in seconds.
WAITS = (1, 2, 4)
#: Facility 13 (log audit) and the severities of syslog, RFC 5424.
FACILITY = 13
SYSLOG_SEVERITIES = {"critical": 2, "high": 3, "medium": 4, "low": 5}


class NotSentError(click.ClickException):
    """A message can't be sent; the message says why."""


class Channel(Protocol):
    """Takes messages.

    `target` names it; it may hold a secret, so print and store it nowhere.
    """

    target: str

    def send(self, finding: Finding, message: Message) -> None:
        """Send one message, and return when the receiver has it.

        Raises:
            NotSentError: it was not received.
        """


class Webhook:
    """A URL that takes JSON by POST.

    Args:
        url: Whoever has it may post, so no message of an error holds it.
        wait: Called with the seconds between two tries.
    """

    def __init__(self, url: str, wait: Callable[[float], None] = time.sleep) -> None:
        if not url.startswith(("https://", "http://")):
            raise NotSentError("--webhook takes a URL that begins with https://")
        self.target = url
        self._wait = wait

    def send(self, finding: Finding, message: Message) -> None:
        """Post the message; try again when the server is busy or can't be reached."""
        for wait in (*WAITS, None):
            reason, waits_for = self._post(message)
            if not reason:
                return
            if wait is None or waits_for is None:
                raise NotSentError(f"The webhook did not take the finding: {reason}")
            self._wait(max(wait, waits_for))

    def _post(self, message: Message) -> tuple[str, float | None]:
        """Return why it failed, and the seconds to wait; None if a retry is useless."""
        request = urllib.request.Request(
            self.target,
            data=json.dumps(message).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
                return "", 0
        except urllib.error.HTTPError as answer:
            reason = f"HTTP {answer.code}"
            if answer.code != 429 and answer.code < 500:
                return reason, None
            after = answer.headers.get("Retry-After", "")
            return reason, min(float(after), 60) if after.isdigit() else 0
        except OSError as failure:
            return str(failure), 0


class File:
    """A file of JSON lines, one a finding."""

    def __init__(self, path: Path) -> None:
        self.target = str(path.resolve())

    def send(self, finding: Finding, message: Message) -> None:
        """Append the message, and return when the disk has it."""
        try:
            with open(self.target, "a") as file:
                file.write(json.dumps(message) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as failure:
            raise NotSentError(f"The file can't be written: {failure}") from failure


class Syslog:
    """A syslog server over TCP: RFC 5424 in the frames of RFC 6587.

    Args:
        address: Host and port, such as syslog.example.com:601.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise NotSentError("--syslog takes a host and a port: example.com:601")
        self.target = address
        self._address = host, int(port)

    def send(self, finding: Finding, message: Message) -> None:
        """Send the message on a connection of its own."""
        priority = FACILITY * 8 + SYSLOG_SEVERITIES[finding["severity"]]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = (
            f"<{priority}>1 {now} {socket.gethostname()} vpc_flow_logs -"
            f" {finding['rule_id']} - {json.dumps(message)}"
        ).encode()
        try:
            with socket.create_connection(self._address, TIMEOUT_SECONDS) as connection:
                connection.sendall(b"%d %b" % (len(line), line))
        except OSError as failure:
            raise NotSentError(f"The syslog server: {failure}") from failure
