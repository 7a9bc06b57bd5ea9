"""`vpcflow alert`: send new findings, once each, and remember which were sent.

The table `sent_alerts`, beside the models, has a row for each finding and receiver. A
row is written after the receiver has the finding: if a run is killed in between, the
next one sends this finding again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from .alert_channels import Channel, NotSentError
from .alert_forms import Finding, Message
from .built_tables import QueryError, Tables, Where, open_tables
from .severities import SEVERITIES, rank

CREATE = (
    "create table if not exists sent_alerts"
    " (finding_id varchar, receiver varchar, sent_at varchar)"
)


@dataclass(frozen=True)
class Alert:
    """What to send and where.

    `severity` is the lowest that is sent, `limit` the number of findings in a run,
    `rate` the number in a second.
    """

    channel: Channel
    form: Callable[[Finding], Message]
    severity: str = "low"
    limit: int = 100
    rate: float = 1
    is_dry_run: bool = False

    @property
    def receiver(self) -> str:
        """A name of the channel that holds no secret of it."""
        target = f"{type(self.channel).__name__} {self.channel.target}"
        return hashlib.sha256(target.encode()).hexdigest()[:16]


class Sent(NamedTuple):
    """How many findings were sent, whether there are more, and why it stopped."""

    findings: int
    has_more: bool
    failure: str | None


def send_new_findings(alert: Alert, where: Where) -> Sent:
    """Send the findings that the receiver does not have and that are not suppressed.

    The database is open only while it is read or written, not while a receiver answers.

    Raises:
        QueryError: the tables can't be reached.
    """
    findings = _new_findings(alert, where)
    has_more = len(findings) > alert.limit
    count = 0
    for finding in findings[: alert.limit]:
        message = alert.form(finding)
        if alert.is_dry_run:
            print(json.dumps(message))
            continue
        if count:
            time.sleep(1 / alert.rate)
        try:
            alert.channel.send(finding, message)
        except NotSentError as reason:
            return Sent(count, has_more, reason.format_message())
        count += 1
        _remember(alert, where, finding)
    return Sent(count, has_more, None)


def _new_findings(alert: Alert, where: Where) -> list[Finding]:
    """Return one more than the limit at most, the worst first."""
    order, lowest = rank("severity"), SEVERITIES.index(alert.severity)
    if not alert.is_dry_run:
        with open_tables(where, _say, is_writing=True) as tables:
            tables.query(CREATE)
    with open_tables(where, _say) as tables:
        known = (
            " and finding_id not in (select finding_id from sent_alerts"
            f" where receiver = '{alert.receiver}')"
        )
        if alert.is_dry_run and not _has_sent_alerts(tables):
            known = ""
        rows = tables.query(
            f"select * from findings where not is_suppressed and {order} <= {lowest}"
            f"{known} order by {order}, first_seen_at, finding_id",
            alert.limit + 1,
        )
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]


def _has_sent_alerts(tables: Tables) -> bool:
    """Return whether a run before this one has made the table."""
    try:
        tables.query("select finding_id from sent_alerts limit 0")
    except QueryError:
        return False
    return True


def _remember(alert: Alert, where: Where, finding: Finding) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    with open_tables(where, _say, is_writing=True) as tables:
        tables.query(
            f"insert into sent_alerts select '{finding['finding_id']}',"
            f" '{alert.receiver}', '{now}'"
        )


def _say(line: str) -> None:
    print(line, file=sys.stderr)
