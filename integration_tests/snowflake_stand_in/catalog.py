"""SHOW and DESCRIBE of relations, and the information schema.

Followed: sf:sql-reference/sql/{show-objects,show-tables,show-schemas,desc-table,
show-parameters}, sf:sql-reference/info-schema,
sf:sql-reference/functions/result_scan. The columns
are those that this project or dbt reads. Privileges hide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from integration_tests.snowflake_stand_in import objects, text
from integration_tests.snowflake_stand_in.account import (
    COMMIT_TIME,
    PARAMETERS,
    Name,
    Relation,
    Thing,
)
from integration_tests.snowflake_stand_in.errors import missing, syntax
from integration_tests.snowflake_stand_in.results import Column, Result
from integration_tests.snowflake_stand_in.session import (
    Session,
    expansion,
    statement,
)

Row = dict[str, Any]

_PLACE = "created_on name database_name schema_name"
_RELATION = (
    _PLACE + " kind comment cluster_by rows bytes owner retention_time"
    " is_dynamic is_iceberg"
)
_SHOWN = {
    "OBJECTS": _RELATION,
    "TABLES": _RELATION,
    "VIEWS": _RELATION,
    "SCHEMAS": "created_on name database_name owner comment",
    "DATABASES": "created_on name owner comment",
    "WAREHOUSES": "name size auto_suspend created_on owner comment resource_monitor",
    "ROLES": "created_on name owner comment",
    "USERS": "name created_on type comment owner",
    "RESOURCE MONITORS": "name credit_quota notify_at suspend_at created_on owner",
    "NETWORK POLICIES": "created_on name comment",
    "INTEGRATIONS": "name type category enabled comment created_on",
    "STAGES": _PLACE + " url owner comment type cloud storage_integration",
    "PIPES": _PLACE + " definition owner notification_channel comment pattern"
    " error_integration",
    "USER FUNCTIONS": "created_on name schema_name is_builtin arguments description"
    " catalog_name",
}
_SHOWN["STORAGE INTEGRATIONS"] = _SHOWN["INTEGRATIONS"]
_SINGULAR = {
    "NETWORK POLICIES": "NETWORK POLICY",
    "STORAGE INTEGRATIONS": "INTEGRATION",
    "USER FUNCTIONS": "FUNCTION",
}
#: In no database: every SHOW of them is of the account.
_ACCOUNT_WIDE = text.words("WAREHOUSE ROLE USER INTEGRATION DATABASE") | {
    "NETWORK POLICY",
    "RESOURCE MONITOR",
}


@statement(
    rf"show (?P<terse>terse\s+)?(?P<kind>{'|'.join(_SHOWN)})".replace(" ", r"\s+")
    + rf"(?:\s+like\s+(?P<like>{text.STRING}))?"
    rf"(?:\s+in\s+(?:(?P<scope>account|database|schema)\s*)?(?P<name>{text.NAME})?)?"
    r"(?:\s+limit\s+(?P<limit>\d+))?"
)
def show(session: Session, match: re.Match[str]) -> Result:
    """SHOW, with LIKE, IN and LIMIT."""
    kind = " ".join(match["kind"].upper().split())
    if kind == "NETWORK POLICIES" and match["like"]:
        raise syntax("like")
    singular = _SINGULAR.get(kind, kind.removesuffix("S"))
    scope = () if singular in _ACCOUNT_WIDE else _scope(session, singular, match)
    template = match["like"] and text.unquote(match["like"])
    rows = [
        row
        for name, row in sorted(
            _rows(session, kind, singular), key=lambda each: each[0]
        )
        if text.like(name[-1], template) and name[: len(scope)] == scope
    ]
    columns = _PLACE + " kind" if match["terse"] else _SHOWN[kind]
    return Result.table(columns, rows[: int(match["limit"] or len(rows))])


def _scope(session: Session, singular: str, match: re.Match[str]) -> Name:
    kind, name = (match["scope"] or "").upper(), match["name"]
    if kind == "ACCOUNT":
        return ()
    depth = 1 if kind == "DATABASE" or (not kind and singular == "SCHEMA") else 2
    scope = session.resolve(name or (), depth)
    if scope[1:] != ("INFORMATION_SCHEMA",):
        session.account.find("DATABASE" if depth == 1 else "SCHEMA", scope)
    return scope


def _rows(session: Session, kind: str, singular: str) -> Iterable[tuple[Name, Row]]:
    account = session.account
    if kind in ("OBJECTS", "TABLES", "VIEWS"):
        return [
            (name, relation_row(session, relation, detailed=kind == "TABLES"))
            for name, relation in {**account.relations, **session.temporary}.items()
            if kind == "OBJECTS" or relation.kind == singular
        ]
    rows = [(n, objects.row(t)) for n, t in account.things(singular).items()]
    if kind == "SCHEMAS":
        for (database,) in account.things("DATABASE"):
            name = (database, "INFORMATION_SCHEMA")
            rows.append((name, Thing("SCHEMA", name, "").place()))
    return rows


def relation_row(session: Session, relation: Relation, *, detailed: bool) -> Row:
    """A relation as SHOW has it; only SHOW TABLES shows which are transient."""
    properties, kind, rows = relation.properties, relation.kind, None
    if detailed:
        found = [k for k in ("TEMPORARY", "TRANSIENT") if properties.get(k)]
        kind = found[0] if found else kind
    if relation.kind == "TABLE":
        session.duckdb(f"select count(*) from {session.physical(relation.name)}")
        rows = int(session.duck.fetchall()[0][0])
    retention = PARAMETERS["DATA_RETENTION_TIME_IN_DAYS"]
    return relation.place() | {
        "kind": kind,
        "cluster_by": properties.get("CLUSTER_BY", ""),
        "rows": rows,
        "bytes": rows,
        "retention_time": properties.get("DATA_RETENTION_TIME_IN_DAYS", retention),
        "is_dynamic": "N",
        "is_iceberg": "N",
    }


def describe_columns(session: Session, relation: Relation) -> list[tuple[Column, Row]]:
    """The columns of a relation, each with its row of DESCRIBE TABLE."""
    place = relation.name
    if place in session.temporary:
        place = ("temp", "main", ".".join(place))
    session.duckdb(
        "select column_name, data_type, is_nullable"
        " from duckdb_columns() where database_name = $1 and schema_name = $2"
        " and table_name = $3 order by column_index",
        *place,
    )
    found = []
    for name, kind, nullable in session.duck.fetchall():
        if name == COMMIT_TIME:
            continue
        column = Column.of_duckdb(name, kind)
        row = {
            "name": name,
            "type": column.sql_type,
            "kind": "COLUMN",
            "null?": "Y" if nullable else "N",
            "comment": relation.column_comments.get(name),
        }
        found.append((column, row))
    return found


@statement(r"describe table {name}")
def describe_relation(session: Session, match: re.Match[str]) -> Result:
    """DESCRIBE TABLE, which takes a view as well."""
    relation = session.relation(session.resolve(match["name"]))
    rows = (row for _, row in describe_columns(session, relation))
    return Result.table("name type kind null? comment", rows)


@statement(rf"show parameters like (?P<like>{text.STRING}) in account")
def show_parameters(session: Session, match: re.Match[str]) -> Result:
    """SHOW PARAMETERS of the account."""
    template = text.unquote(match["like"])
    rows = [
        {"key": key, "value": value}
        for key, value in session.account.parameters.items()
        if text.like(key, template)
    ]
    return Result.table("key value", rows)


# ----- information schema


_TYPES = {
    "int": pa.int64(),
    "float": pa.float64(),
    "time": pa.timestamp("us", tz="UTC"),
    "": pa.string(),
}


def register_rows(session: Session, rows: list[Row], fields: str) -> str:
    """Register dictionaries as a view; a field may have a type, ``NAME:int``."""
    columns = {}
    for field in fields.split():
        name, _, kind = field.partition(":")
        columns[name] = pa.array([row.get(name) for row in rows], _TYPES[kind])
    return session.register(columns)


@expansion
def result_scan(session: Session, command: str) -> str:
    """TABLE(RESULT_SCAN(LAST_QUERY_ID())): the rows of the statement before."""
    regex = r"\btable\(result_scan\(last_query_id\(\)\)\)"
    if not re.search(regex, command, re.IGNORECASE):
        return command
    found = session.last_result
    columns = {
        column.name: pa.array([row[place] for row in found.rows])
        for place, column in enumerate(found.columns)
    }
    view = f"temp.{session.register(columns)}"
    return re.sub(regex, view, command, flags=re.IGNORECASE)


@expansion
def information_schema(session: Session, command: str) -> str:
    """A view of an information schema becomes a registered one with its rows."""
    regex = rf"(\b(?:from|join)\s+)({text.IDENTIFIER})\.information_schema\.(\w+)"
    makers = {"TABLES": _tables, "COLUMNS": _columns, "SCHEMATA": _schemata}

    def registered(match: re.Match[str]) -> str:
        database, view = text.identifier(match[2]), match[3].upper()
        session.account.find("DATABASE", (database,))
        if view not in makers:
            raise missing("object", f"{database}.INFORMATION_SCHEMA.{view}")
        rows = makers[view](session, database)
        return f"{match[1]}temp.{register_rows(session, rows, _FIELDS[view])}"

    return re.sub(regex, registered, command, flags=re.IGNORECASE)


_FIELDS = {
    "TABLES": "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_OWNER TABLE_TYPE"
    " IS_DYNAMIC CLUSTERING_KEY ROW_COUNT:int BYTES:int LAST_ALTERED:time COMMENT",
    "COLUMNS": "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION:int"
    " DATA_TYPE COMMENT",
    "SCHEMATA": "CATALOG_NAME SCHEMA_NAME",
}


def _in(session: Session, database: str) -> list[Relation]:
    relations = session.account.relations
    return [r for name, r in sorted(relations.items()) if name[0] == database]


def _table(relation: Relation) -> Row:
    names = ("TABLE_CATALOG", "TABLE_SCHEMA", "TABLE_NAME")
    return dict(zip(names, relation.name, strict=True))


def _tables(session: Session, database: str) -> list[Row]:
    rows = []
    for relation in _in(session, database):
        shown = relation_row(session, relation, detailed=False)
        own = {
            "TABLE_OWNER": relation.owner,
            "TABLE_TYPE": "VIEW" if relation.kind == "VIEW" else "BASE TABLE",
            "IS_DYNAMIC": "NO",
            "CLUSTERING_KEY": relation.properties.get("CLUSTER_BY"),
            "ROW_COUNT": shown["rows"],
            "BYTES": shown["bytes"],
            "LAST_ALTERED": relation.created,
            "COMMENT": relation.properties.get("COMMENT"),
        }
        rows.append(_table(relation) | own)
    return rows


def _columns(session: Session, database: str) -> list[Row]:
    rows = []
    for relation in _in(session, database):
        found = describe_columns(session, relation)
        for position, (column, described) in enumerate(found, 1):
            own = {
                "COLUMN_NAME": column.name,
                "ORDINAL_POSITION": position,
                "DATA_TYPE": re.sub(r"\(.*", "", column.sql_type),
                "COMMENT": described["comment"],
            }
            rows.append(_table(relation) | own)
    return rows


def _schemata(session: Session, database: str) -> list[Row]:
    return [
        {"CATALOG_NAME": database, "SCHEMA_NAME": name[1]}
        for name in session.account.things("SCHEMA")
        if name[0] == database
    ]
