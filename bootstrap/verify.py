"""Check every link from flow log to loaded file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from bootstrap import bucket, events, flow_logs, steps
from bootstrap.aws import Account
from bootstrap.bucket import read_policy
from bootstrap.changes import Change
from bootstrap.notify import delivered
from bootstrap.policies import statements
from bootstrap.settings import Source
from bootstrap.steps import FAILURES, Deployment

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
        yield from _tried(d, name, look)


def _tried(
    d: Deployment, name: str, look: Callable[[], Iterable[Link]]
) -> Iterator[Link]:
    try:
        yield from look()
    except FAILURES as error:
        yield _failed(d, name, error)


def _failed(d: Deployment, name: str, error: Exception) -> Link:
    first, _, rest = str(d.explained(error, name)).partition("\n")
    todo = " ".join(rest.split()) or "see `python -m bootstrap plan`"
    return Link(name, "broken", first, todo)


def _looks(d: Deployment) -> list[tuple[str, Callable[[], Iterable[Link]]]]:
    """Return the links: each step of `apply`, and what no step compares."""
    s = d.settings

    def unreadable(place: tuple[str, str], error: Exception) -> list[Link]:
        name = f"flow logs of {place[0]} {place[1]}"
        return [_failed(d, name, error)]

    checks: dict[str, Callable[[], Iterable[Link]]] = {
        step.title: partial(_from_plan, step)
        for step in steps.apply_steps(d)
        if step.planned
    }
    for title in ("flow logs that move", "earlier place", "pipe"):
        del checks[title]
    if not s.bucket.encryption.key_arn:
        del checks["key policy"]
    if not s.bucket.expire_days:
        del checks["lifecycle rules"]
    checks["flow logs"] = lambda: d.everywhere(partial(_flow_logs, d), unreadable)
    for title in ("topic", "event notification"):
        checks[title] = partial(_events, d, checks[title])
    return [
        *checks.items(),
        ("newest delivered file", lambda: [_newest_file(d)]),
        ("pipe", lambda: [_pipe(d)]),
        ("newest loaded file", lambda: [_loaded(d)]),
        ("account parameters", lambda: _parameters(d)),
    ]


def _from_plan(step: steps.Step) -> Iterator[Link]:
    changes = list(step.read())
    open_changes = [c for c in changes if c.pending or c.verb == "wait"]
    if open_changes:
        what = "; ".join(f"{c.resource}: {c.reason}" for c in open_changes)
        yield Link(step.title, "broken", what, APPLY)
    elif changes:
        text = f"{changes[0].resource}: {changes[0].reason}"
        yield Link(step.title, "unknown", text)
    else:
        yield Link(step.title, "ok", "as wanted")


def _flow_logs(
    d: Deployment, account: Account, sources: list[Source]
) -> Iterator[Link]:
    where = f"flow logs of {account.account_id} {account.region}"
    chosen = flow_logs.chosen(account, sources)
    ids = {i for _, found in chosen for i in found}
    logs = [g for g in flow_logs.delivering(account, d.place) if g.resource_id in ids]
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
    name, s = "newest delivered file", d.settings
    files = delivered(d.home, s, datetime.now(UTC), 2)
    newest = max(files, key=lambda item: item["LastModified"], default=None)
    if newest is None:
        return Link(
            name,
            "broken",
            f"no file of yesterday or today under {s.place.logs_prefix} in bucket "
            f"{s.bucket.name}",
            "AWS delivers the first file about ten minutes after it creates a flow "
            "log; later than that, check the flow logs above",
        )
    age = _minutes_since(newest["LastModified"])
    text = f"{newest['Key']}, {age} minutes old"
    if age > LATE_MINUTES:
        return Link(name, "broken", text, "check the flow logs and the policies above")
    return Link(name, "ok", text)


def _events(d: Deployment, look: Callable[[], Iterable[Link]]) -> Iterator[Link]:
    """Add the route to the name of a step's link, and leave out what it has not."""
    kind = d.route.kind
    for link in look():
        of_topic = kind in ("topic", "eventbridge")
        if (link.name == "topic") == of_topic:
            yield replace(link, name=f"events ({kind})")
        if link.name == "topic" or kind != "queue":
            return
    name, rule = events.bridge(d.home, d.names, refuse_foreign=False)
    if rule is not None:
        yield Link(
            "events (eventbridge)",
            "unknown",
            f"our EventBridge rule {name} is not needed any more",
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


# ----- a trial on the live account

TRIAL_MINUTES = 20
# The pause between two looks for a file, in seconds.
PAUSE = 30.0


def live(d: Deployment) -> Iterator[Link]:
    """Yield what a flow log of one VPC settles about the live account.

    AWS's guides contradict each other on what creating a flow log does to the bucket's
    policy, and on whether delivery sends the ACL header. A trial has a flow log, a
    prefix and statements of its own, which no pipe reads, and removes them at the end.
    """
    trial = _trial(d)
    if trial is None:
        text = "no source selects a VPC, subnet or interface"
        yield Link("trial", "unknown", text)
        return
    try:
        yield from _tried(d, "trial", lambda: _deliver(trial))
    finally:
        yield from _tried(d, "trial: removal", lambda: _remove(trial))


def _trial(d: Deployment) -> Deployment | None:
    """Return the deployment of the trial: the first resource that a source selects."""
    s = d.settings
    places = sorted(s.places, key=lambda place: place[0] != s.bucket.account_id)
    for place in places:
        for source, ids in flow_logs.chosen(d.at(place), s.places[place]):
            if ids and not source.is_transit_gateway:
                one = {"regions": (place[1],), "ids": ids[:1], "tags": {}, "all": False}
                options = s.options(source).model_copy(
                    update={"aggregation_seconds": 60, "hourly_partitions": False}
                )
                more = {"flow_logs": options, **one}
                prefix = f"{s.bucket.prefix}-trial" if s.bucket.prefix else "trial"
                bucket = {"create": False, "prefix": prefix, "moved_from": None}
                update = {
                    "sources": (source.model_copy(update=more),),
                    "bucket": s.bucket.model_copy(update=bucket),
                }
                return replace(d, settings=s.model_copy(update=update))
    return None


def _run(d: Deployment, order: steps.Order, *titles: str) -> Iterator[Change]:
    """Run some of the steps."""
    return steps.apply(d, lambda d: tuple(s for s in order(d) if s.title in titles))


def _deliver(d: Deployment) -> Iterator[Link]:
    names = ("bucket policy", "flow logs", "bucket policy, read again")
    before = after = None
    for change in _run(d, steps.apply_steps, *names):
        if change.verb == "wait":
            yield Link("trial", "unknown", f"{change.resource}: {change.reason}")
            return
        if change.pending and change.resource.startswith("flow logs"):
            before, after = d.journal.read(), read_policy(d.home, d.settings.s3)
    yield Link("trial: bucket policy", "ok", _what_aws_did(before, after))
    asks = any(
        "s3:x-amz-acl" in str(s.get("Condition"))
        for s in bucket.delivery(d.home, d.settings, d.journal).content
    )
    header = f"our policy {'asks' if asks else 'does not ask'} for the ACL header"
    waited = 0.0
    while waited <= TRIAL_MINUTES * 60:
        found = next(delivered(d.home, d.settings, datetime.now(UTC), 2), None)
        if found:
            text = f"{found['Key']} after {waited / 60:.0f} minutes; {header}"
            yield Link("trial: delivery", "ok", text)
            return
        d.say(f"no file yet; next look in {PAUSE:.0f} s")
        d.sleep(PAUSE)
        waited += PAUSE
    (account,) = (d.at(place) for place in d.settings.places)
    status = [log.status for log in flow_logs.ours(account, d.place, d.names)]
    text = f"no file after {TRIAL_MINUTES} minutes, {status}; {header}"
    todo = (
        "see AWS's troubleshooting guide of flow logs, and whether the VPC has traffic"
    )
    yield Link("trial: delivery", "broken", text, todo)


def _what_aws_did(before: str | None, after: str | None) -> str:
    """Return what creating a flow log did to the bucket's policy."""
    old, new = (statements(json.loads(text or "null")) for text in (before, after))
    if old == new:
        return "AWS kept it when it created a flow log"
    if [s for s in new if s in old] == old:
        return f"AWS added {len(new) - len(old)} statements to it; they are removed"
    return "AWS overwrote it; it is restored"


def _remove(d: Deployment) -> Iterator[Link]:
    names = ("data", "flow logs", "bucket policy")
    done = list(_run(d, steps.destroy_steps(True, False), *names))
    made = sum(change.pending for change in done)
    text = f"{made} changes taken back; AWS may still deliver to {d.place.location}"
    yield Link("trial: removal", "ok", text)
