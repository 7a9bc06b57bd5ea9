"""Export a snapshot of the built tables as Parquet, for the page in app/.

DuckDB lets one process open its file to write. The page reads the snapshot instead, so
that neither a build nor the page ever waits for the other. Each file is replaced at
once: who has it open keeps reading the one before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

#: The days that readers may read, with the load time of each.
DAYS = "days.parquet"
#: The rollup of flows, a file for each day, such as flows/2026-01-31.parquet.
FLOWS = "flows"


@dataclass(frozen=True)
class Export:
    """What to export; the macro export_snapshot gives it.

    `tables` has a query by the name of its file. `flows` is the rollup of flows and
    `columns` what to export of it, for the days of the condition `days`. With
    `is_full`, days are exported even if no record of them is new.
    """

    tables: dict[str, str]
    flows: str
    columns: str
    days: str
    is_full: bool


def write_snapshot(
    connection: duckdb.DuckDBPyConnection, folder: Path, export: Export
) -> str:
    """Write the snapshot and return what was written.

    The list of days is written last. Readers take its time for that of the snapshot.

    Args:
        connection: Has the built tables.
        folder: Where to write; it is created.
        export: What to write.

    Raises:
        OSError: the folder can't be written.
        duckdb.Error: a table can't be read, or a file can't be written.
    """
    (folder / FLOWS).mkdir(parents=True, exist_ok=True)
    for name, query in export.tables.items():
        _copy(connection, query, folder / f"{name}.parquet")
    list_of_days = (
        f"select started_date, max(loaded_through_at) as loaded_through_at"
        f" from {export.flows} where {export.days} group by started_date"
    )
    days = dict(connection.execute(list_of_days).fetchall())
    known = {} if export.is_full else _known_days(connection, folder)
    paths = {day: folder / FLOWS / f"{day}.parquet" for day in days}
    new = [
        day
        for day, loaded in days.items()
        if known.get(day) != loaded or not paths[day].exists()
    ]
    for day in new:
        _copy(
            connection,
            f"select {export.columns} from {export.flows}"
            f" where started_date = date '{day}'",
            paths[day],
        )
    _copy(connection, list_of_days, folder / DAYS)
    for path in {*(folder / FLOWS).glob("*.parquet")} - {*paths.values()}:
        path.unlink(missing_ok=True)
    return f"{len(export.tables)} tables and {len(new)} of {len(days)} days"


def _known_days(
    connection: duckdb.DuckDBPyConnection, folder: Path
) -> dict[object, object]:
    if not (folder / DAYS).exists():
        return {}
    listed = connection.execute("from read_parquet(?)", [str(folder / DAYS)])
    return dict(listed.fetchall())


def _copy(connection: duckdb.DuckDBPyConnection, query: str, file: Path) -> None:
    """Replace a file by the rows of a query."""
    path = str(file).replace("'", "''")
    options = "format parquet, parquet_version v2, use_tmp_file"
    connection.execute(f"copy ({query}) to '{path}' ({options})")
