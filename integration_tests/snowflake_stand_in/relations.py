"""Tables and views: DDL with its properties and comments, and DML with its counts.

Followed: sf:sql-reference/sql/{create-table,create-view,alter-table,comment,insert,
merge,truncate-table,drop-table}. OR REPLACE drops the grants unless COPY GRANTS, and
with the table goes its load history; TRUNCATE loses the history too. Keys and unique
constraints are accepted and not enforced, as in Snowflake; NOT NULL is enforced.
Clustering, retention and change tracking are recorded only. Not modelled: Time Travel,
clones, external, dynamic, hybrid and Iceberg tables, masking and row access policies.
"""

from __future__ import annotations

import re
from typing import Any

import sqlglot
from sqlglot import exp

from integration_tests.snowflake_stand_in import text
from integration_tests.snowflake_stand_in.account import Name, Relation, now
from integration_tests.snowflake_stand_in.errors import (
    SqlError,
    compilation,
    exists,
    missing,
    syntax,
)
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

_SETTABLE = text.words(
    "CHANGE_TRACKING COMMENT DATA_RETENTION_TIME_IN_DAYS"
    " ENABLE_SCHEMA_EVOLUTION MAX_DATA_EXTENSION_TIME_IN_DAYS"
)
_UNENFORCED = (
    exp.CommentColumnConstraint,
    exp.PrimaryKeyColumnConstraint,
    exp.UniqueColumnConstraint,
    exp.Reference,
)


@tree(exp.Create)
def create_relation(session: Session, create: exp.Create, command: str) -> Result:
    """CREATE TABLE (AS SELECT) and CREATE VIEW."""
    if create.kind not in ("TABLE", "VIEW"):
        raise syntax(command)
    session.commit()
    schema = create.this if isinstance(create.this, exp.Schema) else None
    target: exp.Table = schema.this if schema else create.this
    name = _name(session, target)
    session.account.find("SCHEMA", name[:2])
    relation = Relation(create.kind, name, session.role)
    relation.properties["TEXT"] = command
    temporary, copy_grants, like = _properties(create, relation, command)
    if schema:
        _take_comments(schema, relation)
    known = session.temporary if temporary else session.account.registry.relations
    if create.args.get("exists") and name in known:
        return Result.status(f"{name[-1]} already exists, statement succeeded.")
    old = known.get(name)
    if old and (not create.args.get("replace") or old.is_view != relation.is_view):
        raise exists(".".join(name))
    if create.kind == "VIEW" and not temporary and _is_live(session, create.expression):
        _make_live(session, create, relation, schema)
        stats = {}
    else:
        stats = _create(session, create, name, schema, temporary=temporary, like=like)
    known[name] = relation
    if not temporary and not (old and copy_grants):
        session.account.forget_grants("TABLE", name)
        session.account.forget_grants("VIEW", name)
        session.account.apply_future_grants(create.kind, name)
    title = create.kind.capitalize()
    result = Result.status(f"{title} {name[-1]} successfully created.")
    result.type_id, result.stats = DDL, stats
    return result


def _properties(
    create: exp.Create, relation: Relation, command: str
) -> tuple[bool, bool, exp.Table | None]:
    temporary, copy_grants, like = False, False, None
    properties = create.args.get("properties")
    for item in properties.expressions if properties else []:
        match item:
            case exp.TransientProperty():
                relation.properties["TRANSIENT"] = True
            case exp.TemporaryProperty():
                temporary = relation.properties["TEMPORARY"] = True
            case exp.CopyGrantsProperty():
                copy_grants = True
            case exp.SecureProperty():
                relation.properties["SECURE"] = True
            case exp.LikeProperty():
                like = item.this
            case exp.SchemaCommentProperty():
                relation.properties["COMMENT"] = item.this.name
            case exp.ClusterProperty():
                keys = ", ".join(key.sql("snowflake") for key in item.expressions)
                relation.properties["CLUSTER_BY"] = f"LINEAR({keys})"
            case exp.Property() if item.name.upper() in _SETTABLE:
                relation.properties[item.name.upper()] = item.args["value"].name
            case _:
                raise syntax(f"{item.sql('snowflake')} in {command}")
    return temporary, copy_grants, like


