"""Tables and views: DDL with its properties and comments, and DML with its counts.

Followed: sf:sql-reference/sql/{create-table,create-view,alter-table,alter-table-column,
comment,insert,update,delete,merge,drop-table}. OR REPLACE drops the
grants, and with the table goes its load history. NOT NULL is enforced, as in Snowflake;
keys are refused.
Clustering and retention are recorded only. A table with row timestamps has them of the
rows that COPY and INSERT add (sf:user-guide/data-engineering/row-timestamps). Not
modelled: a MERGE that changes rows, Time Travel, clones, renaming, other kinds of
table, policies.
"""

from __future__ import annotations

import re
from typing import Any

from sqlglot import exp

from integration_tests.snowflake_stand_in import text
from integration_tests.snowflake_stand_in.account import COMMIT_TIME, Name, Relation
from integration_tests.snowflake_stand_in.errors import compilation, exists, syntax
from integration_tests.snowflake_stand_in.results import Column, Result
from integration_tests.snowflake_stand_in.session import (
    DDL,
    DELETE,
    INSERT,
    MERGE,
    UPDATE,
    Session,
    statement,
    tree,
)

_UNDERSTOOD = text.words("this kind replace exists properties expression")
_SETTABLE = text.words("COMMENT DATA_RETENTION_TIME_IN_DAYS ROW_TIMESTAMP")


@tree(exp.Create)
def create_relation(session: Session, create: exp.Create, command: str) -> Result:
    """CREATE TABLE (AS SELECT) and CREATE VIEW."""
    said = {key for key, value in create.args.items() if value}
    if create.kind not in ("TABLE", "VIEW") or not said <= _UNDERSTOOD:
        raise syntax(command)
    session.commit()
    schema = create.this if isinstance(create.this, exp.Schema) else None
    name = session.named(schema.this if schema else create.this)
    session.account.find("SCHEMA", name[:2])
    relation = Relation(create.kind, name, session.role)
    query, temporary = create.expression, False
    properties = create.args.get("properties")
    for item in properties.expressions if properties else []:
        match item:
            case exp.TransientProperty():
                relation.properties["TRANSIENT"] = True
            case exp.TemporaryProperty():
                temporary = relation.properties["TEMPORARY"] = True
            case exp.LikeProperty():
                query = exp.select("*").from_(item.this).limit(0)
            case exp.SchemaCommentProperty():
                relation.properties["COMMENT"] = item.this.name
            case exp.Property() if item.name.upper() in _SETTABLE:
                key, value = item.name.upper(), item.args["value"]
                written = value.name or value.sql()
                relation.properties[key] = _checked(session, key, written)
            case _:
                raise syntax(f"{item.sql('snowflake')} in {command}")
    if schema:
        _take_comments(schema, relation)
    known = session.temporary if temporary else session.account.relations
    if create.args.get("exists") and name in known:
        return Result.status(f"{name[-1]} already exists, statement succeeded.")
    old = known.get(name)
    if old and (not create.args.get("replace") or old.kind != relation.kind):
        raise exists(".".join(name))
    rows = _create(session, create, query, name, schema, temporary=temporary)
    if relation.has_row_timestamps:
        place = session.physical(name)
        session.duckdb(f'alter table {place} add column "{COMMIT_TIME}" timestamptz')
    known[name] = relation
    if not temporary:
        session.account.renew_grants(create.kind, name)
    result = Result.status(f"{create.kind.title()} {name[-1]} successfully created.")
    result.type_id, result.stats = DDL, {"numRowsInserted": rows}
    return result


def _checked(session: Session, key: str, value: str) -> str:
    """A property's value, unless the account's edition refuses it."""
    longest = 1 if session.account.edition == "STANDARD" else 90
    if key == "DATA_RETENTION_TIME_IN_DAYS" and int(value) > longest:
        raise compilation(
            f"Exceeds maximum allowable retention time ({longest} day(s)).", 391801
        )
    return value


def _take_comments(schema: exp.Schema, relation: Relation) -> None:
    """Move the comments of columns into the registry: DuckDB has no place for them."""
    kept: list[exp.Expr] = []
    for column in schema.expressions:
        if isinstance(column, exp.Identifier):
            kept.append(column)
            continue
        if not isinstance(column, exp.ColumnDef):
            raise syntax(column.sql("snowflake"))
        others = []
        for constraint in column.args.get("constraints") or []:
            if isinstance(constraint.kind, exp.CommentColumnConstraint):
                comment = constraint.kind.this.name
                relation.column_comments[_stored(column.this)] = comment
            elif isinstance(constraint.kind, exp.NotNullColumnConstraint):
                others.append(constraint)
            else:
                raise syntax(constraint.sql("snowflake"))
        column.set("constraints", others)
        kept.append(column if column.args.get("kind") else column.this)
    schema.set("expressions", kept)


