"""The resources of a deployment, as a list. Nothing is written or compared.

`export` reads the list. `plan`, `apply`, `verify` and `destroy` call the functions that
make its entries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bootstrap import access, bucket, events, flow_logs
from bootstrap.deployment import Deployment


@dataclass(frozen=True)
class Resource:
    """One resource of a deployment.

    Args:
        account: Its account.
        region: Its region.
        kind: What it is, such as ``bucket policy``.
        name: Its identity there.
        content: Its value, in the form of AWS's API.
        mark: The owner's mark that it bears.
        ours: Whether all of it is ours; else it is our part of another owner's thing.
    """

    account: str
    region: str
    kind: str
    name: str
    content: Any
    mark: str
    ours: bool = True


def describe(d: Deployment, only_home: bool = False) -> list[Resource]:
    """Return every resource of the settings, by what exists in the accounts.

    Args:
        d: The deployment.
        only_home: Whether to leave out flow logs, which are in many accounts.
    """
    home = d.settings.bucket
    found = [
        Resource(home.account_id, home.region, kind, name, content, d.names.mark, ours)
        for kind, name, content, ours in (
            *_bucket(d),
            *_access(d),
            *_events(d),
        )
    ]
    return found if only_home else [*found, *_flow_logs(d)]


Parts = Iterable[tuple[str, str, Any, bool]]
"""Kind, name, content, and whether all of it is ours."""


def _bucket(d: Deployment) -> Parts:
    wanted, mine = d.settings.bucket, d.settings.bucket.create
    if mine:
        tags = d.names.tags(d.settings.tags)
        yield "bucket", wanted.name, {"Tags": tags}, True
        for setting in bucket.bucket_settings(d):
            yield setting.what, wanted.name, setting.wanted, True
    statements = bucket.fitting_statements(d)
    yield "bucket policy", wanted.name, statements, mine
    rules = bucket.lifecycle_rules(d)
    if rules:
        yield "lifecycle rules", wanted.name, rules, mine


def _access(d: Deployment) -> Parts:
    given, name = d.settings.snowflake, access.role_name(d)
    role = {
        "Path": given.role_path,
        "PermissionsBoundary": given.permissions_boundary,
        "Tags": d.names.tags(d.settings.tags),
    }
    yield "role", name, role, True
    yield "role policy", f"{name}/{d.names.role_policy}", access.wanted_policy(d), True
    key = d.settings.bucket.encryption.key_arn
    if key:
        yield "key policy", key, access.wanted_key_statements(d), False


def _events(d: Deployment) -> Parts:
    route = events.choose(d, events.read(d))
    if route.kind == "queue":
        pipe = d.snowflake.pipe()
        rule = events.wanted_rule(d, pipe.notification_channel if pipe else "")
        yield "notification", rule.id, events.as_item(rule), d.settings.bucket.create
    if route.topic_arn is None:
        return
    statements = events.wanted_statements(d, route)
    ours = route.kind == "eventbridge"
    if ours:
        tags = d.names.tags(d.settings.tags)
        name = events.bridge_name(d)
        yield "topic", name, {"Tags": tags}, True
        yield "event rule", name, events.pattern(d), True
        where = d.settings.bucket
        yield "EventBridge of the bucket", where.name, {}, where.create
    yield "topic policy", route.topic_arn, statements, ours


def _flow_logs(d: Deployment) -> Iterable[Resource]:
    for account_id, region, sources in d.source_regions():
        with d.visiting(sources[0], region) as account:
            chosen = flow_logs.chosen(account, sources)
        for source, ids in chosen:
            for identity in ids:
                content = flow_logs.request(d, source, [identity])
                mark = d.names.mark
                yield Resource(account_id, region, "flow log", identity, content, mark)
