"""Load flow-log files into the landing table, each exactly once.

The rows of a batch, its history entries and new columns of the landing table commit in
one transaction. After a kill, a transaction is there as a whole or not at all: so no
file is ever half loaded, and none is loaded twice.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from .listing import LogFile, escape_glob, in_order_of_delivery, list_files

# One commit for a thousand files, or for 256 MB. A commit leaves row groups half full,
# which DuckDB merges later: with commits of 64 MB that costs an eighth of the load.
BATCH_FILES = 1_000
BATCH_BYTES = 256_000_000

# File names in a list of the output.
SHOWN = 10

INTEGERS = {
    f"{sign}{width}"
    for sign in ("", "U")
    for width in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
}
FRACTIONS = ("FLOAT", "DOUBLE", "DECIMAL")

# Seconds within DuckDB's timestamps: the years 1 to about 287,000. A start or end
# outside of them lands as null.
EARLIEST, LATEST = -62_135_596_800, 9_000_000_000_000

READ_OPTIONS = "hive_partitioning = false, binary_as_string = true"

# What DuckDB raises for a file that it cannot decode. For a broken footer it raises a
# plain duckdb.Error, and for a footer that points beyond the file an IOException, like
# for any failure of a disk.
DECODING_ERRORS = (
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.InvalidTypeException,
    duckdb.NotImplementedException,
    duckdb.OutOfRangeException,
    duckdb.SerializationException,
)
READ_BEYOND_THE_END = "Could not read enough bytes"


class LoadError(Exception):
    """The run cannot go on; files loaded before stay loaded."""


class MalformedError(Exception):
    """A file is not a readable flow log; the message goes to the load history."""


@dataclass(frozen=True)
class Settings:
    """The options of a run, from the staging plan.

    `fields` maps each field name of the format to its type (varchar, bigint,
    timestamp). The landing table starts with the `initial_fields`; a run adds another
    field when a file first has it, since a column of nulls costs time.
    """

    location: str
    landing_schema: str
    landing_table: str
    history_table: str
    fields: dict[str, str]
    initial_fields: list[str]
    retry_quarantined: bool = False
    full_refresh: bool = False

    @property
    def landing(self) -> str:
        """The landing table's name, quoted."""
        return f'"{self.landing_schema}"."{self.landing_table}"'

    @property
    def history(self) -> str:
        """The load history's name, quoted."""
        return f'"{self.landing_schema}"."{self.history_table}"'


# A file's entry in the load history: name, size, time of modification and status.
Known = tuple[str, int, int, str]


