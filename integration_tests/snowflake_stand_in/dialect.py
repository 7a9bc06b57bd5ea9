"""Expressions that fakesnow's translation to DuckDB lacks, or is lax about.

Followed: sf:sql-reference/functions/{parse_ip,to_timestamp,typeof,convert_timezone,
try_cast}, sf:sql-reference/reserved-keywords,
sf:user-guide/semistructured-considerations.

Strict: unquoted reserved words as names, PARSE_IP on bad input, TRY_CAST of a VARIANT,
and the shift by the session's time zone when a VARIANT integer is cast to
TIMESTAMP_NTZ. Not modelled: TIMESTAMP_TZ, nanoseconds, numbers beyond 64 bits (but what
TRY_CAST gives has 38 digits), digits in a text as a time, position 0 or an empty
delimiter in a text, BINARY, the letters' case of a column's quoted name (DuckDB finds
it in any), a comparison of a bare VARIANT with a string (an error).
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING

import duckdb
from fakesnow import macros, transforms
from sqlglot import Expr, exp

from integration_tests.snowflake_stand_in.errors import compilation
from integration_tests.snowflake_stand_in.text import words

if TYPE_CHECKING:
    from integration_tests.snowflake_stand_in.session import Session

Type = exp.DataType.Type
_WALL = (Type.TIMESTAMP, Type.TIMESTAMPNTZ, Type.DATETIME)
#: What sqlglot writes several times longer for, and nothing here needs.
_CORNERS = words(
    "binary empty_delimiter_returns_whole part_index_zero_as_one zero_start"
)
#: Reserved words that sqlglot would take as names.
RESERVED = words(
    "CHECK COLUMN CONNECT CURRENT FOLLOWING GRANT INCREMENT MINUS OF REGEXP"
    " RLIKE ROW ROWS SAMPLE SOME START TABLESAMPLE TO TRIGGER UNIQUE WHENEVER"
)

#: In the only format that dbt writes times in.
_TIME_FORMAT = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M"}

# fakesnow reads SUM(x) as SUM(TRY_CAST(x AS DOUBLE)), which loses digits and the type,
# and casts everything to TIMESTAMP through a macro that follows DuckDB's time zone.
transforms.numeric_agg_implicit_cast = lambda tree: tree
transforms.to_timestamp = lambda tree: tree

_MACROS = r"""
create or replace temp macro _sf_numeric(x) as case
    when regexp_full_match(
        x::varchar, '\s*[+-]?(\d{1,38}\.?\d*|\.\d+)([eE][+-]?\d+)?\s*')
    then x::varchar end;
create or replace temp macro _sf_seconds(x) as
    make_timestamp(x::bigint * 1000000);
create or replace temp macro _sf_is_number(x) as
    typeof(x) = 'JSON' and try_cast(x::varchar as bigint) is not null;
create or replace temp macro _sf_cast_ntz(x) as case
    when _sf_is_number(x)
        then (_sf_seconds(x::varchar) at time zone 'UTC')::timestamp
    else regexp_replace(
        trim(x::varchar, '"'),
        '(\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(?:Z|[+-]\d\d(?::?\d\d)*)$', '\1'
        )::timestamp end;
create or replace temp macro _sf_typeof(x) as case json_type(to_json(x))
    when 'VARCHAR' then 'VARCHAR' when 'NULL' then 'NULL_VALUE'
    when 'UBIGINT' then 'INTEGER' when 'BIGINT' then 'INTEGER'
    when 'HUGEINT' then 'INTEGER' else json_type(to_json(x)) end;
