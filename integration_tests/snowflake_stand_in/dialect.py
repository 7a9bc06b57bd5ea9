"""Expressions that fakesnow's translation to DuckDB lacks, or is lax about.

Followed: sf:sql-reference/functions/{to_timestamp,typeof,convert_timezone,try_cast,
get_ignore_case,arrays_to_object,object_keys,array_except,array_distinct,
array_intersection,as_char-varchar,as_object}, sf:sql-reference/reserved-keywords,
sf:sql-reference/{operators-arithmetic,data-types-datetime,date-time-input-output},
sf:user-guide/semistructured-considerations.

Strict: a division of two NUMBERs is rounded, TIMESTAMP is the type that the account
maps it to, a cast of a text to a date or time follows the account's input formats
(every one but AUTO refuses ISO's), unquoted reserved words as names, TRY_CAST of a
VARIANT, and the shift by the session's time zone when a VARIANT integer is cast to
TIMESTAMP_NTZ. MATCH_CONDITION takes columns of numbers alone. Not modelled:
TIMESTAMP_TZ, nanoseconds, numbers beyond 64 bits (but TRY_CAST and a cast to
NUMBER(38, 0) give 38 digits), digits in a text as a time, position 0 or an empty
delimiter in a text, BINARY, the letters' case of a column's quoted name (DuckDB finds
it in any), a comparison of a bare VARIANT with a string (an error), the scale of a
quotient of decimals, an input format of the account's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, lru_cache
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
    "binary empty_delimiter_returns_whole null_returns_null part_index_zero_as_one"
    " zero_start"
)
#: Reserved words that sqlglot would take as names.
RESERVED = words(
    "CHECK COLUMN CONNECT CURRENT FOLLOWING GRANT INCREMENT MINUS OF REGEXP"
    " RLIKE ROW ROWS SAMPLE SOME START TABLESAMPLE TO TRIGGER UNIQUE WHENEVER"
)

#: Functions that are macros below, of the same name.
_OURS = words("AS_OBJECT AS_VARCHAR ARRAYS_TO_OBJECT")

#: In the only format that dbt writes times in.
_TIME_FORMAT = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M"}

#: fakesnow's steps for expressions, in its order. Two are left out: it reads SUM(x) as
#: SUM(TRY_CAST(x AS DOUBLE)), which loses digits and the type, and casts everything to
#: TIMESTAMP through a macro that follows DuckDB's time zone.
_STEPS = [
    getattr(transforms, name)
    for name in (
        "semi_structured_types try_parse_json split trim_cast_varchar"
        " indices_to_json_extract json_extract_cast_as_varchar"
        " json_extract_cased_as_varchar json_extract_precedence"
        " flatten_value_cast_as_varchar flatten regex_replace regex_substr"
        " values_columns to_date timestamp_offsets to_decimal to_variant"
        " object_construct timestamp_ntz timestamp_ltz float_to_double"
        " integer_precision extract_text_length array_size array_agg_within_group"
        " array_agg object_agg array_construct_etc dateadd_date_cast"
        " dateadd_string_literal_timestamp_cast datediff_string_literal_timestamp_cast"
        " sha256 alias_in_join"
    ).split()
]

_MACROS = r"""
create or replace temp macro _sf_numeric(x) as case
    when regexp_full_match(
        x::varchar, '\s*[+-]?(\d{1,38}\.?\d*|\.\d+)([eE][+-]?\d+)?\s*')
    then x::varchar end;
create or replace temp macro _sf_divide(x, y) as case
    when 'DOUBLE' in (typeof(x), typeof(y)) then x / y
    else round(x / y, case when typeof(x) like 'DECIMAL%' then 12 else 6 end) end;
create or replace temp macro _sf_seconds(x) as
    make_timestamp(x::bigint * 1000000);
