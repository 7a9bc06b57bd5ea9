"""The result of a statement, in the connector's JSON row format.

sf:developer-guide/sql-api/handling-responses describes the encoding: every value is a
string; dates are days since the epoch, timestamps are seconds with nine decimals.
DuckDB's TIMESTAMP WITH TIME ZONE is an instant without a stored offset, which is
Snowflake's TIMESTAMP_LTZ. Not modelled: TIMESTAMP_TZ, TIME, BINARY, arrays, objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

TEXT_LENGTH = 16_777_216
_SCALARS = {
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DOUBLE": "real",
    "JSON": "variant",
    "TIMESTAMP": "timestamp_ntz",
    "TIMESTAMP WITH TIME ZONE": "timestamp_ltz",
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
        """The column that describes a DuckDB type."""
        if decimal := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", duckdb_type):
            return cls(name, "fixed", int(decimal[1]), int(decimal[2]))
        if re.fullmatch(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?", duckdb_type):
            return cls(name, "fixed", 38, 0)
        wire = _SCALARS.get(duckdb_type, "text")
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
            case "timestamp_ntz" | "timestamp_ltz":
                return f"{self.type.upper()}(9)"
        return self.type.upper()

    def wire(self) -> dict[str, Any]:
        """The column's description in the response."""
        length = TEXT_LENGTH if self.type == "text" else None
        return {
            "name": self.name,
            "nullable": True,
            "type": self.type,
            "byteLength": length,
            "length": length,
            "scale": self.scale,
            "precision": self.precision,
        }


def encode(value: Any) -> str | None:
    """One value as the connector expects it."""
    match value:
        case None:
            return None
        case bool():
            return "1" if value else "0"
        case datetime():
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            micros = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // datetime.resolution
            return f"{Decimal(micros).scaleb(-6):.9f}"
        case date():
            return str((value - date(1970, 1, 1)).days)
    return str(value)


@dataclass
class Result:
    """Columns and rows of one statement."""

    columns: list[Column]
    rows: Sequence[Sequence[Any]]
    type_id: int = 0
    stats: dict[str, int] = field(default_factory=dict)

    @classmethod
    def status(cls, message: str = "Statement executed successfully.") -> Result:
        """The result of a statement that returns a sentence."""
        return cls([Column("status")], [[message]])

    @classmethod
    def table(cls, names: str, rows: Iterable[dict[str, Any]]) -> Result:
        """Rows given as dictionaries, with SHOW's lower-case column names."""
        keys = names.split()
        data = [[row.get(key) for key in keys] for row in rows]
        columns = [_column(key, [r[i] for r in data]) for i, key in enumerate(keys)]
        return cls(columns, data)

    def wire(self) -> dict[str, Any]:
        """The part of the response that carries the rows."""
        return {
            "rowtype": [column.wire() for column in self.columns],
            "rowset": [[encode(value) for value in row] for row in self.rows],
            "total": len(self.rows),
            "returned": len(self.rows),
            "queryResultFormat": "json",
            "statementTypeId": self.type_id,
            "stats": self.stats or None,
        }


def _column(name: str, values: list[Any]) -> Column:
    match next((value for value in values if value is not None), None):
        case int():
            return Column(name, "fixed", 38, 0)
        case datetime():
            return Column(name, "timestamp_ltz", None, 9)
    return Column(name)
