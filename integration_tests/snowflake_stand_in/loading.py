"""Stages, LIST, COPY INTO, pipes, and their histories.

Followed: sf:sql-reference/sql/{create-stage,list,copy-into-table,create-pipe,
alter-pipe}, sf:user-guide/{data-load-snowpipe-intro,data-load-snowpipe-manage,
data-load-snowpipe-ts,data-load-considerations-load,data-load-transform,
querying-metadata}, sf:sql-reference/functions/{copy_history,pipe_usage_history,
system_pipe_status,system_validate_storage_integration,
system_last_change_commit_time}.

A table remembers the files that COPY loaded, a pipe those it loaded or failed to load;
the two histories are separate, and only ALTER PIPE ... REFRESH looks at both. PATTERN
must match the whole URL in COPY and the path below the stage's URL and path in a pipe.
METADATA$FILENAME is an object's key; a test says how rows of Parquet are numbered, and
those of text from 1. A Parquet row becomes one object in ``$1`` without its absent
values; Hive-style folders add no keys. Of CSV, a line is the one field, compressed or
not, and a file that is not UTF-8 fails. Not modelled: other formats, COPY without a
SELECT, internal stages, splitting a file over several transactions, the order and delay
of events, the 64 days of COPY's history, and what IAM allows (a role is taken to be
read-only).
"""

from __future__ import annotations

import gzip
import json
import re
import tempfile
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import unquote_plus, urlparse

import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError, ClientError
from sqlglot import Expr

from integration_tests.snowflake_stand_in import text
from integration_tests.snowflake_stand_in.account import (
    COMMIT_TIME,
    Account,
    Load,
    Name,
    Pipe,
    Thing,
    now,
)
from integration_tests.snowflake_stand_in.catalog import register_rows
from integration_tests.snowflake_stand_in.errors import (
    SqlError,
    compilation,
    missing,
    syntax,
)
from integration_tests.snowflake_stand_in.results import Result
from integration_tests.snowflake_stand_in.session import Session, expansion, statement

Match = re.Match[str]
_AT = r"(?P<at>'@[^']*'|@[^\s(),;]+)"
_STAGE_OPTIONS = text.words("URL STORAGE_INTEGRATION COMMENT FILE_FORMAT")
_PIPE_OPTIONS = text.words("AUTO_INGEST AWS_SNS_TOPIC ERROR_INTEGRATION COMMENT")
_COPY_OPTIONS = text.words("FILE_FORMAT PATTERN ON_ERROR FILES")
_NOT_IN_PIPES = text.words("FORCE PURGE FILES SIZE_LIMIT RETURN_FAILED_ONLY")
_NOT_TRANSFORMING = text.words("MATCH_BY_COLUMN_NAME INCLUDE_METADATA VALIDATION_MODE")
#: By kind, with the options that read a line as it is.
_FORMATS = {
    "PARQUET": {},
    "CSV": {
        "FIELD_DELIMITER": "NONE",
        "ESCAPE_UNENCLOSED_FIELD": "NONE",
        "NULL_IF": "()",
        "SKIP_BLANK_LINES": "TRUE",
    },
}
_QUEUE = "sf-snowpipe-STANDIN-queue"
#: The view of the file that COPY reads.
_FILE = "STAND_IN_FILE"


# ----- stages


@statement(r"create stage {missing}{name}{rest}")
def create_stage(session: Session, match: Match) -> Result:
    """CREATE STAGE checks the integration and its locations, not the access."""
    session.commit()
    name = session.resolve(match["name"])
    session.account.find("SCHEMA", name[:2])
    values = text.options(match["rest"], _STAGE_OPTIONS)
    stage = Thing("STAGE", name, session.role)
    stage.properties |= {key: text.unquote(value) for key, value in values.items()}
    stage.properties |= {"TYPE": "EXTERNAL", "CLOUD": "AWS"}
    if "STORAGE_INTEGRATION" in values:
        (integration,) = text.name_parts(values["STORAGE_INTEGRATION"])
        stage.properties["STORAGE_INTEGRATION"] = integration
        _check_location(session.account, integration, stage.properties["URL"])
    missing_only = bool(match["missing"])
    if session.account.add(stage, replace=False, missing_only=missing_only):
        return Result.status(f"Stage area {name[-1]} successfully created.")
    return Result.status(f"{name[-1]} already exists, statement succeeded.")


