"""The forms of a finding that is sent: JSON, Slack's, Teams' and Security Hub's."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

Finding = dict[str, Any]
Message = dict[str, Any]

#: Security Hub's `Label` is the same word in capitals.
COLORS = {"critical": "8b0000", "high": "d32f2f", "medium": "f9a825", "low": "607d8b"}


def as_json(finding: Finding) -> Message:
    """Return the row of `findings`, with times as ISO 8601 in UTC."""
    return {
        name: _time(value) if isinstance(value, datetime) else value
        for name, value in finding.items()
    }


def as_slack(finding: Finding) -> Message:
    """Return the body of an incoming webhook of Slack.

    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
    """
    text = f"*{finding['severity'].upper()}: {finding['title']}*\n{finding['summary']}"
    return {
        "text": f"{finding['title']}: {finding['summary']}",
        "attachments": [
            {
                "color": "#" + COLORS[finding["severity"]],
                "text": text,
                "footer": _footer(finding),
            }
        ],
    }


def as_teams(finding: Finding) -> Message:
    """Return the body of a Teams workflow that posts an adaptive card.

    https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors
    """
    blocks = [
        {
            "type": "TextBlock",
            "weight": "Bolder",
            "text": f"{finding['severity'].upper()}: {finding['title']}",
        },
        {"type": "TextBlock", "wrap": True, "text": finding["summary"]},
        {"type": "TextBlock", "isSubtle": True, "text": _footer(finding)},
    ]
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": blocks,
                },
            }
        ],
    }


def as_asff(account: str, region: str) -> Callable[[Finding], Message]:
    """Return the form of AWS Security Hub, for findings of one account and region.

    https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format-syntax.html

    Args:
        account: The 12 digits of the account that imports them.
        region: Its region, such as us-east-1.

    Raises:
        ValueError: the account or the region has another form.
    """
    if not re.fullmatch(r"\d{12}", account) or not re.fullmatch(r"[a-z0-9-]+", region):
        raise ValueError(
            "Security Hub needs --aws-account (12 digits) and --aws-region"
        )
    partition = "aws-cn" if region.startswith("cn-") else "aws"
    if region.startswith("us-gov-"):
        partition = "aws-us-gov"

    def form(finding: Finding) -> Message:
        return {
            "SchemaVersion": "2018-10-08",
            "Id": finding["finding_id"],
            "ProductArn": f"arn:{partition}:securityhub:{region}:{account}"
            f":product/{account}/default",
            "GeneratorId": f"vpc_flow_logs/{finding['rule_id']}",
            "AwsAccountId": account,
            "Types": ["TTPs/" + finding["tactic"]],
            "FirstObservedAt": _time(finding["first_seen_at"]),
            "LastObservedAt": _time(finding["last_seen_at"]),
            "CreatedAt": _time(finding["first_detected_at"]),
            "UpdatedAt": _time(finding["first_detected_at"]),
            "Severity": {"Label": finding["severity"].upper()},
            "Title": finding["title"],
            "Description": finding["summary"],
            "Resources": [
                {
                    "Type": "Other",
                    "Id": finding["entity"],
                    "Partition": partition,
                    "Region": region,
                }
            ],
            "ProductFields": {
                name: str(finding[name])
                for name in ("rule_id", "technique_id", "peer", "port", "observed")
                if finding[name] is not None
            },
        }

    return form


def _footer(finding: Finding) -> str:
    return (
        f"{finding['rule_id']} · {finding['technique_id']} ·"
        f" {finding['first_seen_at']:%Y-%m-%d %H:%M} to"
        f" {finding['last_seen_at']:%Y-%m-%d %H:%M} UTC"
    )


def _time(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ")
