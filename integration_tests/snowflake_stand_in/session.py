"""One session: its context, its transaction, and how a statement finds its handler.

Followed: sf:sql-reference/transactions (DDL commits the open transaction; UPDATE,
DELETE and MERGE hold the table's lock until the transaction ends; statements read what
was committed before them), sf:user-guide/tables-temp-transient (a temporary relation
belongs to a session and hides a permanent one of the same name).

A statement that fails leaves the transaction open, with what was done before. A block
of Snowflake Scripting is a transaction that is rolled back if one of its statements
fails (sf:developer-guide/snowflake-scripting/exceptions); other blocks are refused.

Not modelled: inside a transaction that has read or written already, seeing what others
commit meanwhile (DuckDB keeps its snapshot).
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import Expr, exp
from sqlglot.errors import SqlglotError

from integration_tests.snowflake_stand_in import dialect, text
from integration_tests.snowflake_stand_in.account import (
    COMMIT_TIME,
    PARAMETERS,
    Account,
    Name,
    Relation,
    now,
)
from integration_tests.snowflake_stand_in.errors import (
    SqlError,
    compilation,
    missing,
    syntax,
)
from integration_tests.snowflake_stand_in.results import Column, Result

Handler = Callable[["Session", re.Match[str]], Result]
Expansion = Callable[["Session", str], str]
#: The last argument is the statement's text as the client sent it.
TreeHandler = Callable[["Session", Any, str], Result]
HANDLERS: list[tuple[re.Pattern[str], Handler]] = []
EXPANSIONS: list[Expansion] = []
TREE_HANDLERS: dict[type[Expr], TreeHandler] = {}
#: Statement type ids by which the connector knows rows from counts.
SELECT, INSERT, UPDATE, DELETE, MERGE = 4096, 12544, 12800, 13056, 13312
DDL = 24576
_BLOCK = text.pattern(
    r"execute immediate\s+\$\$\s*begin (?:let (?P<variable>\w+) integer :="
    r" \((?P<query>.*?)\); )?(?P<statements>begin transaction;.*;)"
    r" exception when other then rollback; raise; end;?\s*\$\$"
)
#: Seconds; Snowflake's are 43,200.
_LOCK_TIMEOUT = 300


def statement(*templates: str) -> Callable[[Handler], Handler]:
    """Register a handler for statements of an outline (see ``text.pattern``)."""

    def register(handler: Handler) -> Handler:
        HANDLERS.extend((text.pattern(template), handler) for template in templates)
        return handler

    return register


def tree(kind: type[Expr]) -> Callable[[TreeHandler], TreeHandler]:
    """Register a handler for parsed statements of a kind."""

    def register(handler: TreeHandler) -> TreeHandler:
        TREE_HANDLERS[kind] = handler
        return handler

    return register


def expansion(function: Expansion) -> Expansion:
    """Register a function that replaces parts of a statement before parsing."""
    EXPANSIONS.append(function)
    return function


class Session:
    """One connection's state, over one DuckDB connection."""

    def __init__(self, account: Account, user: str) -> None:
        self.account = account
        self.id = str(uuid.uuid4().int % 10**15)
        self.user = user
        self.role = "ACCOUNTADMIN"
        self.database: str | None = None
        self.schema: str | None = None
        self.parameters: dict[str, str] = {}
        self.temporary: dict[Name, Relation] = {}
        self.in_transaction = False
        #: When the last statement ended; none while one runs.
        self.idle_since: float | None = None
        self._at_commit: list[Callable[[], None]] = []
        #: What the transaction has done, to be done again after a failure in it.
        self._done: list[str] = []
        #: The tables whose new rows get the time of the commit.
        self._stamped: set[Name] = set()
        self._names = 0
        self.last_result = Result.status()
        self.duck = account.duck.cursor()
        dialect.install_macros(self.duck)
        self.set_parameter("TIMEZONE", self.parameter("TIMEZONE"))

    # ----- context

    def parameter(self, name: str) -> str:
        """A parameter as this session sees it."""
        return self.parameters.get(name, self.account.parameters[name])

    def set_parameter(self, name: str, value: str) -> None:
        """ALTER SESSION SET one parameter."""
        if name not in PARAMETERS:
            raise compilation(f"invalid property '{name}' for 'SESSION'", 1506, "22023")
        if name == "TIMEZONE":
            self.duckdb("set TimeZone = '" + value.replace("'", "''") + "'")
        self.parameters[name] = value

    def use(self, database: str | None, schema: str | None) -> None:
        """Set the current database and schema, which must exist."""
        if database and schema:
            self.account.find("SCHEMA", (database, schema))
        elif database:
            self.account.find("DATABASE", (database,))
        self.database, self.schema = database, schema
        if database:
            self.duckdb(f"""set schema = '"{database}"."{schema or "main"}"'""")

    def resolve(self, name: str | Name, depth: int = 3) -> Name:
        """A full name from a possibly shorter one."""
        parts = text.name_parts(name) if isinstance(name, str) else name
        context = (self.database, self.schema)
        full = (*context[: max(depth - len(parts), 0)], *parts)
        if None in full or len(full) != depth:
            raise SqlError(
                f"Cannot resolve '{'.'.join(parts)}'. This session does not have a"
                " current database. Call 'USE DATABASE', or use a qualified name.",
                90105,
                "22000",
            )
        return full  # type: ignore[return-value]

    def relation(self, name: Name, kind: str = "table") -> Relation:
        """The relation of a name in this session, which must exist."""
        found = self.temporary.get(name) or self.account.relations.get(name)
        if found is None:
            raise missing(kind, ".".join(name))
        return found

    # ----- running statements

    def run(self, sql: str) -> Result:
        """Run one statement for a client: logged, and with ordered failures.

        Of a block each statement is logged and may fail, not the block.
        """
        parts = text.statements(sql)
        if len(parts) == 1 and (block := _BLOCK.fullmatch(parts[0])):
            body = block["statements"]
            if block["variable"]:
                value = self.run(block["query"]).rows[0][0]
                written = "null" if value is None else str(value)
                body = body.replace(f":{block['variable']}", written)
            return self._run_block(text.statements(body))
        entry: dict[str, Any] = {
            "text": sql,
            "role": self.role,
            "query_tag": self.parameter("QUERY_TAG"),
            "timezone": self.parameter("TIMEZONE"),
            "error": None,
        }
        self.account.log.append(entry)
        self.idle_since = None
        self.account.wait_if_held(sql)
        try:
            if failure := self.account.injected(sql, "before"):
                raise failure
            result = self.execute(sql)
            if failure := self.account.injected(sql, "after"):
                raise failure
        except SqlError as error:
            entry["error"] = error.message
            raise
        finally:
            self.idle_since = time.monotonic()
        entry["rows"] = len(result.rows)
        self.last_result = result
        return result

    def _run_block(self, statements: tuple[str, ...]) -> Result:
        try:
            for each in statements:
                result = self.run(each)
        except SqlError:
            self.rollback()
            raise
        return result

    def execute(self, sql: str) -> Result:
        """Run one statement."""
        bare = text.statements(sql)
        if len(bare) != 1:
            message = f"Actual statement count {len(bare)} did not match the desired"
            raise SqlError(f"{message} statement count 1.", 8, "0A000")
        command = bare[0]
        for regex, handler in HANDLERS:
            if match := regex.fullmatch(command):
                with self.account.lock:
                    return handler(self, match)
        parsed = self.parse(self.expand(command))
        change = TREE_HANDLERS.get(type(parsed))
        if change is None and isinstance(parsed, exp.Query):
            return self.select(parsed)
        if change is None:
            raise syntax(command)
        if isinstance(parsed, exp.Update | exp.Delete | exp.Merge):
            self.wait_for_lock(self.named(parsed.this))
        try:
            with self.account.lock:
                return change(self, parsed, command)
        finally:
            if not self.in_transaction:
                self.release_locks()

    def expand(self, command: str) -> str:
        """Replace what names no relation: staged files, table functions."""
        with self.account.lock:
            for each in EXPANSIONS:
                command = each(self, command)
        return command

    def parse(self, command: str) -> Expr:
        """The statement's tree, checked; sqlglot's fallback is refused."""
        try:
            parsed = sqlglot.parse_one(command, read="snowflake")
        except SqlglotError as error:
            reason = re.sub(r"\x1b\[\d+m", "", str(error)).split("\n")[0]
            shown = " ".join(command.split())
            raise compilation(f"syntax error: {reason} In: {shown}") from error
        if isinstance(parsed, exp.Command):
            raise syntax(command)
        dialect.check(parsed)
        return parsed

    def translate(self, parsed: Expr) -> str:
        """DuckDB's SQL for a Snowflake tree, which is changed on the way."""
        self._place_tables(parsed)
        try:
            return dialect.translate(dialect.rewrite(parsed, self))
        except (NotImplementedError, SqlglotError, AssertionError) as error:
            raise syntax(f"{error}") from error

    def duckdb(self, sql: str, *binds: Any) -> None:
        """Run DuckDB's SQL, with its errors as Snowflake would word them."""
        try:
            self.duck.execute(sql, binds or None)
        except duckdb.Error as error:
            self._reopen()
            raise _as_sql_error(error) from error

    def _reopen(self) -> None:
        """Go on with the transaction, which DuckDB has ended at a failure."""
        if self.in_transaction:
            self.duck.execute("rollback")
            self.duck.execute("begin")
            for each in self._done:
                self.duck.execute(each)

    def select(self, parsed: Expr) -> Result:
        """Run a query."""
        names = [_default_name(each) for each in parsed.selects]
        with self.account.lock:
            self.duckdb(self.translate(parsed))
            described = self.duck.description or []
            columns = [
                Column.of_duckdb(name, str(kind)) for name, kind, *_ in described
            ]
            try:
                arrow = self.duck.to_arrow_table()
            except duckdb.Error as error:
                self._reopen()
                raise _as_sql_error(error) from error
        values = [column.to_pylist() for column in arrow.columns]
        rows = list(zip(*values, strict=True)) if values else []
        if len(names) == len(columns):
            columns = [
                replace(column, name=name or column.name)
                for column, name in zip(columns, names, strict=True)
            ]
        return Result(columns, rows, SELECT)

    def change(self, parsed: Expr) -> int:
        """Run DML; return the number of rows that it changed."""
        sql = self.translate(parsed)
        self.duckdb(sql)
        if self.in_transaction:
            self._done.append(sql)
        return int(self.duck.fetchall()[0][0])

    # ----- names in trees

    def named(self, table: Expr) -> Name:
        """The full name of a table in a tree."""
        parts = (p.name if p.quoted else p.name.upper() for p in table.parts)
        return self.resolve(tuple(parts))

    def _place_tables(self, parsed: Expr) -> None:
        names = {cte.alias_or_name.upper() for cte in parsed.find_all(exp.CTE)}
        for table in list(parsed.find_all(exp.Table)):
            local = not table.db and table.name.upper() in names
            if isinstance(table.this, exp.Identifier) and not local:
                self._place(table)

    def _place(self, table: exp.Table) -> None:
        if table.meta.get("placed"):
            return
        if table.db.upper() == "TEMP":
            self._point(table, ("temp", "main", table.name), table.name)
            return
        full = self.named(table)
        if full in self.temporary:
            self._point(table, ("temp", "main", ".".join(full)), full[2])
        elif full not in self.account.relations:
            raise missing("object", ".".join(full))
        elif self.account.relations[full].has_row_timestamps:
            self._point(table, full, full[2])
            reader = table.find_ancestor(exp.Select)
            for star in reader.expressions if reader else []:
                if isinstance(star, exp.Star):
                    hidden = exp.to_identifier(COMMIT_TIME, quoted=True)
                    star.set("except_", [hidden])
        elif not table.catalog:
            self._point(table, full, full[2])

    @staticmethod
    def _point(table: exp.Table, name: Name, alias: str) -> None:
        catalog, schema, own = (exp.to_identifier(part, quoted=True) for part in name)
        table.set("this", own)
        table.set("db", schema)
        table.set("catalog", catalog)
        reads = isinstance(table.parent, exp.From | exp.Join)
        reads = reads or table.arg_key == "using"
        if reads and not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(alias, True)))

    def physical(self, name: Name) -> str:
        """DuckDB's name of a relation."""
        if name in self.temporary:
            name = ("temp", "main", ".".join(name))
        return ".".join(f'"{part}"' for part in name)

    def register(
        self,
        columns: dict[str, pa.Array],
        name: str | None = None,
        variants: Collection[str] = (),
    ) -> str:
        """Register Arrow columns as a view of this session; return its name."""
        self._names += 1
        name = name or f"STAND_IN_{self._names}"
        self.duck.register(f"{name}_ARROW", pa.table(columns))
        shown = ", ".join(
            f'"{c}"::json as "{c}"' if c in variants else f'"{c}"' for c in columns
        )
        self.duckdb(
            f"create or replace temp view {name} as select {shown} from {name}_ARROW"
        )
        return name

    # ----- transactions

    def begin(self) -> None:
        """BEGIN; inside a transaction it changes nothing."""
        if not self.in_transaction:
            self.duckdb("begin")
            self.in_transaction = True

    def commit(self) -> None:
        """COMMIT, explicit or by DDL; outside a transaction it changes nothing."""
        if self.in_transaction:
            for name in self._stamped:
                self._stamp(name)
            work = self._end()
            try:
                self.duckdb("commit")
                for each in work:
                    each()
            finally:
                self.release_locks()

    def rollback(self) -> None:
        """ROLLBACK; outside a transaction it changes nothing."""
        if self.in_transaction:
            self._end()
            self.duckdb("rollback")
            self.release_locks()

    def _end(self) -> list[Callable[[], None]]:
        work, self._at_commit, self.in_transaction = self._at_commit, [], False
        self._done.clear()
        self._stamped.clear()
        return work

    def stamp(self, name: Name) -> None:
        """Give the new rows of a table the time of their commit."""
        if self.in_transaction:
            self._stamped.add(name)
        else:
            self._stamp(name)

    def _stamp(self, name: Name) -> None:
        self.duckdb(
            f'update {self.physical(name)} set "{COMMIT_TIME}" = $1::timestamptz'
            f' where "{COMMIT_TIME}" is null',
            now(),
        )

    def at_commit(self, work: Callable[[], None]) -> None:
        """Change the registry when the data change is committed."""
        if self.in_transaction:
            self._at_commit.append(work)
        else:
            work()

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Run several DuckDB statements as one, in or out of a transaction."""
        if self.in_transaction:
            yield
            return
        self.duckdb("begin")
        try:
            yield
        except BaseException:
            self.duckdb("rollback")
            raise
        self.duckdb("commit")

    def wait_for_lock(self, name: Name) -> None:
        """Wait until no other session's transaction holds the table.

        One that idles meanwhile, as a killed client's does, is rolled back.
        """
        holders = self.account.lock_holders
        for _ in range(_LOCK_TIMEOUT):
            with self.account.table_locks:
                if self.account.table_locks.wait_for(
                    lambda: holders.get(name, self) is self, timeout=1
                ):
                    holders[name] = self
                    return
                holder = holders[name]
            idle_since = holder.idle_since
            if idle_since and time.monotonic() - idle_since > self.account.idle_timeout:
                with self.account.lock:
                    holder.rollback()
        table = ".".join(name)
        raise SqlError(f"Lock timeout on table '{table}'", 625, "57014")

    def release_locks(self) -> None:
        """Release every table lock of this session."""
        holders = self.account.lock_holders
        with self.account.table_locks:
            for name in [n for n, holder in holders.items() if holder is self]:
                del holders[name]
            self.account.table_locks.notify_all()

    def close(self) -> None:
        """End the session: an open transaction is rolled back."""
        with self.account.lock:
            self.rollback()
            self.duck.close()


def _default_name(selected: Expr) -> str | None:
    """The name that a column without an alias has: its expression, in upper case."""
    if isinstance(selected, exp.Alias | exp.Column | exp.Star):
        return None
    return selected.sql("snowflake").upper()


def _as_sql_error(error: duckdb.Error) -> SqlError:
    message = str(error).split("\n\n")[0]
    if isinstance(error, duckdb.ConversionException):
        return SqlError(message, 100038, "22018")
    if isinstance(error, duckdb.ConstraintException):
        return SqlError(message, 100072, "22000")
    return compilation(message, 904)