create or replace temp macro _sf_instant(x) as make_timestamptz(x::bigint // 1000);
create or replace temp macro _sf_is_number(x) as
    typeof(x) = 'JSON' and try_cast(x::varchar as bigint) is not null;
create or replace temp macro _sf_cast_ntz(x) as case
    when _sf_is_number(x)
        then (_sf_seconds(x::varchar) at time zone 'UTC')::timestamp
    else regexp_replace(
        trim(x::varchar, '"'),
        '(\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(?:Z|[+-]\d\d(?::?\d\d)*)$', '\1'
        )::timestamp end;
create or replace temp macro _sf_as_varchar(x) as case json_type(x)
    when 'VARCHAR' then x ->> '$' end;
create or replace temp macro _sf_as_object(x) as case json_type(x)
    when 'OBJECT' then x end;
create or replace temp macro _sf_get_ignore_case(x, name) as
    case when contains(lower(x::varchar), lower(name))
        then coalesce(
            json_extract(x, '$."' || name || '"'), _sf_any_case(x, name)) end;
create or replace temp macro _sf_object_keys(x) as case json_type(x)
    when 'OBJECT' then json_keys(x)
    else case when x is not null then error('OBJECT_KEYS: no object') end end;
create or replace temp macro _sf_arrays_to_object(x, y) as case
    when json_array_length(x) <> json_array_length(y) then error(
        'Key array and value array had unequal lengths in ARRAYS_TO_OBJECT')::json
    else to_json(map(x::varchar[], y::varchar[])) end;
create or replace temp macro _sf_typeof(x) as regexp_replace(
    regexp_replace(json_type(to_json(x)), '^(U?BIG|HUGE)INT$', 'INTEGER'),
    '^NULL$', 'NULL_VALUE');
"""


def any_case(value: str, name: str) -> str | None:
    """A key's value in a JSON object, as JSON text, whatever the key's case is."""
    found = json.loads(value)
    if isinstance(found, dict):
        for key, element in found.items():
            if key.lower() == name.lower():
                return json.dumps(element)
    return None


@lru_cache
def array_except(left: str, right: str) -> str:
    """ARRAY_EXCEPT of JSON arrays: each element goes as often as it is in the other."""
    rest = json.loads(left)
    for each in json.loads(right):
        if each in rest:
            rest.remove(each)
    return json.dumps(rest)


@lru_cache
def array_distinct(array: str) -> str:
    """ARRAY_DISTINCT of a JSON array."""
    return json.dumps(list(dict.fromkeys(json.loads(array))))


@lru_cache
def array_intersection(left: str, right: str) -> str:
    """ARRAY_INTERSECTION of JSON arrays, which is of multisets too."""
    rest = json.loads(right)
    return json.dumps([e for e in json.loads(left) if e in rest and not rest.remove(e)])


def install_functions(connection: duckdb.DuckDBPyConnection) -> None:
    """Register the Python functions; every connection of the instance sees them."""
    connection.create_function(
        "_sf_any_case", any_case, ["JSON", "VARCHAR"], "JSON", null_handling="special"
    )
    for function in (array_distinct, array_except, array_intersection):
        name = f"_sf_{function.__name__}"
        arrays = ["JSON"] * (1 if function is array_distinct else 2)
        connection.create_function(name, function, arrays, "JSON")


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


def translate(tree: Expr) -> str:
    """DuckDB's SQL, by fakesnow's steps."""
    for identifier in tree.find_all(exp.Identifier):
        if not identifier.quoted:
            identifier.set("this", identifier.name.upper())
    nodes = list(tree.dfs())
    for step in _STEPS:
        tree, nodes = _transform(tree, nodes, step)
    # Quoted, since a name in upper case may be a reserved word of DuckDB's.
    return tree.sql(dialect="duckdb", identify=True, copy=False)


def _transform(
    tree: Expr, nodes: list[Expr], step: Callable[[Expr], Expr]
) -> tuple[Expr, list[Expr]]:
    """Like sqlglot's `transform`, which would copy the tree and visit every node.

    A step changes nodes of the classes that its code names only. It does not visit what
    it has put in place of another node.

    Returns:
        The tree and its nodes after the step.
    """
    asked = {kind for kind in set(map(type, nodes)) if _is_named(kind, step)}
    in_place = asked and not {"set", "replace"}.isdisjoint(step.__code__.co_names)
    replaced: set[int] = set()
    for node in [node for node in nodes if type(node) in asked]:
        parent, key, index = node.parent, node.arg_key, node.index
        is_gone = id(node) in replaced or (parent is None and node is not tree)
        if not is_gone and (new := step(node)) is not node:
            replaced.update(map(id, node.dfs()))
            if node is tree:
                tree = new
            else:
                parent.set(key, new, index)
    return tree, list(tree.dfs()) if replaced or in_place else nodes


@cache
def _is_named(kind: type[Expr], step: Callable[[Expr], Expr]) -> bool:
    names = {each.__name__ for each in kind.__mro__}
    return not names.isdisjoint(step.__code__.co_names)


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
        case exp.DataType() if node.this == Type.TIMESTAMP:
            mapped = session.parameter("TIMESTAMP_TYPE_MAPPING").replace("_", "")
            return exp.DataType(this=Type[mapped])
        case exp.Div():
            return _call("_sf_divide", node.left, node.right)
        case exp.UnixToTime() if node.args.get("scale"):
            if node.args["scale"].name != "9":
                raise compilation("the stand-in knows nanoseconds only")
            return _call("_sf_instant", node.this)
        case exp.StrToTime():
            # Text in double quotes is copied as it is.
            written = node.args["format"].name.replace('"', "")
            node.set("format", exp.Literal.string(written))
        case exp.Cast() | exp.TryCast() if (parameter := _input_format(node)) and (
            session.parameter(parameter) != "AUTO"
        ):
            raise compilation(f"{node.this.sql()} is not in the {parameter}", 100040)
        case exp.TryCast() if node.to.this in exp.DataType.INTEGER_TYPES:
            # DuckDB would also read '0x1F' and '1_0'; NUMBER has 38 digits.
            number = _call("_sf_numeric", node.this)
            return exp.TryCast(this=number, to=exp.DataType(this=Type.INT128))
        case exp.TryCast():
            return node
        case exp.Cast() if node.to.sql("snowflake") == "DECIMAL(38, 0)":
            node.set("to", exp.DataType(this=Type.INT128))
        case exp.Cast() if node.to.this in _WALL:
            return _call("_sf_cast_ntz", node.this)
        case exp.GetIgnoreCase():
            return _call("_sf_get_ignore_case", node.this, node.expression)
        case exp.Cast() if _is_call(node.this, "_sf_get_ignore_case") and (
            node.to.this == Type.VARCHAR
        ):
            return _call("json_extract_string", node.this, exp.Literal.string("$"))
        case exp.JSONKeys():
            return _call("_sf_object_keys", node.this)
        case exp.ArrayDistinct():
            return _call("_sf_array_distinct", node.this)
        case exp.ArrayExcept():
            return _call("_sf_array_except", node.this, node.expression)
        case exp.ArrayIntersect():
            return _call("_sf_array_intersection", *node.expressions)
        case exp.ArrayToString():
            texts = exp.cast(node.this, "varchar[]", dialect="duckdb")
            return _call("array_to_string", texts, node.expression)
        case exp.Anonymous() if node.name.upper() in _OURS:
            return _call(f"_sf_{node.name.lower()}", *node.expressions)
        case exp.SplitPart() | exp.Split() | exp.Substring() | exp.Length():
            for case in _CORNERS & set(node.args):
                node.set(case, None)
        case exp.ToChar() | exp.TimeToStr() if "format" in node.args:
            parts = [part.name for part in node.args["format"].find_all(exp.Literal)]
            written = "".join(parts).upper()
            for snowflake, python in _TIME_FORMAT.items():
                written = written.replace(snowflake, python)
            return _call("strftime", node.this, exp.Literal.string(written))
        case exp.Join() if node.method == "ASOF":
            # sf:sql-reference/constructs/asof-join: rows without a match stay.
            condition = node.args.pop("match_condition")
            for side in ("this", "expression"):
                column = condition.args[side]
                if not isinstance(column, exp.Column):
                    raise compilation("MATCH_CONDITION takes one column of each table")
                # Numbers and times are compared, text is not: DuckDB adds it to none.
                condition.set(
                    side, exp.Add(this=column, expression=exp.Literal.number(0))
                )
            node.set("side", "LEFT")
            node.set("on", exp.and_(node.args.get("on"), condition))
        case exp.Typeof():
            return _call("_sf_typeof", node.this)
        case exp.CurrentRole():
            return exp.Literal.string(session.role)
        case exp.CurrentRegion():
            return exp.Literal.string("AWS_US_EAST_1")
    return node


def _input_format(cast: exp.Cast) -> str | None:
    """The parameter that a cast of a literal to a date or time follows."""
    if not (isinstance(cast.this, exp.Literal) and cast.this.is_string):
        return None
    if cast.to.this == Type.DATE:
        return "DATE_INPUT_FORMAT"
    times = (*_WALL, Type.TIMESTAMPLTZ, Type.TIMESTAMPTZ)
    return "TIMESTAMP_INPUT_FORMAT" if cast.to.this in times else None


def _call(name: str, *arguments: Expr) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _is_variant(node: Expr) -> bool:
    while isinstance(node, exp.Paren):
        node = node.this
    return isinstance(node, exp.JSONExtract | exp.Bracket | exp.GetIgnoreCase)


def _is_call(node: Expr, name: str) -> bool:
    return isinstance(node, exp.Anonymous) and node.name == name
