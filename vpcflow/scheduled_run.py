"""`vpcflow run`: load, check freshness, build, test and alert, in one process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from .alert import Alert, send_new_findings
from .built_tables import QueryError, Tables, Where, open_tables
from .dbt_commands import FAILED, Dbt, Line, Result
from .progress import Progress
from .run_folder import TIME, AtWorkError, RunFolder

SKIPPED = 75
HOOK_TIMEOUT = 300

# `source freshness` and `build` write the manifest's JSON, which takes a while.
PARSE = ("parse", "--no-write-json")
STAGE = (
    *("run-operation", "vpc_flow_logs.stage_external_sources"),
    *("--args", "{select: vpc_flow}"),
)
FRESHNESS = ("source", "freshness", "--select", "source:vpc_flow")
BUILD = (
    *("build", "--exclude-resource-types", "unit_test", "exposure"),
    *("--exclude", "tag:audit"),
)
ALL_MODELS = ("package:vpc_flow_logs",)
WITHOUT_WINDOW_MARTS = ("--exclude", "tag:window_marts")
#: A schedule starts a run some minutes earlier or later than the one before.
EARLY = timedelta(minutes=10)

#: The last line of the loader in plugins/flow_log_loader.
LOADED = re.compile(
    r"(?:Nothing new in )?(?P<found>[\d,]+) files under (?P<location>.+): "
    r"(?:(?P<files>[\d,]+) loaded \((?P<records>[\d,]+) records\), )?[\d,]+ already"
)


class Loaded(NamedTuple):
    """What was loaded; None if the run could not see it.

    `found` is how many files there are, loaded now or before; `why_none` is what to
    look at if there are none.
    """

    found: int | None = None
    files: int | None = None
    records: int | None = None
    why_none: str = ""


def read_loaded(line: str) -> Loaded | None:
    """Read the loader's last line; return None for every other line."""
    read = LOADED.match(line)
    if read is None:
        return None
    found, files, records = (
        int((read[name] or "0").replace(",", ""))
        for name in ("found", "files", "records")
    )
    why_none = f"no file is under {read['location']}: check VPC_FLOW_LOGS_LOCATION"
    return Loaded(found, files, records, why_none)


@dataclass(frozen=True)
class Job:
    """What to run; the command's help describes each option.

    `log_days` is in days, `window_marts_every` in hours. `dbt_options` go to every
    command of dbt. `alerts` has one for each receiver of findings.
    """

    where: Where
    folder: Path
    log_days: int = 30
    select: Sequence[str] = ()
    exclude: Sequence[str] = ()
    window_marts_every: int = 0
    dbt_options: Sequence[str] = ()
    loader_role: str | None = None
    on_failure: str | None = None
    alerts: Sequence[Alert] = ()

    def build_options(self) -> list[str]:
        """Return the options of `dbt build`."""
        selected = self.select or ALL_MODELS
        options = [word for name in selected for word in ("--select", name)]
        return options + [word for name in self.exclude for word in ("--exclude", name)]


def run_once(job: Job, verbose: bool) -> int:
    """Do one scheduled run and print its JSON object.

    Args:
        job: What to run.
        verbose: Whether to print dbt's lines to stderr.

    Returns:
        The exit code, as the command's help lists it.
    """
    folder = RunFolder(job.folder, job.log_days)
    begun, log = f"{datetime.now(UTC):{TIME}}", folder.new_log()
    try:
        with folder.locked(
            {"time": begun, "pid": os.getpid(), "log": str(log)}
        ) as lost:
            if lost:
                _report_killed(lost, folder, job.on_failure)
            with log.open("w") as file, Progress(file, verbose) as progress:
                run = Run(job, progress, folder.last())
                run.all()
            line: dict[str, Any] = {"time": begun, **run.report(), "log": str(log)}
            folder.append(line)
    except AtWorkError as failure:
        at_work = failure.run
        reason = "another run is at work"
        if at_work:
            reason += f" since {at_work['time']}, PID {at_work['pid']}"
        skipped = {"time": begun, "outcome": "skipped", "reason": reason}
        folder.append(skipped)
        print(json.dumps(skipped))
        return SKIPPED
    print(json.dumps(line), flush=True)
    if line["outcome"] != "ok":
        _call_hook(job.on_failure, line)
    return run.exit_code


