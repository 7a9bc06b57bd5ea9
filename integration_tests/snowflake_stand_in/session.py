"""One session: its context, its transaction, and how a statement finds its handler.

Followed: sf:sql-reference/transactions (DDL commits the open transaction; UPDATE,
DELETE and MERGE hold the table's lock until the transaction ends; statements read what
was committed before them), sf:user-guide/tables-temp-transient (a temporary relation
belongs to a session and hides a permanent one of the same name),
sf:sql-reference/sql/merge (a target row matched twice is an error).

Not modelled: a transaction that goes on after a statement failed while it ran (it is
rolled back, and what follows is an error until ROLLBACK or COMMIT), and, inside a
transaction that has read or written already, seeing what others commit meanwhile
(DuckDB keeps its snapshot).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.fakes import FakeSnowflakeConnection
from sqlglot import Expr, exp
from sqlglot.errors import SqlglotError

from integration_tests.snowflake_stand_in import dialect, text
from integration_tests.snowflake_stand_in.account import (
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
SELECT, INSERT, UPDATE, DELETE, MERGE, DDL = 4096, 12544, 12800, 13056, 13312, 24576
_LOST = SqlError(
    "the stand-in rolled this transaction back when a statement in it failed;"
    " Snowflake would have kept it open"
)


def statement(*templates: str) -> Callable[[Handler], Handler]:
    """Register a handler for statements of an outline (see ``text.pattern``)."""

    def register(handler: Handler) -> Handler:
        HANDLERS.extend((text.pattern(template), handler) for template in templates)
        return handler

    return register


def tree(*kinds: type[Expr]) -> Callable[[TreeHandler], TreeHandler]:
    """Register a handler for parsed statements of some kinds."""

    def register(handler: TreeHandler) -> TreeHandler:
        TREE_HANDLERS.update(dict.fromkeys(kinds, handler))
        return handler

    return register


def expansion(function: Expansion) -> Expansion:
    """Register a function that replaces parts of a statement before parsing."""
    EXPANSIONS.append(function)
    return function


class Session:
    """One connection's state, over one DuckDB connection."""

    def __init__(self, account: Account, user: str = "STAND_IN") -> None:
        self.account = account
        self.id = str(uuid.uuid4().int % 10**15)
        self.user = user
        self.role = "ACCOUNTADMIN"
        self.warehouse: str | None = None
        self.database: str | None = None
        self.schema: str | None = None
        self.parameters: dict[str, str] = {}
        self.temporary: dict[Name, Relation] = {}
        self.last_result: Result | None = None
        self.in_transaction = False
        self._lost = False
        self._at_commit: list[Callable[[], None]] = []
        self._names = 0
        self.duck = account.fs.duck_conn.cursor()
        self.fake = FakeSnowflakeConnection(
            self.duck, {}, create_database=False, db_path=account.state
        )
        dialect.install_macros(self.duck)
        self.apply_timezone()

    # ----- context

    def parameter(self, name: str) -> str:
        """A parameter as this session sees it: its own, the user's, the account's."""
        if name in self.parameters:
            return self.parameters[name]
        user = self.account.things("USER").get((self.user,))
        if user and name in user.properties:
            return text.unquote(str(user.properties[name]))
        return self.account.parameter(name)

    def set_parameter(self, name: str, value: str | None) -> None:
        """ALTER SESSION SET or (``None``) UNSET one parameter."""
        if name not in PARAMETERS:
            raise compilation(f"invalid property '{name}' for 'SESSION'", 1506, "22023")
        before = dict(self.parameters)
        if value is None:
            self.parameters.pop(name, None)
        else:
            self.parameters[name] = value
        try:
            self.apply_timezone()
        except SqlError:
            self.parameters = before
            raise

    def apply_timezone(self) -> None:
        """Give DuckDB the session's time zone."""
        zone = self.parameter("TIMEZONE")
        try:
            self.duck.execute("set TimeZone = " + _literal(zone))
        except duckdb.Error as error:
            raise SqlError(f"Invalid value [{zone}] for TIMEZONE", 1008) from error

    def use(self, database: str | None, schema: str | None) -> None:
        """Set the current database and schema, which must exist."""
        if database is not None:
            self.account.find("DATABASE", (database,))
            if schema is not None:
                self.account.find("SCHEMA", (database, schema))
        self.database, self.schema = database, schema
        self.fake.database, self.fake._schema = database, schema
        if database:
            place = f'"{database}"."{schema or "main"}"'
            self.duck.execute("set schema = " + _literal(place))

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

    def relation(self, name: Name) -> Relation | None:
        """The relation that a name means in this session."""
        return self.temporary.get(name) or self.account.registry.relations.get(name)

    # ----- running statements

    def run(self, sql: str, binds: list[Any] | None = None) -> Result:
        """Run one statement for a client: logged, and with ordered failures."""
        entry = {
            "text": sql,
            "at": now().isoformat(),
            "user": self.user,
            "role": self.role,
            "warehouse": self.warehouse,
            "query_tag": self.parameter("QUERY_TAG"),
            "timezone": self.parameter("TIMEZONE"),
            "session": self.id,
            "error": None,
        }
        self.account.log.append(entry)
        try:
            if failure := self.account.injected(sql, "before"):
                raise failure
            result = self.execute(sql, binds)
            if failure := self.account.injected(sql, "after"):
                raise failure
        except SqlError as error:
            entry["error"] = error.message
            raise
        entry["rows"] = len(result.rows)
        self.last_result = result
        return result

    def execute(self, sql: str, binds: list[Any] | None = None) -> Result:
        """Run one statement."""
        bare = text.statements(sql)
        if len(bare) != 1:
            count = len(bare)
            raise SqlError(
                f"Actual statement count {count} did not match the desired statement"
                " count 1."
                if bare
                else "SQL compilation error:\nEmpty SQL statement.",
                8 if bare else 900,
                "0A000",
            )
        command = original = bare[0]
        if self._lost and not re.match(r"commit|rollback", command, re.IGNORECASE):
            raise _LOST
        for regex, handler in HANDLERS:
            if match := regex.fullmatch(command):
                with self.account.lock:
                    result = handler(self, match)
                    self.account.save()
                    return result
        parsed = self.parse(self.expand(command))
        handler = TREE_HANDLERS.get(type(parsed))
        if handler is None and isinstance(parsed, exp.Query):
            return self.select(parsed, binds)
        if handler is None:
            raise syntax(command)
        locked = self._target(parsed)
        if locked:
            self.wait_for_lock(locked)
        try:
            with self.account.lock:
                if binds:
                    self._binds = binds
                result = handler(self, parsed, original)
                self.account.save()
                return result
        finally:
            self._binds = None
            if not self.in_transaction:
                self.release_locks()

    _binds: list[Any] | None = None

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
        """DuckDB's SQL for a Snowflake tree: ours first, then fakesnow's."""
        ours = dialect.rewrite(self._place_tables(parsed.copy()), self)
        cursor = FakeSnowflakeCursor(self.fake, self.duck)
        try:
            with _in_place():
                tree = cursor._transform(ours, None)
            # Quoted: what fakesnow upper-cased may be a reserved word of DuckDB's.
            return tree.sql(dialect="duckdb", identify=True)
        except (NotImplementedError, SqlglotError, AssertionError) as error:
            raise syntax(f"{error}") from error

    def duckdb(self, sql: str, binds: list[Any] | None = None) -> None:
        """Run DuckDB's SQL, with its errors as Snowflake would word them."""
        try:
            self.duck.execute(sql, binds)
        except duckdb.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: duckdb.Error) -> SqlError:
        """The error for the client; notes when DuckDB gave up the transaction."""
        if self.in_transaction and not self._lost:
            try:
                self.duck.execute("select 1")
            except duckdb.Error:
                self.duck.execute("rollback")
                self._lost = True
        return _as_sql_error(error)

    def fetch(self) -> Result:
        """The rows of the statement that DuckDB ran last."""
        description = self.duck.description or []
        columns = [Column.of_duckdb(name, str(kind)) for name, kind, *_ in description]
        return Result(columns, self._rows(), SELECT)

    def _rows(self) -> list[tuple[Any, ...]]:
        arrow = self.duck.to_arrow_table()
        values = [column.to_pylist() for column in arrow.columns]
        return list(zip(*values, strict=True)) if values else []

    def select(self, parsed: Expr, binds: list[Any] | None = None) -> Result:
        """Run a query."""
        with self.account.lock:
            try:
                self.duckdb(self.translate(parsed), binds)
                return _named(self.fetch(), parsed)
            except duckdb.Error as error:
                raise self._failed(error) from error

    def query(self, sql: str) -> Result:
        """Run a query that the stand-in itself needs."""
        return self.select(self.parse(sql))

    def change(self, parsed: Expr) -> int:
        """Run DML and return how many rows it touched."""
        self.duckdb(self.translate(parsed), self._binds)
        return int(self.duck.fetchall()[0][0])

    # ----- names in trees

    def _place_tables(self, parsed: Expr) -> Expr:
        names = {cte.alias_or_name.upper() for cte in parsed.find_all(exp.CTE)}
        for table in list(parsed.find_all(exp.Table)):
            if not isinstance(table.this, exp.Identifier):
                continue
            if not table.db and (
                table.name.upper() in names or table.name.upper() == "DUAL"
            ):
                continue
            self._place(table)
        return parsed

    def _place(self, table: exp.Table) -> None:
        parts = tuple(
            part.name if part.quoted else part.name.upper() for part in table.parts
        )
        if table.meta.get("placed"):
            return
        if parts[0].upper() == "TEMP":
            self._point(table, ("temp", "main", parts[-1]), parts[-1])
            return
        full = self.resolve(parts)
        if full[1] == "INFORMATION_SCHEMA":
            from integration_tests.snowflake_stand_in import catalog

            view = catalog.information_schema(self, full[0], full[2])
            self._point(table, ("temp", "main", view), full[2])
        elif full in self.temporary:
            self._point(table, ("temp", "main", ".".join(full)), full[2])
        elif live := self._live(full):
            self._point(table, ("temp", "main", live), full[2])
        elif full not in self.account.registry.relations:
            raise missing("object", ".".join(full))
        elif len(parts) < 3:
            self._point(table, full, full[2])

    def _live(self, name: Name) -> str | None:
        """The rows, now, of a view over what is not in DuckDB; registered."""
        relation = self.account.registry.relations.get(name)
        query = relation and relation.properties.get("LIVE")
        if not relation or not query:
            return None
        self.duckdb(self.translate(self.parse(self.expand(query))))
        kinds = [str(kind) for _, kind, *_ in self.duck.description or []]
        columns = self.duck.to_arrow_table().columns
        names = relation.properties["LIVE_COLUMNS"]
        variants = {n for n, kind in zip(names, kinds, strict=True) if kind == "JSON"}
        return self.register(dict(zip(names, columns, strict=True)), variants)

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
        return ".".join('"' + part.replace('"', '""') + '"' for part in name)

    def register(
        self, columns: dict[str, pa.Array], variants: Collection[str] = ("$1",)
    ) -> str:
        """Offer Arrow columns to this session's queries; returns the view's name."""
        self._names += 1
        name = f"STAND_IN_{self._names}"
        self.duck.register(f"{name}_ARROW", pa.table(columns))
        shown = ", ".join(
            f'"{c}"::json as "{c}"' if c in variants else f'"{c}"' for c in columns
        )
        self.duck.execute(
            f"create or replace temp view {name} as select {shown} from {name}_ARROW"
        )
        return name

    # ----- transactions

    def begin(self) -> None:
        """BEGIN; inside a transaction it changes nothing."""
        if not self.in_transaction:
            self.duck.execute("begin")
            self.in_transaction, self._lost = True, False

    def commit(self) -> None:
        """COMMIT, explicit or by DDL; outside a transaction it changes nothing."""
        if not self.in_transaction:
            return
        self.in_transaction = False
        lost, work = self._lost, self._at_commit
        self._lost, self._at_commit = False, []
        try:
            if lost:
                raise _LOST
            self.duckdb("commit")
            for each in work:
                each()
        finally:
            self.release_locks()

    def rollback(self) -> None:
        """ROLLBACK; outside a transaction it changes nothing."""
        if self.in_transaction:
            if not self._lost:
                self.duck.execute("rollback")
            self.in_transaction, self._lost, self._at_commit = False, False, []
            self.release_locks()

    def at_commit(self, work: Callable[[], None]) -> None:
        """Change the registry when the data change is committed."""
        if self.in_transaction:
            self._at_commit.append(work)
        else:
            work()

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Several DuckDB statements as one, in or out of a transaction."""
        if self.in_transaction:
            yield
            return
        self.duck.execute("begin")
        try:
            yield
        except BaseException:
            self.duck.execute("rollback")
            raise
        self.duckdb("commit")

    def _target(self, parsed: Expr) -> Name | None:
        if not isinstance(parsed, exp.Update | exp.Delete | exp.Merge):
            return None
        table = parsed.this
        parts = (p.name if p.quoted else p.name.upper() for p in table.parts)
        return self.resolve(tuple(parts))

    def wait_for_lock(self, name: Name) -> None:
        """Wait until no other session's transaction holds the table."""
        if name in self.temporary:
            return
        holders, seconds = self.account.lock_holders, self.parameter("LOCK_TIMEOUT")
        with self.account.table_locks:
            free = self.account.table_locks.wait_for(
                lambda: holders.get(name, self) is self, timeout=min(int(seconds), 60)
            )
            if not free:
                table = ".".join(name)
                raise SqlError(f"Lock timeout on table '{table}'", 625, "57014")
            holders[name] = self

    def release_locks(self) -> None:
        """Give back every table lock of this session."""
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


