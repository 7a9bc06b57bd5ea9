"""The steps of `apply` and `destroy` in their order, and how they are run.

Each step compares desired resources with what exists. A step that fails stops only the
steps that need it. The run ends with all failures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from bootstrap import bucket, description, events, flow_logs, snowflake
from bootstrap.aws import Account, Accounts
from bootstrap.bucket import Files, Journal, state_folder
from bootstrap.changes import (
    DENIED_FILE,
    BootstrapError,
    Change,
    Incomplete,
    decoded,
    encoded_message,
    explain,
    explain_failure,
    retry,
)
from bootstrap.description import OF_THE_OWNER, Resource, Waits
from bootstrap.naming import Names, Place
from bootstrap.settings import Settings, Source
from bootstrap.snowflake import ByHand, Integration

FAILURES = (ClientError, BotoCoreError, BootstrapError, OSError)
# Accounts and regions that are read at the same time.
PARALLEL = 16

Found = TypeVar("Found")
At = Callable[[Account, list[Source]], Iterable[Found]]


def _quiet(_: str) -> None:
    return None


@dataclass(frozen=True)
class Deployment:
    """The settings of one ``bootstrap.yml``, with access to both sides.

    Only this module has it: a comparison gets the clients of one account and the
    resource that is wanted there. It finds the role's name and the route once a run.

    Args:
        settings: The validated settings.
        accounts: Returns the clients of an account.
        snowflake: The Snowflake side.
        say: Shows a line of progress.
        sleep: Pauses for a number of seconds.
        replace_flow_logs: Whether to replace our flow logs that differ.
    """

    settings: Settings
    accounts: Accounts
    snowflake: ByHand
    say: Callable[[str], None] = _quiet
    sleep: Callable[[float], None] = time.sleep
    replace_flow_logs: bool = False

    @property
    def names(self) -> Names:
        """The names that follow from name, bucket and prefix."""
        return self.settings.names

    @property
    def place(self) -> Place:
        """The bucket and prefix that logs are delivered to."""
        return self.settings.place

    @property
    def home(self) -> Account:
        """The bucket's account and region."""
        home = self.settings.bucket
        return self.accounts.account(home.account_id, home.region, home.role_arn)

    @property
    def earlier(self) -> Deployment | None:
        """The deployment at the place before it moved, or None."""
        before = self.settings.earlier
        return replace(self, settings=before) if before else None

    @property
    def journal(self) -> Journal:
        """The copy of the bucket policy that survives an interruption."""
        path = self.settings.state_dir / f"{self.names.key}.policy.json"
        return Journal(path, self.place, self.settings.senders[0])

    @property
    def files(self) -> Files:
        """The bucket's files."""
        wanted = description.absent(self.settings, "bucket", self.place.bucket)
        return Files(
            self.home,
            wanted,
            self.settings.log_folders,
            self.place.inventory,
            lambda: [
                *events.uses_of_others(self.home, wanted),
                *self.everywhere(
                    lambda a, _: flow_logs.of_others(a, self.place, self.names)
                ),
            ],
            self.say,
        )

    @cached_property
    def role_name(self) -> str:
        """The name of the role that Snowflake assumes."""
        return snowflake.role_name(self.home, self.settings)

    @property
    def role_arn(self) -> str:
        """The ARN of the role that Snowflake assumes."""
        return description.role_arn(self.settings, self.role_name)

    @cached_property
    def route(self) -> events.Route:
        """The route of events."""
        return events.find_route(self.home, self.settings)

    def compare(self, resources: Iterable[Resource | None]) -> Iterator[Change]:
        """Yield what changes each resource of the bucket's account, one after another.

        Args:
            resources: The resources; each is read after the one before is changed.
        """
        for wanted in resources:
            if wanted is None:
                continue
            place = wanted.account, wanted.region
            if isinstance(wanted.content, Waits):
                yield Change("wait", wanted.label, wanted.content.reason).at(*place)
                continue
            for change in self._comparison(wanted.kind)(self.home, wanted):
                theirs = wanted.kind in OF_THE_OWNER
                if theirs and change.pending and not self.settings.bucket.manage:
                    why = "bucket.manage: false, so its owner must change it"
                    change = replace(change, verb="wait", reason=why, apply=None)
                yield change.at(*place)

    def _comparison(self, kind: str) -> Callable[[Account, Resource], Any]:
        s, side = self.settings, self.snowflake
        if kind in bucket.SETTINGS:
            return bucket.compare_setting
        manage = s.bucket.encryption.manage_key_policy
        found: dict[str, Callable[..., Iterable[Change]]] = {
            "bucket": bucket.compare_bucket,
            "bucket policy": partial(bucket.compare_policy, journal=self.journal),
            "lifecycle rules": bucket.compare_lifecycle,
            "key policy": lambda a, w: bucket.compare_key_policy(
                a, w, self.role_arn, manage
            ),
            "role": partial(snowflake.compare_role, s=s),
            "role policy": partial(snowflake.compare_role_policy, s=s),
            "role trust": snowflake.compare_trust,
            "storage integration": lambda _, w: snowflake.compare_integration(side, w),
            "pipe": lambda _, w: snowflake.compare_pipe(
                side, w, lambda: not any(self.compare([self.trust]))
            ),
            "notification": events.compare_notification,
            "EventBridge": events.compare_switch,
            "topic": events.compare_topic,
            "topic policy": events.compare_topic_policy,
            "event rule": events.compare_rule,
        }
        return found[kind]

    @property
    def trust(self) -> Resource:
        """The role's trust."""
        s = self.settings
        return description.trust(s, self.role_name, self.snowflake.integration())

    @property
    def notification(self) -> Resource:
        """The notification of the pipe's queue."""
        pipe = self.snowflake.pipe()
        channel = pipe.notification_channel if pipe else ""
        return description.notification(self.settings, self.route, channel)

    @property
    def topic(self) -> Iterator[Resource]:
        """The topic of the route, and what belongs to it."""
        found = self.snowflake.integration()
        user = found.iam_user_arn if found else ""
        return description.topic(self.settings, self.route, user)

    def at(self, place: tuple[str, str]) -> Account:
        """Return the clients of an account and region of `sources`."""
        source = self.settings.places[place][0]
        return self.accounts.account(place[0], place[1], source.role_arn)

    def everywhere(
        self,
        look: At[Found],
        failed: Callable[[tuple[str, str], Exception], list[Found]] | None = None,
    ) -> list[Found]:
        """Return what is found in every account and region of `sources`, in order.

        Several are read at a time.

        Args:
            look: Finds something in one account and region.
            failed: Returns what is found in one that cannot be read; None to raise.
        """
        places = self.settings.places
        # Before the threads, which share it.
        assert self.home.account_id

        def one(place: tuple[str, str]) -> list[Found]:
            try:
                return list(look(self.at(place), places[place]))
            except FAILURES as error:
                if failed is None:
                    raise
                return failed(place, error)

        if len(places) < 2:
            return [item for place in places for item in one(place)]
        with ThreadPoolExecutor(PARALLEL) as pool:
            return [item for found in pool.map(one, places) for item in found]

    def changes_everywhere(self, look: At[Change]) -> list[Change]:
        """Return the changes of every account and region.

        One that cannot be read is one failed change.
        """

        def failed(place: tuple[str, str], error: Exception) -> list[Change]:
            what = f"flow logs in {place[0]} {place[1]}"
            found = Change("failed", what, str(self.explained(error, what)))
            return [found.at(*place)]

        def placed(a: Account, sources: list[Source]) -> list[Change]:
            return [c.at(a.account_id, a.region) for c in look(a, sources)]

        return self.everywhere(placed, failed)

    def tried(self, step: Step) -> Iterator[Change]:
        """Yield a step's changes, and one that says why it failed."""
        home = self.settings.bucket
        try:
            for change in step.read():
                yield change.at(home.account_id, home.region)
        except FAILURES as error:
            why = str(self.explained(error, step.title))
            yield Change("failed", step.title, why).at(home.account_id, home.region)

    def explained(self, error: Exception, what: str) -> BootstrapError:
        """Return an error of AWS's or ours with its resource and the next step."""
        if isinstance(error, ClientError):
            hint = ""
            if encoded := encoded_message(error):
                # Hundreds of characters, which only a call to STS makes readable.
                hint = decoded(self.accounts.decode(encoded))
                folder = state_folder(self.settings.state_dir)
                (folder / DENIED_FILE).write_text(encoded, "utf-8")
            named = self.accounts.last_resource
            resource = f"{named} ({what})" if named else what
            return explain(error, resource, self.accounts.last_place, hint)
        if isinstance(error, BotoCoreError):
            return explain_failure(error, what)
        return error if isinstance(error, BootstrapError) else BootstrapError(error)


