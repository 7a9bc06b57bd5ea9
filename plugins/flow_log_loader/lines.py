"""Land the lines of files as they are, for models that find out what they say.

Enrichment files are mirrored: if a file is new, changed or gone, one transaction
replaces all lines. The inventory is history: new files are added, and what has landed
stays.
"""

from __future__ import annotations

import gzip
import os
import re
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from . import s3
from .listing import SUFFIX, ListingError, LogFile
from .text_logs import GZIP_MAGIC


@dataclass(frozen=True)
class LineSettings:
    """The options of a run, from the staging plan.

    Attributes:
        location: A folder or an s3:// prefix; empty leaves the table as it is.
        landing: The name of the table.
        variable: The environment variable that has the location.
        pattern: What the whole name of a file below the location must match.
        keeps_files: Whether files that are gone from the location stay landed.
        s3_requester_pays: Whether the caller pays for requests to the bucket.
    """

    location: str
    landing: str
    variable: str
    pattern: str
    keeps_files: bool = False
    s3_requester_pays: bool = False


def stage_lines(
    connection: duckdb.DuckDBPyConnection,
    settings: LineSettings,
    say: Callable[[str], None],
) -> str:
    """Land the lines of new files; return a summary, and print it.

    The table has a row 0 for each file, with the fault of one that cannot be read.

    Args:
        connection: A cursor for this run alone.
        settings: What to land, and where.
        say: Prints a line.

    Raises:
        ListingError: the location does not exist, or has no file.
        S3Error, OSError, duckdb.Error: network, disk or database failed; what landed
            before stays.
    """
    summary = _land(connection, settings, say)
    say(summary)
    return summary


def _land(
    connection: duckdb.DuckDBPyConnection,
    settings: LineSettings,
    say: Callable[[str], None],
) -> str:
    connection.execute(
        f"""
        create table if not exists {settings.landing} (
            value varchar,
            fault varchar,
            metadata_filename varchar,
            metadata_file_row_number bigint,
            metadata_file_last_modified timestamp,
            _dbt_copied_at timestamp
        )
        """
    )
    if not settings.location:
        return f"{settings.variable} is not set"
    files = _list(settings)
    if not files:
        raise ListingError(
            f"0 files under {settings.location}. Check {settings.variable}."
        )
    found = f"{settings.variable}: {len(files)} files under {settings.location}"
    new = _new_files(connection, settings, files)
    if new is None:
        return f"{found}: none is new"
    with tempfile.TemporaryDirectory(prefix="vpc_flow_lines_") as folder:
        paths = _local_paths(new, settings, folder)
        tables = [
            _read(connection, file, path, say)
            for file, path in zip(new, paths, strict=True)
        ]
    connection.register("lines_read", pa.concat_tables(tables))
    connection.begin()
    try:
        connection.execute(
            f"delete from {settings.landing}"
            " where not $keeps or metadata_filename in"
            " (select metadata_filename from lines_read)",
            {"keeps": settings.keeps_files},
        )
        connection.execute(
            f"insert into {settings.landing} by name"
            " select *, $now as _dbt_copied_at from lines_read",
            {"now": datetime.now(UTC).replace(tzinfo=None)},
        )
    except BaseException:
        connection.rollback()
        raise
    connection.commit()
    lines = sum(table.num_rows - 1 for table in tables)
    return f"{found}: {lines:,} lines landed"


def _new_files(
    connection: duckdb.DuckDBPyConnection,
    settings: LineSettings,
    files: list[LogFile],
) -> list[LogFile] | None:
    """Return the files to land, or None if the table has what it should have."""
    known = {
        name: (modified, fault)
        for name, modified, fault in connection.execute(
            "select metadata_filename, epoch_us(metadata_file_last_modified), fault"
            f" from {settings.landing} where metadata_file_row_number = 0"
        ).fetchall()
    }
    if settings.keeps_files:
        # A file with a fault may have been half written.
        return [
            file
            for file in files
            if file.name not in known
            or (known[file.name][1] and known[file.name][0] != file.modified)
        ] or None
    same = {name: modified for name, (modified, _) in known.items()}
    return None if same == {file.name: file.modified for file in files} else files


def _list(settings: LineSettings) -> list[LogFile]:
    """List the files of the location whose name matches the pattern."""
    location = settings.location
    files = []
    if location.startswith(s3.SCHEMES):
        name, key = s3.split_uri(location)
        prefix = f"{key.rstrip('/')}/" if key else ""
        for found, size, modified in s3.Bucket(
            name, settings.s3_requester_pays
        ).objects(prefix):
            files.append(LogFile(found.removeprefix(prefix), found, size, modified))
    else:
        root = Path(location).expanduser()
        if not root.is_dir():
            raise ListingError(
                f"{settings.variable} is '{location}', which is no folder. Set it to a"
                " folder or an s3:// prefix."
            )
        for path in sorted(root.rglob("*")):
            if path.is_file():
                status = path.stat()
                name = path.relative_to(root).as_posix()
                modified = status.st_mtime_ns // 1_000
                files.append(LogFile(name, str(path), status.st_size, modified))
    return [
        file
        for file in files
        if file.size and re.fullmatch(settings.pattern, file.name)
    ]


def _local_paths(
    files: list[LogFile], settings: LineSettings, folder: str
) -> list[str]:
    """Return where each file can be read, from S3 as a download.

    Raises:
        ObjectError, ChangedError: an object cannot be downloaded.
    """
    if not settings.location.startswith(s3.SCHEMES):
        return [file.path for file in files]
    paths = [os.path.join(folder, str(number)) for number in range(len(files))]
    bucket = s3.Bucket(s3.split_uri(settings.location)[0], settings.s3_requester_pays)
    for failure in bucket.download(
        (file.path, file.size, file.modified, path)
        for file, path in zip(files, paths, strict=True)
    ):
        if failure:
            raise failure
    return paths


def _read(
    connection: duckdb.DuckDBPyConnection,
    file: LogFile,
    path: str,
    say: Callable[[str], None],
) -> pa.Table:
    """Return the landing table's rows of a file, or only row 0 with its fault."""
    lines = pa.array([], pa.string())
    fault = None
    try:
        if file.name.lower().endswith(SUFFIX):
            rows = connection.execute(
                "select cast(to_json(line) as varchar) from read_parquet(?) as line",
                [path],
            )
            lines = pa.array([line for (line,) in rows.fetchall()], pa.string())
        else:
            lines = _lines_of(Path(path))
    except (ValueError, EOFError, zlib.error, gzip.BadGzipFile, duckdb.Error) as error:
        fault = f"cannot be read: {str(error).splitlines()[0]}".replace(path, file.name)
        say(f"  quarantined {file.name}: {fault}")
    count = len(lines) + 1
    return pa.table(
        {
            "value": pa.concat_arrays([pa.nulls(1, pa.string()), lines]),
            "fault": pa.concat_arrays(
                [pa.array([fault], pa.string()), pa.nulls(len(lines), pa.string())]
            ),
            "metadata_filename": pa.repeat(file.name, count),
            "metadata_file_row_number": pa.array(range(count), pa.int64()),
            "metadata_file_last_modified": pa.repeat(
                pa.scalar(file.modified, pa.timestamp("us")), count
            ),
        }
    )


def _lines_of(path: Path) -> pa.Array:
    data = path.read_bytes()
    if data.startswith(GZIP_MAGIC):
        data = gzip.decompress(data)
    text = data.decode("utf-8-sig").replace("\r\n", "\n")
    return pc.split_pattern(pa.array([text]), "\n").flatten()
