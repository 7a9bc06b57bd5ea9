"""SHOW and DESCRIBE of relations, and the information schema.

Followed: sf:sql-reference/sql/{show-objects,show-tables,show-views,show-schemas,
show-databases,desc-table,show-parameters}, sf:sql-reference/info-schema. The columns
are those of the documentation that a client may read, not all of them. BYTES is an
estimate. SHOW is limited to what exists; privileges hide nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from integration_tests.snowflake_stand_in import text
from integration_tests.snowflake_stand_in.account import (
    PARAMETERS,
    Name,
    Relation,
    Thing,
)
from integration_tests.snowflake_stand_in.errors import missing, syntax
from integration_tests.snowflake_stand_in.results import Column, Result
from integration_tests.snowflake_stand_in.session import Session, statement

Row = dict[str, Any]

_PLACE = "created_on name database_name schema_name"
_RELATION = (
    _PLACE + " kind comment cluster_by rows bytes owner retention_time"
    " change_tracking text is_secure is_dynamic is_iceberg is_interactive"
    " owner_role_type"
)
_SHOWN = {
    "OBJECTS": _RELATION,
    "TABLES": _RELATION,
    "VIEWS": _RELATION,
    "SCHEMAS": "created_on name is_default is_current database_name owner comment"
    " options retention_time owner_role_type",
    "DATABASES": "created_on name is_default is_current origin owner comment options"
    " retention_time kind owner_role_type",
    "WAREHOUSES": "name state type size running queued is_default is_current"
    " auto_suspend auto_resume created_on owner comment resource_monitor"
    " owner_role_type",
    "ROLES": "created_on name is_default is_current is_inherited assigned_to_users"
    " granted_to_roles granted_roles owner comment",
    "USERS": "name created_on login_name display_name type comment disabled"
    " default_warehouse default_namespace default_role has_password"
    " has_rsa_public_key owner",
    "RESOURCE MONITORS": "name credit_quota used_credits remaining_credits level"
    " frequency start_time end_time notify_at suspend_at suspend_immediately_at"
    " created_on owner comment notify_users",
    "NETWORK POLICIES": "created_on name comment entries_in_allowed_ip_list"
    " entries_in_blocked_ip_list",
    "INTEGRATIONS": "name type category enabled comment created_on",
    "STAGES": _PLACE + " url has_credentials has_encryption_key owner comment region"
    " type cloud notification_channel storage_integration owner_role_type",
    "PIPES": _PLACE + " definition owner notification_channel comment integration"
    " pattern error_integration owner_role_type invalid_reason kind",
    "FUNCTIONS": "created_on name schema_name is_builtin min_num_arguments"
    " max_num_arguments arguments description catalog_name language",
    "FILE FORMATS": _PLACE + " type owner comment format_options owner_role_type",
}
_IN_A_SCHEMA = (
    *("OBJECTS", "TABLES", "VIEWS", "STAGES", "PIPES", "SCHEMAS"),
    *("FUNCTIONS", "USER FUNCTIONS", "FILE FORMATS"),
)
_SINGULAR = {
    "NETWORK POLICIES": "NETWORK POLICY",
    "INTEGRATIONS": "INTEGRATION",
    "STORAGE INTEGRATIONS": "INTEGRATION",
    "USER FUNCTIONS": "FUNCTION",
}
_TAIL = (
    rf"(?:\s+like\s+(?P<like>{text.STRING}))?"
    rf"(?:\s+in\s+(?:(?P<scope>account|database|schema)\s*)?(?P<name>{text.NAME})?)?"
    rf"(?:\s+starts\s+with\s+(?P<starts>{text.STRING}))?"
    rf"(?:\s+limit\s+(?P<limit>\d+)(?:\s+from\s+(?P<from>{text.STRING}))?)?"
)
_KINDS = (
    "objects|tables|views|schemas|databases|warehouses|roles|users|resource monitors"
    "|network policies|integrations|storage integrations|stages|pipes|functions"
    "|user functions|file formats"
)


@statement(
    rf"show (?P<terse>terse\s+)?(?P<kind>{_KINDS}){_TAIL}".replace(
        "user functions", r"user\s+functions"
    )
)
def show(session: Session, match: re.Match[str]) -> Result:
    """SHOW, with LIKE, IN, STARTS WITH and LIMIT ... FROM."""
    kind = " ".join(match["kind"].upper().split())
    singular = _SINGULAR.get(kind, kind.removesuffix("S"))
    scope = _scope(session, match)
    template = match["like"] and text.unquote(match["like"])
    start = text.unquote(match["starts"]) if match["starts"] else ""
    after = text.unquote(match["from"]) if match["from"] else ""
    rows = [
        row
        for name, row in sorted(_rows(session, kind, singular))
        if text.like(name[-1], template)
        and name[-1].startswith(start)
        and name[-1] > after
        and (scope is None or name[: len(scope)] == scope)
    ]
    limit = int(match["limit"]) if match["limit"] else len(rows)
    shown = {"USER FUNCTIONS": "FUNCTIONS", "STORAGE INTEGRATIONS": "INTEGRATIONS"}
    columns = _SHOWN[shown.get(kind, kind)]
    if match["terse"]:
        columns = "created_on name kind database_name schema_name"
    return Result.table(columns, rows[:limit])


def _scope(session: Session, match: re.Match[str]) -> Name | None:
    kind, name = (match["scope"] or "").upper(), match["name"]
    shown = " ".join(match["kind"].upper().split())
    account_wide = shown not in _IN_A_SCHEMA
    if kind == "ACCOUNT" or account_wide:
        return None
    schemas = match["kind"].upper() == "SCHEMAS"
    if name is None:
        current = (session.database, session.schema)
        length = 1 if kind == "DATABASE" or schemas else 2
        return tuple(p for p in current[:length] if p) or None
    parts = text.name_parts(name)
    if kind == "DATABASE" or (not kind and schemas):
        session.account.find("DATABASE", parts)
        return parts
    full = session.resolve(parts, 2)
    session.account.find("DATABASE", full[:1])
    if full[1] != "INFORMATION_SCHEMA":
        session.account.find("SCHEMA", full)
    return full


def _rows(session: Session, kind: str, singular: str) -> Iterable[tuple[Name, Row]]:
    account = session.account
    if kind in ("OBJECTS", "TABLES", "VIEWS"):
        relations = {**account.registry.relations, **session.temporary}
        return [
            (name, relation_row(session, relation, detailed=kind == "TABLES"))
            for name, relation in relations.items()
            if kind == "OBJECTS" or relation.is_view == (kind == "VIEWS")
        ]
    from integration_tests.snowflake_stand_in import objects

    rows = [(n, objects.row(session, t)) for n, t in account.things(singular).items()]
    if kind == "SCHEMAS":
        for (database,) in account.things("DATABASE"):
            name = (database, "INFORMATION_SCHEMA")
            rows.append((name, Thing("SCHEMA", name, "").place() | {"name": name[1]}))
    return rows


def _flag(value: object) -> str:
    return "Y" if value else "N"


def relation_row(
    session: Session, relation: Relation, *, detailed: bool = False
) -> Row:
    """A relation as SHOW has it; only SHOW TABLES tells transient ones apart."""
    properties = relation.properties
    kind = relation.kind
    if detailed:
        for special in ("TEMPORARY", "TRANSIENT"):
            if properties.get(special):
                kind = special
    rows = None if relation.is_view else count_rows(session, relation)
    return relation.place() | {
        "kind": kind,
        "cluster_by": properties.get("CLUSTER_BY", ""),
        "rows": rows,
        "bytes": None if rows is None else rows * 64,
        "retention_time": retention(relation),
        "change_tracking": "OFF",
        "text": properties.get("TEXT", "") if relation.is_view else "",
        "is_secure": "true" if properties.get("SECURE") else "false",
        "is_dynamic": "N",
        "is_iceberg": "N",
        "is_interactive": "N",
    }


def retention(relation: Relation) -> str:
    """The Time Travel days of a table, as SHOW writes them."""
    default = PARAMETERS["DATA_RETENTION_TIME_IN_DAYS"]
    return str(relation.properties.get("DATA_RETENTION_TIME_IN_DAYS", default))


def count_rows(session: Session, relation: Relation) -> int:
    """The rows that this session sees in a table."""
    session.duckdb(f"select count(*) from {session.physical(relation.name)}")
    return int(session.duck.fetchall()[0][0])


def describe_columns(session: Session, relation: Relation) -> list[tuple[Column, Row]]:
    """The columns of a relation with what DESCRIBE TABLE says of them."""
    name = relation.name
    database, schema, table = name
    if name in session.temporary:
        database, schema, table = "temp", "main", ".".join(name)
    session.duckdb(
        "select column_name, data_type, is_nullable, column_default"
        " from duckdb_columns() where database_name = $1 and schema_name = $2"
        " and table_name = $3 order by column_index",
        [database, schema, table],
    )
    found = []
    for column, kind, nullable, default in session.duck.fetchall():
        described = Column.of_duckdb(column, kind)
        row = {
            "name": column,
            "type": described.sql_type,
            "kind": "COLUMN",
            "null?": _flag(nullable),
            "default": default,
            "primary key": "N",
            "unique key": "N",
            "comment": relation.column_comments.get(column),
        }
        found.append((described, row))
    return found


@statement(
    r"(?:describe|desc) (?P<kind>table|view) {name}(?:\s+type\s*=\s*columns)?",
)
def describe_relation(session: Session, match: re.Match[str]) -> Result:
    """DESCRIBE TABLE and DESCRIBE VIEW."""
    name = session.resolve(match["name"])
    columns = ["name", "type", "kind", "null?", "default", "primary key", "unique key"]
    columns += ["check", "expression", "comment", "policy name", "privacy domain"]
    relation = session.relation(name)
    if relation is None:
        raise missing(match["kind"], ".".join(name))
    return Result.table(
        columns, (row for _, row in describe_columns(session, relation))
    )


@statement(
    rf"show parameters(?:\s+like\s+(?P<like>{text.STRING}))?"
    rf"(?:\s+(?:in|for)\s+(?P<kind>session|account|warehouse|user|database|schema"
    rf"|table)(?:\s+(?P<name>{text.NAME}))?)?"
)
def show_parameters(session: Session, match: re.Match[str]) -> Result:
    """SHOW PARAMETERS of the session, the account or an object."""
    kind, template = (match["kind"] or "session").upper(), match["like"]
    template = template and text.unquote(template)
    own: dict[str, Any] = session.parameters
    if kind == "ACCOUNT":
        own = session.account.registry.parameters
    elif kind != "SESSION":
        depth = {"SCHEMA": 2, "TABLE": 3}.get(kind, 1)
        name = match["name"] or (session.user if kind == "USER" else None)
        if name is None:
            raise syntax(match[0])
        full = session.resolve(name, depth) if depth > 1 else text.name_parts(name)
        own = session.account.find(kind, full).properties
    rows = []
    for key, default in PARAMETERS.items():
        if not text.like(key, template):
            continue
        value = session.parameter(key) if kind == "SESSION" else default
        if key in own:
            value = text.unquote(str(own[key]))
        elif kind != "SESSION":
            value = session.account.parameter(key)
        rows.append(
            {
                "key": key,
                "value": value,
                "default": default,
                "level": kind if key in own else "",
                "description": "",
                "type": "STRING",
            }
        )
    return Result.table("key value default level description type", rows)


# ----- information schema


def information_schema(session: Session, database: str, view: str) -> str:
    """A registered view with the rows of an information schema view."""
    session.account.find("DATABASE", (database,))
    makers = {
        "TABLES": _tables,
        "VIEWS": _views,
        "COLUMNS": _columns,
        "SCHEMATA": _schemata,
        "DATABASES": _databases,
        "PIPES": _pipes,
        "STAGES": _stages,
    }
    if view not in makers:
        raise missing("object", f"{database}.INFORMATION_SCHEMA.{view}")
    rows = makers[view](session, database)
    return register_rows(session, rows, _FIELDS[view])


def register_rows(session: Session, rows: list[Row], fields: str) -> str:
    """Offer dictionaries to queries; a field may say its type, ``NAME:int``."""
    types = {
        "int": pa.int64(),
        "float": pa.float64(),
        "time": pa.timestamp("us", tz="UTC"),
        "": pa.string(),
    }
    columns = {}
    for field in fields.split():
        name, _, kind = field.partition(":")
        columns[name] = pa.array([row.get(name) for row in rows], types[kind])
    return session.register(columns)


_FIELDS = {
    "TABLES": "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_OWNER TABLE_TYPE"
    " IS_TRANSIENT CLUSTERING_KEY ROW_COUNT:int BYTES:int RETENTION_TIME:int"
    " CREATED:time LAST_ALTERED:time LAST_DDL:time COMMENT IS_TEMPORARY IS_ICEBERG"
    " IS_DYNAMIC IS_HYBRID",
    "VIEWS": "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_OWNER VIEW_DEFINITION"
    " IS_SECURE CREATED:time LAST_ALTERED:time COMMENT",
    "COLUMNS": "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION:int"
    " COLUMN_DEFAULT IS_NULLABLE DATA_TYPE NUMERIC_PRECISION:int NUMERIC_SCALE:int"
    " CHARACTER_MAXIMUM_LENGTH:int COMMENT",
    "SCHEMATA": "CATALOG_NAME SCHEMA_NAME SCHEMA_OWNER IS_TRANSIENT CREATED:time"
    " LAST_ALTERED:time COMMENT",
    "DATABASES": "DATABASE_NAME DATABASE_OWNER IS_TRANSIENT COMMENT CREATED:time",
    "PIPES": "PIPE_CATALOG PIPE_SCHEMA PIPE_NAME PIPE_OWNER DEFINITION"
    " IS_AUTOINGEST_ENABLED NOTIFICATION_CHANNEL_NAME CREATED:time LAST_ALTERED:time"
    " COMMENT",
    "STAGES": "STAGE_CATALOG STAGE_SCHEMA STAGE_NAME STAGE_URL STAGE_REGION STAGE_TYPE"
    " STAGE_OWNER COMMENT CREATED:time",
}


def _in(session: Session, database: str) -> list[Relation]:
    relations = {**session.account.registry.relations, **session.temporary}
    return [r for name, r in sorted(relations.items()) if name[0] == database]


def _tables(session: Session, database: str) -> list[Row]:
    rows = []
    for relation in _in(session, database):
        shown = relation_row(session, relation)
        temporary = relation.properties.get("TEMPORARY")
        table_type = "LOCAL TEMPORARY" if temporary else "BASE TABLE"
        rows.append(
            {
                "TABLE_CATALOG": database,
                "TABLE_SCHEMA": relation.name[1],
                "TABLE_NAME": relation.name[2],
                "TABLE_OWNER": relation.owner,
                "TABLE_TYPE": "VIEW" if relation.is_view else table_type,
                "IS_TRANSIENT": _yes(relation.properties.get("TRANSIENT")),
                "CLUSTERING_KEY": relation.properties.get("CLUSTER_BY"),
                "ROW_COUNT": shown["rows"],
                "BYTES": shown["bytes"],
                "RETENTION_TIME": int(retention(relation)),
                "CREATED": relation.created,
                "LAST_ALTERED": relation.altered,
                "LAST_DDL": relation.created,
                "COMMENT": relation.properties.get("COMMENT"),
                "IS_TEMPORARY": _yes(temporary),
                "IS_ICEBERG": "NO",
                "IS_DYNAMIC": "NO",
                "IS_HYBRID": "NO",
            }
        )
    return rows


def _views(session: Session, database: str) -> list[Row]:
    return [
        {
            "TABLE_CATALOG": database,
            "TABLE_SCHEMA": view.name[1],
            "TABLE_NAME": view.name[2],
            "TABLE_OWNER": view.owner,
            "VIEW_DEFINITION": view.properties.get("TEXT"),
            "IS_SECURE": _yes(view.properties.get("SECURE")),
            "CREATED": view.created,
            "LAST_ALTERED": view.altered,
            "COMMENT": view.properties.get("COMMENT"),
        }
        for view in _in(session, database)
        if view.is_view
    ]


def _columns(session: Session, database: str) -> list[Row]:
    rows = []
    for relation in _in(session, database):
        found = describe_columns(session, relation)
        for position, (column, described) in enumerate(found, 1):
            data_type = re.sub(r"\(.*", "", column.sql_type)
            is_text = data_type == "VARCHAR"
            rows.append(
                {
                    "TABLE_CATALOG": database,
                    "TABLE_SCHEMA": relation.name[1],
                    "TABLE_NAME": relation.name[2],
                    "COLUMN_NAME": column.name,
                    "ORDINAL_POSITION": position,
                    "COLUMN_DEFAULT": described["default"],
                    "IS_NULLABLE": "YES" if described["null?"] == "Y" else "NO",
                    "DATA_TYPE": "TEXT" if is_text else data_type,
                    "NUMERIC_PRECISION": column.precision,
                    "NUMERIC_SCALE": column.scale if column.type == "fixed" else None,
                    "CHARACTER_MAXIMUM_LENGTH": 16_777_216 if is_text else None,
                    "COMMENT": described["comment"],
                }
            )
    return rows


def _schemata(session: Session, database: str) -> list[Row]:
    return [
        {
            "CATALOG_NAME": database,
            "SCHEMA_NAME": name[1],
            "SCHEMA_OWNER": schema.owner,
            "IS_TRANSIENT": _yes(schema.properties.get("TRANSIENT")),
            "CREATED": schema.created,
            "LAST_ALTERED": schema.created,
            "COMMENT": schema.properties.get("COMMENT"),
        }
        for name, schema in session.account.things("SCHEMA").items()
        if name[0] == database
    ]


def _databases(session: Session, _: str) -> list[Row]:
    return [
        {
            "DATABASE_NAME": name,
            "DATABASE_OWNER": database.owner,
            "IS_TRANSIENT": "NO",
            "COMMENT": database.properties.get("COMMENT"),
            "CREATED": database.created,
        }
        for (name,), database in session.account.things("DATABASE").items()
    ]


def _pipes(session: Session, database: str) -> list[Row]:
    return [
        {
            "PIPE_CATALOG": name[0],
            "PIPE_SCHEMA": name[1],
            "PIPE_NAME": name[2],
            "PIPE_OWNER": pipe.owner,
            "DEFINITION": pipe.statement,
            "IS_AUTOINGEST_ENABLED": _yes(pipe.channel),
            "NOTIFICATION_CHANNEL_NAME": pipe.channel,
            "CREATED": pipe.created,
            "LAST_ALTERED": pipe.created,
            "COMMENT": pipe.comment or None,
        }
        for name, pipe in session.account.things("PIPE").items()
        if name[0] == database
    ]


def _stages(session: Session, database: str) -> list[Row]:
    return [
        {
            "STAGE_CATALOG": name[0],
            "STAGE_SCHEMA": name[1],
            "STAGE_NAME": name[2],
            "STAGE_URL": stage.url,
            "STAGE_TYPE": "External Named",
            "STAGE_OWNER": stage.owner,
            "COMMENT": stage.comment or None,
            "CREATED": stage.created,
        }
        for name, stage in session.account.things("STAGE").items()
        if name[0] == database
    ]


def _yes(value: object) -> str:
    return "YES" if value else "NO"