def describe(d: Deployment, integration: Integration, channel: str) -> list[Resource]:
    """Return every desired resource in AWS, by what exists in the accounts.

    Args:
        d: The deployment.
        integration: The storage integration, with its user and external id.
        channel: The queue of the pipe.
    """
    s, role, route = d.settings, d.role_name, d.route
    found = [
        *description.bucket(s),
        bucket.delivery(d.home, s, d.journal),
        description.lifecycle(s),
        *description.role(s, role),
        description.trust(s, role, integration),
        bucket.key_policy(d.home, s, description.role_arn(s, role)),
        description.notification(s, route, channel),
        *description.topic(s, route, integration.iam_user_arn),
    ]
    logs = d.everywhere(lambda a, sources: _wanted_logs(s, a, sources))
    return [r for r in [*found, *logs] if r is not None and r.content is not None]


def _wanted_logs(s: Settings, a: Account, sources: list[Source]) -> list[Resource]:
    return description.flow_logs(s, a.region, flow_logs.chosen(a, sources))


@dataclass(frozen=True)
class Step:
    """One step: it reads what exists and lists the changes that are needed.

    Args:
        title: Its name in errors.
        read: Yields the changes, without making them.
        needs: The titles of steps without which it is not tried.
        planned: Whether ``plan`` runs it; False for what only ``apply`` reads again.
        independent: Whether its changes go on after one of them fails.
    """

    title: str
    read: Callable[[], Iterable[Change]]
    needs: tuple[str, ...] = ()
    planned: bool = True
    independent: bool = False


