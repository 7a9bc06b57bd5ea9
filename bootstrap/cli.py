"""The command line: results on standard output, progress and errors on stderr."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from bootstrap import steps, verify
from bootstrap.aws import Accounts, organization_members
from bootstrap.changes import (
    BootstrapError,
    Change,
    Incomplete,
    any_pending,
    explain,
    explain_failure,
)
from bootstrap.export import export
from bootstrap.notify import Snowpipe
from bootstrap.notify import notify as hand_over_files
from bootstrap.permissions import administrator_policy, policies_of
from bootstrap.settings import load
from bootstrap.snowflake import PIPE, ByHand, Dbt, closing_words
from bootstrap.steps import Deployment, hand_over

FAILED = 1
PENDING = 2
WAITS = 3

# After one of these changes, events reach the pipe and one step is left.
EVENTS_FLOW = (PIPE, "event notifications")

COLOURS = {
    "create": "green",
    "update": "yellow",
    "delete": "red",
    "run": "cyan",
    "failed": "red",
}
# The most lines of a summary.
DETAILS = 8


def say(text: str) -> None:
    """Show a line of progress."""
    click.echo(text, err=True)


def connect(
    config: Path, overrides: Sequence[str], replace_flow_logs: bool = False
) -> Deployment:
    """Return the deployment that a file describes.

    Raises:
        BootstrapError: The file has errors.
    """
    settings = load(config, os.environ, overrides, organization_members)
    # Relative to the file, whatever folder the program starts in.
    folder = config.resolve().parent / settings.state_dir
    settings = settings.model_copy(update={"state_dir": folder})
    session = boto3.Session(
        profile_name=settings.profile, region_name=settings.bucket.region
    )
    by_hand = settings.snowflake.handshake == "manual"
    snowflake = ByHand(settings) if by_hand else Dbt(settings, say)
    return Deployment(
        settings, Accounts(session), snowflake, say, replace_flow_logs=replace_flow_logs
    )


def show(changes: Sequence[Change]) -> None:
    """Print changes for a person to review: a summary, then each with its diff."""
    click.echo(summary(changes))
    for change in changes:
        first, *rest = change.as_lines()
        click.secho(first, fg=COLOURS.get(change.verb), bold=change.pending)
        for line in rest:
            click.echo(line)


def summary(changes: Sequence[Change]) -> str:
    """Return what changes in how many accounts, in ten lines at most."""
    counts = Counter(change.verb for change in changes if change.pending)
    waiting = sum(change.verb == "wait" for change in changes)
    failed = sum(change.verb == "failed" for change in changes)
    todo = ", ".join(f"{number} to {verb}" for verb, number in counts.items())
    end = f"; {waiting} wait for earlier steps" if waiting else ""
    end += f"; {failed} failed" if failed else ""
    lines = [f"{todo or 'Nothing to do'}{end}."]
    pending = [change for change in changes if change.pending]
    places = {(change.account, change.region) for change in pending}
    if len(pending) > DETAILS:
        kinds = Counter((c.verb, c.resource.split(" in ")[0]) for c in pending)
        lines += [
            f"  {number} x {verb} {resource}"
            for (verb, resource), number in kinds.most_common(DETAILS)
        ]
        lines.append(f"  in {len(places)} pairs of account and region")
    return "\n".join(lines)


def exit_code(changes: Sequence[Change]) -> int:
    """Return 1 if a step failed, 3 if one waits for a person or Snowflake, else 0."""
    if any(change.verb == "failed" for change in changes):
        return FAILED
    return WAITS if any(change.verb == "wait" for change in changes) else 0


CHECK = click.option("--check", is_flag=True, help="Exit with 2 if changes were made.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")
REPLACE = click.option(
    "--replace-flow-logs",
    is_flag=True,
    help="Replace our flow logs that differ from the settings.",
)


def _on_a_deployment(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the deployment that its options describe."""

    @click.option(
        "--config",
        type=click.Path(path_type=Path),
        default=Path("bootstrap.yml"),
        envvar="VPC_FLOW_BOOTSTRAP_CONFIG",
        show_default=True,
        help="The settings file.",
    )
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set a key, such as bucket.name=x; overrides the environment.",
    )
    @wraps(command)
    def connected(
        config: Path,
        overrides: tuple[str, ...],
        replace_flow_logs: bool = False,
        **options: Any,
    ) -> None:
        command(connect(config, overrides, replace_flow_logs), **options)

    return connected


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """The AWS side: flow logs in S3, and events that start Snowpipe."""


