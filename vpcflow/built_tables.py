"""Query the tables that were built, on either target, for no longer than the query."""

from __future__ import annotations

import os
import re
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import duckdb

from .snapshot import copy_last_commit
from .tables import Rows

SECONDS_BETWEEN_TRIES = 0.5


class QueryError(click.ClickException):
    """The query failed, or the tables can't be reached; the message says what to do."""


class InUseError(QueryError):
    """Another process had the DuckDB file open for longer than the timeout."""

    exit_code = 75


@dataclass(frozen=True)
class Where:
    """Which target to query; None is what dbt takes by default.

    `schema` is where the models are; None is where dbt builds them by default.
    `timeout` is in seconds: for a DuckDB file in use, and for a statement on Snowflake.
    """

    target: str | None = None
    profile: str | None = None
    profiles_dir: str | None = None
    schema: str | None = None
    timeout: float = 300

    def dbt_options(self) -> list[str]:
        """The same for a command of dbt."""
        options = {
            "--target": self.target,
            "--profile": self.profile,
            "--profiles-dir": self.profiles_dir,
        }
        return [
            word for name, value in options.items() if value for word in (name, value)
        ]


class Tables:
    """The built tables, while they are open.

    Args:
        cursor: A cursor of Python's DB-API.
        engine: Whose it is, as dbt names it.
    """

    def __init__(self, cursor: Any, engine: str) -> None:
        self._cursor = cursor
        self.engine = engine

    def query(
        self, sql: str, limit: int | None = None, parameters: Sequence[Any] = ()
    ) -> Rows:
        """Run a query.

        Args:
            sql: One statement.
            limit: How many rows to fetch at most; None fetches all.
            parameters: Values for its parameters, in the style of the connector.

        Raises:
            QueryError: the database refuses it.
        """
        try:
            self._cursor.execute(sql, *([[*parameters]] if parameters else []))
            columns = [column[0].lower() for column in self._cursor.description or []]
            rows = (
                self._cursor.fetchall()
                if limit is None
                else self._cursor.fetchmany(limit)
            )
        except Exception as failure:
            if not _is_of_the_database(failure):
                raise
            raise QueryError(f"The query failed: {failure}") from failure
        return Rows(columns, [tuple(row) for row in rows])


@contextmanager
def open_tables(
    where: Where, say: Callable[[str], None], is_writing: bool = False
) -> Iterator[Tables]:
    """Open the built tables until the block ends.

    Args:
        where: The target.
        say: Prints a line when the DuckDB file is in use.
        is_writing: Whether statements change tables. Then a DuckDB file that is in use
            is waited for.

    Raises:
        QueryError: they can't be opened; the message says why.
    """
    credentials = _credentials(where)
    if credentials.type == "duckdb":
        opened = _open_duckdb(credentials, where.timeout, say, is_writing)
    elif credentials.type == "snowflake":
        opened = _open_snowflake(credentials, where.timeout)
    else:
        raise QueryError(f"There is no support for the adapter {credentials.type}.")
    with opened as tables:
        yield tables


def adapter_and_path(where: Where) -> tuple[str, str]:
    """Return the adapter of a target, and the path of its DuckDB file or no text.

    Raises:
        QueryError: the profile has a fault.
    """
    credentials = _credentials(where)
    return str(credentials.type), str(getattr(credentials, "path", ""))


def _credentials(where: Where) -> Any:
    """Read the profile as dbt does.

    Raises:
        QueryError: the profile has a fault.
    """
    # dbt takes a second to import: only what needs the profile waits for it.
    from dbt.cli.resolvers import default_profiles_dir
    from dbt.config.runtime import load_profile
    from dbt.flags import set_from_args
    from dbt_common.context import set_invocation_context
    from dbt_common.exceptions import DbtBaseException

    profiles_dir = (
        where.profiles_dir
        or os.environ.get("DBT_PROFILES_DIR")
        or str(default_profiles_dir())
    )
    with suppress(ImportError):  # dbt 1.11 reads no .env
        from dotenv import find_dotenv, load_dotenv

        load_dotenv(find_dotenv(usecwd=True))
    set_invocation_context(os.environ.copy())
    set_from_args(Namespace(PROFILES_DIR=profiles_dir), None)
    profile = where.profile or os.environ.get("DBT_PROFILE")
    target = where.target or os.environ.get("DBT_TARGET")
    try:
        credentials = load_profile(".", {}, profile, target).credentials
    except DbtBaseException as failure:
        raise QueryError(str(failure)) from failure
    schema = where.schema or credentials.schema
    if not where.schema and _is_installed():
        # As the macro generate_schema_name has it in a project that installs this one.
        schema += "_vpc_flow_logs"
    return credentials.replace(schema=schema)