Order = Callable[[Deployment], tuple[Step, ...]]


def apply_steps(d: Deployment) -> tuple[Step, ...]:
    """Return the steps of ``apply``, in their order."""
    s = d.settings

    def bucket_step() -> Iterator[Change]:
        if not s.bucket.create:
            bucket.check_existing(d.home, s)
        yield from d.compare(description.bucket(s))

    def policy(clear: bool = False) -> Iterator[Change]:
        wanted = bucket.delivery(d.home, s, d.journal)
        if clear:
            return iter(bucket.compare_policy(d.home, wanted, d.journal, clear))
        return d.compare([wanted])

    def logs(a: Account, sources: list[Source]) -> Iterator[Change]:
        selected = flow_logs.chosen(a, sources)
        wanted = description.flow_logs(s, a.region, selected)
        yield from flow_logs.compare(
            a,
            wanted,
            d.place,
            d.names,
            d.replace_flow_logs,
            lambda: d.journal.save(bucket.read_policy(d.home, s.s3)),
        )
        where = f"flow logs in {a.account_id} {a.region}"
        for source, ids in selected:
            if not ids:
                yield Change("note", where, f"no {source.resource_type} there")

    def moved(a: Account, _: list[Source]) -> Iterable[Change]:
        before = s.earlier
        if before is None:
            return []
        return flow_logs.moved(a, d.place, before.place, before.names)

    return (
        Step("bucket", bucket_step),
        Step("bucket policy", policy, ("bucket",)),
        Step(
            "role",
            lambda: d.compare(description.role(s, d.role_name)),
            ("bucket",),
        ),
        Step(
            "key policy",
            lambda: d.compare([bucket.key_policy(d.home, s, d.role_arn)]),
            ("role",),
        ),
        Step(
            "lifecycle rules",
            lambda: d.compare([description.lifecycle(s)]),
            ("bucket",),
        ),
        Step(
            "flow logs",
            lambda: d.changes_everywhere(logs),
            ("bucket policy",),
            independent=True,
        ),
        # AWS may change the policy when a flow log is created.
        Step(
            "bucket policy, read again",
            lambda: policy(clear=True),
            ("bucket policy",),
            planned=False,
        ),
        Step(
            "flow logs that move",
            lambda: d.changes_everywhere(moved) if s.earlier else [],
            ("bucket",),
            independent=True,
        ),
        Step(
            "storage integration",
            lambda: d.compare([description.integration(s, d.role_name)]),
            ("role",),
        ),
        Step(
            "role trust",
            lambda: d.compare([d.trust]),
            ("role", "storage integration"),
        ),
        Step("topic", lambda: d.compare(d.topic), ("bucket",)),
        Step(
            "pipe",
            lambda: d.compare([description.pipe(s, d.route)]),
            ("role trust", "topic"),
        ),
        Step(
            "event notification",
            lambda: d.compare([d.notification]),
            ("bucket", "pipe"),
        ),
        Step(
            "earlier place",
            lambda: earlier_place(d),
            ("flow logs that move", "event notification"),
        ),
    )


