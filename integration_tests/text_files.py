"""Flow logs in AWS's text format, made from Parquet files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb


def write_as_text(files: Iterable[Path], source: Path, target: Path) -> None:
    """Write Parquet files as AWS writes text: `….log.gz`, and `-` for no value.

    Args:
        files: The files, below `source`.
        source: A folder.
        target: The folder that takes them, under the same names but for the ending.
    """
    for file in files:
        name = str(file.relative_to(source)).removesuffix(".parquet") + ".gz"
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        read = f"read_parquet('{file}', hive_partitioning = false)"
        names = duckdb.sql(f"from {read} limit 0").columns
        columns = ", ".join(
            f"""nullif(cast("{name}" as varchar), '-') as "{name.replace("_", "-")}\""""
            for name in names
        )
        duckdb.sql(
            f"copy (select {columns} from {read}) to '{target / name}'"
            " (format csv, delim ' ', header, nullstr '-', compression gzip)"
        )


def make_text_of_some(folder: Path) -> int:
    """Replace every third Parquet file below a folder by text; return the files."""
    files = sorted(folder.rglob("*.parquet"))
    write_as_text(files[1::3], folder, folder)
    for file in files[1::3]:
        file.unlink()
    return len(files)