def _check_location(account: Account, integration: str, url: str) -> None:
    """Raise unless the integration exists, is enabled and allows the location."""
    values = account.find("INTEGRATION", (integration,)).properties
    if str(values.get("ENABLED")).lower() != "true":
        raise SqlError(f"Integration '{integration}' is not enabled.", 3131)
    if not any(url.startswith(place) for place in values["STORAGE_ALLOWED_LOCATIONS"]):
        raise SqlError(
            f"Location '{url}' is not allowed by integration '{integration}'. Please"
            " use DESC INTEGRATION to check out allowed and blocked locations.",
            3167,
            "42601",
        )


@dataclass(frozen=True)
class File:
    """One file of a location."""

    url: str
    key: str
    size: int
    last_modified: datetime


@dataclass(frozen=True)
class Location:
    """A place in a stage: everything whose URL begins with ``prefix``."""

    stage: Thing
    path: str

    @classmethod
    def of(cls, session: Session, at: str) -> Location:
        """The location that ``@stage/path`` names."""
        stage, _, path = at.strip("'").removeprefix("@").partition("/")
        if not re.fullmatch(text.NAME, stage):
            raise syntax(at)
        return cls(session.account.find("STAGE", session.resolve(stage)), path)

    @property
    def prefix(self) -> str:
        """What the URLs of the location's files begin with."""
        url = str(self.stage.properties["URL"])
        return url + ("" if url.endswith("/") or not self.path else "/") + self.path

    def files(self, account: Account, pattern: str | None = None) -> list[File]:
        """The location's files, if the stage's integration still allows it."""
        integration = self.stage.properties.get("STORAGE_INTEGRATION")
        if integration:
            _check_location(account, integration, self.prefix)
        found = files(account, self.prefix)
        return [f for f in found if pattern is None or re.fullmatch(pattern, f.url)]


def aws(account: Account, service: str, region: str = "us-east-1") -> Any:
    """A boto3 client for the emulated AWS, with its meaningless credentials."""
    return _client(account.s3_endpoint, service, region)


@cache
def _client(endpoint: str, service: str, region: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id="stand-in",
        aws_secret_access_key="stand-in",
    )


def files(account: Account, prefix: str) -> list[File]:
    """Every file whose URL begins so, at any depth."""
    url = urlparse(prefix)
    pages = aws(account, "s3").get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=url.netloc, Prefix=url.path.removeprefix("/"))
    try:
        items = [item for page in found for item in page.get("Contents", [])]
    except (BotoCoreError, ClientError) as error:
        message = f"Failure using stage area. Cause: [{error}]"
        raise SqlError(message, 91003, "55000") from error
    listed = []
    for item in items:
        address = f"s3://{url.netloc}/{item['Key']}"
        changed = account.last_modified.get(address, item["LastModified"])
        listed.append(File(address, item["Key"], item["Size"], changed))
    return listed