def earlier_place(d: Deployment) -> Iterator[Change]:
    """Remove our policy statements, rules and events at a place that logs left.

    They stay until its last flow log file is gone, unless the settings say otherwise.
    """
    before, moved = d.earlier, d.settings.bucket.moved_from
    if before is None or moved is None:
        return
    if moved.keep_until_empty and before.files.has_flow_logs():
        reason = "our statements, rules and events stay until its files have expired"
        yield Change("note", f"earlier place {before.place.location}", reason)
        return
    removal = {step.title: step for step in destroy_steps(False, False)(before)}
    for title in (
        "event notification",
        "topics",
        "rule",
        "own topic",
        "key policy",
        "lifecycle rules",
        "bucket policy",
    ):
        yield from removal[title].read()


def destroy_steps(delete_data: bool, with_snowflake: bool) -> Order:
    """Return what gives the steps of ``destroy``, in their order.

    Args:
        delete_data: Whether to delete delivered files and the landing table.
        with_snowflake: Whether to drop what set-up made in Snowflake.
    """
    return partial(_destroy, delete_data, with_snowflake)


def _destroy(
    delete_data: bool, with_snowflake: bool, d: Deployment
) -> tuple[Step, ...]:
    s, names = d.settings, d.names

    def gone(*found: tuple[str, Any]) -> Iterator[Change]:
        return d.compare(description.absent(s, kind, name) for kind, name in found)

    def data() -> Iterable[Change]:
        def ids() -> list[str]:
            return d.everywhere(
                lambda a, _: [log.id for log in flow_logs.ours(a, d.place, names)]
            )

        return d.files.deletion_of_ours(ids) if delete_data else []

    def topics() -> Iterator[Change]:
        found = events.rules(events.read(d.home, s.s3))
        arns = {r.arn for r in found if r.kind == "TopicConfigurations"}
        arns |= {s.events.topic_arn} if s.events.topic_arn else set()
        return gone(*(("topic policy", arn) for arn in sorted(arns)))

    def role() -> Iterator[Change]:
        name = d.role_name
        return gone(("role policy", (name, names.role_policy)), ("role", name))

    def key() -> Iterator[Change]:
        arn = s.bucket.encryption.key_arn
        return gone(("key policy", arn)) if arn else iter(())

    return (
        Step("data", data),
        Step(
            "flow logs",
            lambda: d.changes_everywhere(
                lambda a, _: flow_logs.removal(a, d.place, names)
            ),
            ("data",),
            independent=True,
        ),
        # Before the pipe: S3 checks that every queue exists when it writes.
        Step(
            "event notification",
            lambda: gone(
                ("notification", s.bucket.name), ("EventBridge", s.bucket.name)
            ),
        ),
        Step("topics", topics),
        Step(
            "rule",
            lambda: gone(
                ("event rule", names.events), ("event rule", names.earlier_events)
            ),
            ("event notification",),
        ),
        Step(
            "own topic",
            lambda: gone(("topic", names.events), ("topic", names.earlier_events)),
            ("rule",),
        ),
        Step(
            "Snowflake",
            lambda: snowflake.tear_down(d.snowflake, with_snowflake, delete_data),
            ("event notification",),
        ),
        # Before the role: KMS replaces the principal of a deleted role by an id.
        Step("key policy", key, ("flow logs",)),
        Step("role", role, ("key policy",)),
        Step("lifecycle rules", lambda: gone(("lifecycle rules", s.bucket.name))),
        Step(
            "bucket policy",
            lambda: gone(("bucket policy", s.bucket.name)),
            ("flow logs",),
        ),
        Step(
            "bucket",
            lambda: d.files.deletion_of_bucket(delete_data),
            ("event notification", "lifecycle rules", "bucket policy"),
        ),
    )


