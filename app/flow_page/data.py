"""Where the page reads the marts: a snapshot on this machine, or Snowflake."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

#: Seconds for which an answer of Snowflake is taken for the present one.
SECONDS_KEPT = 600
#: How often a query runs while a build replaces the files.
TRIES = 20
#: The rollup of flows; the snapshot has it in a file for each day.
FLOWS = "int_traffic__daily_flows"
ADDRESSES = "int_traffic__interface_addresses"
OWNERS = "address_owners"
#: Under other names in the snapshot.
FILES = {ADDRESSES: "addresses"}


def for_snowflake(sql: str) -> str:
    """Return a query of the page as Snowflake runs it, whatever an account sets.

    A cast of a text to a date follows the account's DATE_INPUT_FORMAT.
    """
    return sql.replace("cast(? as date)", "to_date(?, 'YYYY-MM-DD')")


class Store(Protocol):
    """Answers queries over the marts. Both engines run the same SQL."""

    #: Whether the records behind a finding can be read.
    has_records: bool

    def version(self) -> str:
        """Return a text that changes when the answers may have changed.

        It is empty if there is nothing to read.
        """

    def tables(self) -> set[str]:
        """Return the names of the tables that were built."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Run one SELECT, with values for its question marks."""


class Snapshot:
    """The Parquet files that each build exports; no process waits for another.

    Args:
        folder: The folder of the snapshot.
    """

    has_records = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, database: str) -> Snapshot:
        """Return the snapshot that a build of a DuckDB file writes."""
        return cls(Path(os.environ.get("VPC_FLOW_SNAPSHOT") or f"{database}.snapshot"))

    def version(self) -> str:
        """Return the folder and when the list of days was written, which is the last.

        Without a snapshot the text is empty.
        """
        try:
            time = (self.folder / "days.parquet").stat().st_mtime_ns
            return f"{self.folder.absolute()} {time}"
        except FileNotFoundError:
            return ""

    def tables(self) -> set[str]:
        """Return the names of the tables in the snapshot."""
        names = {path.stem for path in self.folder.glob("*.parquet")}
        if any((self.folder / "flows").glob("*.parquet")):
            names.add(FLOWS)
        names |= {name for name, file in FILES.items() if file in names}
        return names - {"days", *FILES.values()}

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Run one SELECT.

        DuckDB opens a file more than once. If a build replaces one meanwhile, the query
        fails or mixes two files, so it runs again.

        Raises:
            duckdb.Error: the query failed, and no file had changed.
        """
        import duckdb

        for _ in range(TRIES):
            before = self._written(sql)
            try:
                rows = self._query(sql, parameters)
            except duckdb.Error:
                if before == self._written(sql):
                    raise
            else:
                if before == self._written(sql):
                    return rows
        return self._query(sql, parameters)

    def _written(self, sql: str) -> list[tuple[str, int, int]]:
        """Return the files that a query reads, and when each was written."""
        paths: list[Path] = []
        for name in self.tables():
            if name == FLOWS and name in sql:
                paths += (self.folder / "flows").glob("*.parquet")
            elif name in sql:
                paths.append(self.folder / f"{FILES.get(name, name)}.parquet")
        found = []
        for path in sorted(paths):
            with suppress(FileNotFoundError):
                state = path.stat()
                found.append((str(path), state.st_ino, state.st_mtime_ns))
        return found

    def _query(self, sql: str, parameters: Sequence[Any]) -> pd.DataFrame:
        import duckdb

        with duckdb.connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            for name in self.tables():
                if name in sql:
                    files = self._files(connection, name)
                    connection.read_parquet(files).create_view(name)
            return connection.execute(sql, [*parameters]).df()

    def _files(self, connection: Any, name: str) -> list[str]:
        if name != FLOWS:
            return [str(self.folder / f"{FILES.get(name, name)}.parquet")]
        days = connection.read_parquet(str(self.folder / "days.parquet")).fetchall()
        return [str(self.folder / "flows" / f"{day}.parquet") for day, _ in days]


class Warehouse:
    """The marts in Snowflake, as the role that the app runs with.

    Args:
        session: A session of Snowpark.
    """

    has_records = True

    def __init__(self, session: Any) -> None:
        self._session = session

    def version(self) -> str:
        """Return a text that changes every ten minutes."""
        return str(int(time.time()) // SECONDS_KEPT)

    def tables(self) -> set[str]:
        """Return the names of the tables and views in the app's schema."""
        rows = self.query(
            "select lower(table_name) as name from information_schema.tables"
            " where table_schema = current_schema()"
        )
        return set(rows["name"])

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pd.DataFrame:
        """Run one SELECT; the names of its columns become lower case."""
        query = self._session.sql(for_snowflake(sql), params=[*parameters])
        answer = query.to_pandas()
        answer.columns = [str(name).lower() for name in answer.columns]
        return answer


def open_store() -> Store:
    """Return the store of this environment: Snowflake's inside Snowflake."""
    try:
        from snowflake.snowpark.context import get_active_session

        return Warehouse(get_active_session())
    except Exception:  # no Snowpark here, or no session: not inside Snowflake
        database = os.environ.get("VPC_FLOW_DUCKDB_PATH") or "vpc_flow_logs.duckdb"
        return Snapshot.of(database)
