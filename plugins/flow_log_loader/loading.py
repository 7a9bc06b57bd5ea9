"""Load flow-log files into the landing table, each exactly once.

The rows of a batch, its history entries and new columns of the landing table commit in
one transaction. After a kill, a transaction is there as a whole or not at all: so no
file is ever half loaded, and none is loaded twice.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from . import s3, text_logs
from .columns import (
    NO_FLOW_LOG,
    Column,
    MalformedError,
    alias,
    fields_of,
    is_ordinary,
    projection,
    quoted,
    sql_list,
)
from .listing import (
    ListingError,
    LogFile,
    escape_glob,
    in_order_of_delivery,
    is_beside,
    is_within,
    list_files,
    path_in,
    root_of,
)

# One commit for a thousand files, or for 256 MB. A commit leaves row groups half full,
# which DuckDB merges later: with commits of 64 MB that costs an eighth of the load.
BATCH_FILES = 1_000
BATCH_BYTES = 256_000_000

# File names in a list of the output.
SHOWN = 10

# Failed files that a run tries again, those first that were tried longest ago: each
# costs a request, and a bucket may have many archived objects.
RETRIED = 1_000

READ_OPTIONS = "hive_partitioning = false, binary_as_string = true"

# The ending of Parquet files that were made from text.
CONVERTED = ".from_text.parquet"

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

# What says nothing about a file, but ends the run at once.
OF_ALL_FILES = (
    duckdb.FatalException,
    duckdb.InternalException,
    duckdb.InterruptException,
)


class LoadError(Exception):
    """The run cannot go on; files loaded before stay loaded."""


@dataclass(frozen=True)
class Settings:
    """The options of a run, from the staging plan.

    `fields` maps each field name of the format to its type (varchar, bigint,
    timestamp); other kinds of files have the `generic_fields` too. The landing table
    starts with the `initial_fields`; a run adds another field when a file first has it,
    since a column of nulls costs time.
    """

    location: str
    landing_schema: str
    landing_table: str
    history_table: str
    fields: dict[str, str]
    initial_fields: list[str]
    generic_fields: list[str] = field(default_factory=list)
    retry_quarantined: bool = False
    allow_another_location: bool = False
    s3_requester_pays: bool = False
    full_refresh: bool = False

    @property
    def landing(self) -> str:
        """The landing table's name, quoted."""
        return f'"{self.landing_schema}"."{self.landing_table}"'

    @property
    def history(self) -> str:
        """The load history's name, quoted."""
        return f'"{self.landing_schema}"."{self.history_table}"'


class Known(NamedTuple):
    """The history's entry of a file that is not loaded; times in microseconds."""

    name: str
    path: str
    size: int
    modified: int
    status: str
    tried: int


