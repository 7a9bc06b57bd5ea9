"""Snowflake's SQL where fakesnow's translation to DuckDB lacks or differs.

Followed: sf:sql-reference/functions/{parse_ip,to_timestamp,typeof,is_null_value,
object_keys,object_delete,object_pick,convert_timezone,try_cast,to_char},
sf:sql-reference/reserved-keywords, sf:user-guide/semistructured-considerations.

Modelled strictly: unquoted reserved words as names, PARSE_IP on bad input, TRY_CAST on
a VARIANT, and the shift by the session's time zone when a VARIANT integer is cast to
TIMESTAMP_NTZ. Not modelled: TIMESTAMP_TZ (an instant instead), nanoseconds, numbers
beyond 64 bits (but what TRY_CAST gives has 38 digits), session variables, a comparison
of a bare VARIANT column with a string (an error here).
"""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

import duckdb
from fakesnow import macros, transforms
from sqlglot import Expr, exp

from integration_tests.snowflake_stand_in.errors import compilation
from integration_tests.snowflake_stand_in.text import words

if TYPE_CHECKING:
    from integration_tests.snowflake_stand_in.session import Session

Type = exp.DataType.Type
_WALL = (Type.TIMESTAMP, Type.TIMESTAMPNTZ, Type.DATETIME)
_INSTANT = (Type.TIMESTAMPLTZ, Type.TIMESTAMPTZ)
#: What sqlglot writes several times longer for: position 0, an empty delimiter, BINARY.
_CORNERS = words(
    "binary empty_delimiter_returns_whole part_index_zero_as_one zero_start"
)
#: Reserved words that sqlglot would take as names.
RESERVED = words(
    "CHECK COLUMN CONNECT CURRENT FOLLOWING GRANT INCREMENT MINUS OF REGEXP"
    " RLIKE ROW ROWS SAMPLE SOME START TABLESAMPLE TO TRIGGER UNIQUE WHENEVER"
)

# fakesnow reads SUM(x) as SUM(TRY_CAST(x AS DOUBLE)), which loses digits and the type,
# and casts everything to TIMESTAMP through a macro that follows DuckDB's time zone.
transforms.numeric_agg_implicit_cast = lambda tree: tree
transforms.to_timestamp = lambda tree: tree

_MACROS = r"""
create or replace temp macro _sf_text(x) as case
    when typeof(x) != 'JSON' then x::varchar
    when x::varchar = 'null' then null
    else trim(x::varchar, '"') end;
create or replace temp macro _sf_is_text(x) as
    typeof(x) = 'VARCHAR' or (typeof(x) = 'JSON' and starts_with(x::varchar, '"'));
create or replace temp macro _sf_numeric(x) as case
    when regexp_full_match(
        x::varchar, '\s*[+-]?(\d{1,38}\.?\d*|\.\d+)([eE][+-]?\d+)?\s*')
    then x::varchar end;
create or replace temp macro _sf_scale(x, scale) as case
    when not _sf_is_text(x) or abs(_sf_text(x)::hugeint) < 31536000000 then scale
    when abs(_sf_text(x)::hugeint) < 31536000000000 then 3
    when abs(_sf_text(x)::hugeint) < 31536000000000000 then 6
    else 9 end;
create or replace temp macro _sf_epoch(x, scale) as make_timestamp((
    _sf_text(x)::hugeint * 1000000 // pow(10, _sf_scale(x, scale))::hugeint)::bigint);
create or replace temp macro _sf_wall(text) as regexp_replace(
    text, '(\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(?:Z|[+-]\d\d(?::?\d\d)*)$', '\1'
    )::timestamp;
create or replace temp macro _sf_ntz(x, scale) as case
    when try_cast(_sf_text(x) as bigint) is not null then _sf_epoch(x, scale)
    else _sf_wall(_sf_text(x)) end;
create or replace temp macro _sf_ltz(x, scale) as case
    when try_cast(_sf_text(x) as bigint) is not null
        then _sf_epoch(x, scale) at time zone 'UTC'
    else regexp_replace(
        _sf_text(x), '\s+([+-]\d\d:?\d\d|Z)$', '\1')::timestamptz end;
create or replace temp macro _sf_cast_ntz(x) as case
    when typeof(x) = 'JSON' and not _sf_is_text(x) then _sf_ltz(x, 0)::timestamp
    else _sf_ntz(x, 0) end;
create or replace temp macro _sf_try_ntz(x) as case
    when try_cast(_sf_text(x) as bigint) is not null then _sf_epoch(x, 0)
    else try_cast(_sf_text(x) as timestamp) end;
create or replace temp macro _sf_typeof(x) as case json_type(to_json(x))
    when 'VARCHAR' then 'VARCHAR' when 'NULL' then 'NULL_VALUE'
    when 'UBIGINT' then 'INTEGER' when 'BIGINT' then 'INTEGER'
    when 'HUGEINT' then 'INTEGER' else json_type(to_json(x)) end;
"""


