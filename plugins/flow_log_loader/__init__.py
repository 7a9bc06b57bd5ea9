"""The dbt-duckdb plugin behind `dbt run-operation stage_external_sources`.

It also makes every dbt command wait while another process has the DuckDB file open.

Jinja cannot catch an error, and one unreadable Parquet file ends a DuckDB statement.
So the DuckDB staging plan is a single statement that calls a function of this plugin,
and the function loads file after file in transactions of its own.
"""

from __future__ import annotations

import json
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.events.base_types import EventLevel
from dbt_common.events.functions import fire_event
from dbt_common.events.types import Note
from dbt_common.exceptions import DbtRuntimeError

from .listing import ListingError
from .loading import Loader, LoadError, Settings
from .locking import InUseError, open_when_free

# Seconds, if the profile says nothing.
LOCK_TIMEOUT = 300


class Plugin(BasePlugin):
    """Registers `stage_flow_logs(settings)` on the DuckDB connection that dbt uses."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Take `lock_timeout`, in seconds, from the `config` in the profile."""
        self.lock_timeout = float(plugin_config.get("lock_timeout", LOCK_TIMEOUT))
        self.first: duckdb.DuckDBPyConnection | None = None

    def update_connection_config(
        self, creds: DuckDBCredentials, config: dict[str, Any]
    ) -> None:
        """Open the file before dbt does, and so that dbt finds it free.

        Raises:
            DbtRuntimeError: it cannot be opened; dbt prints that without a traceback.
        """
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
        """Register the function, and leave the file to dbt's own connection.

        `stage_flow_logs` takes the settings as JSON and returns a sentence about what
        it did. One that starts with `error: ` tells the plan to fail with that text:
        an exception raised in here would reach the user as a page of traceback.

        It is declared free of side effects, so that DuckDB evaluates the call, whose
        argument is a constant, while it plans the statement. During execution one of
        two threads would do nothing but ask, in a loop, whether the other had finished:
        that cost half as much again. A second call would find nothing new.
        """

        if self.first:
            self.first.close()

        def stage_flow_logs(settings: str) -> str:
            try:
                loader = Loader(conn.cursor(), Settings(**json.loads(settings)), _say)
                return loader.run()
            except (ListingError, LoadError, OSError, duckdb.Error) as failure:
                return f"error: {failure}"
            except KeyboardInterrupt:
                return "error: interrupted; what was loaded stays loaded"

        conn.create_function(
            "stage_flow_logs",
            stage_flow_logs,
            ["VARCHAR"],
            "VARCHAR",
            side_effects=False,
        )


def _say(message: str) -> None:
    """Print one line the way dbt prints its own."""
    fire_event(Note(msg=message), level=EventLevel.INFO)