@cli.command("plan")
@_on_a_deployment
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--check", is_flag=True, help="Exit with 2 if changes are pending.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the plan to a file, for `apply FILE`.",
)
@REPLACE
def plan_command(d: Deployment, as_json: bool, check: bool, out: Path | None) -> None:
    """Show what `apply` would change; change nothing."""
    changes = _planned(d, steps.apply_steps)
    if out:
        out.write_text(json.dumps(_as_file(d, changes), indent=2), "utf-8")
    if as_json:
        click.echo(json.dumps([change.as_json() for change in changes], indent=2))
    else:
        show(changes)
    code = exit_code(changes)
    if code == FAILED:
        raise Incomplete(changes)
    if check:
        sys.exit(PENDING if any_pending(changes) else code)


def _planned(d: Deployment, order: steps.Order) -> list[Change]:
    """Return the plan, with its failures."""
    try:
        return steps.plan(d, order)
    except Incomplete as error:
        return list(error.changes)


def _as_file(d: Deployment, changes: Sequence[Change]) -> dict[str, Any]:
    """Return what `apply FILE` compares: the settings and every change."""
    settings = d.settings.model_dump_json(exclude={"state_dir"})
    return {
        "settings": hashlib.sha256(settings.encode()).hexdigest(),
        "replace_flow_logs": d.replace_flow_logs,
        "changes": [change.as_json() for change in changes],
    }


