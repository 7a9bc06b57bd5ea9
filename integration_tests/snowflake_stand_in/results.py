"""What a statement answers, in the connector's JSON row format.

sf:developer-guide/sql-api/handling-responses describes the encoding: every value is a
string; dates are days since the epoch, times and timestamps are seconds with nine
decimals. DuckDB's TIMESTAMP WITH TIME ZONE is an instant without a stored offset, which
is Snowflake's TIMESTAMP_LTZ; TIMESTAMP_TZ is not modelled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

TEXT_LENGTH = 16_777_216
_SCALARS = {
    "BLOB": "binary",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DOUBLE": "real",
    "FLOAT": "real",
    "JSON": "variant",
    "TIME": "time",
    "TIMESTAMP": "timestamp_ntz",
    "TIMESTAMP WITH TIME ZONE": "timestamp_ltz",
    "TIMESTAMP_NS": "timestamp_ntz",
}


@dataclass(frozen=True)
class Column:
    """A result column with Snowflake's wire type."""

    name: str
    type: str = "text"
    precision: int | None = None
    scale: int | None = None

    @classmethod
    def of_duckdb(cls, name: str, duckdb_type: str) -> Column:
        """The column that stands for a DuckDB type."""
        if decimal := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", duckdb_type):
            return cls(name, "fixed", int(decimal[1]), int(decimal[2]))
        if re.fullmatch(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?", duckdb_type):
            return cls(name, "fixed", 38, 0)
        wire = _SCALARS.get(duckdb_type)
        if wire is None and duckdb_type.endswith("]"):
            wire = "array"
        elif wire is None and duckdb_type.startswith(("STRUCT", "MAP")):
            wire = "object"
        wire = wire or "text"
        return cls(name, wire, None, 9 if wire.startswith("time") else None)

    @property
    def sql_type(self) -> str:
        """The type as DESCRIBE TABLE writes it."""
        match self.type:
            case "fixed":
                return f"NUMBER({self.precision},{self.scale})"
            case "text":
                return f"VARCHAR({TEXT_LENGTH})"
            case "real":
                return "FLOAT"
            case "binary":
                return "BINARY(8388608)"
            case "time" | "timestamp_ntz" | "timestamp_ltz":
                return f"{self.type.upper()}(9)"
        return self.type.upper()

    def wire(self) -> dict[str, Any]:
        """The column's description in the response."""
        length = TEXT_LENGTH if self.type == "text" else None
        return {
            "name": self.name,
            "database": "",
            "schema": "",
            "table": "",
            "nullable": True,
            "type": self.type,
            "byteLength": length,
            "length": length,
            "scale": self.scale,
            "precision": self.precision,
            "collation": None,
        }


def encode(value: Any, column: Column) -> str | None:
    """One value as the connector expects it."""
    if value is None:
        return None
    match value:
        case bool():
            return "1" if value else "0"
        case datetime():
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
            return f"{Decimal(micros).scaleb(-6):.9f}"
        case date():
            return str((value - date(1970, 1, 1)).days)
        case time():
            seconds = value.hour * 3600 + value.minute * 60 + value.second
            return f"{seconds}.{value.microsecond:06d}000"
        case bytes():
            return value.hex().upper()
        case dict() | list():
            return json.dumps(value, default=str)
    return str(value)


_MICROSECOND = datetime.resolution


@dataclass
class Result:
    """Columns and rows of one statement."""

    columns: list[Column]
    rows: Sequence[Sequence[Any]]
    type_id: int = 0
    stats: dict[str, int] = field(default_factory=dict)

    @classmethod
    def status(cls, message: str) -> Result:
        """The answer of a statement that returns a sentence."""
        return cls([Column("status")], [[message]])

    @classmethod
    def table(cls, names: str | Sequence[str], rows: Iterable[dict]) -> Result:
        """Rows given as dictionaries, with SHOW's lower-case column names."""
        names = names.split() if isinstance(names, str) else list(names)
        data = [[row.get(name) for name in names] for row in rows]
        return cls(
            [_column(n, [r[i] for r in data]) for i, n in enumerate(names)], data
        )

    def wire(self) -> dict[str, Any]:
        """The part of the response that carries the rows."""
        rows = [
            [encode(v, c) for v, c in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]
        return {
            "rowtype": [column.wire() for column in self.columns],
            "rowset": rows,
            "total": len(rows),
            "returned": len(rows),
            "queryResultFormat": "json",
            "statementTypeId": self.type_id,
            "stats": self.stats or None,
        }


def _column(name: str, values: list[Any]) -> Column:
    sample = next((value for value in values if value is not None), None)
    match sample:
        case bool():
            return Column(name, "boolean")
        case int():
            return Column(name, "fixed", 38, 0)
        case float():
            return Column(name, "real")
        case datetime():
            return Column(name, "timestamp_ltz", None, 9)
    return Column(name)