def _records(account: Account, file: File, kind: str) -> list[tuple[int, str]]:
    """The rows of a file: their numbers and their ``$1``, of Parquet as JSON text."""
    bucket = urlparse(file.url).netloc
    try:
        body = aws(account, "s3").get_object(Bucket=bucket, Key=file.key)["Body"].read()
    except ClientError as error:
        message = f"Failed to access remote file: {error}. File '{file.key}'"
        raise SqlError(message, 91003, "55000") from error
    if kind == "CSV":
        return list(enumerate(_lines(file, body), start=1))
    with tempfile.NamedTemporaryFile() as local, account.duck.cursor() as reader:
        local.write(body)
        local.flush()
        try:
            found = reader.sql(
                "from read_parquet($file, binary_as_string=true,"
                " hive_partitioning=false)",
                params={"file": local.name},
            )
            # DuckDB renames the second of two columns that differ by case.
            names = pq.read_schema(local.name).names
            pairs = zip(names, found.columns, strict=True)
            items = ", ".join(
                f"""'{name.replace("'", "''")}', "{column.replace('"', '""')}\""""
                for name, column in pairs
            )
            for name in {name for name in names if names.count(name) > 1}:
                # What OBJECT_CONSTRUCT says; of Parquet the documentation says nothing.
                raise SqlError(f"Duplicate field key '{name}'", 100069, "22P02")
            rows = found.project(f"json_merge_patch('{{}}', json_object({items}))")
            values = [value for (value,) in rows.fetchall()]
            return list(zip(_row_numbers(account, local.name), values, strict=True))
        except (duckdb.Error, pa.ArrowException) as error:
            cause = str(error).split("\n")[0].replace(local.name, file.key)
            message = f"Error parsing the parquet file: {cause} File '{file.key}'"
            raise SqlError(message, 100069, "22P02") from error


def _lines(file: File, data: bytes) -> list[str]:
    try:
        plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        lines = plain.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        message = f"Invalid UTF8 detected in string. File '{file.key}'"
        raise SqlError(message, 100144, "22000") from error
    except (EOFError, OSError, zlib.error) as error:
        message = (
            f"Invalid data encountered during decompression for file: '{file.key}'"
        )
        raise SqlError(f"{message}, cause: '{error}'", 100079, "22000") from error
    return [line for line in lines if line]


def _row_numbers(account: Account, path: str) -> list[int]:
    """METADATA$FILE_ROW_NUMBER of each row, as the account numbers them."""
    first, metadata = account.first_row_number, pq.read_metadata(path)
    groups = [metadata.num_rows]
    if account.row_numbers_restart:
        groups = [
            metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)
        ]
    return [first + row for rows in groups for row in range(rows)]


def _register(
    session: Session, found: list[File], name: str | None = None, kind: str = "PARQUET"
) -> str:
    """A view of staged files: ``$1`` and the metadata columns."""
    rows = [
        (value, file, number)
        for file in found
        for number, value in _records(session.account, file, kind)
    ]
    started = session.account.scan_time or now()
    utc = [f.last_modified.astimezone(UTC).replace(tzinfo=None) for _, f, _ in rows]
    zoned = pa.timestamp("us", tz="UTC")
    columns = {
        "$1": pa.array([value for value, _, _ in rows], pa.string()),
        "METADATA$FILENAME": pa.array([file.key for _, file, _ in rows], pa.string()),
        "METADATA$FILE_ROW_NUMBER": pa.array([n for *_, n in rows], pa.int64()),
        "METADATA$FILE_LAST_MODIFIED": pa.array(utc, pa.timestamp("us")),
        "METADATA$START_SCAN_TIME": pa.array([started] * len(rows), zoned),
    }
    return session.register(columns, name, {"$1"} if kind == "PARQUET" else set())


@statement(rf"list {_AT}")
def list_stage(session: Session, match: Match) -> Result:
    """LIST, at any depth."""
    found = Location.of(session, match["at"]).files(session.account)
    rows = [
        {
            "name": file.url,
            "size": file.size,
            "last_modified": f"{file.last_modified:%a, %d %b %Y %H:%M:%S} GMT",
        }
        for file in found
    ]
    return Result.table("name size last_modified", rows)


@expansion
def query_stage(session: Session, command: str) -> str:
    """SELECT ... FROM @stage: the files become a registered view."""
    while match := re.search(rf"\bfrom\s+{_AT}", command, re.IGNORECASE):
        found = Location.of(session, match["at"]).files(session.account)
        view = f"from temp.{_register(session, found)}"
        command = command[: match.start()] + view + command[match.end() :]
        command = _quote_first(command)
    return command