@contextmanager
def _in_place() -> Iterator[None]:
    """Let fakesnow's seventy steps share one tree; they would copy it at each.

    Only one thread translates at a time: the account's lock is held.
    """
    copying = exp.Expression.transform

    def sharing(self: exp.Expression, step: Any, *args: Any, **named: Any) -> Expr:
        return copying(self, step, *args, **(named | {"copy": False}))

    exp.Expression.transform = sharing
    try:
        yield
    finally:
        exp.Expression.transform = copying


def _named(result: Result, parsed: exp.Query) -> Result:
    """A column without an alias is named by its expression, in upper case."""
    written = parsed.selects
    if len(written) == len(result.columns):
        for index, each in enumerate(written):
            if not isinstance(each, exp.Alias | exp.Column | exp.Star):
                name = each.sql("snowflake").upper()
                result.columns[index] = replace(result.columns[index], name=name)
    return result


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _as_sql_error(error: duckdb.Error) -> SqlError:
    message = str(error).split("\n\n")[0]
    match error:
        case duckdb.CatalogException():
            name = re.search(r'with name "?([^\s"]+)', message)
            if name and "does not exist" in message:
                hint = missing("object", name[1])
                return SqlError(f"{hint.message} ({message})", 2003, "42S02")
            return compilation(message, 2002, "42710")
        case duckdb.BinderException():
            return compilation(message, 904)
        case duckdb.ConversionException():
            return SqlError(message, 100038, "22018")
        case duckdb.ConstraintException():
            return SqlError(message, 100072, "22000")
        case duckdb.ParserException():
            return compilation(message)
    return SqlError(message, 100183, "P0000")
