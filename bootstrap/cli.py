"""The command line: results on standard output, progress and errors on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from bootstrap import steps, verify
from bootstrap.aws import Accounts
from bootstrap.changes import Change, any_pending
from bootstrap.deployment import Deployment
from bootstrap.errors import BootstrapError, explain, explain_failure
from bootstrap.hand_over import closing_words, hand_over
from bootstrap.handshake import PIPE
from bootstrap.loading import load
from bootstrap.notify import Snowpipe
from bootstrap.notify import notify as hand_over_files
from bootstrap.permissions import administrator_policy
from bootstrap.snowflake_side import ByHand, SnowflakeSide
from bootstrap.through_dbt import Dbt

PENDING = 2
FAILED = 1

# After one of these changes, events reach the pipe and one step is left.
EVENTS_FLOW = (PIPE, "event notifications")

COLOURS = {"create": "green", "update": "yellow", "delete": "red", "run": "cyan"}


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
    settings = load(config, os.environ, overrides)
    # Relative to the file, whatever folder the program starts in.
    folder = config.resolve().parent / settings.state_dir
    settings = settings.model_copy(update={"state_dir": folder})
    session = boto3.Session(
        profile_name=settings.profile, region_name=settings.bucket.region
    )
    snowflake: SnowflakeSide = Dbt(settings, say)
    if settings.snowflake.handshake == "manual":
        snowflake = ByHand(settings)
    return Deployment(
        settings, Accounts(session), snowflake, say, replace_flow_logs=replace_flow_logs
    )


def show(changes: Sequence[Change]) -> None:
    """Print changes for a person to review."""
    for change in changes:
        first, *rest = change.as_lines()
        click.secho(first, fg=COLOURS.get(change.verb), bold=change.pending)
        for line in rest:
            click.echo(line)
    click.echo(_summary(changes))


def _summary(changes: Sequence[Change]) -> str:
    counts = Counter(change.verb for change in changes if change.pending)
    waiting = sum(change.verb == "wait" for change in changes)
    todo = ", ".join(f"{number} to {verb}" for verb, number in counts.items())
    end = f"; {waiting} wait for earlier steps" if waiting else ""
    return f"{todo or 'Nothing to do'}{end}."


YES = click.option("--yes", is_flag=True, help="Do not ask.")
REPLACE = click.option(
    "--replace-flow-logs",
    is_flag=True,
    help="Replace our flow logs that differ from the settings.",
)


def _options(function: Callable[..., None]) -> Callable[..., None]:
    config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        default=Path("bootstrap.yml"),
        envvar="VPC_FLOW_BOOTSTRAP_CONFIG",
        show_default=True,
        help="The settings file.",
    )
    override = click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set a key, such as bucket.name=x; overrides the environment.",
    )
    return config(override(function))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """The AWS side: flow logs in S3, and events that start Snowpipe."""


@cli.command("plan")
@_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--check", is_flag=True, help="Exit with 2 if changes are pending.")
@REPLACE
def plan_command(
    config: Path,
    overrides: tuple[str, ...],
    as_json: bool,
    check: bool,
    replace_flow_logs: bool,
) -> None:
    """Show what `apply` would change; change nothing."""
    changes = steps.plan(connect(config, overrides, replace_flow_logs))
    if as_json:
        click.echo(json.dumps([change.as_json() for change in changes], indent=2))
    else:
        show(changes)
    if check and any_pending(changes):
        sys.exit(PENDING)


@cli.command("apply")
@_options
@YES
@REPLACE
def apply_command(
    config: Path, overrides: tuple[str, ...], yes: bool, replace_flow_logs: bool
) -> None:
    """Show the changes, ask, and make them; safe to repeat."""
    d = connect(config, overrides, replace_flow_logs)
    changes = steps.plan(d)
    show(changes)
    done = _confirm_and_do(d, changes, steps.APPLY, yes)
    text = hand_over(d)
    if text:
        click.echo(text)
    elif any(change.resource.startswith(EVENTS_FLOW) for change in done):
        click.echo(closing_words(d))


@cli.command("destroy")
@_options
@YES
@click.option("--delete-data", is_flag=True, help="Also delete the delivered files.")
@click.option(
    "--with-snowflake",
    is_flag=True,
    help="Also drop what `setup_snowflake` made in Snowflake.",
)
def destroy_command(
    config: Path,
    overrides: tuple[str, ...],
    yes: bool,
    delete_data: bool,
    with_snowflake: bool,
) -> None:
    """Remove what `apply` made; resources of others stay unchanged."""
    d = connect(config, overrides)
    order = steps.destroy_steps(delete_data, with_snowflake)
    changes = steps.plan(d, order)
    show(changes)
    _confirm_and_do(d, changes, order, yes)


def _confirm_and_do(
    d: Deployment, changes: Sequence[Change], order: Sequence[steps.Step], yes: bool
) -> list[Change]:
    if not any_pending(changes):
        return []
    if not yes:
        if not sys.stdin.isatty():
            raise BootstrapError("No terminal for confirmation; rerun with --yes")
        if not click.confirm("Make these changes?", err=True):
            say("Nothing was changed.")
            sys.exit(FAILED)
    done = []
    for change in steps.apply(d, order):
        verb = "done" if change.pending else change.verb
        say(f"{verb}: {change.resource}: {change.reason}")
        if change.pending:
            done.append(change)
    return done


@cli.command("verify")
@_options
@click.option("--json", "as_json", is_flag=True, help="Print the links as JSON.")
def verify_command(config: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check every link from flow log to newest loaded file."""
    links = []
    for link in verify.check(connect(config, overrides)):
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
@_options
def notify_command(config: Path, overrides: tuple[str, ...]) -> None:
    """Send new files to Snowpipe by REST, where events cannot reach the pipe."""
    d = connect(config, overrides)
    if d.settings.notify is None:
        raise BootstrapError(f"{config} has no `notify` section: add it")
    result = hand_over_files(d, Snowpipe(d.settings.notify, say))
    click.echo(json.dumps(vars(result)))


@cli.command("permissions")
def permissions_command() -> None:
    """Print the IAM policy that the caller needs."""
    click.echo(json.dumps(administrator_policy(), indent=2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit: 0 done or nothing to do, 1 failed, 2 pending."""
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