def _quote_first(expressions: str) -> str:
    return re.sub(r"\$1(?!\w)", '"$1"', expressions)


# ----- COPY INTO


@dataclass(frozen=True)
class Copy:
    """A COPY statement's parts."""

    table: Name
    expressions: str
    at: str
    kind: str
    options: dict[str, str]

    @classmethod
    def of(cls, session: Session, command: str, *, in_pipe: bool) -> Copy:
        """Read a COPY statement; an option that it may not have is an error."""
        head = text.pattern(r"copy into {name} from\s*(?P<rest>\(.*)").fullmatch(
            command
        )
        if head is None:
            raise syntax(command)
        inner, rest = text.bracketed(head["rest"])
        simple = re.fullmatch(
            rf"\s*select\s+(?P<expressions>.*?)\s+from\s+{_AT}\s*",
            inner,
            re.IGNORECASE | re.DOTALL,
        )
        if simple is None:
            raise compilation("COPY takes a simple SELECT from a stage only", 1003)
        options = text.options(rest)
        for option in options:
            if option in _NOT_TRANSFORMING:
                message = f"{option.lower()} is not supported with copy transform"
                raise compilation(message, 1423)
            if in_pipe and option in _NOT_IN_PIPES:
                message = f"COPY option {option} is not supported in a pipe"
                raise compilation(message, 1423)
            if option not in _COPY_OPTIONS:
                raise syntax(f"COPY option {option}")
        file_format = text.options(options.get("FILE_FORMAT", "()")[1:-1])
        kind = file_format.pop("TYPE", "CSV").upper()
        written = {key: value.upper() for key, value in file_format.items()}
        if written != _FORMATS.get(kind):
            raise syntax(f"file format {kind} {file_format}")
        on_error = options.get("ON_ERROR", "ABORT_STATEMENT").upper()
        if on_error not in ("ABORT_STATEMENT", "SKIP_FILE"):
            raise syntax(f"ON_ERROR = {on_error}")
        name = session.resolve(head["name"])
        return cls(name, simple["expressions"], simple["at"], kind, options)

    def option(self, name: str) -> str | None:
        """The unquoted value of an option."""
        return text.unquote(self.options[name]) if name in self.options else None

    def query(self, session: Session) -> Expr:
        """The transformation as a query over the registered rows of a file."""
        return session.parse(
            f"select {_quote_first(self.expressions)} from temp.{_FILE}"
        )


@statement(r"copy into {rest}")
def copy_into(session: Session, match: Match) -> Result:
    """COPY INTO <table>: all of its files or, with ABORT_STATEMENT, none."""
    copy = Copy.of(session, match[0].rstrip("; \n"), in_pipe=False)
    relation = session.relation(copy.table)
    location = Location.of(session, copy.at)
    found = location.files(session.account, copy.option("PATTERN"))
    if "FILES" in copy.options:
        names = text.literals(copy.options["FILES"])
        wanted = {location.prefix + name for name in names}
        found = [file for file in found if file.url in wanted]
        for url in sorted(wanted - {file.url for file in found}):
            raise SqlError(f"Remote file '{url}' was not found.", 91016, "22000")
    found = [file for file in found if file.url not in relation.copied]
    if (
        session.account.copy_limit is not None
        and len(found) > session.account.copy_limit
    ):
        # sf:sql-reference/parameters: nothing of a statement that is cancelled stays.
        raise SqlError("Statement reached its statement or warehouse timeout", 630)
    abort = (copy.option("ON_ERROR") or "ABORT_STATEMENT").upper() != "SKIP_FILE"
    loads = _load(session, copy, location, found, abort=abort)
    loaded = {load.file for load in loads if not load.error}
    session.at_commit(lambda: relation.copied.update(loaded))
    if not loads:
        return Result.status("Copy executed with 0 files processed.")
    rows = [
        {
            "file": load.file,
            "status": "LOAD_FAILED" if load.error else "LOADED",
            "rows_loaded": load.rows,
            "first_error": load.error,
        }
        for load in loads
    ]
    return Result.table("file status rows_loaded first_error", rows)