def _create(
    session: Session,
    create: exp.Create,
    query: exp.Expr | None,
    name: Name,
    schema: exp.Schema | None,
    *,
    temporary: bool,
) -> int:
    """Create the relation in DuckDB; return its number of rows."""
    physical = ("temp", "main", ".".join(name)) if temporary else name
    target = exp.table_(
        *(exp.to_identifier(part, quoted=True) for part in reversed(physical))
    )
    target.meta["placed"] = True
    columns = schema and exp.Schema(this=target, expressions=schema.expressions)
    typed = columns is not None and create.kind == "TABLE"
    first = exp.Create(
        this=columns or target,
        kind=create.kind,
        replace=bool(create.args.get("replace")),
        expression=None if typed else query,
    )
    if temporary:
        first.set("properties", exp.Properties(expressions=[exp.TemporaryProperty()]))
    with session.atomic():
        session.duckdb(session.translate(first))
        if typed and query is not None:
            return session.change(exp.Insert(this=target.copy(), expression=query))
        found = session.duck.fetchall() if query is not None else []
        return int(found[0][0]) if found and create.kind == "TABLE" else 0


@statement(r"drop (?P<kind>table|view) {exists}{name}(?:\s+cascade)?")
def drop_relation(session: Session, match: Any) -> Result:
    """DROP TABLE and DROP VIEW; a temporary relation goes first."""
    session.commit()
    name, wanted = session.resolve(match["name"]), match["kind"].upper()
    if match["exists"] and name not in {
        **session.temporary,
        **session.account.relations,
    }:
        return Result.status("Drop statement executed successfully.")
    relation = session.relation(name, wanted)
    if relation.kind != wanted:
        raise compilation(f"Object found is of type '{relation.kind}'.", 2203, "42601")
    session.duckdb(f"drop {wanted} {session.physical(name)}")
    if session.temporary.pop(name, None) is None:
        del session.account.relations[name]
        session.account.forget_grants(wanted, name)
    return Result.status(f"{name[-1]} successfully dropped.")


@statement(
    r"alter (?P<kind>table) {name} (?P<verb>set) {rest}",
    r"alter (?P<kind>table) {name} (?P<verb>cluster) by\s*\({rest}\)",
    r"comment on (?P<kind>table|view) {name} (?P<verb>is) {rest}",
)
def set_relation(session: Session, match: Any) -> Result:
    """Properties of a table or view; clustering is recorded only."""
    session.commit()
    properties = session.relation(session.resolve(match["name"])).properties
    match match["verb"].lower():
        case "set":
            for key, value in text.options(match["rest"], _SETTABLE).items():
                properties[key] = _checked(session, key, text.unquote(value))
        case "cluster":
            properties["CLUSTER_BY"] = f"LINEAR({match['rest'].strip()})"
        case "is":
            properties["COMMENT"] = text.unquote(match["rest"])
    return Result.status()


_COMMENTED = re.compile(
    rf"\s*,?\s*(?P<column>{text.IDENTIFIER})\s+comment\s+"
    rf"(?P<comment>{text.STRING}|\$\$.*?\$\$)",
    re.IGNORECASE | re.DOTALL,
)


@statement(r"alter table {name} alter\s+(?P<rest>.*\scomment\s.*)")
def comment_columns(session: Session, match: Any) -> Result:
    """ALTER TABLE ... ALTER <column> COMMENT '...', as dbt's persist_docs writes it."""
    session.commit()
    relation = session.relation(session.resolve(match["name"]))
    session.duckdb(f"select * from {session.physical(relation.name)} limit 0")
    columns = [column[0] for column in session.duck.description or []]
    rest = match["rest"]
    while rest.strip():
        part = _COMMENTED.match(rest)
        if part is None:
            raise syntax(rest)
        name = text.identifier(part["column"])
        if name not in columns:
            raise compilation(f"invalid identifier '{name}'", 904)
        relation.column_comments[name] = text.unquote(part["comment"])
        rest = rest[part.end() :]
    return Result.status()


@tree(exp.Insert)
def insert(session: Session, insert: exp.Insert, _: str) -> Result:
    """INSERT; OVERWRITE replaces the rows, in the same transaction."""
    target = insert.this.this if isinstance(insert.this, exp.Schema) else insert.this
    relation = session.relation(session.named(target))
    with session.atomic():
        if insert.args.get("overwrite"):
            session.change(exp.delete(target.copy()))
            insert.set("overwrite", False)
        rows = session.change(insert)
        if relation.has_row_timestamps:
            session.stamp(relation.name)
    return _counted(INSERT, "inserted", rows)


@tree(exp.Delete)
def delete(session: Session, delete: exp.Delete, _: str) -> Result:
    """DELETE."""
    session.relation(session.named(delete.this))
    return _counted(DELETE, "deleted", session.change(delete))


@tree(exp.Update)
def update(session: Session, update: exp.Update, _: str) -> Result:
    """UPDATE."""
    session.relation(session.named(update.this))
    return _counted(UPDATE, "updated", session.change(update))


@tree(exp.Merge)
def merge(session: Session, merge: exp.Merge, command: str) -> Result:
    """MERGE that only inserts."""
    session.relation(session.named(merge.this))
    for when in merge.args["whens"].expressions:
        if when.args.get("matched") or not isinstance(when.args["then"], exp.Insert):
            raise syntax(command)
    return _counted(MERGE, "inserted", session.change(merge))


def _counted(type_id: int, verb: str, rows: int) -> Result:
    columns = [Column(f"number of rows {verb}", "fixed", 38, 0)]
    return Result(columns, [[rows]], type_id, {f"numRows{verb.capitalize()}": rows})


def _stored(node: Any) -> str:
    return node.name if node.args.get("quoted") else node.name.upper()