def _take_comments(schema: exp.Schema, relation: Relation) -> None:
    kept = []
    for column in schema.expressions:
        if isinstance(column, exp.ColumnDef):
            for constraint in column.args.get("constraints") or []:
                if isinstance(constraint.kind, exp.CommentColumnConstraint):
                    comment = constraint.kind.this.name
                    relation.column_comments[_stored(column.this)] = comment
            constraints = [
                c
                for c in column.args.get("constraints") or []
                if not isinstance(c.kind, _UNENFORCED)
            ]
            column.set("constraints", constraints)
            kept.append(column if column.args.get("kind") else column.this)
        elif isinstance(column, exp.Identifier):
            kept.append(column)
    schema.set("expressions", kept)


def _create(
    session: Session,
    create: exp.Create,
    name: Name,
    schema: exp.Schema | None,
    *,
    temporary: bool,
    like: exp.Table | None,
) -> dict[str, int]:
    physical = ("temp", "main", ".".join(name)) if temporary else name
    query = create.expression
    if like is not None:
        query = exp.select("*").from_(like).limit(0)
    target = exp.table_(
        *(exp.to_identifier(part, quoted=True) for part in reversed(physical))
    )
    target.meta["placed"] = True
    columns = (
        exp.Schema(this=target, expressions=schema.expressions) if schema else None
    )
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
            rows = session.change(exp.Insert(this=target.copy(), expression=query))
        else:
            found = session.duck.fetchall() if query is not None else []
            rows = int(found[0][0]) if found and create.kind == "TABLE" else 0
    return {"numRowsInserted": rows}


def _is_live(session: Session, query: exp.Expr) -> bool:
    return "STAND_IN_" in session.translate(query)


def _make_live(
    session: Session, create: exp.Create, relation: Relation, schema: exp.Schema | None
) -> None:
    """A view over files, table functions or the information schema.

    DuckDB gets an empty view of the same columns; a query gets the rows of the moment.
    """
    session.duckdb(session.translate(create.expression))
    found = [(n, str(kind)) for n, kind, *_ in session.duck.description or []]
    names = [_stored(each) for each in schema.expressions] if schema else []
    names = names or [name for name, _ in found]
    nulls = (f'null::{k} as "{n}"' for n, (_, k) in zip(names, found, strict=True))
    replace = "or replace " if create.args.get("replace") else ""
    session.duckdb(
        f"create {replace}view {session.physical(relation.name)} as"
        f" select {', '.join(nulls)} where false"
    )
    original = sqlglot.parse_one(relation.properties["TEXT"], read="snowflake")
    relation.properties["LIVE"] = original.expression.sql("snowflake")
    relation.properties["LIVE_COLUMNS"] = names


@statement(
    r"drop (?P<kind>table|view) {exists}{name}(?:\s+(?:cascade|restrict))?",
)
def drop_relation(session: Session, match: Any) -> Result:
    """DROP TABLE and DROP VIEW; a temporary relation goes first."""
    session.commit()
    name = session.resolve(match["name"])
    relation = session.relation(name)
    wanted = match["kind"].upper()
    if relation is None:
        if match["exists"]:
            return Result.status("Drop statement executed successfully.")
        raise missing(wanted, ".".join(name))
    if relation.kind != wanted:
        raise compilation(f"Object found is of type '{relation.kind}'.", 2203, "42601")
    session.duckdb(f"drop {wanted} {session.physical(name)}")
    if session.temporary.pop(name, None) is None:
        del session.account.registry.relations[name]
        session.account.forget_grants(wanted, name)
    return Result.status(f"{name[-1]} successfully dropped.")


@statement(
    r"alter (?:table|view) {exists}{name} (?P<verb>rename\s+to|swap\s+with)"
    rf" (?P<other>{text.NAME})"
)
def rename_relation(session: Session, match: Any) -> Result:
    """RENAME TO and SWAP WITH; the load history goes with the table."""
    session.commit()
    relations = session.account.registry.relations
    name, other = session.resolve(match["name"]), session.resolve(match["other"])
    relation = _find(session, name)
    swap = match["verb"].lower().startswith("swap")
    if name[:2] != other[:2]:
        raise syntax("RENAME or SWAP across schemas")
    if not swap and other in relations:
        raise exists(".".join(other))
    steps = [(name, other[-1])]
    if swap:
        _find(session, other)
        spare = "STAND_IN_SWAP"
        steps = [(name, spare), (other, name[-1]), ((*name[:2], spare), other[-1])]
    with session.atomic():
        for old, new in steps:
            physical = session.physical(old)
            session.duckdb(f'alter {relation.kind} {physical} rename to "{new}"')
    if swap:
        relations[name], relations[other] = relations[other], relations[name]
        relations[name].name = name
    else:
        relations[other] = relations.pop(name)
    relations[other].name = other
    return Result.status("Statement executed successfully.")