@statement(r"execute immediate (?P<block>'(?:[^'\\]|''|\\.)*')")
def try_copy(session: Session, match: Match) -> Result:
    """A block with a COPY that returns its error; other blocks in quotes are refused.

    sf:developer-guide/snowflake-scripting/exceptions
    """
    block = text.pattern(
        r"begin (?P<copy>copy into .*); return 'loaded'; exception when other then"
        r" return sqlerrm; end"
    ).fullmatch(text.unquote(match["block"]))
    if block is None:
        raise syntax(match[0])
    try:
        session.run(block["copy"])
        answer = "loaded"
    except SqlError as error:
        answer = error.message
    return Result.table("block", [{"block": answer}])


def _load(
    session: Session,
    copy: Copy,
    location: Location,
    found: list[File],
    *,
    abort: bool,
    pipe: Name | None = None,
) -> list[Load]:
    """Load files into a table; a file that fails is skipped unless told to abort."""
    relation = session.relation(copy.table)
    # DuckDB would not read in the session's transaction what is registered meanwhile.
    reader = Session(session.account, session.user)
    reader.set_parameter("TIMEZONE", session.parameter("TIMEZONE"))
    reader.use(session.database, session.schema)
    query = reader.translate(copy.query(reader))
    loads, parts = [], []
    for file in found:
        load = Load(file.url, location.prefix, file.size, pipe=pipe)
        try:
            _register(reader, [file], _FILE, copy.kind)
            reader.duckdb(query)
            parts.append(reader.duck.to_arrow_table())
            load.rows = parts[-1].num_rows
        except (SqlError, duckdb.Error) as error:
            if abort:
                raise
            load.error = str(error)
        loads.append(load)
    try:
        with session.atomic():
            for part in parts:
                session.duck.register("STAND_IN_LOADED", part)
                into = session.physical(relation.name)
                shown = "*, $1::timestamptz" if relation.has_row_timestamps else "*"
                insert = f"insert into {into} select {shown} from STAND_IN_LOADED"
                session.duckdb(insert, *([now()] if "$1" in shown else []))
    finally:
        reader.close()
    session.at_commit(lambda: relation.loads.extend(loads))
    return loads


# ----- pipes


@statement(
    r"create {replace}pipe {missing}{name}(?P<options>.*?)\sas\s+(?P<copy>copy\s.*)"
)
def create_pipe(session: Session, match: Match) -> Result:
    """CREATE PIPE; the COPY statement is frozen with it."""
    session.commit()
    account, name = session.account, session.resolve(match["name"])
    account.find("SCHEMA", name[:2])
    values = text.options(match["options"], _PIPE_OPTIONS)
    values = {key: text.unquote(value) for key, value in values.items()}
    copy = Copy.of(session, match["copy"].strip(), in_pipe=True)
    location = Location.of(session, copy.at)
    _check_pipe(session, copy, values)
    if name in account.things("PIPE") and match["missing"]:
        return Result.status(f"{name[-1]} already exists, statement succeeded.")
    pipe = Pipe("PIPE", name, session.role, values)
    pipe.statement, pipe.table = match["copy"].strip(), copy.table
    pipe.stage, pipe.path = location.stage.name, location.path
    pipe.pattern = pipe.properties["PATTERN"] = copy.option("PATTERN") or ".*"
    if values.get("AUTO_INGEST", "").lower() == "true":
        url, topic = location.prefix, values.get("AWS_SNS_TOPIC")
        pipe.channel = _channel(account, url, topic)
    account.add(pipe, replace=bool(match["replace"]), missing_only=False)
    return Result.status(f"Pipe {name[-1]} successfully created.")