def plan(d: Deployment, order: Order = apply_steps) -> list[Change]:
    """Return the changes that the steps would make, without making them.

    Raises:
        Incomplete: A resource cannot be read, or is another owner's; all others are
            planned.
    """
    d = replace(d)
    changes = list(_walk(d, [step for step in order(d) if step.planned]))
    _raise_failures(changes)
    return changes


def apply(
    d: Deployment,
    order: Order = apply_steps,
    shown: Collection[str] | None = None,
) -> Iterator[Change]:
    """Run the steps in order, and yield each change after it is made.

    After an interruption, the next run continues: it finds what exists by mark or
    statement id.

    Args:
        d: The deployment.
        order: Gives the steps.
        shown: What the plan said would be removed; None for any.

    Raises:
        Incomplete: Calls failed; the message names each with its resource. All that
            does not need them is done.
        BootstrapError: It would remove something that the plan did not show.
    """
    changes, d = [], replace(d)
    for change in _walk(d, order(d), lambda change: _make(d, change, shown)):
        changes.append(change)
        yield change
    _raise_failures(changes)


def _raise_failures(changes: Sequence[Change]) -> None:
    if any(change.verb == "failed" for change in changes):
        raise Incomplete(changes)


def _walk(
    d: Deployment,
    steps: Sequence[Step],
    make: Callable[[Change], Change] = lambda change: change,
) -> Iterator[Change]:
    failed: dict[str, str] = {}
    home = d.settings.bucket
    for step in steps:
        missing = next((title for title in step.needs if title in failed), None)
        if missing:
            failed[step.title] = failed[missing]
            reason = f"not tried, since this comes first: {failed[missing]}"
            waits = Change("wait", step.title, reason)
            yield waits.at(home.account_id, home.region)
            continue
        for change in d.tried(step):
            made = make(change)
            if made.verb == "failed":
                failed[step.title] = step.title
            if made.verb == "wait" and step.title == "bucket policy":
                failed[step.title] = f"{step.title}, which its owner must change"
            yield made
            if made.verb == "failed" and not step.independent:
                break


def _make(d: Deployment, change: Change, shown: Collection[str] | None) -> Change:
    if not change.pending:
        return change
    extra = [] if shown is None else sorted(set(change.removed) - set(shown))
    if extra:
        raise BootstrapError(
            f"stopped before `{change.resource}`: it would remove what the plan did "
            f"not show: {', '.join(extra)}. Run `plan` again"
        )
    try:
        retry(change, d.settings.wait_seconds, d.say, d.sleep)
    except FAILURES as error:
        return change.failed(d.explained(error, change.resource))
    return change


def hand_over(d: Deployment) -> str:
    """Return what the Snowflake administrator must run now, or an empty text."""
    if not d.snowflake.by_hand:
        return ""
    return snowflake.hand_over(d.settings, d.snowflake, d.role_name, d.route)
