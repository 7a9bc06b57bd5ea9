"""The command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .questions import PROJECT
from .severities import SEVERITIES

if TYPE_CHECKING:
    from .alert import Alert


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which target to use."""
    for option in (
        click.option("--target", "-t", help="target in profiles.yml"),
        click.option("--profile", help="profile in profiles.yml"),
        click.option("--profiles-dir", help="folder of profiles.yml"),
    ):
        command = option(command)
    return command


schema_option = click.option(
    "--schema",
    envvar="VPC_FLOW_SCHEMA",
    show_envvar=True,
    help="schema of the models; default: where dbt builds them",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Load and build VPC Flow Logs, and answer questions about them.

    The commands run in the project's folder, or in DBT_PROJECT_DIR: relative paths
    count from there.
    """
    os.chdir(os.environ.get("DBT_PROJECT_DIR", PROJECT))


@cli.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--select", "-s", multiple=True, help="what to build; default: all models"
)
@click.option("--exclude", multiple=True, help="what not to build")
@click.option(
    "--window-marts-every",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="HOURS",
    envvar="VPC_FLOW_JOB_WINDOW_MARTS_EVERY",
    show_envvar=True,
    help="build the marts tagged window_marts this often; 0: in each run",
)
@click.option("--verbose", is_flag=True, help="print dbt's lines as well, to stderr")
@target_options
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="VPC_FLOW_JOB_LOGS",
    show_envvar=True,
    help="folder of the logs; default: job below dbt's log folder",
)
@click.option(
    "--log-days",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    envvar="VPC_FLOW_JOB_LOG_DAYS",
    show_envvar=True,
    help="days that the log and the line of a run are kept",
)
@click.option(
    "--loader-role",
    envvar="VPC_FLOW_JOB_LOADER_ROLE",
    show_envvar=True,
    help="on Snowflake, the role that loads; default: the profile's",
)
@click.option(
    "--on-failure",
    metavar="COMMAND",
    envvar="VPC_FLOW_JOB_ON_FAILURE",
    show_envvar=True,
    help="shell command that gets the JSON of a run that failed or was killed on stdin",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="VPC_FLOW_REPORT",
    show_envvar=True,
    help="write the report to this file afterwards, as the command report does",
)
@click.argument("dbt_options", nargs=-1, type=click.UNPROCESSED)
def run(
    verbose: bool,
    target: str | None,
    profile: str | None,
    profiles_dir: str | None,
    logs: Path | None,
    report: Path | None,
    **job: Any,
) -> None:
    """Load new files, check freshness, build and test: once, as a schedule does.

    Further options, such as --vars or --threads, go to dbt. Unit tests and the tests
    tagged audit do not run. A step that fails does not keep the next from running.
    Prints one JSON object to stdout. If VPC_FLOW_ALERT_WEBHOOK, _FILE or _SYSLOG is
    set, it sends new findings there, with the other VPC_FLOW_ALERT_ variables of the
    command alert.

    \b
    Exit codes:
      0    all is well; there may be warnings
      1    something failed, a receiver of alerts or the report too, or the location
           has no file
      2    dbt could not run a command
      75   another run is at work; nothing was done
      130  interrupted (143: by SIGTERM)
    """
    from .built_tables import Where
    from .scheduled_run import Job, run_once

    folder = logs or Path(os.environ.get("DBT_LOG_PATH") or "logs") / "job"
    where = Where(target, profile, profiles_dir, os.environ.get("VPC_FLOW_SCHEMA"))
    of_options = Job(where=where, folder=folder, alerts=_configured_alerts(), **job)
    exit_code = run_once(of_options, verbose)
    if report and exit_code in (0, 1):
        from .report import write_report

        write_report(where, report)
    sys.exit(exit_code)


@cli.command()
@click.argument("name", required=False)
@click.option("--sql", help="a query of your own instead of a name")
@click.option("--where", help='condition on the rows, such as "port = 22"')
@click.option("--columns", help="columns to show, with commas between")
@click.option(
    "--limit",
    type=click.IntRange(0),
    help="rows; default 20, or all in --csv and --json",
)
@click.option("--csv", "form", flag_value="csv", help="print CSV")
@click.option("--json", "form", flag_value="json", help="print JSON")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=300,
    show_default=True,
    help="seconds for a DuckDB file in use, or a statement on Snowflake",
)
@schema_option
@target_options
def ask(
    name: str | None,
    sql: str | None,
    where: str | None,
    columns: str | None,
    limit: int | None,
    form: str | None,
    timeout: float,
    **target: Any,
) -> None:
    """Answer a question, or show a table, from what was built.

    NAME is a question of docs/cookbook.md or a table; without it, all are listed.
    While another command writes to the DuckDB file, a copy of its last commit is read.

    \b
    Exit codes:
      0   answered, even if with no rows
      1   the query failed, or the tables can't be reached
      2   no such question, table, column or option
      75  the DuckDB file was in use for longer than --timeout
    """
    from .ask import Ask, answer, list_what_can_be_asked
    from .built_tables import Where

    if name is None and sql is None:
        list_what_can_be_asked()
        return
    if name and sql:
        raise click.UsageError("Give a name or --sql, not both.")
    if sql and where:
        raise click.UsageError("Write the condition into the query of --sql.")
    if limit is None:
        limit = 0 if form else 20
    names = [word.strip() for word in (columns or "").split(",") if word.strip()]
    asked = Ask(name, sql, where, names, limit, form or "table")
    answer(asked, Where(**target, timeout=timeout))


@cli.command()
@click.option(
    "--webhook",
    envvar="VPC_FLOW_ALERT_WEBHOOK",
    show_envvar=True,
    help="URL that takes JSON by POST",
)
@click.option(
    "--file", type=click.Path(dir_okay=False, path_type=Path), help="JSON lines"
)
@click.option("--syslog", metavar="HOST:PORT", help="syslog server over TCP")
@click.option(
    "--form",
    type=click.Choice(["json", "slack", "teams", "asff"]),
    default="json",
    show_default=True,
    envvar="VPC_FLOW_ALERT_FORM",
    show_envvar=True,
    help="form of a finding; asff is that of AWS Security Hub",
)
@click.option(
    "--aws-account",
    default="",
    envvar="VPC_FLOW_ALERT_AWS_ACCOUNT",
    show_envvar=True,
    help="for asff: account that imports them",
)
@click.option(
    "--aws-region",
    default="",
    envvar="VPC_FLOW_ALERT_AWS_REGION",
    show_envvar=True,
    help="for asff: its region",
)
@click.option(
    "--severity",
    type=click.Choice(SEVERITIES),
    default="low",
    show_default=True,
    envvar="VPC_FLOW_ALERT_SEVERITY",
    show_envvar=True,
    help="lowest severity to send",
)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=1,
    show_default=True,
    help="findings a second",
)
@click.option(
    "--dry-run", is_flag=True, help="print what would be sent, and send nothing"
)
@schema_option
@target_options
def alert(
    schema: str | None,
    target: str | None,
    profile: str | None,
    profiles_dir: str | None,
    **options: Any,
) -> None:
    """Send findings that are new and not suppressed, once each.

    The table sent_alerts has what each receiver got. If a run is killed, the finding
    that it was sending may be sent twice.

    \b
    Exit codes:
      0   all were sent, even if there were none
      1   a finding could not be sent, or the tables can't be reached
      2   no or several receivers, or an option is wrong
      75  the DuckDB file was in use for too long
    """
    from .alert import send_new_findings
    from .built_tables import Where

    chosen = _alert_of(**options)
    sent = send_new_findings(chosen, Where(target, profile, profiles_dir, schema))
    if not chosen.is_dry_run:
        click.echo(f"{sent.findings} findings sent", err=True)
    if sent.has_more:
        click.echo(f"There are more; --limit is {chosen.limit}", err=True)
    if sent.failure:
        click.echo(sent.failure, err=True)
        sys.exit(1)


def _alert_of(
    webhook: str | None,
    file: Path | None,
    syslog: str | None,
    form: str,
    aws_account: str,
    aws_region: str,
    dry_run: bool,
    severity: str,
    limit: int,
    rate: float,
) -> Alert:
    """Return what the options of `alert` say.

    Raises:
        UsageError: there is no or more than one receiver, or an option is wrong.
        NotSentError: a receiver's address has another form.
    """
    from . import alert_forms as forms
    from .alert import Alert
    from .alert_channels import Channel, File, Syslog, Webhook

    channels: list[Channel] = []
    if webhook and not (file or syslog):
        channels.append(Webhook(webhook))
    if file:
        channels.append(File(file))
    if syslog:
        channels.append(Syslog(syslog))
    if len(channels) != 1:
        raise click.UsageError("Give one of --webhook, --file and --syslog.")
    if form == "asff":
        try:
            shape = forms.as_asff(aws_account, aws_region)
        except ValueError as failure:
            raise click.UsageError(str(failure)) from failure
    else:
        shape = {
            "json": forms.as_json,
            "slack": forms.as_slack,
            "teams": forms.as_teams,
        }[form]
    return Alert(channels[0], shape, severity, limit, rate, dry_run)


def _configured_alerts() -> list[Alert]:
    """Return an alert for each receiver that the environment names."""
    alerts = []
    for name in ("webhook", "file", "syslog"):
        if receiver := os.environ.get(f"VPC_FLOW_ALERT_{name.upper()}"):
            options = alert.make_context("alert", [f"--{name}", receiver]).params
            for other in ("schema", "target", "profile", "profiles_dir"):
                del options[other]
            alerts.append(_alert_of(**options))
    return alerts


@cli.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("flow_logs_report.html"),
    show_default=True,
    help="file to write",
)
@schema_option
@target_options
def report(out: Path, **target: Any) -> None:
    """Write the page's charts and tables into one HTML file, for mail and tickets.

    It has the last 7 days. It needs what `make app` sets up: requirements-app.txt.

    \b
    Exit codes:
      0   written
      1   the marts can't be read, or the file can't be written
      75  the DuckDB file was in use for too long
    """
    from .built_tables import Where
    from .report import write_report

    write_report(Where(**target), out)
    print(f"Report: {out}")


@cli.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("doors"),
    show_default=True,
    help="folder to write to",
)
@click.option(
    "--history-days",
    type=click.IntRange(1),
    default=90,
    show_default=True,
    help="days of logs that a proposal needs",
)
@schema_option
@target_options
def doors(out: Path, history_days: int, **target: Any) -> None:
    """Write what security groups could close: JSON for aws ec2, and Terraform.

    It reads the mart security_group_proposals, and changes nothing in AWS. OUT gets a
    folder for each account and region; commands.sh there lists the calls.

    \b
    Exit codes:
      0   written, even if there is nothing to propose
      1   the marts can't be read
      75  the DuckDB file was in use for too long
    """
    from .built_tables import Where, open_tables
    from .doors import read_doors, write_doors

    def say(line: str) -> None:
        click.echo(line, err=True)

    with open_tables(Where(**target), say) as tables:
        found = read_doors(tables, history_days)
    for path in write_doors(found, out):
        click.echo(path)
    rules = sum(len(door.rule_ids()) for door in found)
    say(f"{rules} rules could be narrower or removed. Nothing was changed.")


@cli.command()
@click.option(
    "--out",
    envvar="VPC_FLOW_ENRICHMENT_LOCATION",
    show_envvar=True,
    required=True,
    help="folder to write to",
)
@click.option("--only", multiple=True, help="a source; default: all")
def enrich(out: str, only: tuple[str, ...]) -> None:
    """Download AS numbers, countries, AWS's ranges and lists of bad addresses.

    Each comes from its maker, under the licence that _attribution.txt names. What has
    not changed is not downloaded again. docs/enrichment.md lists the sources.

    \b
    Exit codes:
      0  all are up to date
      1  a source gave nothing usable; its file of before stays
      2  no such source, or the location is a bucket
    """
    from .enrich import SOURCES, download_all

    if out.startswith("s3"):
        raise click.UsageError(
            f"{out} is a bucket: give --out a folder, and copy it there with"
            " aws s3 sync."
        )
    names = [source.name for source in SOURCES]
    if unknown := set(only) - set(names):
        raise click.UsageError(
            f"There is no source {min(unknown)}. There are: {', '.join(names)}."
        )
    chosen = [source for source in SOURCES if not only or source.name in only]
    sys.exit(1 if download_all(Path(out), chosen, click.echo) else 0)


@cli.command()
@click.option(
    "--landing-schema",
    default="landing",
    show_default=True,
    help="as the variable landing_schema has it",
)
@schema_option
@target_options
def prove(landing_schema: str, **target: Any) -> None:
    """Ask a Snowflake account what tests without one can't prove: yes or no.

    Stage and build first. It changes nothing but a temporary table.

    \b
    Exit codes:
      0  all answers are yes
      1  an answer is no, or the account can't be reached
    """
    from .built_tables import Where
    from .prove import answers

    are_all_yes = True
    for proof, is_yes, reason in answers(
        Where(**target), landing_schema, lambda line: click.echo(line, err=True)
    ):
        click.echo(f"yes  {proof.claim}" if is_yes else f"no   {proof.claim}: {reason}")
        are_all_yes &= is_yes
    sys.exit(0 if are_all_yes else 1)


@cli.command()
@click.option("--verbose", is_flag=True, help="print dbt's lines as well, to stderr")
def demo(verbose: bool) -> None:
    """Load sample logs, build, and show the answers.

    \b
    Exit codes:
      0  the answers are shown
      1  something failed, or the database holds other logs than the sample
    """
    from .demo import show_demo

    sys.exit(show_demo(verbose))


def main() -> None:
    """Run the command line."""
    cli(prog_name="python -m vpcflow")