def _check_pipe(session: Session, copy: Copy, options: dict[str, str]) -> None:
    on_error = (copy.option("ON_ERROR") or "SKIP_FILE").upper()
    if on_error != "SKIP_FILE":
        raise compilation(f"ON_ERROR = {on_error} is not supported in a pipe", 1423)
    if integration := options.get("ERROR_INTEGRATION"):
        session.account.find("INTEGRATION", text.name_parts(integration))
    if copy.table not in session.account.relations:
        raise missing("table", ".".join(copy.table))
    _register(session, [], _FILE, copy.kind)
    session.select(copy.query(session))


def _channel(account: Account, url: str, topic: str | None) -> str:
    """The SQS queue of the bucket's region, subscribed to the topic if one is given."""
    place = aws(account, "s3").get_bucket_location(Bucket=urlparse(url).netloc)
    region = place["LocationConstraint"] or "us-east-1"
    sqs = aws(account, "sqs", region)
    address = sqs.create_queue(QueueName=_QUEUE)["QueueUrl"]
    answer = sqs.get_queue_attributes(QueueUrl=address, AttributeNames=["QueueArn"])
    arn = str(answer["Attributes"]["QueueArn"])
    if topic:
        sns = aws(account, "sns", region)
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return arn


@statement(r"alter pipe {name} set {rest}")
def alter_pipe(session: Session, match: Match) -> Result:
    """ALTER PIPE ... SET the pause or the comment."""
    session.commit()
    pipe = session.account.find("PIPE", session.resolve(match["name"]))
    allowed = text.words("PIPE_EXECUTION_PAUSED COMMENT")
    for key, value in text.options(match["rest"], allowed).items():
        pipe.properties[key] = text.unquote(value)
    _work(session.account, pipe)
    return Result.status()


@statement(r"alter pipe {name} refresh(?P<rest>\s.*|)")
def refresh_pipe(session: Session, match: Match) -> Result:
    """REFRESH: files of seven days that neither pipe nor table has loaded."""
    session.commit()
    pipe = session.account.find("PIPE", session.resolve(match["name"]))
    options = text.options(match["rest"], {"PREFIX", "MODIFIED_AFTER"})
    location = _location(session.account, pipe)
    start = location.prefix + text.unquote(options.get("PREFIX", ""))
    oldest = now() - timedelta(days=7)
    if "MODIFIED_AFTER" in options:
        after = datetime.fromisoformat(text.unquote(options["MODIFIED_AFTER"]))
        oldest = max(oldest, after)
    copied = session.account.find("TABLE", pipe.table).copied
    sent = [
        file.url
        for file in location.files(session.account)
        if file.url.startswith(start)
        and file.last_modified >= oldest
        and file.url not in copied
        and file.url not in pipe.history
        and _wanted(session.account, pipe, file.url)
    ]
    pipe.pending += sent
    _work(session.account, pipe)
    names = [url.removeprefix(location.prefix) for url in sent]
    return Result.table("File Status", ({"File": n, "Status": "SENT"} for n in names))


def _location(account: Account, pipe: Pipe) -> Location:
    return Location(account.find("STAGE", pipe.stage), pipe.path)


def _wanted(account: Account, pipe: Pipe, url: str) -> bool:
    """Whether the pipe's location and pattern cover a file."""
    prefix = _location(account, pipe).prefix
    rest = url.removeprefix(prefix)
    return url.startswith(prefix) and re.fullmatch(pipe.pattern, rest) is not None


def _work(account: Account, pipe: Pipe) -> None:
    """Load what is pending, unless the pipe is paused."""
    if pipe.paused or not pipe.pending:
        return
    session = Session(account, "SNOWPIPE")
    try:
        session.use(*pipe.name[:2])
        if account.pipe_timezone:
            session.set_parameter("TIMEZONE", account.pipe_timezone)
        copy = Copy.of(session, pipe.statement, in_pipe=True)
        location = _location(account, pipe)
        known = {file.url: file for file in location.files(account)}
        urls, pipe.pending = list(dict.fromkeys(pipe.pending)), []
        found = [known[u] for u in urls if u in known and u not in pipe.history]
        for load in _load(session, copy, location, found, abort=False, pipe=pipe.name):
            pipe.history[load.file] = load
    finally:
        session.close()