@statement(
    r"alter (?:table|view) {exists}{name} (?P<verb>set|unset) {rest}",
    r"alter table {exists}{name} (?P<verb>cluster)\s+by\s*\({rest}\)",
    r"alter table {exists}{name} (?P<verb>suspend|resume) recluster",
    r"alter table {exists}{name} (?P<verb>drop) clustering key",
)
def set_relation(session: Session, match: Any) -> Result:
    """Properties of a table or view; clustering is recorded only."""
    session.commit()
    properties = _find(session, session.resolve(match["name"])).properties
    match match["verb"].lower():
        case "set":
            for key, value in text.options(match["rest"], _SETTABLE).items():
                properties[key] = text.unquote(value)
        case "unset":
            for key in match["rest"].upper().split(","):
                properties.pop(key.strip(), None)
        case "cluster":
            properties["CLUSTER_BY"] = f"LINEAR({match['rest'].strip()})"
        case "drop":
            properties.pop("CLUSTER_BY", None)
    return Result.status("Statement executed successfully.")


_COMMENTED = re.compile(
    rf"\s*,?\s*(?:column\s+)?(?P<column>{text.IDENTIFIER})\s+comment\s+"
    rf"(?P<comment>{text.STRING}|\$\$.*?\$\$)",
    re.IGNORECASE | re.DOTALL,
)


@statement(r"alter (?:table|view) {name} (?:alter|modify)\s+(?P<rest>.*\scomment\s.*)")
def comment_columns(session: Session, match: Any) -> Result:
    """ALTER TABLE ... ALTER <column> COMMENT '...', as dbt's persist_docs writes it."""
    session.commit()
    relation = _find(session, session.resolve(match["name"]))
    rest = match["rest"]
    while rest.strip():
        part = _COMMENTED.match(rest)
        if part is None:
            raise syntax(rest)
        _comment_column(session, relation, part["column"], part["comment"])
        rest = rest[part.end() :]
    return Result.status("Statement executed successfully.")


@statement(
    r"comment {exists}on (?P<kind>column) (?P<name>"
    rf"{text.IDENTIFIER}(?:\.{text.IDENTIFIER}){{1,3}}) is {{rest}}",
    r"comment {exists}on (?P<kind>table|view|schema|database) {name} is {rest}",
)
def comment_on(session: Session, match: Any) -> Result:
    """COMMENT ON."""
    session.commit()
    comment, kind = text.unquote(match["rest"]), match["kind"].upper()
    parts = text.name_parts(match["name"])
    if kind == "COLUMN":
        relation = _find(session, session.resolve(parts[:-1]))
        quoted = f'"{parts[-1]}"'
        _comment_column(session, relation, quoted, match["rest"])
    elif kind in ("TABLE", "VIEW"):
        relation = _find(session, session.resolve(parts))
        relation.properties["COMMENT"] = comment
    else:
        depth = 1 if kind == "DATABASE" else 2
        thing = session.account.find(kind, session.resolve(parts, depth))
        thing.properties["COMMENT"] = comment
    return Result.status("Statement executed successfully.")


def _comment_column(
    session: Session, relation: Relation, column: str, comment: str
) -> None:
    name = text.identifier(column)
    session.duckdb(f"select * from {session.physical(relation.name)} limit 0")
    if name not in [c[0] for c in session.duck.description or []]:
        raise compilation(f"invalid identifier '{name}'", 904)
    relation.column_comments[name] = text.unquote(comment)


@tree(exp.Alter)
def alter_columns(session: Session, alter: exp.Alter, command: str) -> Result:
    """ADD COLUMN, DROP COLUMN, RENAME COLUMN and SET DATA TYPE."""
    session.commit()
    relation = _find(session, _name(session, alter.this))
    allowed = (exp.ColumnDef, exp.Drop, exp.AlterColumn, exp.RenameColumn)
    actions = alter.args.get("actions") or []
    if not actions or not all(isinstance(action, allowed) for action in actions):
        raise syntax(command)
    with session.atomic():
        for action in actions:
            one = exp.Alter(this=alter.this.copy(), kind="TABLE", actions=[action])
            session.duckdb(session.translate(one))
    relation.altered = now()
    return Result.status("Statement executed successfully.")