class Loader:
    """One run of `stage_external_sources` on DuckDB."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        settings: Settings,
        say: Callable[[str], None],
    ) -> None:
        """Take a cursor for this run alone, the settings, and what prints a line."""
        self.connection = connection
        self.settings = settings
        self.say = say
        self.history: dict[str, Known] = {}
        self.records = 0
        self.loaded: list[LogFile] = []
        self.quarantined: list[tuple[LogFile, str]] = []
        self.unsettled: list[LogFile] = []

    def run(self) -> str:
        """Load the new files and return a summary with their counts.

        Raises:
            ListingError: the location cannot be listed.
            LoadError, OSError, duckdb.Error: network, disk or memory failed; earlier
                batches stay loaded, and no file is quarantined for it.
        """
        # The cache of a thousand files takes 140 MB, and no file is read twice.
        self._execute("set enable_external_file_cache = false")
        with _no_garbage_collection():
            files = list_files(self.connection, self.settings.location)
            self._create_tables()
            self.history = self._read_history()
            fresh, changed, waiting = self._sort_out(files)
        self._load_all(in_order_of_delivery(fresh))
        self._report(in_order_of_delivery(changed))

        already = len(files) - len(fresh) - len(waiting)
        before = len(waiting)
        found = f"{len(files):,} files under {self.settings.location}"
        if not fresh:
            summary = f"Nothing new in {found}: "
        else:
            summary = (
                f"{found}: {len(self.loaded):,} loaded ({self.records:,} records), "
            )
        summary += (
            f"{already:,} already loaded,"
            f" {len(self.quarantined) + before:,} quarantined ({before:,} before)"
        )
        self.say(summary)
        return summary

    def _create_tables(self) -> None:
        settings = self.settings
        columns = ", ".join(
            f'"{name}" {settings.fields[name]}' for name in settings.initial_fields
        )
        with self._transaction():
            self._execute(f'create schema if not exists "{settings.landing_schema}"')
            if settings.full_refresh:
                self._execute(f"drop table if exists {settings.landing}")
                self._execute(f"drop table if exists {settings.history}")
            self._execute(
                f"""
                create table if not exists {settings.landing} (
                    metadata_filename varchar,
                    metadata_file_row_number bigint,
                    metadata_file_last_modified timestamp,
                    _dbt_copied_at timestamp,
                    unknown_fields map(varchar, varchar),
                    {columns}
                )
                """
            )
            self._execute(
                f"""
                create table if not exists {settings.history} (
                    metadata_filename varchar,
                    location varchar,
                    size_bytes bigint,
                    last_modified_at timestamp,
                    records bigint,
                    loaded_at timestamp,
                    status varchar,
                    error varchar
                )
                """
            )

    def _read_history(self) -> dict[str, Known]:
        rows = self._execute(
            "select metadata_filename, size_bytes, epoch_us(last_modified_at), status"
            f" from {self.settings.history}"
        ).fetchall()
        return {known[0]: known for known in rows}

    def _sort_out(
        self, files: list[LogFile]
    ) -> tuple[list[LogFile], list[LogFile], list[LogFile]]:
        """Split into files to load, loaded ones that changed, and quarantined ones."""
        fresh, changed, waiting = [], [], []
        for file in files:
            known = self.history.get(file.name)
            if known is None:
                fresh.append(file)
                continue
            _, size, modified, status = known
            is_changed = size != file.size or modified != file.modified
            if status == "loaded":
                if is_changed:
                    changed.append(file)
            elif is_changed or self.settings.retry_quarantined:
                fresh.append(file)
            else:
                waiting.append(file)
        return fresh, changed, waiting

    def _load_all(self, files: list[LogFile]) -> None:
        begun, done = time.monotonic(), 0
        for batch in _batches(files):
            self._load(batch)
            done += len(batch)
            if len(files) > len(batch):
                self.say(
                    f"  {done:,} of {len(files):,} files, {self.records:,} records,"
                    f" {time.monotonic() - begun:.0f} s"
                )

    def _load(self, files: list[LogFile]) -> None:
        """Load a batch; halve one that fails, until the bad file is alone."""
        try:
            self._insert(files)
        except (duckdb.Error, MalformedError) as failure:
            if not _is_the_files_fault(failure):
                raise
            if len(files) == 1:
                self._load_again(files[0])
            else:
                half = len(files) // 2
                self._load(files[:half])
                self._load(files[half:])

    def _load_again(self, file: LogFile) -> None:
        """Load a file once more; quarantine it if it fails although it is complete.

        Raises:
            LoadError, duckdb.Error, OSError: the disk or the network failed.
        """
        if self._bytes_of(file) != file.size:
            self.unsettled.append(file)
            return
        try:
            self._insert([file])
        except (duckdb.Error, MalformedError) as failure:
            if not _is_the_files_fault(failure):
                raise
            self._quarantine(file, _first_line(failure, file))

    def _insert(self, files: list[LogFile]) -> None:
        """Land the files and their history entries in one transaction."""
        with self._transaction():
            copied_at = self._next_copied_at()
            self._copy(files, copied_at)
            records = self._record_history(files, copied_at)
        self.records += records
        self.loaded += files

    def _copy(self, files: list[LogFile], copied_at: datetime) -> None:
        """Append the files' records to the landing table.

        One statement reads all files with AWS's column types, whatever fields they
        have: fewer statements leave fewer half-full row groups, whose compression is
        most of the cost. Another statement reads each other schema, so that the types
        of one file never change the values of another.
        """
        fields = self.settings.fields
        ordinary: set[LogFile] = set()
        common: set[str] = set()
        for group in self._groups_of_one_schema(files):
            columns = self._columns(group[0])
            # In the order of the format, so that the table has one order in any run.
            for name in [name for name in fields if name in columns]:
                self._execute(
                    f"alter table {self.settings.landing}"
                    f' add column if not exists "{name}" {fields[name]}'
                )
            if all(_is_ordinary(columns[name], fields.get(name)) for name in columns):
                ordinary.update(group)
                common.update(columns)
            else:
                projection = _projection(columns, fields)
                self._append(group, copied_at, projection)
        if ordinary:
            types = {
                name: "VARCHAR" if fields[name] == "varchar" else "BIGINT"
                for name in sorted(common)
            }
            schema = ", ".join(
                f"'{name}': {{name: '{name}', type: '{kind}', default_value: null}}"
                for name, kind in types.items()
            )
            self._append(
                [file for file in files if file in ordinary],
                copied_at,
                _projection(types, fields),
                f", schema = map {{{schema}}}",
            )

    def _append(
        self,
        files: list[LogFile],
        copied_at: datetime,
        projection: dict[str, str],
        options: str = "",
    ) -> None:
        columns = ", ".join(
            f"{expression} as {name}" for name, expression in projection.items()
        )
        self._execute(
            f"""
            insert into {self.settings.landing} by name
            select
                list_extract({_names(files)}, cast(file_index as bigint) + 1)
                    as metadata_filename,
                file_row_number + 1 as metadata_file_row_number,
                list_extract({_modified(files)}, cast(file_index as bigint) + 1)
                    as metadata_file_last_modified,
                $copied_at as _dbt_copied_at,
                {columns}
            from read_parquet({_paths(files)}, {READ_OPTIONS}{options})
            """,
            copied_at=copied_at,
        )

    def _record_history(self, files: list[LogFile], copied_at: datetime) -> int:
        """Write the batch's entries from the landed rows; return the records."""
        settings = self.settings
        self._forget(files)
        self._execute(
            f"""
            insert into {settings.history}
            select
                files.name,
                $location,
                files.size,
                files.modified,
                coalesce(landed.records, 0),
                $copied_at,
                'loaded',
                null
            from ({_rows(files)}) as files
            left join
                (
                    select metadata_filename as name, count(*) as records
                    from {settings.landing}
                    where _dbt_copied_at = $copied_at
                    group by all
                ) as landed
                using (name)
            """,
            location=settings.location,
            copied_at=copied_at,
        )
        counted = self._execute(
            f"select sum(records) from {settings.history} where loaded_at = $copied_at",
            copied_at=copied_at,
        ).fetchone()
        return int(counted[0]) if counted else 0

    def _quarantine(self, file: LogFile, reason: str) -> None:
        with self._transaction():
            self._forget([file])
            self._execute(
                f"insert into {self.settings.history} values"
                " ($name, $location, $size, make_timestamp($modified), null, $now,"
                " 'quarantined', $error)",
                name=file.name,
                location=self.settings.location,
                size=file.size,
                modified=file.modified,
                now=self._next_copied_at(),
                error=reason,
            )
        self.quarantined.append((file, reason))
        self.say(f"  quarantined {file.name}: {reason}")

    def _forget(self, files: list[LogFile]) -> None:
        """Remove the earlier entry of files that were quarantined before."""
        known = [file for file in files if file.name in self.history]
        if known:
            self._execute(
                f"delete from {self.settings.history}"
                f" where metadata_filename in (select unnest({_names(known)}))"
            )

    def _report(self, changed: list[LogFile]) -> None:
        """Print and record which files changed after they were loaded."""
        if changed:
            self._execute(
                f"""
                update {self.settings.history} as history
                set error =
                    'changed after it was loaded: now ' || changed.size || ' bytes,'
                    || ' modified ' || changed.modified || '; not loaded again'
                from ({_rows(changed)}) as changed
                where history.metadata_filename = changed.name
                """
            )
        for what, files in (
            ("changed after it was loaded, not loaded again", changed),
            ("still being written, left for the next run", self.unsettled),
        ):
            for file in files[:SHOWN]:
                self.say(f"  {what}: {file.name}")
            if len(files) > SHOWN:
                self.say(f"  {what}: {len(files) - SHOWN:,} more files")

    def _groups_of_one_schema(self, files: list[LogFile]) -> list[list[LogFile]]:
        """Group the files by their columns and declared types."""
        schemas: dict[str, set[str]] = {}
        rows = self._execute(
            f"""
            select
                file_name,
                cast(
                    list(
                        [name, type, converted_type, logical_type, duckdb_type]
                        order by column_id
                    )
                    as varchar
                )
            from parquet_schema({_paths(files)})
            group by all
            """
        ).fetchall()
        for path, schema in rows:
            schemas.setdefault(schema, set()).add(path)
        return [
            [file for file in files if file.path in paths] for paths in schemas.values()
        ]

    def _columns(self, file: LogFile) -> dict[str, str]:
        """Return the declared type of each column, as DuckDB names it.

        Raises:
            MalformedError: no column is a field of the format, or two are the same one.
        """
        fields = self.settings.fields
        columns = {
            name: data_type
            for name, data_type, *_ in self._execute(
                f"describe select * from read_parquet($path, {READ_OPTIONS})",
                path=escape_glob(file.path),
            ).fetchall()
        }
        for name in columns.keys() - fields.keys():
            # DuckDB appends a number to the second of two names that differ by case.
            field, _, number = name.rpartition("_")
            if number.isdigit() and field in fields and field not in columns:
                raise MalformedError(f"two columns are named {field}, but for case")
        if not columns.keys() & fields.keys():
            raise MalformedError("not a flow log: no column is a field of the format")
        return columns

    def _bytes_of(self, file: LogFile) -> int:
        """Read the whole file and count its bytes.

        Raises:
            LoadError: the disk failed, or the file is gone.
        """
        if "://" not in file.path:
            try:
                return len(Path(file.path).read_bytes())
            except OSError as failure:
                raise LoadError(
                    f"{file.path} cannot be read: {failure.strerror}"
                ) from failure
        counted = self._execute(
            "select octet_length(content) from read_blob($path)",
            path=escape_glob(file.path),
        ).fetchone()
        if counted is None:
            raise LoadError(f"{file.path} is not there any more")
        return int(counted[0])

    def _next_copied_at(self) -> datetime:
        """Return the time of this batch: now, and later than every earlier batch.

        The models find new records by this time. A clock that was set back must not
        hide a batch from them.
        """
        now = datetime.now(UTC).replace(tzinfo=None)
        last = self._execute(
            f"select max(loaded_at) from {self.settings.history}"
        ).fetchone()
        if last is None or last[0] is None:
            return now
        following: datetime = last[0] + timedelta(microseconds=1)
        return max(now, following)

    def _execute(self, sql: str, **parameters: Any) -> duckdb.DuckDBPyConnection:
        return self.connection.execute(sql, parameters or None)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit at the end, or roll back after any exception."""
        self.connection.begin()
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Turn the garbage collector off: over 100,000 new tuples it takes 0.3 s.

    The tuples are in no cycles, so it would find nothing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_the_files_fault(failure: Exception) -> bool:
    """Whether a file cannot be decoded, rather than disk, network or memory failed."""
    if isinstance(failure, duckdb.IOException):
        return READ_BEYOND_THE_END in str(failure)
    return (
        isinstance(failure, (MalformedError, *DECODING_ERRORS))
        or type(failure) is duckdb.Error
    )


def _batches(files: Sequence[LogFile]) -> Iterator[list[LogFile]]:
    batch: list[LogFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == BATCH_FILES or size + file.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


# Lists as SQL text: as a parameter, DuckDB takes far longer to convert a list.
def _names(files: Sequence[LogFile]) -> str:
    return _list(_quoted(file.name) for file in files)


def _paths(files: Sequence[LogFile]) -> str:
    return _list(_quoted(escape_glob(file.path)) for file in files)


def _rows(files: Sequence[LogFile]) -> str:
    return (
        f"select unnest({_names(files)}) as name,"
        f" unnest({_list(str(file.size) for file in files)}) as size,"
        f" unnest({_modified(files)}) as modified"
    )


def _modified(files: Sequence[LogFile]) -> str:
    return _list(f"make_timestamp({file.modified})" for file in files)


def _list(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def _is_ordinary(declared: str, wanted: str | None) -> bool:
    """Whether a column has the type that AWS gives to that field."""
    if wanted == "varchar":
        return declared == "VARCHAR"
    return wanted is not None and declared in INTEGERS


def _projection(columns: dict[str, str], fields: dict[str, str]) -> dict[str, str]:
    """Return the expressions that read a file, by the landing table's column.

    Raises:
        MalformedError: a number has another type in the file.
    """
    projection = {
        f'"{name}"': _typed(name, columns[name], data_type)
        for name, data_type in fields.items()
        if name in columns
    }
    unknown = [name for name in columns if name not in fields]
    if unknown:
        projection["unknown_fields"] = _as_map(unknown)
    return projection


def _typed(name: str, declared: str, wanted: str) -> str:
    """Return the expression that casts a column to the landing table's type.

    Raises:
        MalformedError: a number has another type in the file.
    """
    column = f'"{name}"'
    if wanted == "varchar":
        return column if declared == "VARCHAR" else f"cast({column} as varchar)"
    if declared.startswith(FRACTIONS):
        column = (
            f"case when {column} = trunc({column}) then cast({column} as bigint)"
            f" when {column} is not null"
            f" then error('{name} holds ' || {column} || ', which is no integer') end"
        )
    elif declared in INTEGERS:
        column = f"cast({column} as bigint)"
    else:
        raise MalformedError(f"{name} is declared as {declared}, not as an integer")
    if wanted == "timestamp":
        return (
            f"case when {column} between {EARLIEST} and {LATEST}"
            f" then make_timestamp({column} * 1000000) end"
        )
    return column


def _as_map(columns: list[str]) -> str:
    names = _list(_quoted(name) for name in columns)
    values = _list(
        'cast("{}" as varchar)'.format(name.replace('"', '""')) for name in columns
    )
    return f"map({names}, {values})"


def _first_line(failure: Exception, file: LogFile) -> str:
    """Return the first line of the error, without the path, which the history has."""
    line = str(failure).strip().splitlines()[0]
    for path in (file.path, escape_glob(file.path)):
        line = line.replace(f" '{path}'", "").replace(f' "{path}"', "")
    return line.removeprefix("Invalid Input Error: ").strip()
