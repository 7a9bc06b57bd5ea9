"""The topic that the pipe subscribes to: ours, or another owner's."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from bootstrap import documents, eventbridge, notifications
from bootstrap.changes import Change
from bootstrap.deployment import Deployment, dumps
from bootstrap.errors import Blocked, code_of, unless
from bootstrap.naming import part_of
from bootstrap.policies import topic_events_statement, topic_snowflake_statement
from bootstrap.routes import Route, choose


def read_policy(d: Deployment, arn: str) -> str | None:
    """Return the text of a topic's policy, or None if there is no topic."""
    answer = unless(
        "NotFound NotFoundException",
        lambda: d.home.sns.get_topic_attributes(TopicArn=arn)["Attributes"],
    )
    if answer is None:
        return None
    return answer.get("Policy", '{"Version":"2012-10-17","Statement":[]}')


def is_ours(d: Deployment, arn: str) -> bool:
    """Return whether an existing topic has our tag."""
    answer = d.home.sns.list_tags_for_resource(ResourceArn=arn)
    return d.names.owns(answer.get("Tags"))


def plan_topic(d: Deployment) -> list[Change]:
    """Compare the topic of the route, and its policy, with what the pipe needs.

    Raises:
        Blocked: Another owner's topic has our name, or the topic does not exist.
    """
    route = choose(d, notifications.read(d))
    if route.topic_arn is None:
        return []
    arn = route.topic_arn
    d.check_region(arn, "topic")
    wanted = wanted_statements(d, route)
    missing = []
    if not any(s["Action"] == "sns:Subscribe" for s in wanted):
        missing = [
            Change("wait", f"policy of topic {arn}", "Snowflake's user comes first")
        ]
    if part_of(arn, 4) != d.settings.bucket.account_id:
        reason = "in another account: its owner must merge these statements"
        return [
            Change("note", f"policy of topic {arn}", reason, None, wanted),
            *missing,
        ]
    text = read_policy(d, arn)
    changes: list[Change] = []
    if text is None:
        if route.kind == "topic":
            raise Blocked(
                f"topic {arn} does not exist, although bucket "
                f"{d.settings.bucket.name} notifies it: its owner must create it, or "
                "remove the notification"
            )
        changes.append(_creation(d, wanted))
    else:
        if route.kind == "eventbridge" and not is_ours(d, arn):
            raise Blocked(
                f"topic {arn} exists and was not made by this deployment: change `name`"
            )
        changes += _policy_change(d, arn, text, wanted)
    if route.kind == "eventbridge":
        changes += eventbridge.plan_rule(d)
    return [*changes, *missing]


def wanted_statements(d: Deployment, route: Route) -> list[documents.Document]:
    """Return our statements for the topic's policy whose values are known."""
    assert route.topic_arn is not None
    found = []
    if route.kind == "eventbridge":
        found.append(topic_events_statement(d.names, route.topic_arn))
    integration = d.snowflake.integration()
    if integration is not None and integration.iam_user_arn:
        found.append(
            topic_snowflake_statement(
                d.names, route.topic_arn, integration.iam_user_arn
            )
        )
    return found


def plan_statement_removal(d: Deployment, arns: list[str]) -> list[Change]:
    """Remove our statements from topics of others."""
    changes: list[Change] = []
    for arn in arns:
        text = read_policy(d, arn)
        if text is not None:
            changes += _policy_change(d, arn, text, [])
    return changes


def plan_removal(d: Deployment) -> list[Change]:
    """Delete our own topic."""
    arn = eventbridge.topic_arn(d)
    if read_policy(d, arn) is None or not is_ours(d, arn):
        return []
    return [
        Change(
            "delete",
            f"topic {arn}",
            "this deployment made it; a pipe on it gets no more events, and for 72 "
            "hours no new pipe can use it",
            apply=lambda: d.home.sns.delete_topic(TopicArn=arn),
        )
    ]


def _creation(d: Deployment, wanted: list[documents.Document]) -> Change:
    policy = {"Version": documents.VERSION, "Statement": wanted}
    tags: Any = d.names.tags(d.settings.tags)
    return Change(
        "create",
        f"topic {d.names.topic}",
        "EventBridge publishes to it and the pipe subscribes",
        None,
        policy,
        lambda: d.retry(
            lambda: d.home.sns.create_topic(
                Name=d.names.topic, Attributes={"Policy": dumps(policy)}, Tags=tags
            ),
            _principal_not_seen,
        ),
    )


def _policy_change(
    d: Deployment, arn: str, text: str, wanted: list[documents.Document]
) -> list[Change]:
    current = json.loads(text)
    desired = documents.merge(current, wanted, d.names.sids)
    if documents.same(current, desired):
        return []
    return [
        Change(
            "update",
            f"policy of topic {arn}",
            "Snowflake may subscribe; other statements stay unchanged"
            if wanted
            else "remove our statement; others stay unchanged",
            current,
            desired,
            lambda: d.retry(
                lambda: d.home.sns.set_topic_attributes(
                    TopicArn=arn,
                    AttributeName="Policy",
                    AttributeValue=documents.render_like(text, desired),
                ),
                _principal_not_seen,
            ),
        )
    ]


def _principal_not_seen(error: ClientError) -> bool:
    return code_of(error) == "InvalidParameter" and ("principal" in str(error).lower())