@tree(exp.Insert)
def insert(session: Session, insert: exp.Insert, command: str) -> Result:
    """INSERT, and INSERT OVERWRITE as one change."""
    target = insert.this.this if isinstance(insert.this, exp.Schema) else insert.this
    if not isinstance(target, exp.Table):
        raise syntax(command)
    overwrite = bool(insert.args.get("overwrite"))
    insert.set("overwrite", False)
    relation = _find(session, _name(session, target))
    with session.atomic():
        if overwrite:
            session.duckdb(f"delete from {session.physical(relation.name)}")
        rows = session.change(insert)
    return _counted(session, relation, INSERT, {"inserted": rows})


@tree(exp.Update, exp.Delete)
def update(session: Session, change: exp.Update | exp.Delete, _: str) -> Result:
    """UPDATE and DELETE."""
    relation = _find(session, _name(session, change.this))
    rows = session.change(change)
    if isinstance(change, exp.Delete):
        return _counted(session, relation, DELETE, {"deleted": rows})
    return _counted(session, relation, UPDATE, {"updated": rows})


@tree(exp.Merge)
def merge(session: Session, merge: exp.Merge, _: str) -> Result:
    """MERGE, by DuckDB's own; a target row matched twice is an error."""
    relation = _find(session, _name(session, merge.this))
    source = merge.args["using"]
    whens = merge.args["whens"].expressions
    for when in whens:
        then = when.args["then"]
        if isinstance(then, exp.Insert) and isinstance(then.expression, exp.Tuple):
            for column in then.expression.find_all(exp.Column):
                if not column.table:
                    column.set("table", exp.to_identifier(source.alias_or_name))
    matched = [when for when in whens if when.args.get("matched")]
    if matched and session.parameter("ERROR_ON_NONDETERMINISTIC_MERGE") == "true":
        joined = (
            exp.select(exp.column("rowid", merge.this.alias_or_name))
            .from_(merge.this.copy())
            .join(source.copy(), on=merge.args["on"].copy())
        )
        sql = session.translate(joined)
        session.duckdb(
            f"select 1 from ({sql}) group by all having count(*) > 1 limit 1"
        )
        if session.duck.fetchall():
            raise SqlError("Duplicate row detected during DML action", 100090, "42P18")
    session.duckdb(session.translate(merge) + " returning merge_action")
    actions = [action for (action, *_) in session.duck.fetchall()]
    kinds = {"INSERT": exp.Insert, "UPDATE": exp.Update, "DELETE": exp.Var}
    counts = {
        verb.lower().removesuffix("e") + "ed": actions.count(verb)
        for verb, kind in kinds.items()
        if any(isinstance(when.args["then"], kind) for when in whens)
    }
    return _counted(session, relation, MERGE, counts)


@tree(exp.TruncateTable)
def truncate(session: Session, truncate: exp.TruncateTable, _: str) -> Result:
    """TRUNCATE TABLE, which also forgets which files were loaded."""
    session.commit()
    name = _name(session, truncate.expressions[0])
    if truncate.args.get("exists") and session.relation(name) is None:
        return Result.status("Statement executed successfully.")
    relation = _find(session, name)
    session.duckdb(f"delete from {session.physical(name)}")
    relation.copied.clear()
    relation.loads.clear()
    relation.altered = now()
    return Result.status("Statement executed successfully.")


def _counted(
    session: Session, relation: Relation, type_id: int, counts: dict[str, int]
) -> Result:
    session.at_commit(lambda: setattr(relation, "altered", now()))
    columns = [Column(f"number of rows {v}", "fixed", 38, 0) for v in counts]
    if type_id == UPDATE:
        columns.append(Column("number of multi-joined rows updated", "fixed", 38, 0))
    row = [*counts.values(), *([0] if type_id == UPDATE else [])]
    stats = {f"numRows{verb.capitalize()}": n for verb, n in counts.items()}
    return Result(columns, [row], type_id, stats)


def _find(session: Session, name: Name) -> Relation:
    relation = session.relation(name)
    if relation is None:
        raise missing("table", ".".join(name))
    return relation


def _name(session: Session, table: exp.Table) -> Name:
    return session.resolve(tuple(_stored(part) for part in table.parts))


def _stored(node: Any) -> str:
    return node.name if node.args.get("quoted") else node.name.upper()