def _check_file(d: Deployment, path: Path, changes: Sequence[Change]) -> None:
    """Check that a plan that was written to a file is still the plan.

    Raises:
        BootstrapError: It is not; the message names what is new or gone.
    """
    try:
        planned = json.loads(path.read_text("utf-8"))
        old = {_identity(change) for change in planned["changes"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BootstrapError(f"{path} is not a plan: {error}") from None
    now = _as_file(d, changes)
    if (planned["settings"], planned["replace_flow_logs"]) != (
        now["settings"],
        now["replace_flow_logs"],
    ):
        raise BootstrapError(f"{path} was planned with other settings: plan again")
    new = {_identity(change) for change in now["changes"]}
    if new != old:
        lines = "".join(f"\n  {verb} {what}" for verb, what, _ in sorted(new ^ old))
        raise BootstrapError(
            f"{path} is out of date, plan again; it differs in:{lines}"
        )


def _identity(change: dict[str, Any]) -> tuple[str, str, str]:
    # A placeholder is random, and masked in both.
    details = [change[key] for key in ("account", "region", "before", "after")]
    text = json.dumps([*details, change["removes"]], sort_keys=True, default=str)
    return change["verb"], change["resource"], text


@cli.command("apply")
@_on_a_deployment
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@YES
@CHECK
@REPLACE
def apply_command(d: Deployment, file: Path | None, yes: bool, check: bool) -> None:
    """Show the changes, ask, and make them; safe to repeat.

    With the FILE of `plan --out`, make exactly those changes without asking.
    """
    changes = _planned(d, steps.apply_steps)
    if file:
        _check_file(d, file, changes)
    show(changes)
    done = _confirm_and_do(d, changes, steps.apply_steps, yes or file is not None)
    made = [change for change in done if change.pending]
    text = hand_over(d)
    if text:
        click.echo(text)
    elif any(change.resource.startswith(EVENTS_FLOW) for change in made):
        click.echo(closing_words(d.settings))
    _end(done, check)


def _end(changes: Sequence[Change], check: bool) -> None:
    """Exit with the code of the changes, and name each failure again."""
    code = exit_code(changes)
    if code == FAILED:
        raise Incomplete(changes)
    if code or (check and any_pending(changes)):
        sys.exit(code or PENDING)


@cli.command("destroy")
@_on_a_deployment
@YES
@CHECK
@click.option("--delete-data", is_flag=True, help="Also delete the delivered files.")
@click.option(
    "--with-snowflake",
    is_flag=True,
    help="Also drop what `setup_snowflake` made in Snowflake.",
)
def destroy_command(
    d: Deployment, yes: bool, check: bool, delete_data: bool, with_snowflake: bool
) -> None:
    """Remove what `apply` made; resources of others stay unchanged."""
    order = steps.destroy_steps(delete_data, with_snowflake)
    changes = _planned(d, order)
    show(changes)
    _end(_confirm_and_do(d, changes, order, yes), check)


def _confirm_and_do(
    d: Deployment, changes: Sequence[Change], order: steps.Order, yes: bool
) -> list[Change]:
    if not any_pending(changes):
        return list(changes)
    if not yes:
        if not sys.stdin.isatty():
            raise BootstrapError("No terminal for confirmation; rerun with --yes")
        if not click.confirm("Make these changes?", err=True):
            say("Nothing was changed.")
            sys.exit(FAILED)
    done = []
    shown = {item for change in changes for item in change.removed}
    try:
        for change in steps.apply(d, order, shown):
            verb = "done" if change.pending else change.verb
            say(f"{verb}: {change.resource}: {change.reason}")
            done.append(change)
    except Incomplete as error:
        return list(error.changes)
    return done


@cli.command("verify")
@_on_a_deployment
@click.option("--json", "as_json", is_flag=True, help="Print the links as JSON.")
@click.option(
    "--live",
    is_flag=True,
    help="Also create a flow log of one VPC for a trial of up to 20 minutes.",
)
def verify_command(d: Deployment, as_json: bool, live: bool) -> None:
    """Check every link from flow log to newest loaded file."""
    links = []
    for link in chain(verify.check(d), verify.live(d) if live else ()):
        links.append(link)
        if not as_json:
            colour = {"ok": "green", "broken": "red"}.get(link.state, "yellow")
            click.secho(f"{link.state:8} {link.name}: {link.detail}", fg=colour)
            if link.todo:
                click.echo(f"         {link.todo}")
    if as_json:
        click.echo(json.dumps([vars(link) for link in links], indent=2))
    if any(link.state == "broken" for link in links):
        sys.exit(FAILED)


@cli.command("notify", short_help="Send new files to a pipe without events.")
@_on_a_deployment
def notify_command(d: Deployment) -> None:
    """Send new files to Snowpipe by REST, where events cannot reach the pipe."""
    if d.settings.notify is None:
        raise BootstrapError("the settings have no `notify` section: add it")
    snowpipe = Snowpipe(d.settings.notify, say)
    result = hand_over_files(d.settings, d.home, snowpipe, say)
    click.echo(json.dumps(vars(result)))


@cli.command("inventory")
@_on_a_deployment
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder to write to, in place of the bucket.",
)
def inventory_command(d: Deployment, out: Path | None) -> None:
    """Write a snapshot of interfaces, rules and networks as Parquet."""
    # Imported here, since only `inventory` needs pyarrow.
    from bootstrap import inventory

    written: list[str] = []

    def write(name: str, content: bytes) -> None:
        if out:
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            written.append(str(path))
        else:
            key = d.place.inventory + name
            d.home.s3.put_object(**d.settings.s3, Key=key, Body=content)
            written.append(f"s3://{d.place.bucket}/{key}")

    parts = inventory.take(d, write, datetime.now(UTC))
    for line in written:
        click.echo(line)
    failed = [part for part in parts if not part["is_complete"]]
    say(f"{sum(part.get('rows', 0) for part in parts)} rows in {len(parts)} parts")
    if failed:
        lines = "\n".join(part["error"] for part in failed)
        raise BootstrapError(f"{len(failed)} parts are incomplete:\n{lines}")


@cli.command("export")
@_on_a_deployment
@click.option(
    "--format",
    "form",
    type=click.Choice(["terraform", "cloudformation"]),
    required=True,
    help="The form of the code.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("bootstrap_export"),
    show_default=True,
    help="The folder to write to.",
)
def export_command(d: Deployment, form: str, out: Path) -> None:
    """Write the same resources as code, for a pipeline that applies it."""
    files = export(d, form)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (out / name).write_text(text, "utf-8")
        click.echo(out / name)


@cli.command("permissions")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Narrow the policies to the names in this settings file, for each account.",
)
def permissions_command(config: Path | None) -> None:
    """Print the IAM policies that the caller needs; makes no call."""
    found: object = administrator_policy()
    if config:
        found = policies_of(load(config, os.environ, (), organization_members))
    click.echo(json.dumps(found, indent=2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit.

    0 done, or with `--check` nothing to do; 1 failed; 2 with `--check`, changes are
    pending or were made; 3 steps wait for a person or for Snowflake.
    """
    given: dict[str, Any] = {} if arguments is None else {"args": list(arguments)}
    try:
        cli.main(standalone_mode=False, prog_name="python -m bootstrap", **given)
        return
    except ClientError as error:
        say(f"error: {explain(error, 'AWS')}")
    except BotoCoreError as error:
        say(f"error: {explain_failure(error, 'AWS')}")
    except (BootstrapError, OSError) as error:
        # OSError: the program cannot write to `state_dir`, for example.
        say(f"error: {error}")
    except click.UsageError as error:
        error.show()
    except click.Abort:
        say("Stopped. The next run continues from here.")
    sys.exit(FAILED)
