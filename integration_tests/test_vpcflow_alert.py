"""`vpcflow alert` against receivers of its own: each finding once, and none lost."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
from click.testing import CliRunner, Result

from vpcflow import alert_channels
from vpcflow.cli import cli

from .conftest import ROOT, Project

FINDINGS = """
    create table findings as
    select
        md5(rule_id) as finding_id, rule_id, 'A title' as title, severity,
        'Discovery' as tactic, 'T1046' as technique_id, '10.0.0.1' as entity,
        'client' as entity_type, null::varchar as peer, 22::bigint as port,
        6::bigint as protocol, timestamp '2026-03-30 10:00' as first_seen_at,
        timestamp '2026-03-30 11:00' as last_seen_at,
        timestamp '2026-03-30 12:00' as first_detected_at, 50::bigint as observed,
        '10.0.0.1 did "it".' as summary, is_suppressed
    from (values
        ('a_low_one', 'low', false), ('a_high_one', 'high', false),
        ('a_medium_one', 'medium', false), ('our_scanner', 'critical', true)
    ) as t(rule_id, severity, is_suppressed)
"""


class Receiver(HTTPServer):
    """Takes webhooks; answers with the statuses that a test gives, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.bodies: list[Any] = []
        self.url = f"http://127.0.0.1:{self.server_port}/a-secret"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 200:
            self.server.bodies.append(json.loads(body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project.of(tmp_path, tmp_path)
    with duckdb.connect(str(project.database)) as connection:
        connection.sql(FINDINGS)
    for name, value in project.variables().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(alert_channels, "WAITS", (0, 0, 0))
    monkeypatch.chdir(ROOT)
    return project


def alert(*words: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["alert", "--rate", "1000", *words])
    assert result.exit_code == exit_code, result.output
    return result


def rules(bodies: list[Any]) -> list[str]:
    return [body["rule_id"] for body in bodies]


def test_each_finding_is_sent_once_the_worst_first(
    project: Project, receiver: Receiver
) -> None:
    to = "--webhook", receiver.url
    assert "a_high_one" in alert(*to, "--dry-run").stdout
    assert receiver.bodies == []
    alert(*to, "--severity", "medium", "--limit", "1")
    assert rules(receiver.bodies) == ["a_high_one"]
    alert(*to, "--severity", "medium")
    assert rules(receiver.bodies) == ["a_high_one", "a_medium_one"]
    alert(*to)
    alert(*to)
    assert rules(receiver.bodies) == ["a_high_one", "a_medium_one", "a_low_one"]
    assert receiver.bodies[0]["first_seen_at"] == "2026-03-30T10:00:00Z"
    assert "a-secret" not in str(project.query("select * from sent_alerts"))


def test_a_busy_webhook_is_tried_again_and_a_refusal_is_not(
    project: Project, receiver: Receiver
) -> None:
    to = "--webhook", receiver.url
    receiver.statuses = [503, 429]
    alert(*to, "--limit", "1")
    assert rules(receiver.bodies) == ["a_high_one"]
    receiver.statuses = [403]
    refused = alert(*to, exit_code=1)
    assert "HTTP 403" in refused.stderr
    assert "a-secret" not in refused.output
    receiver.statuses = [500] * 4
    alert(*to, exit_code=1)
    alert(*to)
    assert rules(receiver.bodies) == ["a_high_one", "a_medium_one", "a_low_one"]


def test_what_is_not_remembered_is_sent_again(
    project: Project, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed between sending and remembering loses no finding."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("vpcflow.alert._remember", killed)
        alert("--webhook", receiver.url, exit_code=1)
    alert("--webhook", receiver.url)
    assert rules(receiver.bodies)[:2] == ["a_high_one", "a_high_one"]
    assert len(receiver.bodies) == 4


def test_receivers_are_remembered_apart(project: Project, tmp_path: Path) -> None:
    for name in ("one", "two", "one"):
        alert("--file", str(tmp_path / name))
    for name in ("one", "two"):
        lines = (tmp_path / name).read_text().splitlines()
        assert rules([json.loads(line) for line in lines]) == [
            *("a_high_one", "a_medium_one", "a_low_one"),
        ]


def test_the_forms_of_slack_teams_and_security_hub(
    project: Project, receiver: Receiver, tmp_path: Path
) -> None:
    first = "--limit", "1"
    alert("--webhook", receiver.url, "--form", "slack", *first)
    alert("--webhook", receiver.url + "/teams", "--form", "teams", *first)
    slack, teams = receiver.bodies
    assert slack["text"] == 'A title: 10.0.0.1 did "it".'
    card = teams["attachments"][0]["content"]
    assert card["type"] == "AdaptiveCard"
    assert card["body"][1]["text"] == '10.0.0.1 did "it".'

    hub = "--file", str(tmp_path / "asff"), "--form", "asff"
    alert(*hub, exit_code=2)
    alert(*hub, "--aws-account", "111122223333", "--aws-region", "us-east-1", *first)
    found = json.loads((tmp_path / "asff").read_text())
    # The fields that BatchImportFindings requires.
    assert set(found) >= {
        *("AwsAccountId", "CreatedAt", "Description", "GeneratorId", "Id"),
        *("ProductArn", "Resources", "SchemaVersion", "Severity", "Title", "UpdatedAt"),
    }
    assert found["Severity"] == {"Label": "HIGH"}
    assert found["ProductArn"] == (
        "arn:aws:securityhub:us-east-1:111122223333:product/111122223333/default"
    )


def test_syslog_gets_a_frame_a_finding(project: Project) -> None:
    received: list[bytes] = []

    class Taker(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while part := self.request.recv(65536):
                received.append(part)

    with socketserver.TCPServer(("127.0.0.1", 0), Taker) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        alert("--syslog", f"127.0.0.1:{server.server_address[1]}", "--limit", "1")
        server.shutdown()
        thread.join()
    length, _, line = b"".join(received).partition(b" ")
    assert int(length) == len(line)
    # log audit (13), error (3)
    assert line.startswith(b"<107>1 2")
    assert json.loads(line[line.index(b"{") :])["rule_id"] == "a_high_one"


@pytest.mark.parametrize(
    "words", [[], ["--file", "a", "--syslog", "b:1"], ["--form", "no"]]
)
def test_wrong_options_are_refused(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        cli.main(["alert", *words], standalone_mode=False)