def _report_killed(run: dict[str, Any], folder: RunFolder, hook: str | None) -> None:
    """Write the line of a run that could not write its own, and call the hook."""
    line = {
        "time": run["time"],
        "outcome": "killed",
        "reason": "the process ended before the run did, by SIGKILL for example, for"
        " want of memory, or when the machine stopped",
        "log": run["log"],
    }
    folder.append(line)
    print(f"The run of {run['time']} was killed: see {run['log']}", file=sys.stderr)
    _call_hook(hook, line)


def _call_hook(hook: str | None, line: dict[str, Any]) -> None:
    """Give the line to the hook's shell command; say if that fails."""
    if not hook:
        return
    try:
        ended = subprocess.run(
            hook,
            shell=True,
            input=json.dumps(line),
            text=True,
            stdout=sys.stderr,
            timeout=HOOK_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"--on-failure: no end after {HOOK_TIMEOUT} s", file=sys.stderr)
        return
    if ended.returncode:
        print(f"--on-failure: exit code {ended.returncode}", file=sys.stderr)


class Run:
    """The steps of a run, and what came of them.

    Args:
        job: What to run.
        progress: Takes dbt's lines.
        last: The line of the last run.
    """

    def __init__(self, job: Job, progress: Progress, last: dict[str, Any]) -> None:
        self._job = job
        self._progress = progress
        self._last = last
        self._built_from: dict[str, Any] = {}
        self._window_marts: dict[str, str] = last.get("window_marts") or {}
        self._now = f"{datetime.now(UTC):{TIME}}"
        self._begun = time.monotonic()
        self._dbt = Dbt([*job.where.dbt_options(), *job.dbt_options], self._hear)
        self._results: dict[str, Result] = {}
        self._loaded = Loaded()
        self._signal = 0
        self._sent = 0

    def all(self) -> None:
        """Run the steps; one that fails does not keep the next from running."""
        with suppress(KeyboardInterrupt), self._interruptible():
            if self._step("parse", *PARSE).exit_code:
                return
            self._built_from = self._read_changes()
            if self._is_idle:
                self._loaded = Loaded(files=0, records=0)
                return
            with self._counting():
                with _as_role(self._job.loader_role):
                    self._step("stage", *STAGE)
                # Until its file is closed, DuckDB keeps some of what loading took.
                self._dbt.close_file()
                self._step("freshness", *FRESHNESS)
                self._build()
            if self._job.alerts:
                self._dbt.close_file()
                self._send_alerts()

    def _build(self) -> None:
        """Build and test; without the marts of the window if they are not due."""
        words = BUILD if self._are_window_marts_due else BUILD + WITHOUT_WINDOW_MARTS
        result = self._step("build", *words, *self._job.build_options())
        is_whole = result.nodes and not result.count("model", *FAILED, "skipped")
        if is_whole and words == BUILD:
            self._window_marts = {"built_at": self._now, "settings": self._settings}

    @property
    def _are_window_marts_due(self) -> bool:
        """Whether the marts of the window are old enough, or of other settings."""
        every = timedelta(hours=self._job.window_marts_every)
        old = f"{datetime.now(UTC) - every + EARLY:{TIME}}"
        return (
            self._window_marts.get("settings") != self._settings
            or self._window_marts["built_at"] <= old
        )

    @cached_property
    def _is_idle(self) -> bool:
        """Whether the last run was ok, and nothing has changed since.

        False once that is so for a day: then the tests report that loading stopped.
        Also false if the marts of the window are due, and older than what has changed.
        """
        if not self._built_from or self._last.get("built_from") != self._built_from:
            return False
        unchanged_since = self._built_from["unchanged_since"]
        day_ago = f"{datetime.now(UTC) - timedelta(days=1):{TIME}}"
        are_behind = self._window_marts.get("built_at", "") < unchanged_since
        return (
            self._last.get("outcome") == "ok"
            and unchanged_since > day_ago
            and not (are_behind and self._are_window_marts_due)
        )

    @cached_property
    def _settings(self) -> str:
        return self._dbt.checksum(self._job.build_options())

    def _read_changes(self) -> dict[str, Any]:
        """Return what answers depend on: the day, the settings, the state of landing.

        Snowflake answers this question without a warehouse. Empty on DuckDB, where a
        run has no such cost, and where landing can't be read.
        https://docs.snowflake.com/en/sql-reference/functions/system_last_change_commit_time
        """
        if self._dbt.adapter != "snowflake":
            return {}
        try:
            with open_tables(self._job.where, print) as tables:
                found = [
                    tables.query(f"select system$last_change_commit_time('{name}')")
                    for name in self._dbt.landing_tables()
                ]
        except QueryError:
            return {}
        changes = [str(each.rows[0][0]) for each in found]
        before = self._last.get("built_from") or {}
        is_same = before.get("landing_changes") == changes
        since = before["unchanged_since"] if is_same else self._now
        return {
            "day": self._now.partition("T")[0],
            "settings": self._settings,
            "landing_changes": changes,
            "unchanged_since": since,
        }

    @property
    def exit_code(self) -> int:
        """The worst of the steps'; 1 if there are no files, 128 + N after signal N."""
        if self._signal:
            return 128 + self._signal
        worst = max(result.exit_code for result in self._results.values())
        return max(worst, 1 if self._loaded.found == 0 else 0)

    def report(self) -> dict[str, Any]:
        """Return the content of the JSON object."""
        reasons = [
            f"{step}: {result.message}"
            for step, result in self._results.items()
            if result.exit_code
        ]
        if self._loaded.found == 0:
            reasons.insert(0, self._loaded.why_none)
        if self._signal:
            reasons = [f"interrupted by {signal.Signals(self._signal).name}"]
        failed = [
            name
            for step, result in self._results.items()
            if result.exit_code
            for name in result.named(*FAILED) or [step]
        ]
        build = self._results.get("build", Result(0))
        if self._is_idle:
            reasons = ["nothing was loaded since the last run"]
        return {
            "outcome": "failed" if self.exit_code else "ok",
            "reason": "; ".join(reasons) or None,
            "files": self._loaded.files,
            "records": self._loaded.records,
            "seconds": round(time.monotonic() - self._begun, 1),
            "steps": {step: r.exit_code for step, r in self._results.items()},
            "models": build.count("model", "success"),
            "tests": {
                status: build.count("test", status)
                for status in ("pass", "warn", "fail", "error", "skipped")
            },
            "alerts": self._sent if self._job.alerts else None,
            "failed": failed,
            "warned": [
                name
                for result in self._results.values()
                for name in result.named("warn")
            ],
            "built_from": self._built_from,
            "window_marts": self._window_marts,
        }

    def _step(self, name: str, *words: str) -> Result:
        """Run a step.

        Raises:
            KeyboardInterrupt: dbt was interrupted.
        """
        self._progress.begin(name)
        self._progress.hear(Line(f"$ dbt {' '.join(words)}", "info", None, None))
        result = self._results[name] = self._dbt.run(*words)
        if result.is_interrupted:
            self._signal = self._signal or signal.SIGINT
            raise KeyboardInterrupt
        return result

    def _send_alerts(self) -> None:
        """Send what each receiver does not have; one that fails stops no other."""
        self._progress.begin("alert")
        failures = []
        for alert in self._job.alerts:
            try:
                sent = send_new_findings(alert, self._job.where)
            except QueryError as failure:
                failures.append(failure.format_message())
                continue
            self._sent += sent.findings
            if sent.has_more:
                # The next run is not idle, so that it sends them.
                self._built_from = {}
            if sent.failure:
                failures.append(sent.failure)
        message = "; ".join(failures)
        self._results["alert"] = Result(1 if failures else 0, message)

    def _hear(self, line: Line) -> None:
        self._progress.hear(line)
        self._loaded = read_loaded(line.text) or self._loaded

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """On Snowflake, count what the models hold before the block and after it."""
        if self._dbt.adapter != "snowflake":
            yield
            return
        with open_tables(self._job.where, print) as tables:
            relation = self._dbt.relation("int_health__files")
            before = _count(tables, relation)
            yield
            after = _count(tables, relation)
        self._loaded = Loaded(
            found=after[0],
            files=after[0] - before[0],
            records=after[1] - before[1],
            why_none="Snowpipe has loaded no file: try dbt run-operation pipe_status",
        )

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let SIGTERM end a run as Ctrl-C does, so that it reports."""

        def interrupt(number: int, _: FrameType | None) -> None:
            self._signal = number
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGTERM, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


def _count(tables: Tables, relation: str) -> tuple[int, int]:
    """Return the files and the records that the models hold; none before a build."""
    try:
        rows = tables.query(f"select count(*), sum(records) from {relation}").rows
    except QueryError:
        return 0, 0
    return int(rows[0][0]), int(rows[0][1] or 0)


@contextmanager
def _as_role(role: str | None) -> Iterator[None]:
    """Let the profile name another role until the block ends; None changes nothing."""
    name = "SNOWFLAKE_ROLE"
    before = os.environ.get(name)
    if role:
        os.environ[name] = role
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before