def parse_ip(text: str | None, kind: str, permissive: int) -> str | None:
    """PARSE_IP's object, as JSON text."""
    if text is None:
        return None
    try:
        if kind.upper() != "INET":
            raise ValueError(f"unknown type {kind}")
        interface = ipaddress.ip_interface(text)
    except ValueError as error:
        if permissive:
            return json.dumps({"error": f"parse_ip error: {error}"})
        raise ValueError(f"Invalid IP address: '{text}'") from error
    address, network = interface.ip, interface.network
    number = int(address)
    answer: dict[str, Any] = {
        "family": address.version,
        "host": str(address),
        "ip_type": "inet",
        "netmask_prefix_length": network.prefixlen if "/" in text else None,
        "snowflake$type": "ip_address",
    }
    first, last = network.network_address, network.broadcast_address
    if address.version == 4:
        answer |= {"ip_fields": [number, 0, 0, 0], "ipv4": number}
        answer |= {"ipv4_range_start": int(first), "ipv4_range_end": int(last)}
    else:
        fields = [number >> shift & 0xFFFFFFFF for shift in (96, 64, 32, 0)]
        answer |= {"ip_fields": fields, "hex_ipv6": f"{number:032X}"}
        answer |= {"hex_ipv6_range_start": f"{int(first):032X}"}
        answer |= {"hex_ipv6_range_end": f"{int(last):032X}"}
    return json.dumps(answer)


def object_pick(value: str | None, keys: str) -> str | None:
    """OBJECT_PICK: the named pairs of an object."""
    if value is None:
        return None
    wanted: list[str] = []
    for key in json.loads(keys):
        wanted += key if isinstance(key, list) else [key]
    pairs = json.loads(value).items()
    return json.dumps({k: v for k, v in pairs if k in wanted})