"""


def parse_ip(text: str | None, kind: str, permissive: int) -> str | None:
    """PARSE_IP's object, as JSON text; only what says which address it is.

    Args:
        text: The address.
        kind: INET is the only one here.
        permissive: 1 to describe an error instead of raising it.

    Raises:
        ValueError: If it is no address (sf:sql-reference/functions/parse_ip).
    """
    if text is None:
        return None
    try:
        if kind.upper() != "INET":
            raise ValueError(f"unknown type {kind}")
        address = ipaddress.ip_interface(text).ip
    except ValueError as error:
        if permissive:
            return json.dumps({"error": f"parse_ip error: {error}"})
        raise ValueError(f"Invalid IP address: '{text}'") from error
    if address.version == 4:
        return json.dumps({"family": 4, "ipv4": int(address)})
    return json.dumps({"family": 6, "hex_ipv6": f"{int(address):032X}"})


def install_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Register the Python function; every connection of the instance sees it."""
    types = ["VARCHAR", "VARCHAR", "BIGINT"]
    connection.create_function(
        "_sf_parse_ip", parse_ip, types, "VARCHAR", null_handling="special"
    )


def install_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Define the macros for one session."""
    connection.execute(_MACROS)
    ours = macros.creation_sql("temp")
    connection.execute(ours.replace("REPLACE MACRO temp.", "REPLACE TEMP MACRO "))


def check(tree: Expr) -> None:
    """Refuse what Snowflake refuses and sqlglot lets pass."""
    for node in tree.walk():
        if isinstance(node, exp.Identifier) and not node.quoted:
            if node.name.upper() in RESERVED:
                raise compilation(f"syntax error unexpected '{node.name}'.")
        elif isinstance(node, exp.TryCast) and _is_variant(node.this):
            target = node.to.sql("snowflake")
            raise compilation(
                "Function TRY_CAST cannot be used with arguments of types"
                f" VARIANT and {target}",
                1065,
                "22023",
            )


def rewrite(tree: Expr, session: Session) -> Expr:
    """What fakesnow would not translate, in terms that it or DuckDB knows.

    Children come before their parents, so that what a parent takes over is done.
    """
    for node in reversed(list(tree.walk(bfs=True))):
        new = _rewrite(node, session)
        if new is not node:
            if node is tree:
                tree = new
            else:
                node.replace(new)
    return tree


def _rewrite(node: Expr, session: Session) -> Expr:
    match node:
        case exp.Anonymous() if node.name.upper() == "TO_TIMESTAMP_NTZ":
            return _call("_sf_seconds", *node.expressions)
        case exp.TryCast() if node.to.this in exp.DataType.INTEGER_TYPES:
            # DuckDB would also read '0x1F' and '1_0'; NUMBER has 38 digits.
            number = _call("_sf_numeric", node.this)
            return exp.TryCast(this=number, to=exp.DataType(this=Type.INT128))
        case exp.TryCast():
            return node
        case exp.Cast() if node.to.this in _WALL:
            return _call("_sf_cast_ntz", node.this)
        case exp.SplitPart() | exp.Substring() | exp.Length():
            for case in _CORNERS & set(node.args):
                node.set(case, None)
        case exp.ParseIp():
            permissive = node.args.get("permissive") or exp.Literal.number(0)
            address = exp.cast(node.this, "varchar")
            call = _call("_sf_parse_ip", address, node.args["type"], permissive)
            return exp.cast(call, "json")
        case exp.ToChar() | exp.TimeToStr() if "format" in node.args:
            parts = [part.name for part in node.args["format"].find_all(exp.Literal)]
            written = "".join(parts).upper()
            for snowflake, python in _TIME_FORMAT.items():
                written = written.replace(snowflake, python)
            return _call("strftime", node.this, exp.Literal.string(written))
        case exp.Typeof():
            return _call("_sf_typeof", node.this)
        case exp.CurrentRole():
            return exp.Literal.string(session.role)
        case exp.CurrentRegion():
            return exp.Literal.string("AWS_US_EAST_1")
    return node


def _call(name: str, *arguments: Expr) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=[a.copy() for a in arguments])


def _is_variant(node: Expr) -> bool:
    while isinstance(node, exp.Paren):
        node = node.this
    return isinstance(node, exp.JSONExtract | exp.Bracket)