class Sorted(NamedTuple):
    """The files of a location by what a run does with them.

    `new` and `again` are loaded, `again` after the others. `later` have failed before
    and wait for another run, `waiting` are quarantined, `broken` cannot be opened.
    """

    new: list[LogFile]
    again: list[LogFile]
    later: list[LogFile]
    waiting: list[LogFile]
    broken: list[LogFile]
    changed: list[LogFile]
    loaded: int
    copies: int


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
        # Of the files that were loaded before, size and time of change, by path.
        self.before: dict[str, tuple[int, int]] = {}
        # The other entries of the history, by path.
        self.history: dict[str, Known] = {}
        self.records = 0
        self.loaded: list[LogFile] = []
        self.quarantined: list[tuple[LogFile, str]] = []
        self.failed: list[tuple[LogFile, str]] = []
        self.copies: list[tuple[LogFile, str]] = []
        self.unsettled: list[LogFile] = []
        # By what AWS's name says of a file, the path of the one that was loaded.
        self.deliveries: dict[str, str] = {}
        # The local path that DuckDB reads, where it is another one.
        self.opened: dict[str, str] = {}
        self.denied = 0

    def run(self) -> str:
        """Load the new files and return a summary with their counts.

        Raises:
            ListingError: the location cannot be listed, or never had a file.
            LoadError, S3Error, OSError, duckdb.Error: network, disk or memory failed
                for all files; earlier batches stay loaded.
        """
        # The cache of a thousand files takes 140 MB, and no file is read twice.
        self._execute("set enable_external_file_cache = false")
        settings = self.settings
        with _no_garbage_collection():
            files, passed_over = list_files(
                settings.location, settings.s3_requester_pays
            )
            if settings.full_refresh and not files:
                self._explain_nothing(passed_over)
            self._create_tables()
            self._read_history()
            if not files:
                self._explain_nothing(passed_over)
            elif passed_over:
                self.say(f"  not loaded: {_kinds(passed_over)}")
            self._refuse_another_location()
            found = self._sort_out(files)
        if found.new or found.again:
            self.deliveries = {
                file.delivery: file.path
                for file in (LogFile("", path, 0, 0) for path in self.before)
                if file.delivery
            }
        self._load_all(in_order_of_delivery(found.new))
        self._load_all(found.again)
        self._note_broken(found.broken)
        self._report(in_order_of_delivery(found.changed))
        self._refuse_if_all_were_denied()
        summary = self._summary(len(files), found)
        self.say(summary)
        return summary

    def _summary(self, files: int, found: Sorted) -> str:
        where = f"{files:,} files under {self.settings.location}"
        before = len(found.waiting)
        failed = len(self.failed) + len(found.later)
        copies = len(self.copies) + found.copies
        if not (found.new or found.again):
            summary = f"Nothing new in {where}: "
        else:
            summary = (
                f"{where}: {len(self.loaded):,} loaded ({self.records:,} records), "
            )
        summary += (
            f"{found.loaded:,} already loaded,"
            f" {len(self.quarantined) + before:,} quarantined ({before:,} before)"
        )
        summary += f", {failed:,} failed" if failed else ""
        return summary + (f", {copies:,} copies of others" if copies else "")

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
                    path varchar,
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
            self._add_paths()

    def _add_paths(self) -> None:
        """Give the entries of version 0.1 their path, from location and name."""
        settings = self.settings
        self._execute(
            f"alter table {settings.history} add column if not exists path varchar"
        )
        rows = self._execute(
            f"select distinct location, metadata_filename from {settings.history}"
            " where path is null"
        ).fetchall()
        if not rows:
            return
        paths = [path_in(location, name) for location, name in rows]
        names = [name for _, name in rows]
        self._execute(
            f"""
            update {settings.history} as history
            set path = found.path
            from
                (
                    select
                        unnest({sql_list(map(quoted, names))}) as name,
                        unnest({sql_list(map(quoted, paths))}) as path
                ) as found
            where history.metadata_filename = found.name and history.path is null
            """
        )

    def _read_history(self) -> None:
        """Read what a run needs of every entry: little of those that are loaded."""
        found = self._execute(
            "select path, size_bytes, epoch_us(last_modified_at) as modified"
            f" from {self.settings.history} where status = 'loaded'"
        ).fetchnumpy()
        paths, *values = (column.tolist() for column in found.values())
        self.before = dict(zip(paths, zip(*values, strict=True), strict=True))
        rows = self._execute(
            f"""
            select
                metadata_filename,
                path,
                size_bytes,
                epoch_us(last_modified_at),
                status,
                epoch_us(loaded_at)
            from {self.settings.history}
            where status != 'loaded'
            """
        ).fetchall()
        self.history = {row[1]: Known(*row) for row in rows}

    def _refuse_another_location(self) -> None:
        """Stop before files of two places mix, unless that was asked for."""
        settings = self.settings
        if settings.allow_another_location:
            return
        root = root_of(settings.location)
        before = [
            location
            for (location,) in self._execute(
                f"select distinct location from {settings.history} order by location"
            ).fetchall()
        ]
        roots = [root_of(location) for location in before]
        if before and not any(
            is_within(root, other) or is_beside(root, other) for other in roots
        ):
            raise LoadError(
                f"This database holds flow logs of {', '.join(before)}, and"
                f" {settings.location} is another location. Set VPC_FLOW_DUCKDB_PATH to"
                " another file; or, to have both in this one, add --vars"
                " 'allow_another_location: true'."
            )

    def _explain_nothing(self, passed_over: Counter[str]) -> None:
        """Stop if the location never had a file, and say what is there instead."""
        root = root_of(self.settings.location)
        if any(is_within(path, root) for path in (*self.before, *self.history)):
            return
        found = f"0 Parquet files and text logs under {self.settings.location}"
        if passed_over:
            found += f"; {_kinds(passed_over)}"
        raise ListingError(f"{found}. Check VPC_FLOW_LOGS_LOCATION.")

    def _sort_out(self, files: list[LogFile]) -> Sorted:
        """Sort the files by what the history says of them."""
        new: list[LogFile] = []
        broken: list[LogFile] = []
        again, waiting, changed = [], [], []
        loaded = copies = 0
        for file in files:
            before = self.before.get(file.path)
            if before is not None:
                loaded += 1
                if before != (file.size, file.modified) and not file.fault:
                    changed.append(file)
                continue
            known = self.history.get(file.path)
            if known is None:
                (broken if file.fault else new).append(file)
                continue
            is_changed = (known.size, known.modified) != (file.size, file.modified)
            if file.fault:
                broken.append(file._replace(name=known.name))
            elif known.status == "copy":
                copies += 1
            elif (
                known.status == "failed"
                or is_changed
                or self.settings.retry_quarantined
            ):
                again.append(file._replace(name=known.name))
            else:
                waiting.append(file)
        again.sort(key=lambda file: self.history[file.path].tried)
        tried = len(again) if self.settings.retry_quarantined else RETRIED
        again, later = again[:tried], again[tried:]
        new, broken, changed = map(self._with_own_names, (new, broken, changed))
        return Sorted(new, again, later, waiting, broken, changed, loaded, copies)

    def _with_own_names(self, files: list[LogFile]) -> list[LogFile]:
        """Give each file its name in the history.

        A new file whose name belongs to another one is named by its whole path.
        """
        if not files:
            return files
        rows = self._execute(
            f"select metadata_filename, path from {self.settings.history}"
        ).fetchall()
        owners = dict(rows)
        names = {path: name for name, path in rows}
        return [
            file._replace(
                name=names.get(file.path)
                or (file.path if file.name in owners else file.name)
            )
            for file in files
        ]

    def _load_all(self, files: list[LogFile]) -> None:
        """Load files, but only one of several copies of the same delivery."""
        begun, done, total = time.monotonic(), 0, len(files)
        while files:
            first, others, copies = [], [], []
            chosen: set[str] = set()
            for file in files:
                delivery = file.delivery
                if delivery in self.deliveries:
                    copies.append((file, f"copy of {self.deliveries[delivery]}"))
                elif delivery and delivery in chosen:
                    others.append(file)
                else:
                    chosen.add(delivery)
                    first.append(file)
            for batch in _batches(first):
                failed = len(self.failed)
                with self._readable(batch) as readable:
                    self._load(readable)
                self._note("failed", self.failed[failed:])
                done += len(batch)
                if total > len(batch):
                    self.say(
                        f"  {done:,} of {total:,} files, {self.records:,} records,"
                        f" {time.monotonic() - begun:.0f} s"
                    )
            self._note("copy", copies)
            self.copies += copies
            files = others

    @contextmanager
    def _readable(self, files: list[LogFile]) -> Iterator[list[LogFile]]:
        """Give those files that DuckDB can open, from S3 as downloads.

        Raises:
            S3Error: the network or the credentials failed.
            OSError: the disk failed.
        """
        with tempfile.TemporaryDirectory(prefix="vpc_flow_logs_") as folder:
            self.opened = {}
            for number, file in enumerate(files):
                local = os.path.join(folder, f"{number}{Path(file.path).suffix}")
                if file.path.startswith("s3://"):
                    self.opened[file.path] = local
                elif "\\" in file.path:
                    # DuckDB takes it for an escape.
                    os.symlink(file.path, local)
                    self.opened[file.path] = local
            if files[0].path.startswith("s3://"):
                files = self._download(files)
            yield [file for file in files if self._is_parquet(file, folder)]

    def _is_parquet(self, file: LogFile, folder: str) -> bool:
        """Whether a file is Parquet; text becomes Parquet in the folder, if it can.

        Raises:
            OSError: the disk failed.
        """
        if not file.is_text:
            return True
        converted = os.path.join(folder, f"{len(os.listdir(folder))}{CONVERTED}")
        settings = self.settings
        try:
            text_logs.convert(
                self._opened(file), converted, settings.fields, settings.generic_fields
            )
        except MalformedError as failure:
            if self._is_complete(file):
                self._quarantine(file, str(failure))
            return False
        except OSError:
            if self._is_complete(file):
                raise
            return False
        self.opened[file.path] = converted
        return True

    def _download(self, files: list[LogFile]) -> list[LogFile]:
        """Download S3 objects; return those that could be read."""
        bucket, _ = s3.split_uri(self.settings.location)
        start = len(f"s3://{bucket}/")
        outcomes = s3.Bucket(bucket, self.settings.s3_requester_pays).download(
            (file.path[start:], file.size, file.modified, self.opened[file.path])
            for file in files
        )
        readable = []
        for file, failure in zip(files, outcomes, strict=True):
            if failure is None:
                readable.append(file)
            elif isinstance(failure, s3.ChangedError):
                self.unsettled.append(file)
            else:
                self.denied += isinstance(failure, s3.DeniedError)
                self.failed.append((file, str(failure)))
        return readable

    def _load(self, files: list[LogFile]) -> None:
        """Load a batch; halve one that fails, until the bad file is alone."""
        if not files:
            return
        try:
            self._insert(files)
        except OF_ALL_FILES:
            raise
        except (duckdb.Error, OSError, MalformedError):
            if len(files) == 1:
                self._load_again(files[0])
            else:
                half = len(files) // 2
                self._load(files[:half])
                self._load(files[half:])

    def _load_again(self, file: LogFile) -> None:
        """Load a file once more, to know whether it is to blame for its failure.

        Raises:
            duckdb.Error, OSError: the database or its disk failed.
        """
        if not self._is_complete(file):
            return
        try:
            self._insert([file])
        except duckdb.OutOfMemoryException:
            ((limit,),) = self._execute(
                "select current_setting('memory_limit')"
            ).fetchall()
            reason = (
                f"needs more memory than {limit}: raise memory_limit and"
                " block_allocator_memory in profiles.yml"
            )
            self.failed.append((file, reason))
        except (duckdb.Error, MalformedError) as failure:
            if not _cannot_be_decoded(failure):
                raise
            if isinstance(failure, MalformedError) and self._is_empty(file):
                # Snowflake has no row from which to say that it is malformed.
                with self._transaction():
                    self._record_history([file], self._next_copied_at())
                self.loaded.append(file)
                return
            self._quarantine(file, self._first_line(failure, file))

    def _is_empty(self, file: LogFile) -> bool:
        """Whether a Parquet file has no records."""
        ((records,),) = self._execute(
            f"select num_rows from parquet_file_metadata({self._paths([file])})"
        ).fetchall()
        return not records

    def _is_complete(self, file: LogFile) -> bool:
        """Whether a file can be read and has the size of the listing; note why not."""
        if self._opened(file).endswith(CONVERTED):
            return True
        try:
            size = _bytes_of(self._opened(file))
        except OSError as failure:
            self.denied += isinstance(failure, PermissionError)
            reason = (
                "gone since the listing"
                if isinstance(failure, FileNotFoundError)
                else f"cannot be read: {failure.strerror}"
            )
            self.failed.append((file, reason))
            return False
        if size != file.size:
            self.unsettled.append(file)
        return size == file.size

    def _insert(self, files: list[LogFile]) -> None:
        """Land the files and their history entries in one transaction."""
        with self._transaction():
            copied_at = self._next_copied_at()
            self._copy(files, copied_at)
            self._refuse_other_files(files, copied_at)
            records = self._record_history(files, copied_at)
        self.records += records
        self.loaded += files
        for file in files:
            if file.delivery:
                self.deliveries[file.delivery] = file.path

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
            columns = self._fields_of(self._columns(group[0]))
            if all(is_ordinary(*item, fields) for item in columns.items()):
                ordinary.update(group)
                common.update(columns)
            else:
                self._append(group, copied_at, columns)
        if ordinary:
            kinds = {"varchar": "VARCHAR", "bigint": "BIGINT", "timestamp": "BIGINT"}
            columns = {
                name: [Column(name, kinds[fields[name]], position)]
                for position, name in enumerate(sorted(common))
            }
            schema = ", ".join(
                f"'{name}': {{name: '{name}', type: '{kind}', default_value: null}}"
                for ((name, kind, _),) in columns.values()
            )
            group = [file for file in files if file in ordinary]
            self._append(group, copied_at, columns, f", schema = map {{{schema}}}")

    def _refuse_other_files(self, files: list[LogFile], copied_at: datetime) -> None:
        """Refuse Parquet files without a value in the fields of flow logs alone.

        Raises:
            MalformedError: there is such a file.
        """
        settings = self.settings
        landed = self._execute(f"select * from {settings.landing} limit 0").description
        values = " or ".join(
            f'"{name}" is not null'
            for name, *_ in landed or ()
            if name in settings.fields and name not in settings.generic_fields
        )
        parquet = _names(file for file in files if not file.is_text)
        found = self._execute(
            f"""
            select metadata_filename
            from {settings.landing}
            where _dbt_copied_at = $copied_at
            group by all
            having
                not bool_or({values})
                and list_contains({parquet}, metadata_filename)
            limit 1
            """,
            copied_at=copied_at,
        ).fetchone()
        if found:
            raise MalformedError(NO_FLOW_LOG)

    def _fields_of(self, columns: Sequence[Column]) -> dict[str, list[Column]]:
        """Return a file's columns by field, and add the fields to the landing table.

        Raises:
            MalformedError: the file is not a flow log, or two columns have one name.
        """
        fields = self.settings.fields
        found = fields_of(columns, fields, self.settings.generic_fields)
        # In the order of the format, so that the table has one order in any run.
        for name in [name for name in fields if name in found]:
            self._execute(
                f"alter table {self.settings.landing}"
                f' add column if not exists "{name}" {fields[name]}'
            )
        return found

    def _append(
        self,
        files: list[LogFile],
        copied_at: datetime,
        columns: Mapping[str, Sequence[Column]],
        options: str = "",
    ) -> None:
        """Append the records of files of one schema, whose columns are by field."""
        expressions = projection(columns, self.settings.fields)
        values = ", ".join(f"{value} as {name}" for name, value in expressions.items())
        aliases = ", ".join(map(alias, range(sum(map(len, columns.values())))))
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
                {values}
            from read_parquet({self._paths(files)}, {READ_OPTIONS}{options})
                as file ({aliases})
            """,
            copied_at=copied_at,
        )

    def _record_history(self, files: list[LogFile], copied_at: datetime) -> int:
        """Write the batch's entries from the landed rows; return the records."""
        settings = self.settings
        self._forget(files)
        self._execute(
            f"""
            insert into {settings.history} by name
            select
                files.name as metadata_filename,
                files.path,
                $location as location,
                files.size as size_bytes,
                files.modified as last_modified_at,
                coalesce(landed.records, 0) as records,
                $copied_at as loaded_at,
                'loaded' as status
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
        self._note("quarantined", [(file, reason)])
        self.quarantined.append((file, reason))
        self.say(f"  quarantined {file.name}: {reason}")

    def _note(self, status: str, reasons: list[tuple[LogFile, str]]) -> None:
        """Write the entries of files that have not landed, with the reason of each."""
        if not reasons:
            return
        files = [file for file, _ in reasons]
        errors = sql_list(quoted(reason) for _, reason in reasons)
        with self._transaction():
            self._forget(files)
            self._execute(
                f"""
                insert into {self.settings.history} by name
                select
                    files.name as metadata_filename,
                    files.path,
                    $location as location,
                    files.size as size_bytes,
                    files.modified as last_modified_at,
                    $now as loaded_at,
                    $status as status,
                    files.error
                from ({_rows(files)}, unnest({errors}) as error) as files
                """,
                location=self.settings.location,
                now=self._next_copied_at(),
                status=status,
            )

    def _note_broken(self, broken: list[LogFile]) -> None:
        """Write the entries of what cannot be opened, in place of an earlier run's."""
        root = root_of(self.settings.location)
        earlier = [
            known
            for known in self.history.values()
            if known.status == "failed"
            and known.modified == 0
            and is_within(known.path, root)
        ]
        self._forget(earlier)
        failed = [(file, file.fault) for file in broken]
        self._note("failed", failed)
        self.failed += failed

    def _forget(self, files: Sequence[LogFile | Known]) -> None:
        """Remove the earlier entry of files that have not landed before."""
        known = [file for file in files if file.path in self.history]
        if known:
            paths = sql_list(quoted(file.path) for file in known)
            self._execute(
                f"delete from {self.settings.history}"
                f" where path in (select unnest({paths})) and status != 'loaded'"
            )

    def _report(self, changed: list[LogFile]) -> None:
        """Print what was not loaded, and record which files changed after it was."""
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
        for what, names in (
            (
                "changed after it was loaded, not loaded again",
                [file.name for file in changed],
            ),
            (
                "still being written, left for the next run",
                [file.name for file in self.unsettled],
            ),
            (
                "not loaded, the next run tries it again",
                [f"{file.name}: {reason}" for file, reason in self.failed],
            ),
            (
                "not loaded",
                [f"{file.name}: {reason}" for file, reason in self.copies],
            ),
        ):
            for name in names[:SHOWN]:
                self.say(f"  {what}: {name}")
            if len(names) > SHOWN:
                self.say(f"  {what}: {len(names) - SHOWN:,} more files")

    def _refuse_if_all_were_denied(self) -> None:
        """Stop if no file may be read, which is no fault of a file.

        Raises:
            LoadError: with the reason of the first file.
        """
        ever = self.loaded or self.before
        if self.denied and self.denied == len(self.failed) and not ever:
            raise LoadError(
                f"None of {self.denied:,} files under {self.settings.location} may be"
                f" read: {self.failed[0][1]}"
            )

    def _groups_of_one_schema(self, files: list[LogFile]) -> list[list[LogFile]]:
        """Group the files by their columns and declared types."""
        if not files:
            return []
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
            from parquet_schema({self._paths(files)})
            group by all
            """
        ).fetchall()
        for path, schema in rows:
            schemas.setdefault(schema, set()).add(path)
        return [
            [file for file in files if self._opened(file) in paths]
            for paths in schemas.values()
        ]

    def _columns(self, file: LogFile) -> list[Column]:
        """Return the columns of a Parquet file.

        Raises:
            MalformedError: a name is damaged, or cannot be part of a statement.
        """
        path = escape_glob(self._opened(file))
        # DESCRIBE renames the second of two columns that differ by case only.
        schema = self._execute(
            "select name, coalesce(num_children, 0) from parquet_schema($path)",
            path=path,
        ).fetchall()
        described = self._execute(
            f"describe select * from read_parquet($path, {READ_OPTIONS})", path=path
        ).fetchall()
        names = list(_top_level(schema))
        if len(names) != len(described) or any("\0" in name for name in names):
            raise MalformedError("the names of its columns are damaged")
        types = [declared for _, declared, *_ in described]
        return list(map(Column, names, types, range(len(names))))

    def _opened(self, file: LogFile) -> str:
        """Return the path that DuckDB reads."""
        return self.opened.get(file.path, file.path)

    def _paths(self, files: Sequence[LogFile]) -> str:
        return sql_list(quoted(escape_glob(self._opened(file))) for file in files)

    def _first_line(self, failure: Exception, file: LogFile) -> str:
        """Return the first line of the error, without the path in the history."""
        line = str(failure).strip().splitlines()[0]
        for path in (self._opened(file), escape_glob(self._opened(file))):
            line = line.replace(f" '{path}'", "").replace(f' "{path}"', "")
        return line.removeprefix("Invalid Input Error: ").strip()

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


# What to do about the kinds of files that a run passes over.
HINTS = {
    ".gz": ": exports of CloudWatch Logs, perhaps, which have no names of fields",
    "no extension": ": rename them to .parquet if they are Parquet",
}


def _kinds(passed_over: Counter[str]) -> str:
    """Return how many files are passed over, by kind."""
    kinds = ", ".join(
        f"{count:,} {kind}{HINTS.get(kind, '')}"
        for kind, count in passed_over.most_common(SHOWN)
    )
    total = passed_over.total()
    return f"{total:,} {'other' if total == 1 else 'others'} passed over ({kinds})"


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


def _cannot_be_decoded(failure: Exception) -> bool:
    """Whether a file cannot be decoded, rather than disk or database failed."""
    if isinstance(failure, duckdb.IOException):
        return READ_BEYOND_THE_END in str(failure)
    return (
        isinstance(failure, (MalformedError, *DECODING_ERRORS))
        or type(failure) is duckdb.Error
    )


def _bytes_of(path: str) -> int:
    """Read the whole file and count its bytes.

    Raises:
        OSError: the disk does not give them, or the file is gone.
    """
    with open(path, "rb") as file:
        return sum(map(len, iter(lambda: file.read(1 << 20), b"")))


def _batches(files: Sequence[LogFile]) -> Iterator[list[LogFile]]:
    batch: list[LogFile] = []
    size = 0
    for file in files:
        # Text is decompressed on disk, to about eight times the size.
        file_size = file.size * 8 if file.is_text else file.size
        if batch and (len(batch) == BATCH_FILES or size + file_size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file_size
    if batch:
        yield batch


def _names(files: Iterable[LogFile]) -> str:
    return sql_list(quoted(file.name) for file in files)


def _top_level(schema: Sequence[tuple[str, int]]) -> Iterator[str]:
    """Yield the names of columns that are in no other column.

    Args:
        schema: Name and number of children of the root and all columns, each before its
            children.
    """
    inside = 0
    for name, children in schema[1:]:
        if inside:
            inside -= 1
        else:
            yield name
        inside += children


def _rows(files: Sequence[LogFile]) -> str:
    return (
        f"select unnest({_names(files)}) as name,"
        f" unnest({sql_list(quoted(file.path) for file in files)}) as path,"
        f" unnest({sql_list(str(file.size) for file in files)}) as size,"
        f" unnest({_modified(files)}) as modified"
    )


def _modified(files: Iterable[LogFile]) -> str:
    return sql_list(f"make_timestamp({file.modified})" for file in files)
