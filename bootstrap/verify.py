"""Check every link from flow log to loaded file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from bootstrap import access, bucket, events, flow_logs
from bootstrap.changes import Change
from bootstrap.deployment import FAILURES, Deployment
from bootstrap.notify import day_prefixes

if TYPE_CHECKING:
    from bootstrap.settings import Source

PARAMETERS = (
    "REQUIRE_STORAGE_INTEGRATION_FOR_STAGE_CREATION",
    "REQUIRE_STORAGE_INTEGRATION_FOR_STAGE_OPERATION",
    "PREVENT_UNLOAD_TO_INLINE_URL",
)
# AWS delivers about every ten minutes.
LATE_MINUTES = 60
APPLY = "run `python -m bootstrap apply`"


@dataclass(frozen=True)
class Link:
    """A link of the chain.

    Args:
        name: The resource that it checks.
        state: ``ok``, ``broken``, or ``unknown`` if it cannot be read from here.
        detail: The resource's state.
        todo: The next step; empty if none.
    """

    name: str
    state: Literal["ok", "broken", "unknown"]
    detail: str
    todo: str = ""


def check(d: Deployment) -> Iterator[Link]:
    """Yield every link, from flow log to newest loaded file; write nothing.

    A link that cannot be read is broken, and the check continues with the next.
    """
    for name, look in _looks(d):
        try:
            yield from look()
        except FAILURES as error:
            said = str(d.explained(error, name))
            yield Link(name, "broken", *_first_and_rest(said))


def _first_and_rest(text: str) -> tuple[str, str]:
    first, _, rest = text.partition("\n")
    return first, " ".join(rest.split()) or "see `python -m bootstrap plan`"


def _looks(d: Deployment) -> list[tuple[str, Callable[[], Iterable[Link]]]]:
    def planned(
        name: str, plan: Callable[[Deployment], list[Change]]
    ) -> tuple[str, Callable[[], Iterable[Link]]]:
        return name, lambda: [_from_plan(d, name, plan)]

    found = [
        ("bucket", lambda: [_bucket(d)]),
        planned("bucket policy", bucket.plan_policy),
    ]
    if d.settings.bucket.encryption.key_arn:
        found.append(planned("key policy", access.plan_key_policy))
    if d.settings.bucket.expire_days:
        found.append(planned("lifecycle rules", bucket.plan_lifecycle))
    return [
        *found,
        *(
            (f"flow logs of {place[0]} {place[1]}", partial(_flow_logs, d, place))
            for place in d.source_regions()
        ),
        ("newest delivered file", lambda: [_newest_file(d)]),
        planned("role", access.plan_role),
        ("storage integration", lambda: [_integration(d)]),
        planned("role trust", access.plan_trust),
        ("events", lambda: _events(d)),
        ("pipe", lambda: [_pipe(d)]),
        ("newest loaded file", lambda: [_loaded(d)]),
        ("account parameters", lambda: _parameters(d)),
    ]


def _from_plan(
    d: Deployment, name: str, plan: Callable[[Deployment], list[Change]]
) -> Link:
    changes = plan(d)
    open_changes = [c for c in changes if c.pending or c.verb == "wait"]
    if open_changes:
        what = "; ".join(f"{c.resource}: {c.reason}" for c in open_changes)
        return Link(name, "broken", what, APPLY)
    if changes:
        return Link(name, "unknown", f"{changes[0].resource}: {changes[0].reason}")
    return Link(name, "ok", "as wanted")


def _bucket(d: Deployment) -> Link:
    found = bucket.read(d).owner
    if found is bucket.Bucket.ABSENT:
        missing = f"{d.settings.bucket.name} does not exist"
        return Link("bucket", "broken", missing, APPLY)
    if found is bucket.Bucket.OURS and bucket.plan_bucket(d):
        todo = "see `python -m bootstrap plan`, then run `apply`"
        return Link(
            "bucket", "broken", f"settings of {d.settings.bucket.name} changed", todo
        )
    return Link("bucket", "ok", f"{d.settings.bucket.name} is {found.value}")


def _flow_logs(d: Deployment, place: tuple[str, str, list[Source]]) -> Iterator[Link]:
    account_id, region, sources = place
    where = f"flow logs of {account_id} {region}"
    with d.visiting(sources[0], region) as account:
        chosen = flow_logs.chosen(account, sources)
        ids = {i for _, found in chosen for i in found}
        logs = [g for g in flow_logs.delivering(d, account) if g.resource_id in ids]
    missing = sorted(ids - {log.resource_id for log in logs})
    if missing:
        text = f"no flow log on {', '.join(missing)}"
        yield Link(where, "broken", text, APPLY)
    failed = [log for log in logs if log.status[0] == "FAILED"]
    for log in failed:
        yield Link(
            where,
            "broken",
            f"{log.id} of {log.resource_id}: delivery failed: {log.status[1]}",
            f"{APPLY}, which corrects the policies of bucket and key (`Access "
            "error`); the bucket must name its key by ARN (`LogDestination "
            "undeliverable`)",
        )
    if not missing and not failed:
        yield Link(where, "ok", f"{len(logs)} deliver to {d.place.destination}")


def _newest_file(d: Deployment) -> Link:
    name = "newest delivered file"
    newest: Any = None
    for prefix in day_prefixes(d, datetime.now(UTC), 2):
        pages = d.home.s3.get_paginator("list_objects_v2").paginate(
            **d.bucket, Prefix=prefix
        )
        for page in pages:
            for item in page.get("Contents", []):
                if item["Key"].endswith(d.suffix) and (
                    newest is None or item["LastModified"] > newest["LastModified"]
                ):
                    newest = item
    if newest is None:
        return Link(
            name,
            "broken",
            f"no file of yesterday or today under {d.place.logs_prefix} in bucket "
            f"{d.settings.bucket.name}",
            "AWS delivers the first file about ten minutes after it creates a flow "
            "log; later than that, check the flow logs above",
        )
    age = _minutes_since(newest["LastModified"])
    text = f"{newest['Key']}, {age} minutes old"
    if age > LATE_MINUTES:
        return Link(name, "broken", text, "check the flow logs and the policies above")
    return Link(name, "ok", text)


def _integration(d: Deployment) -> Link:
    name = "storage integration"
    found = d.snowflake.integration()
    if d.snowflake.by_hand:
        return Link(name, "unknown", "values are given by hand; ask its administrator")
    todo = APPLY
    if found is None:
        return Link(name, "broken", "it does not exist", todo)
    if not found.enabled:
        return Link(name, "broken", "it is not enabled", todo)
    if found.role_arn != access.role_arn(d):
        return Link(name, "broken", f"it assumes {found.role_arn}", todo)
    if d.place.location not in found.locations:
        return Link(name, "broken", f"it may not read {d.place.location}", todo)
    return Link(name, "ok", f"it assumes {access.role_arn(d)}")


def _events(d: Deployment) -> Iterator[Link]:
    configuration = events.read(d)
    route = events.choose(d, configuration)
    name = f"events ({route.kind})"
    if route.kind == "none":
        yield Link(name, "ok", "none; `notify` sends files to the pipe")
        return
    if route.kind in ("topic", "eventbridge"):
        yield _from_plan(d, name, events.plan_topic)
        return
    pipe = d.snowflake.pipe()
    channel = pipe.notification_channel if pipe else ""
    mine = d.names.events
    found = [r for r in events.rules(configuration) if r.id == mine]
    if not channel:
        yield Link(name, "broken", "the pipe has no queue", APPLY)
    elif events.wanted_rule(d, channel) not in found:
        text = f"the bucket notifies {found[0].arn if found else 'no queue of ours'}"
        yield Link(name, "broken", f"{text}, the pipe reads {channel}", APPLY)
    else:
        yield Link(name, "ok", f"the bucket notifies {channel}")
    if events.read_rule(d, refuse_foreign=False) is not None:
        yield Link(
            name,
            "unknown",
            f"our EventBridge rule {events.bridge_name(d)} is not needed any more",
            "set events.route: auto to use it, or delete it",
        )


def _pipe(d: Deployment) -> Link:
    pipe = d.snowflake.pipe()
    if pipe is None:
        return Link("pipe", "broken", "it does not exist", APPLY)
    if not pipe.execution_state:
        return Link("pipe", "unknown", "its state cannot be read from here")
    if pipe.execution_state != "RUNNING":
        todo = {
            "PAUSED": f"alter pipe {pipe.name} set pipe_execution_paused = false",
            "STALLED_STAGE_PERMISSION_ERROR": "check role, trust and integration above",
            "STOPPED_STAGE_DROPPED": "the stage was replaced: recreate the pipe",
        }.get(pipe.execution_state, "see SYSTEM$PIPE_STATUS in Snowflake's reference")
        return Link("pipe", "broken", f"{pipe.name} is {pipe.execution_state}", todo)
    return Link("pipe", "ok", f"{pipe.name} is RUNNING")


def _loaded(d: Deployment) -> Link:
    name = "newest loaded file"
    found = d.snowflake.load()
    if found is None:
        return Link(name, "unknown", "see COPY_HISTORY of the landing table")
    newest, at = found.get("newest_file"), found.get("newest_loaded_at")
    todo = (
        "`dbt run-operation pipe_status` shows whether events arrive, `load_errors` "
        "which files failed"
    )
    if not newest or not at:
        return Link(name, "broken", "no file within 14 days", todo)
    moment = datetime.fromisoformat(str(at))
    age = _minutes_since(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    text = f"{newest}, loaded {age} minutes ago"
    if age > LATE_MINUTES:
        return Link(name, "broken", text, todo)
    return Link(name, "ok", text)


def _minutes_since(moment: datetime) -> int:
    return int((datetime.now(UTC) - moment).total_seconds() // 60)


def _parameters(d: Deployment) -> Iterator[Link]:
    """Report the account parameters for stages and unloading; set none."""
    found = d.snowflake.parameters()
    for name in PARAMETERS:
        if found is None:
            text = f"ask with: show parameters like '{name}' in account"
            yield Link(f"parameter {name}", "unknown", text)
            continue
        value = str(found.get(name, found.get(name.lower(), "not set")))
        yield Link(f"parameter {name}", "ok", value.lower())