def event(account: Account, url: str) -> list[str]:
    """Load a new object by the pipes whose location covers it; return their names."""
    bucket, taken = urlparse(url).netloc, []
    for name, pipe in account.things("PIPE").items():
        stage = account.find("STAGE", pipe.stage)
        if pipe.channel is None:
            continue
        if urlparse(stage.properties["URL"]).netloc == bucket:
            pipe.received = now()
        if _wanted(account, pipe, url):
            pipe.forwarded = now()
            pipe.pending.append(url)
            _work(account, pipe)
            taken.append(".".join(name))
    return taken


def poll(account: Account) -> list[str]:
    """Read the pipes' SQS queues and handle every S3 event in them."""
    urls: list[str] = []
    for channel in {p.channel for p in account.things("PIPE").values()} - {None}:
        sqs = aws(account, "sqs", channel.split(":")[3])
        address = sqs.get_queue_url(QueueName=_QUEUE)["QueueUrl"]
        while messages := sqs.receive_message(
            QueueUrl=address, MaxNumberOfMessages=10
        ).get("Messages"):
            for message in messages:
                body = json.loads(message["Body"])
                body = json.loads(body["Message"]) if "Message" in body else body
                for record in body.get("Records", []):
                    s3 = record["s3"]
                    key = unquote_plus(s3["object"]["key"])
                    urls.append(f"s3://{s3['bucket']['name']}/{key}")
                receipt = message["ReceiptHandle"]
                sqs.delete_message(QueueUrl=address, ReceiptHandle=receipt)
    for url in urls:
        event(account, url)
    return urls


# ----- system functions


@expansion
def system_functions(session: Session, command: str) -> str:
    """SYSTEM$ functions become the text that they return."""
    regex = re.compile(r"\bsystem\$(\w+)\s*(?=\()", re.IGNORECASE)
    while call := regex.search(command):
        inner, rest = text.bracketed(command[call.end() :])
        given = text.literals(f"({inner})")
        match call[1].upper():
            case "PIPE_STATUS":
                answer = _pipe_status(session, *given)
            case "LAST_CHANGE_COMMIT_TIME":
                answer = _last_change(session, *given)
            case "VALIDATE_STORAGE_INTEGRATION":
                answer = _validate(session, *given)
            case unknown:
                raise compilation(f"Unknown function SYSTEM${unknown}", 2140, "42601")
        literal = json.dumps(answer).replace("\\", "\\\\").replace("'", "''")
        command = f"{command[: call.start()]}'{literal}'{rest}"
    return command


def _pipe_status(session: Session, name: str) -> dict[str, Any]:
    pipe = session.account.find("PIPE", session.resolve(name))
    status: dict[str, Any] = {
        "executionState": "PAUSED" if pipe.paused else "RUNNING",
        "pendingFileCount": len(pipe.pending),
        "notificationChannelName": pipe.channel,
        "lastReceivedMessageTimestamp": pipe.received and pipe.received.isoformat(),
        "lastForwardedMessageTimestamp": pipe.forwarded and pipe.forwarded.isoformat(),
    }
    return {key: value for key, value in status.items() if value is not None}


def _last_change(session: Session, name: str) -> int:
    """The newest commit of a row that is there, of a table with row timestamps."""
    newest = session.select(
        session.parse(
            f"select date_part('epoch_nanosecond', max({COMMIT_TIME})) from {name}"
        )
    )
    return int(newest.rows[0][0] or 0)


