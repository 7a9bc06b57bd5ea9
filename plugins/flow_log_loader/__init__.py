"""The dbt-duckdb plugin behind `dbt run-operation stage_external_sources`.

It also makes every dbt command wait while another process has the DuckDB file open, and
exports the snapshot that the page reads.

One unreadable Parquet file ends a DuckDB statement, and Jinja cannot catch the error.
So the DuckDB staging plan is a single statement that calls a function of this plugin,
and the function loads the files in transactions of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.events.base_types import EventLevel
from dbt_common.events.functions import fire_event
from dbt_common.events.types import Note
from dbt_common.exceptions import DbtRuntimeError

from .exporting import Export, write_snapshot
from .lines import LineSettings, stage_lines
from .listing import ListingError
from .loading import Loader, LoadError, Settings
from .locking import InUseError, open_when_free
from .s3 import ChangedError, ObjectError, S3Error

# Seconds, if the profile has no `lock_timeout`.
LOCK_TIMEOUT = 300


class Plugin(BasePlugin):  # type: ignore[misc]
    """Registers functions on the DuckDB connection that dbt uses.

    `stage_flow_logs(settings)` loads flow logs, `stage_line_files(settings)` lands the
    lines of other files, `write_snapshot(export)` exports tables.
    """

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take `lock_timeout`, in seconds, from the `config` in the profile."""
        self.lock_timeout = float(plugin_config.get("lock_timeout", LOCK_TIMEOUT))
        self.first: duckdb.DuckDBPyConnection | None = None
        self.path = ""

    def update_connection_config(
        self, creds: DuckDBCredentials, config: dict[str, Any]
    ) -> None:
        """Wait until the DuckDB file is free, and keep it open for dbt.

        Raises:
            DbtRuntimeError: it cannot be opened; dbt prints that without a traceback.
        """
        self.path = creds.path
        if creds.is_motherduck:
            return
        try:
            self.first = open_when_free(creds.path, config, self.lock_timeout, _say)
        except InUseError as failure:
            raise DbtRuntimeError(str(failure)) from failure
        except duckdb.Error as failure:
            raise DbtRuntimeError(
                f"{creds.path} cannot be opened: {failure}"
            ) from failure

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Register the functions; from here on dbt's own connection has the file open.

        They take settings as JSON and return a summary. If that of staging starts with
        `error: `, the plan fails with its text: dbt would print an exception as a page
        of traceback. That of `write_snapshot` is a warning then.

        They are declared free of side effects, so that DuckDB evaluates the call, whose
        argument is a constant, while it plans the statement. During execution a second
        thread would wait in a busy loop, which cost half as much CPU again. A second
        call would find nothing new.
        """

        if self.first:
            self.first.close()

        def stage_flow_logs(settings: str) -> str:
            load = Loader(conn.cursor(), Settings(**json.loads(settings)), _say).run
            return _outcome(load)

        def stage_line_files(settings: str) -> str:
            options = LineSettings(**json.loads(settings))
            return _outcome(lambda: stage_lines(conn.cursor(), options, _say))

        def export_tables(export: str) -> str:
            folder = os.environ.get("VPC_FLOW_SNAPSHOT") or f"{self.path}.snapshot"
            try:
                written = write_snapshot(
                    conn.cursor(), Path(folder), Export(**json.loads(export))
                )
            except (OSError, duckdb.Error) as failure:
                return f"error: {failure}"
            return f"{written} in {folder}"

        for name, function in {
            "stage_flow_logs": stage_flow_logs,
            "stage_line_files": stage_line_files,
            "write_snapshot": export_tables,
        }.items():
            conn.create_function(
                name, function, ["VARCHAR"], "VARCHAR", side_effects=False
            )


def _outcome(stage: Callable[[], str]) -> str:
    """Return what staging returns, or its failure as text."""
    try:
        return stage()
    except (
        *(ListingError, LoadError, S3Error, ObjectError, ChangedError),
        *(OSError, duckdb.Error),
    ) as failure:
        return f"error: {failure}"
    except KeyboardInterrupt:
        return "error: interrupted; what was loaded stays loaded"


def _say(message: str) -> None:
    """Print a line in the form of dbt's own."""
    fire_event(Note(msg=message), level=EventLevel.INFO)