def _is_installed() -> bool:
    """Return whether the folder is another project's, which installs this one."""
    project = Path("dbt_project.yml")
    return project.exists() and not re.search(
        "^name: vpc_flow_logs$", project.read_text(), flags=re.MULTILINE
    )


@contextmanager
def _open_duckdb(
    credentials: Any, timeout: float, say: Callable[[str], None], is_writing: bool
) -> Iterator[Tables]:
    path = credentials.path
    if "://" not in path and not path.startswith("md:") and not Path(path).exists():
        raise QueryError(
            f"There is no {path} yet. Load and build first: python -m vpcflow run"
        )
    with tempfile.TemporaryDirectory(prefix="vpcflow-") as folder:
        connection = _connect(path, Path(folder), timeout, say, is_writing)
        with connection:
            connection.execute("set TimeZone = 'UTC'")
            try:
                connection.execute(f"set schema = '{credentials.schema}'")
            except duckdb.CatalogException as failure:
                raise QueryError(
                    f"{path} has no schema {credentials.schema} yet."
                    " Load and build first: python -m vpcflow run"
                ) from failure
            yield Tables(connection, "duckdb")


def _connect(
    path: str,
    folder: Path,
    timeout: float,
    say: Callable[[str], None],
    is_writing: bool,
) -> duckdb.DuckDBPyConnection:
    """Open the file; while a process writes to it, open a copy of its last commit.

    To write, wait for that process instead.
    """
    begun, is_copied = time.monotonic(), is_writing
    while True:
        try:
            return duckdb.connect(path, read_only=not is_writing)
        except duckdb.Error as failure:
            found = re.search(r"lock is held in (.+? \(PID \d+\))", str(failure))
            if not found:
                raise QueryError(f"{path} can't be opened: {failure}") from failure
        if not is_copied:
            is_copied = True
            say(f"{path} is in use by {found[1]}: reading a copy of its last commit")
            copy = copy_last_commit(Path(path), folder, timeout=min(timeout, 20))
            if copy is not None:
                return duckdb.connect(str(copy), read_only=True)
            say(f"No copy could be made: waiting for {path}, up to {timeout:g} s")
        if time.monotonic() - begun >= timeout:
            raise InUseError(
                f"{path} is in use by {found[1]}, still after {timeout:g} s. Try again"
                " when that process has ended, or wait longer with --timeout."
            )
        time.sleep(SECONDS_BETWEEN_TRIES)


@contextmanager
def _open_snowflake(credentials: Any, timeout: float) -> Iterator[Tables]:
    from dbt.adapters.contracts.connection import (
        Connection,
        ConnectionState,
        Identifier,
    )
    from dbt.adapters.snowflake.connections import SnowflakeConnectionManager
    from dbt_common.exceptions import DbtBaseException

    connection = Connection(
        type=Identifier("snowflake"),
        name="vpcflow",
        credentials=credentials,
        state=ConnectionState.INIT,
    )
    try:
        SnowflakeConnectionManager.open(connection)
    except DbtBaseException as failure:
        raise QueryError(f"Snowflake can't be reached: {failure}") from failure
    with closing(connection.handle) as handle:
        cursor = handle.cursor()
        cursor.execute(
            f"alter session set statement_timeout_in_seconds = {timeout:.0f}"
        )
        yield Tables(cursor, "snowflake")


def _is_of_the_database(failure: Exception) -> bool:
    """Return whether an exception is one of DuckDB's or of Snowflake's connector."""
    return any(
        parent.__module__.split(".")[0] in ("duckdb", "_duckdb", "snowflake")
        for parent in type(failure).__mro__
    )
