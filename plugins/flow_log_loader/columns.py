"""Which columns of a file are fields of the format, and how they become their types."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

INTEGERS = {
    f"{sign}{width}"
    for sign in ("", "U")
    for width in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
}
FRACTIONS = ("FLOAT", "DOUBLE", "DECIMAL")
IN_OTHER_LETTERS = ", but for case or hyphens"

# Seconds within DuckDB's timestamps: the years 1 to about 287,000. A start or end
# outside of them lands as null.
EARLIEST, LATEST = -62_135_596_800, 9_000_000_000_000


class MalformedError(Exception):
    """A file is not a readable flow log; the message goes to the load history."""


class Column(NamedTuple):
    """A column as the file has it: its name, and its type as DuckDB names it."""

    name: str
    declared: str


def fields_of(
    columns: Sequence[Column], fields: Mapping[str, str], generic: Collection[str]
) -> dict[str, Column]:
    """Return the columns by the field that each one is, or by their own name.

    Args:
        columns: In the order of the file.
        fields: The fields of the format with their types. The documentation writes
            `account-id` for `account_id`; case does not matter.
        generic: The fields that other kinds of files have as well.

    Raises:
        MalformedError: the file is not a flow log, or two columns are one field.
    """
    found: dict[str, Column] = {}
    for column in columns:
        name = field_name(column.name)
        base, _, number = column.name.rpartition("_")
        # DuckDB appends a number to the second of two names that differ by case.
        if number.isdigit() and base not in {other.name for other in columns}:
            name = field_name(base) if field_name(base) in found else name
        if name in fields and name in found:
            raise MalformedError(f"two columns are named {name}{IN_OTHER_LETTERS}")
        found[name if name in fields else column.name] = column
    if not found.keys() & (fields.keys() - set(generic)):
        raise MalformedError(
            "not a flow log: no column is one that only flow logs have"
        )
    return found


def field_name(name: str) -> str:
    """Return the field that a column of this name is, if it is one.

    AWS's documentation has hyphens, its Parquet underscores, and no name has both.
    """
    lower = name.lower()
    return lower if "_" in lower else lower.replace("-", "_")


def is_ordinary(field: str, column: Column, fields: Mapping[str, str]) -> bool:
    """Whether a column has the name and the type that AWS gives to that field."""
    wanted = fields.get(field)
    if field != column.name or wanted is None:
        return False
    if wanted == "varchar":
        return column.declared == "VARCHAR"
    return column.declared in INTEGERS


def projection(
    columns: Mapping[str, Column], fields: Mapping[str, str]
) -> dict[str, str]:
    """Return the expressions that read a file, by the landing table's column.

    Raises:
        MalformedError: a number has another type in the file.
    """
    expressions = {
        f'"{field}"': _typed(field, columns[field], data_type)
        for field, data_type in fields.items()
        if field in columns
    }
    unknown = [name for name in columns if name not in fields]
    if unknown:
        expressions["unknown_fields"] = _as_map(unknown)
    return expressions


def _typed(field: str, column: Column, wanted: str) -> str:
    """Return the expression that casts a column to the landing table's type.

    Raises:
        MalformedError: a number has another type in the file.
    """
    source = identifier(column.name)
    if wanted == "varchar":
        return _text(field, source, column.declared)
    if column.declared.startswith(FRACTIONS):
        source = (
            f"case when {source} = trunc({source}) then cast({source} as bigint)"
            f" when {source} is not null"
            f" then error('{field} holds ' || {source} || ', which is no integer') end"
        )
    elif column.declared in INTEGERS:
        source = f"cast({source} as bigint)"
    else:
        raise MalformedError(
            f"{field} is declared as {column.declared}, not as an integer"
        )
    if wanted == "timestamp":
        return (
            f"case when {source} between {EARLIEST} and {LATEST}"
            f" then make_timestamp({source} * 1000000) end"
        )
    return source


def _text(field: str, source: str, declared: str) -> str:
    """Return the expression of a text field; any value that is no text is an error."""
    if declared == "VARCHAR":
        return source
    cases = (
        f" when {source} is not null then"
        f" error('{field} holds ' || cast({source} as varchar) || ', which is no text')"
    )
    if field.endswith("account_id") and declared in INTEGERS:
        # Python's data frames make numbers of them, and drop the zeros in front.
        cases = (
            f" when {source} between 0 and 999999999999"
            f" then lpad(cast({source} as varchar), 12, '0'){cases}"
        )
    return f"case{cases} end"


def _as_map(columns: list[str]) -> str:
    names = sql_list(quoted(name) for name in columns)
    values = sql_list(f"cast({identifier(name)} as varchar)" for name in columns)
    return f"map({names}, {values})"


# Lists as SQL text: as a parameter, DuckDB takes far longer to convert a list.
def sql_list(items: Iterable[str]) -> str:
    """Return a list of SQL expressions."""
    return f"[{', '.join(items)}]"


def quoted(text: str) -> str:
    """Return a text literal."""
    return "'{}'".format(text.replace("'", "''"))


def identifier(name: str) -> str:
    """Return a quoted name of a column."""
    return '"{}"'.format(name.replace('"', '""'))