def install_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Register the Python functions; every connection of the instance sees them."""
    for name, function, types in (
        ("_sf_parse_ip", parse_ip, ["VARCHAR", "VARCHAR", "BIGINT"]),
        ("_sf_object_pick", object_pick, ["VARCHAR", "VARCHAR"]),
    ):
        connection.create_function(
            name, function, types, "VARCHAR", null_handling="special"
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
    name = node.name.upper() if isinstance(node, exp.Anonymous) else node.key.upper()
    arguments = node.expressions if isinstance(node, exp.Anonymous) else []
    match node:
        case exp.Select() if _from_dual(node):
            node.set("from_", None)
        case exp.EQ() | exp.NEQ() | exp.In() | exp.Nullif() if _with_text(node):
            for side in [node.this, node.args.get("expression")]:
                if side is not None and _is_variant(side):
                    side.replace(exp.cast(side.copy(), "varchar"))
        case exp.ConvertTimezone() if not node.args.get("source_tz"):
            if isinstance(node.parent, exp.Predicate):
                return node.args["timestamp"]
        case exp.UnixToTime():
            scale = node.args.get("scale") or exp.Literal.number(0)
            return _call("_sf_ntz", node.this, scale)
        case exp.Cast() if node.to.this in _WALL + _INSTANT:
            return _cast_to_time(node)
        case exp.TryCast() if node.to.this in exp.DataType.NUMERIC_TYPES:
            return _try_number(node)
        case exp.ToNumber() if node.args.get("safe"):
            return _try_to_number(node)
        case exp.Cast() if node.to.this == Type.VARIANT:
            return _call("to_json", node.this)
        case exp.SplitPart() | exp.Substring() | exp.Length():
            for case in _CORNERS & set(node.args):
                node.set(case, None)
        case exp.With():
            own = [cte for cte in node.expressions if _reads_itself(cte)]
            node.set("recursive", bool(own))
        case exp.ToChar() | exp.TimeToStr() if _untranslated(node):
            return _call("strftime", node.this, _time_format(node.args["format"]))
    if replaced := _function(name, node, arguments):
        return replaced
    return _session_function(name, session) or node


def _reads_itself(cte: exp.CTE) -> bool:
    name = cte.alias_or_name.upper()
    return any(
        not table.db and table.name.upper() == name
        for table in cte.this.find_all(exp.Table)
    )


def _try_number(node: exp.TryCast) -> exp.TryCast:
    """DuckDB would also read '0x1F' and '1_0'; NUMBER has 38 digits, not 64 bits."""
    if node.to.this in (Type.FLOAT, Type.DOUBLE):
        return node
    sizes = [size.name for size in node.to.expressions]
    wide = node.to.this != Type.DECIMAL or sizes in ([], ["38"], ["38", "0"])
    to = exp.DataType(this=Type.INT128) if wide else node.to
    return exp.TryCast(this=_call("_sf_numeric", node.this), to=to)


def _try_to_number(node: exp.ToNumber) -> Expr:
    sizes = [node.args.get(each) for each in ("precision", "scale")]
    written = [
        size.name if size else default
        for size, default in zip(sizes, ("38", "0"), strict=True)
    ]
    node.set("this", _call("_sf_numeric", node.this))
    if node.args.get("format") or written != ["38", "0"]:
        return node
    return exp.TryCast(this=node.this, to=exp.DataType(this=Type.INT128))


def _from_dual(node: exp.Select) -> bool:
    source = node.args.get("from_")
    table = source and source.this
    return (
        isinstance(table, exp.Table) and not table.db and table.name.upper() == "DUAL"
    )


def _function(name: str, node: Expr, arguments: list[Expr]) -> Expr | None:
    match name:
        case "PARSEIP":
            permissive = node.args.get("permissive") or exp.Literal.number(0)
            address = exp.cast(node.this, "varchar")
            call = _call("_sf_parse_ip", address, node.args["type"], permissive)
            return exp.cast(call, "json")
        case "TYPEOF":
            return _call("_sf_typeof", node.this)
        case "JSONKEYS" | "OBJECT_KEYS":
            value = node.this if name == "JSONKEYS" else arguments[0]
            return _call("to_json", _call("json_keys", value))
        case "OBJECT_DELETE":
            patch = [part for key in arguments[1:] for part in (key.copy(), exp.null())]
            return _call("json_merge_patch", arguments[0], _call("json_object", *patch))
        case "OBJECT_PICK":
            keys = exp.cast(_call("json_array", *arguments[1:]), "varchar")
            value = exp.cast(arguments[0], "varchar")
            return exp.cast(_call("_sf_object_pick", value, keys), "json")
        case "TO_TIMESTAMP" | "TO_TIMESTAMP_NTZ" | "TO_TIMESTAMP_LTZ":
            scale = arguments[1] if len(arguments) > 1 else exp.Literal.number(0)
            macro = "_sf_ltz" if name.endswith("LTZ") else "_sf_ntz"
            return _call(macro, arguments[0], scale)
        case "TO_TIMESTAMP_TZ":
            return _call("_sf_ltz", arguments[0], exp.Literal.number(0))
        case "TRY_TO_TIMESTAMP" | "TRY_TO_TIMESTAMP_NTZ":
            return _call("_sf_try_ntz", arguments[0])
    return None


def _session_function(name: str, session: Session) -> Expr | None:
    values = {
        "ACCOUNT": "STANDIN",
        "AVAILABLEROLES": json.dumps([session.role]),
        "DATABASE": session.database,
        "REGION": "AWS_US_EAST_1",
        "ROLE": session.role,
        "SCHEMA": session.schema,
        "SESSION": session.id,
        "USER": session.user,
        "WAREHOUSE": session.warehouse,
    }
    key = name.replace("_", "").removeprefix("CURRENT")
    if not name.startswith("CURRENT") or key not in values:
        return None
    value = values[key]
    return exp.null() if value is None else exp.Literal.string(value)


def _call(name: str, *arguments: Expr) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=[a.copy() for a in arguments])


def _cast_to_time(node: exp.Cast) -> Expr:
    if isinstance(node, exp.TryCast):
        if node.to.this in _WALL:
            return _call("_sf_try_ntz", node.this)
        return node
    if node.to.this in _WALL:
        return _call("_sf_cast_ntz", node.this)
    return _call("_sf_ltz", node.this, exp.Literal.number(0))


def _is_variant(node: Expr) -> bool:
    while isinstance(node, exp.Paren):
        node = node.this
    return isinstance(node, exp.JSONExtract | exp.Bracket)


def _with_text(node: Expr) -> bool:
    others = [node.this, node.args.get("expression"), *node.expressions]
    return any(isinstance(o, exp.Literal) and o.is_string for o in others)


def _untranslated(node: Expr) -> bool:
    """A format that sqlglot leaves in Snowflake's letters."""
    written = node.args.get("format")
    if isinstance(node, exp.TimeToStr) and isinstance(written, exp.Literal):
        return False
    return written is not None


def _time_format(node: Expr) -> exp.Literal:
    parts = [part for part in node.find_all(exp.Literal) if part.is_string]
    text = "".join(part.this for part in parts)
    for snowflake, python in (
        ("YYYY", "%Y"),
        ("MM", "%m"),
        ("DD", "%d"),
        ("HH24", "%H"),
        ("MI", "%M"),
        ("SS", "%S"),
        ("FF3", "%g"),
        ("FF6", "%f"),
        ("FF", "%n"),
    ):
        for written in (snowflake, snowflake.lower()):
            text = text.replace(written, python)
    return exp.Literal.string(text.replace('"', ""))