def _validate(
    session: Session, name: str, path: str, file: str, action: str
) -> dict[str, Any]:
    _check_location(session.account, name, path)
    urls = [found.url for found in files(session.account, path)]
    problems = {
        "list": None,
        "read": None if path + file in urls else "does not exist (NoSuchKey)",
    }
    problem = problems[action.lower()]
    answer = {"status": "failure" if problem else "success"}
    message = {"message": problem} if problem else {}
    return answer | {"actions": {action.upper(): answer | message}}


# ----- table functions

_COPY_HISTORY = (
    "FILE_NAME STAGE_LOCATION LAST_LOAD_TIME:time ROW_COUNT:int FILE_SIZE:int"
    " FIRST_ERROR_MESSAGE ERROR_COUNT:int STATUS PIPE_NAME BYTES_BILLED:int"
)
_PIPE_USAGE = (
    "START_TIME:time END_TIME:time PIPE_NAME CREDITS_USED:float BYTES_INSERTED:int"
    " FILES_INSERTED:int BYTES_BILLED:int"
)


@expansion
def table_functions(session: Session, command: str) -> str:
    """TABLE(INFORMATION_SCHEMA.f(...)) becomes a registered view."""
    regex = re.compile(
        rf"\btable\s*\(\s*{text.IDENTIFIER}\.information_schema\."
        r"(?P<function>copy_history|pipe_usage_history)\s*(?=\()",
        re.IGNORECASE,
    )
    while match := regex.search(command):
        inner, rest = text.bracketed(command[match.end() :])
        given = {
            key: session.select(session.parse(f"select {value}")).rows[0][0]
            for key, value in text.arguments(inner).items()
        }
        view = _FUNCTIONS[match["function"].lower()](session, **given)
        closing = rest.lstrip().removeprefix(")")
        command = f"{command[: match.start()]}temp.{view}{closing}"
    return command


def _copy_history(session: Session, TABLE_NAME: str, START_TIME: datetime) -> str:
    """COPY_HISTORY of a table, for at most 14 days."""
    relation = session.relation(session.resolve(TABLE_NAME))
    first = max(START_TIME, now() - timedelta(days=14))
    rows = [
        {
            "FILE_NAME": load.file.removeprefix(load.stage),
            "STAGE_LOCATION": load.stage,
            "LAST_LOAD_TIME": load.at,
            "ROW_COUNT": load.rows,
            "FILE_SIZE": load.size,
            "FIRST_ERROR_MESSAGE": load.error,
            "ERROR_COUNT": int(load.error is not None),
            "STATUS": "Load failed" if load.error else "Loaded",
            "PIPE_NAME": load.pipe and load.pipe[-1],
            "BYTES_BILLED": load.size if load.pipe else None,
        }
        for load in relation.loads
        if load.at >= first
    ]
    return register_rows(session, rows, _COPY_HISTORY)


def _usage(
    session: Session,
    PIPE_NAME: str,
    DATE_RANGE_START: datetime,
    DATE_RANGE_END: datetime,
) -> str:
    """0.0037 credits a GB: sf:user-guide/data-load-snowpipe-billing.

    A row is for 24 hours, the longest that the page on the function names.
    """
    pipe = session.account.find("PIPE", session.resolve(PIPE_NAME))
    day = timedelta(days=1)
    if now() - 15 * day > DATE_RANGE_START:
        raise compilation("Cannot retrieve data from more than 15 days ago.")
    rows = [
        {
            "START_TIME": load.at - (load.at - DATE_RANGE_START) % day,
            "END_TIME": load.at - (load.at - DATE_RANGE_START) % day + day,
            "PIPE_NAME": ".".join(pipe.name),
            "CREDITS_USED": load.size / 1e9 * 0.0037,
            "BYTES_INSERTED": load.size,
            "FILES_INSERTED": 1,
            "BYTES_BILLED": load.size,
        }
        for load in pipe.history.values()
        if not load.error and DATE_RANGE_START <= load.at <= DATE_RANGE_END
    ]
    return register_rows(session, rows, _PIPE_USAGE)


_FUNCTIONS = {"copy_history": _copy_history, "pipe_usage_history": _usage}
