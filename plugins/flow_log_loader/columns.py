"""Which columns of a file are fields of the format, and how they become their types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

# Those that fit a BIGINT, and others.
INTEGERS = {"UTINYINT", "USMALLINT", "UINTEGER"}
INTEGERS |= {"TINYINT", "SMALLINT", "INTEGER", "BIGINT"}
LARGE_INTEGERS = {"UBIGINT", "HUGEINT", "UHUGEINT"}
FRACTIONS = ("FLOAT", "DOUBLE", "DECIMAL")

# Seconds within DuckDB's timestamps: the years 1 to about 287,000. A start or end
# outside of them lands as null.
EARLIEST, LATEST = -62_135_596_800, 9_000_000_000_000

NO_FLOW_LOG = "not a flow log: it has no value of a field that only flow logs have"


class MalformedError(Exception):
    """A file is not a readable flow log; the message goes to the load history."""


class Column(NamedTuple):
    """A column of a file: its name there, its type as DuckDB names it, its position."""

    name: str
    declared: str
    position: int

    @property
    def alias(self) -> str:
        """What queries call it: by its own name it might hide a virtual column."""
        return alias(self.position)


def alias(position: int) -> str:
    """Return what queries call the column at a position."""
    return f"column_{position}"


def fields_of(
    columns: Sequence[Column], fields: Mapping[str, str], generic: Collection[str]
) -> dict[str, list[Column]]:
    """Return the columns by the field that they are, or by their own name.

    Tools that put text logs and Parquet together leave two columns for one field, of
    which each record fills one.

    Args:
        columns: In the order of the file.
        fields: The fields of the format with their types. The documentation writes
            `account-id` for `account_id`; case does not matter.
        generic: The fields that other kinds of files have as well.

    Raises:
        MalformedError: the file is not a flow log, or two columns have one name.
    """
    for name, count in Counter(column.name for column in columns).items():
        if count > 1:
            raise MalformedError(two_columns(name))
    found: dict[str, list[Column]] = {}
    for column in columns:
        name = field_name(column.name)
        found.setdefault(name if name in fields else column.name, []).append(column)
    if not found.keys() & (fields.keys() - set(generic)):
        raise MalformedError(NO_FLOW_LOG)
    return found


def two_columns(name: str) -> str:
    """Return the reason of a file with two columns of a name."""
    return f"two columns are named {name}, but for case or hyphens"


def field_name(name: str) -> str:
    """Return the field that a column of this name is, if it is one.

    AWS's documentation has hyphens, its Parquet underscores, and no name has both.
    """
    lower = name.lower()
    return lower if "_" in lower else lower.replace("-", "_")


def is_ordinary(
    field: str, columns: Sequence[Column], fields: Mapping[str, str]
) -> bool:
    """Whether the column of a field has the name and the type that AWS gives to it."""
    wanted = fields.get(field)
    if wanted is None or [column.name for column in columns] != [field]:
        return False
    if wanted == "varchar":
        return columns[0].declared == "VARCHAR"
    return columns[0].declared in INTEGERS


def projection(
    columns: Mapping[str, Sequence[Column]], fields: Mapping[str, str]
) -> dict[str, str]:
    """Return the expressions that read a file, by the landing table's column.

    Raises:
        MalformedError: a number has another type in the file.
    """
    expressions = {
        f'"{field}"': _one_of(field, columns[field], data_type)
        for field, data_type in fields.items()
        if field in columns
    }
    unknown = [found for name, (found, *_) in columns.items() if name not in fields]
    if unknown:
        expressions["unknown_fields"] = _as_map(unknown)
    return expressions


def _one_of(field: str, columns: Sequence[Column], wanted: str) -> str:
    """Return the expression of a field; a record with two values is an error.

    Raises:
        MalformedError: a number has another type in the file.
    """
    values = [_typed(field, column, wanted) for column in columns]
    if len(values) == 1:
        return values[0]
    given = " + ".join(f"({column.alias} is not null)::int" for column in columns)
    return (
        f"case when {given} > 1 then error({quoted(two_columns(field))})"
        f" else coalesce({', '.join(values)}) end"
    )


def _typed(field: str, column: Column, wanted: str) -> str:
    """Return the expression that casts a column to the landing table's type.

    Raises:
        MalformedError: a number has another type in the file.
    """
    source = column.alias
    if wanted == "varchar":
        return _text(field, source, column.declared)
    if column.declared in LARGE_INTEGERS or column.declared.startswith(FRACTIONS):
        source = (
            f"case when try_cast({source} as bigint) = {source}"
            f" then try_cast({source} as bigint) when {source} is not null"
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
    if field.endswith("account_id") and declared in INTEGERS | LARGE_INTEGERS:
        # Python's data frames make numbers of them, and drop the zeros in front.
        cases = (
            f" when {source} between 0 and 999999999999"
            f" then lpad(cast({source} as varchar), 12, '0'){cases}"
        )
    return f"case{cases} end"


def _as_map(columns: Sequence[Column]) -> str:
    names = sql_list(quoted(column.name) for column in columns)
    values = sql_list(f"cast({column.alias} as varchar)" for column in columns)
    return f"map({names}, {values})"


# Lists as SQL text: as a parameter, DuckDB takes far longer to convert a list.
def sql_list(items: Iterable[str]) -> str:
    """Return a list of SQL expressions."""
    return f"[{', '.join(items)}]"


def quoted(text: str) -> str:
    """Return a text literal."""
    return "'{}'".format(text.replace("'", "''"))
