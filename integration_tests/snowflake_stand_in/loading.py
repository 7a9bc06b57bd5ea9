"""Stages, LIST, COPY INTO, pipes, and their histories.

Followed: sf:sql-reference/sql/{create-stage,alter-stage,list,copy-into-table,
create-pipe,alter-pipe,show-pipes}, sf:user-guide/{data-load-snowpipe-intro,
data-load-snowpipe-manage,data-load-snowpipe-ts,data-load-considerations-load,
data-load-transform}, sf:sql-reference/functions/{copy_history,pipe_usage_history,
system_pipe_status,system_validate_storage_integration}.

A table remembers the files that COPY loaded, a pipe those it loaded or failed to load;
the two histories are separate, and only ALTER PIPE ... REFRESH looks at both. PATTERN
must match the whole URL in COPY and the path below the stage's URL and path in a pipe.
Not modelled: other formats than Parquet, internal stages, splitting a file over several
transactions, the order and delay of events, PURGE, the 64 days of COPY's history, and
what IAM allows (a role is taken to be read-only).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus, urlparse

import duckdb
import pyarrow as pa
from sqlglot import Expr

from integration_tests.snowflake_stand_in import storage, text
from integration_tests.snowflake_stand_in.account import (
    Account,
    Load,
    Name,
    Pipe,
    Relation,
    Stage,
    now,
)
from integration_tests.snowflake_stand_in.catalog import register_rows
from integration_tests.snowflake_stand_in.errors import (
    SqlError,
    compilation,
    missing,
    syntax,
)
from integration_tests.snowflake_stand_in.objects import row as shown_row
from integration_tests.snowflake_stand_in.results import Result
from integration_tests.snowflake_stand_in.session import Session, expansion, statement

Match = re.Match[str]
_DONE = "Statement executed successfully."
_AT = r"(?P<at>'@[^']*'|@[^\s(),;]+)"
_STAGE_OPTIONS = text.words(
    "URL STORAGE_INTEGRATION COMMENT FILE_FORMAT DIRECTORY ENCRYPTION"
)
_COPY_OPTIONS = text.words(
    "FILE_FORMAT PATTERN ON_ERROR FORCE FILES PURGE SIZE_LIMIT"
    " RETURN_FAILED_ONLY VALIDATION_MODE MATCH_BY_COLUMN_NAME INCLUDE_METADATA"
    " LOAD_UNCERTAIN_FILES ENFORCE_LENGTH TRUNCATECOLUMNS"
)
_NOT_IN_PIPES = text.words(
    "FORCE PURGE FILES SIZE_LIMIT RETURN_FAILED_ONLY VALIDATION_MODE"
)
_NOT_TRANSFORMING = text.words("MATCH_BY_COLUMN_NAME INCLUDE_METADATA VALIDATION_MODE")
# ----- stages


@statement(r"create {replace}stage {missing}{name}{rest}")
def create_stage(session: Session, match: Match) -> Result:
    """CREATE STAGE checks the integration and its locations, not the access."""
    session.commit()
    name = session.resolve(match["name"])
    session.account.find("SCHEMA", name[:2])
    stage = Stage("STAGE", name, session.role, id=secrets.token_hex(8))
    _set_stage(session.account, stage, match["rest"])
    if "URL" not in stage.properties:
        raise syntax("an internal stage")
    added = session.account.add(
        stage, replace=bool(match["replace"]), missing_only=bool(match["missing"])
    )
    if not added:
        return Result.status(f"{name[-1]} already exists, statement succeeded.")
    return Result.status(f"Stage area {name[-1]} successfully created.")


def _set_stage(account: Account, stage: Stage, rest: str) -> None:
    for key, value in text.options(rest, _STAGE_OPTIONS).items():
        stage.properties[key] = text.unquote(value)
    named = stage.properties.get("STORAGE_INTEGRATION")
    if named is None:
        return
    (name,) = text.name_parts(named)
    stage.properties["STORAGE_INTEGRATION"] = name
    integration = account.find("INTEGRATION", (name,))
    stage.integration_id = integration.properties["ID"]
    _check_location(integration.properties, stage.url, name)


def _check_location(integration: dict[str, Any], url: str, name: str) -> None:
    def covered(side: str) -> bool:
        listed = integration.get(f"STORAGE_{side}_LOCATIONS", [])
        return any(url.startswith(place.removesuffix("*")) for place in listed)

    if (integration.get("STORAGE_ALLOWED_LOCATIONS") != ["*"]) and (
        not covered("ALLOWED") or covered("BLOCKED")
    ):
        raise SqlError(
            f"Location '{url}' is not allowed by integration '{name}'. Please use"
            " DESC INTEGRATION to check out allowed and blocked locations.",
            3167,
            "42601",
        )


@statement(r"alter stage {exists}{name} set {rest}")
def alter_stage(session: Session, match: Match) -> Result:
    """ALTER STAGE keeps the stage's identity; setting an integration links it again."""
    session.commit()
    stage = session.account.find("STAGE", session.resolve(match["name"]))
    _set_stage(session.account, stage, match["rest"])
    return Result.status(_DONE)


@statement(r"(?:describe|desc) stage {name}")
def describe_stage(session: Session, match: Match) -> Result:
    """DESC STAGE: one row a property."""
    stage = session.account.find("STAGE", session.resolve(match["name"]))
    integration = stage.properties.get("STORAGE_INTEGRATION", "")
    rows = [
        ("STAGE_LOCATION", "URL", "String", f'["{stage.url}"]'),
        ("STAGE_INTEGRATION", "STORAGE_INTEGRATION", "String", integration),
        ("DIRECTORY", "ENABLE", "Boolean", "false"),
    ]
    names = "parent_property property property_type property_value property_default"
    keys = names.split()
    return Result.table(names, (dict(zip(keys, (*r, ""), strict=True)) for r in rows))


@dataclass(frozen=True)
class Location:
    """A place in a stage: everything whose URL begins with ``prefix``."""

    stage: Stage
    path: str

    @classmethod
    def of(cls, session: Session, at: str) -> Location:
        """The location that ``@stage/path`` names."""
        at = at.strip("'").removeprefix("@")
        stage, _, path = at.partition("/")
        if not re.fullmatch(text.NAME, stage):
            raise syntax(f"@{at}")
        return cls(session.account.find("STAGE", session.resolve(stage)), path)

    @property
    def root(self) -> str:
        """The stage's URL, ready to be followed by the path."""
        url = self.stage.url
        return url if url.endswith("/") or not self.path else url + "/"

    @property
    def prefix(self) -> str:
        """What the URLs of the location's files begin with."""
        return self.root + self.path

    def files(self, account: Account) -> list[storage.File]:
        """The location's files, if the stage's integration still allows it."""
        name = self.stage.properties.get("STORAGE_INTEGRATION")
        if name:
            integration = account.things("INTEGRATION").get((name,))
            same = (
                integration is not None
                and integration.properties["ID"] == self.stage.integration_id
            )
            if not same:
                raise SqlError(
                    f"Failure using stage area. Cause: [the integration {name} of the"
                    " stage was dropped or replaced]",
                    91003,
                    "55000",
                )
            if str(integration.properties.get("ENABLED")).lower() != "true":
                raise SqlError(f"Integration '{name}' is not enabled.", 3131)
            _check_location(integration.properties, self.stage.url, name)
        return storage.files(account, self.root, self.path)


def _matching(found: Iterable[storage.File], pattern: str | None) -> list[storage.File]:
    if pattern is None:
        return list(found)
    regex = re.compile(pattern)
    return [file for file in found if regex.fullmatch(file.url)]


@statement(rf"(?:list|ls) {_AT}{{rest}}")
def list_stage(session: Session, match: Match) -> Result:
    """LIST, at any depth."""
    pattern = text.options(match["rest"], {"PATTERN"}).get("PATTERN")
    location = Location.of(session, match["at"])
    found = _matching(
        location.files(session.account), pattern and text.unquote(pattern)
    )
    rows = [
        {
            "name": file.url,
            "size": file.size,
            "md5": file.md5,
            "last_modified": f"{file.last_modified:%a, %d %b %Y %H:%M:%S} GMT",
        }
        for file in found
    ]
    return Result.table("name size md5 last_modified", rows)


def _file_format(session: Session, written: str | None) -> dict[str, str]:
    """The options of a file format given inline or by name; Parquet only."""
    chosen: dict[str, str] = {}
    if written is not None:
        inline = written.startswith("(")
        chosen = text.options(written[1:-1]) if inline else {"FORMAT_NAME": written}
    if "FORMAT_NAME" in chosen:
        name = session.resolve(text.unquote(chosen["FORMAT_NAME"]))
        chosen = session.account.find("FILE FORMAT", name).properties
    kind = str(chosen.get("TYPE", "CSV")).strip("'").upper()
    if kind != "PARQUET":
        raise syntax(f"file format type {kind}: the stand-in reads Parquet only")
    return chosen


def _keep_nulls(file_format: dict[str, str]) -> bool:
    return str(file_format.get("USE_VECTORIZED_SCANNER", "")).upper() == "TRUE"


@expansion
def query_stage(session: Session, command: str) -> str:
    """SELECT ... FROM @stage: the files become a registered view."""
    regex = re.compile(rf"\b(from|join)(\s+){_AT}", re.IGNORECASE)
    while match := regex.search(command):
        rest, options = command[match.end() :], {}
        if rest.lstrip().startswith("("):
            inner, rest = text.bracketed(rest.lstrip())
            options = text.arguments(inner)
        pattern = options.get("PATTERN")
        location = Location.of(session, match["at"])
        found = _matching(
            location.files(session.account), pattern and text.unquote(pattern)
        )
        chosen = _file_format(session, options.get("FILE_FORMAT", "(type=parquet)"))
        keep = _keep_nulls(chosen)
        read = [
            (f, storage.parquet_rows(session.account, f, keep_nulls=keep))
            for f in found
        ]
        started = session.account.scan_time or now()
        view = session.register(storage.stage_table(read, started))
        source = f"{match[1]}{match[2]}temp.{view}"
        command = command[: match.start()] + source + rest
    return (
        re.sub(r"\$(\d)(?!\w)", r'"$\1"', command)
        if "STAND_IN_" in command
        else (command)
    )


# ----- COPY INTO


@dataclass(frozen=True)
class Copy:
    """A COPY statement, understood."""

    table: Name
    columns: str
    expressions: str
    at: str
    options: dict[str, str]
    transforms: bool

    @classmethod
    def of(cls, session: Session, command: str) -> Copy:
        """Read a COPY statement."""
        head = text.pattern(
            r"copy into {name}\s*(?P<columns>\([^)]*\))?\s*from\s*(?P<rest>[(@'].*)"
        ).fullmatch(command)
        if head is None:
            raise syntax(command)
        rest = head["rest"]
        expressions, transforms = "$1", rest.startswith("(")
        if transforms:
            inner, rest = text.bracketed(rest)
            simple = re.fullmatch(
                rf"\s*select\s+(?P<expressions>.*?)\s+from\s+{_AT}"
                r"(?:\s+(?:as\s+)?(?P<alias>[A-Za-z]\w*))?\s*",
                inner,
                re.IGNORECASE | re.DOTALL,
            )
            if simple is None:
                raise compilation("COPY takes a simple SELECT from a stage only", 1003)
            expressions, at = simple["expressions"], simple["at"]
            if simple["alias"]:
                expressions = re.sub(rf"\b{simple['alias']}\.", "", expressions)
        else:
            place = re.match(_AT, rest)
            if place is None:
                raise syntax(command)
            at, rest = place["at"], rest[place.end() :]
        options = text.options(rest, _COPY_OPTIONS)
        for option in sorted(_NOT_TRANSFORMING) if transforms else ():
            if option in options:
                raise compilation(
                    f"{option.lower()} is not supported with copy transform", 1423
                )
        table = session.resolve(head["name"])
        columns = head["columns"] or ""
        return cls(table, columns, expressions, at, options, transforms)

    def option(self, name: str) -> str | None:
        """The unquoted value of an option."""
        return text.unquote(self.options[name]) if name in self.options else None

    def query(self, session: Session, view: str) -> Expr:
        """The transformation as a query over registered stage rows."""
        expressions = re.sub(r"\$(\d+)(?!\w)", r'"$\1"', self.expressions)
        return session.parse(f"select {expressions} from temp.{view}")


@statement(r"copy into {rest}")
def copy_into(session: Session, match: Match) -> Result:
    """COPY INTO <table>: all of its files or, with ABORT_STATEMENT, none."""
    copy = Copy.of(session, match[0].rstrip("; \n"))
    relation = session.relation(copy.table)
    if relation is None:
        raise missing("table", ".".join(copy.table))
    for option in ("VALIDATION_MODE", "MATCH_BY_COLUMN_NAME", "SIZE_LIMIT", "PURGE"):
        if option in copy.options:
            raise syntax(f"COPY option {option}")
    on_error = (copy.option("ON_ERROR") or "ABORT_STATEMENT").upper()
    location = Location.of(session, copy.at)
    found = _matching(location.files(session.account), copy.option("PATTERN"))
    if "FILES" in copy.options:
        wanted = {
            location.prefix + name for name in text.literals(copy.options["FILES"])
        }
        found = [file for file in found if file.url in wanted]
    if (copy.option("FORCE") or "").upper() != "TRUE":
        found = [file for file in found if file.url not in relation.copied]
    loads = _load(session, relation, copy, location, found, on_error)
    for load in loads:
        if load.status == "LOADED":
            session.at_commit(lambda url=load.file: relation.copied.add(url))
    if not loads:
        return Result.status("Copy executed with 0 files processed.")
    names = (
        "file status rows_parsed rows_loaded error_limit errors_seen first_error"
        " first_error_line first_error_character first_error_column_name"
    )
    return Result.table(names, (_copy_row(load) for load in loads))


def _copy_row(load: Load) -> dict[str, Any]:
    return {
        "file": load.file,
        "status": load.status,
        "rows_parsed": load.parsed,
        "rows_loaded": load.loaded,
        "error_limit": 1,
        "errors_seen": int(load.error is not None),
        "first_error": load.error,
    }


def _load(
    session: Session,
    relation: Relation,
    copy: Copy,
    location: Location,
    found: list[storage.File],
    on_error: str,
    pipe: Pipe | None = None,
) -> list[Load]:
    """Load files into a table; a file that fails is skipped unless told to abort."""
    chosen = _file_format(session, copy.options.get("FILE_FORMAT"))
    keep = _keep_nulls(chosen)
    reader = Session(session.account, session.user)
    reader.parameters = dict(session.parameters)
    reader.apply_timezone()
    reader.use(session.database, session.schema)
    loads, parts = [], []
    for file in found:
        load = Load(file.url, location.prefix, file.size, "LOADED")
        if pipe:
            load.pipe, load.received = pipe.name, now()
        try:
            rows = storage.parquet_rows(session.account, file, keep_nulls=keep)
            load.parsed = load.loaded = len(rows)
            parts.append(_transform(reader, copy, [(file, rows)]))
        except SqlError as error:
            if on_error == "ABORT_STATEMENT":
                raise
            load.status, load.error, load.loaded = "LOAD_FAILED", error.message, 0
        loads.append(load)
    try:
        with session.atomic():
            for part in parts:
                session.duck.register("STAND_IN_LOADED", part)
                session.duckdb(
                    f"insert into {session.physical(relation.name)} {copy.columns}"
                    " select * from STAND_IN_LOADED"
                )
    finally:
        reader.close()
    session.at_commit(lambda: relation.loads.extend(loads))
    session.at_commit(lambda: setattr(relation, "altered", now()))
    return loads


def _transform(
    reader: Session, copy: Copy, read: list[tuple[storage.File, list[str]]]
) -> pa.Table:
    started = reader.account.scan_time or now()
    view = reader.register(storage.stage_table(read, started))
    try:
        reader.duckdb(reader.translate(copy.query(reader, view)))
        return reader.duck.to_arrow_table()
    except duckdb.Error as error:
        raise SqlError(str(error).split("\n")[0], 100038, "22018") from error


# ----- pipes


@statement(
    r"create {replace}pipe {missing}{name}(?P<options>.*?)\sas\s+(?P<copy>copy\s.*)"
)
def create_pipe(session: Session, match: Match) -> Result:
    """CREATE PIPE; the COPY statement is frozen with it."""
    session.commit()
    name = session.resolve(match["name"])
    session.account.find("SCHEMA", name[:2])
    allowed = {"AUTO_INGEST", "AWS_SNS_TOPIC", "ERROR_INTEGRATION", "INTEGRATION"}
    options = {
        key: text.unquote(value)
        for key, value in text.options(match["options"], {*allowed, "COMMENT"}).items()
    }
    copy = Copy.of(session, match["copy"].strip())
    location = Location.of(session, copy.at)
    _check_pipe(session, copy, options)
    pipe = Pipe(
        "PIPE",
        name,
        session.role,
        {key: value for key, value in options.items() if key == "COMMENT"},
        statement=match["copy"].strip(),
        stage=location.stage.name,
        stage_id=location.stage.id,
        path=location.path,
        table=copy.table,
    )
    if name in session.account.things("PIPE") and match["missing"]:
        return Result.status(f"{name[-1]} already exists, statement succeeded.")
    if options.get("AUTO_INGEST", "false").lower() == "true":
        topic = options.get("AWS_SNS_TOPIC")
        pipe.channel = _channel(session.account, location.stage.url, topic)
    pipe.properties["SHOWN"] = {
        "definition": pipe.statement,
        "notification_channel": pipe.channel,
        "pattern": copy.option("PATTERN"),
        "error_integration": options.get("ERROR_INTEGRATION"),
        "integration": options.get("INTEGRATION"),
        "kind": "STAGE",
    }
    session.account.add(pipe, replace=bool(match["replace"]), missing_only=False)
    return Result.status(f"Pipe {name[-1]} successfully created.")


def _check_pipe(session: Session, copy: Copy, options: dict[str, str]) -> None:
    on_error = (copy.option("ON_ERROR") or "SKIP_FILE").upper()
    for option in sorted(_NOT_IN_PIPES):
        if option in copy.options:
            raise compilation(f"COPY option {option} is not supported in a pipe", 1423)
    if on_error == "ABORT_STATEMENT":
        raise compilation("ON_ERROR = ABORT_STATEMENT is not supported in a pipe", 1423)
    if integration := options.get("ERROR_INTEGRATION"):
        session.account.find("INTEGRATION", text.name_parts(integration))
        if on_error != "SKIP_FILE":
            raise compilation("ERROR_INTEGRATION needs ON_ERROR = SKIP_FILE", 1423)
    if session.account.registry.relations.get(copy.table) is None:
        raise missing("table", ".".join(copy.table))
    _file_format(session, copy.options.get("FILE_FORMAT"))
    empty = session.register(storage.stage_table([], now()))
    session.select(copy.query(session, empty))


def _channel(account: Account, url: str, topic: str | None) -> str:
    """The SQS queue of the bucket's region, subscribed to the topic if one is given.

    Emulated with the rest of AWS, or only a name.
    """
    bucket = urlparse(url).netloc
    queue = "sf-snowpipe-STANDIN-queue"
    if not (account.s3_endpoint and url.startswith("s3://")):
        return f"arn:aws:sqs:us-east-1:123456789001:{queue}"
    region = storage.region_of(account, bucket)
    sqs = storage.client(account, "sqs", region)
    address = sqs.create_queue(QueueName=queue)["QueueUrl"]
    answer = sqs.get_queue_attributes(QueueUrl=address, AttributeNames=["QueueArn"])
    arn: str = answer["Attributes"]["QueueArn"]
    if topic:
        sns = storage.client(account, "sns", region)
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return arn


def _find_pipe(session: Session, name: str) -> Pipe:
    return session.account.find("PIPE", session.resolve(name))


@statement(r"(?:describe|desc) pipe {name}")
def describe_pipe(session: Session, match: Match) -> Result:
    """DESC PIPE: the row of SHOW PIPES."""
    pipe = _find_pipe(session, match["name"])
    names = (
        "created_on name database_name schema_name definition owner"
        " notification_channel comment integration pattern error_integration"
        " owner_role_type invalid_reason kind"
    )
    return Result.table(names, [shown_row(session, pipe)])


@statement(r"drop pipe {exists}{name}")
def drop_pipe(session: Session, match: Match) -> Result:
    """DROP PIPE."""
    session.commit()
    name = session.resolve(match["name"])
    session.account.remove("PIPE", name, if_exists=bool(match["exists"]))
    return Result.status(f"{name[-1]} successfully dropped.")


@statement(r"alter pipe {exists}{name} (?P<verb>set|unset) {rest}")
def alter_pipe(session: Session, match: Match) -> Result:
    """Only the pause, the comment and the error integration can be altered."""
    session.commit()
    if match["exists"] and session.resolve(match["name"]) not in (
        session.account.things("PIPE")
    ):
        return Result.status(_DONE)
    pipe = _find_pipe(session, match["name"])
    allowed = {"PIPE_EXECUTION_PAUSED", "COMMENT", "ERROR_INTEGRATION"}
    if match["verb"].lower() == "unset":
        values = dict.fromkeys(
            (k.strip().upper() for k in match["rest"].split(",")), ""
        )
    else:
        values = text.options(match["rest"], allowed)
    for key, value in values.items():
        if key == "PIPE_EXECUTION_PAUSED":
            pipe.paused = value.lower() == "true"
        elif key == "ERROR_INTEGRATION":
            if value:
                session.account.find(
                    "INTEGRATION", text.name_parts(text.unquote(value))
                )
            pipe.properties["SHOWN"]["error_integration"] = text.unquote(value) or None
        else:
            pipe.properties["COMMENT"] = text.unquote(value)
    _work(session.account, pipe)
    return Result.status(_DONE)


@statement(r"alter pipe {exists}{name} refresh{rest}")
def refresh_pipe(session: Session, match: Match) -> Result:
    """REFRESH: files of seven days that neither pipe nor table has loaded."""
    session.commit()
    pipe = _find_pipe(session, match["name"])
    options = text.options(match["rest"], {"PREFIX", "MODIFIED_AFTER"})
    if state(session.account, pipe).startswith("STOPPED"):
        raise SqlError(f"Pipe '{pipe.fqn}' is {state(session.account, pipe)}", 91022)
    location = _location(session.account, pipe)
    start = location.prefix + text.unquote(options.get("PREFIX", ""))
    oldest = now() - timedelta(days=7)
    if "MODIFIED_AFTER" in options:
        after = datetime.fromisoformat(text.unquote(options["MODIFIED_AFTER"]))
        oldest = max(oldest, after if after.tzinfo else after.replace(tzinfo=UTC))
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
    relative = (
        {"File": u.removeprefix(location.prefix), "Status": "SENT"} for u in sent
    )
    return Result.table("File Status", relative)


def _location(account: Account, pipe: Pipe) -> Location:
    return Location(account.find("STAGE", pipe.stage), pipe.path)


def _copy_of(account: Account, pipe: Pipe) -> tuple[Session, Copy]:
    session = Session(account, "SNOWPIPE")
    session.role = pipe.owner
    session.use(*pipe.name[:2])
    if account.registry.pipe_timezone:
        session.set_parameter("TIMEZONE", account.registry.pipe_timezone)
    return session, Copy.of(session, pipe.statement)


def _wanted(account: Account, pipe: Pipe, url: str) -> bool:
    """Whether the pipe's location and pattern cover a file."""
    location = _location(account, pipe)
    if not url.startswith(location.prefix):
        return False
    pattern = pipe.properties["SHOWN"]["pattern"]
    rest = url.removeprefix(location.prefix)
    return pattern is None or re.fullmatch(pattern, rest) is not None


def state(account: Account, pipe: Pipe) -> str:
    """The execution state that SYSTEM$PIPE_STATUS reports."""
    stage = account.things("STAGE").get(pipe.stage)
    if stage is None or stage.id != pipe.stage_id:
        return "STOPPED_STAGE_DROPPED"
    if pipe.table not in account.registry.relations:
        return "STOPPED_MISSING_TABLE"
    return "PAUSED" if pipe.paused else "RUNNING"


def _work(account: Account, pipe: Pipe) -> None:
    """Load what is pending, unless the pipe is paused or broken."""
    if state(account, pipe) != "RUNNING" or not pipe.pending:
        return
    session, copy = _copy_of(account, pipe)
    try:
        location = _location(account, pipe)
        known = {file.url: file for file in location.files(account)}
        relation = account.registry.relations[pipe.table]
        on_error = (copy.option("ON_ERROR") or "SKIP_FILE").upper()
        urls, pipe.pending = list(dict.fromkeys(pipe.pending)), []
        for url in urls:
            if url not in pipe.history and url in known:
                (load,) = _load(
                    session, relation, copy, location, [known[url]], on_error, pipe
                )
                pipe.history[url] = load
    finally:
        session.close()
        account.save()


def event(account: Account, url: str) -> list[str]:
    """An object was created: the pipes whose location covers it take it."""
    bucket, taken = urlparse(url).netloc, []
    for name, pipe in account.things("PIPE").items():
        stage = account.things("STAGE").get(pipe.stage)
        if pipe.channel is None or stage is None:
            continue
        if urlparse(stage.url).netloc == bucket:
            pipe.received = now()
        if _wanted(account, pipe, url):
            pipe.forwarded = now()
            pipe.pending.append(url)
            _work(account, pipe)
            taken.append(".".join(name))
    return taken


def poll(account: Account) -> list[str]:
    """Read the pipes' SQS queues and handle every S3 event in them."""
    channels = {p.channel for p in account.things("PIPE").values() if p.channel}
    urls: list[str] = []
    for channel in sorted(c for c in channels if ":sqs:" in c):
        *_, region, _account, queue = channel.split(":")
        sqs = storage.client(account, "sqs", region)
        address = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
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
                sqs.delete_message(
                    QueueUrl=address, ReceiptHandle=message["ReceiptHandle"]
                )
    for url in urls:
        event(account, url)
    return urls


# ----- system functions


@expansion
def system_functions(session: Session, command: str) -> str:
    """SYSTEM$ functions become the text that they return."""
    regex = re.compile(r"\bsystem\$(\w+)\s*(?=\()", re.IGNORECASE)
    while match := regex.search(command):
        inner, rest = text.bracketed(command[match.end() :])
        answer = _system(session, match[1].upper(), text.literals(f"({inner})"))
        literal = "'" + answer.replace("\\", "\\\\").replace("'", "''") + "'"
        command = command[: match.start()] + literal + rest
    return command


def _system(session: Session, name: str, given: list[str]) -> str:
    match name:
        case "PIPE_STATUS":
            return json.dumps(_pipe_status(session, _find_pipe(session, given[0])))
        case "PIPE_FORCE_RESUME":
            pipe = _find_pipe(session, given[0])
            pipe.paused = False
            _work(session.account, pipe)
            return "Pipe resumed."
        case "VALIDATE_STORAGE_INTEGRATION":
            return json.dumps(_validate(session, *given))
        case "CANCEL_ALL_QUERIES":
            return "0 statements cancelled."
        case "GET_AWS_SNS_IAM_POLICY":
            principal = {"AWS": "arn:aws:iam::123456789001:user/abc1-b-self1234"}
            allow = {"Effect": "Allow", "Principal": principal}
            allow |= {"Action": ["sns:Subscribe"], "Resource": given[0]}
            return json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    raise compilation(f"Unknown function SYSTEM${name}", 2140, "42601")


def _pipe_status(session: Session, pipe: Pipe) -> dict[str, Any]:
    def moment(value: datetime | None) -> str | None:
        return value and f"{value:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"

    status: dict[str, Any] = {
        "executionState": state(session.account, pipe),
        "pendingFileCount": len(pipe.pending),
    }
    if pipe.channel:
        last = max(pipe.history.values(), key=lambda load: load.at, default=None)
        status |= {
            "notificationChannelName": pipe.channel,
            "numOutstandingMessagesOnChannel": 0,
            "lastReceivedMessageTimestamp": moment(pipe.received),
            "lastForwardedMessageTimestamp": moment(pipe.forwarded),
            "lastIngestedTimestamp": moment(last.at) if last else None,
            "lastIngestedFilePath": last.file if last else None,
        }
    return {key: value for key, value in status.items() if value is not None}


def _validate(
    session: Session, name: str, path: str, file: str, action: str
) -> dict[str, Any]:
    integration = session.account.find("INTEGRATION", (name,))
    _check_location(integration.properties, path, name)
    found = [f.url for f in storage.files(session.account, path)]
    there = path.removesuffix("/") + "/" + file in found
    denied = "Access Denied (Status Code: 403; Error Code: AccessDenied)"
    absent = (
        "The specified key does not exist. (Status Code: 404; Error Code: NoSuchKey)"
    )
    problems = {"LIST": None, "READ": None if there else absent}
    problems |= {"WRITE": denied, "DELETE": denied}
    wanted = list(problems) if action.upper() == "ALL" else [action.upper()]
    if not set(wanted) <= set(problems):
        raise SqlError(f"Invalid action '{action}'", 1008)
    actions = {
        each: {"status": "success"}
        if problems[each] is None
        else {"status": "failure", "message": problems[each]}
        for each in wanted
    }
    failed = any(problems[each] for each in wanted)
    return {"status": "failure" if failed else "success", "actions": actions}


# ----- table functions

_COPY_HISTORY = (
    "FILE_NAME STAGE_LOCATION LAST_LOAD_TIME:time ROW_COUNT:int ROW_PARSED:int"
    " FILE_SIZE:int FIRST_ERROR_MESSAGE FIRST_ERROR_LINE_NUMBER:int"
    " FIRST_ERROR_CHARACTER_POS:int FIRST_ERROR_COLUMN_NAME ERROR_COUNT:int"
    " ERROR_LIMIT:int STATUS TABLE_CATALOG_NAME TABLE_SCHEMA_NAME TABLE_NAME"
    " PIPE_CATALOG_NAME PIPE_SCHEMA_NAME PIPE_NAME PIPE_RECEIVED_TIME:time"
    " BYTES_BILLED:int"
)
_PIPE_USAGE = (
    "START_TIME:time END_TIME:time PIPE_NAME CREDITS_USED:float BYTES_INSERTED:int"
    " FILES_INSERTED:int BYTES_BILLED:int"
)


@expansion
def table_functions(session: Session, command: str) -> str:
    """TABLE(INFORMATION_SCHEMA.f(...)) becomes a registered view."""
    regex = re.compile(
        rf"\btable\s*\(\s*(?:(?:{text.IDENTIFIER}\.)?information_schema\.)?"
        r"(?P<function>copy_history|pipe_usage_history|validate_pipe_load|result_scan)"
        r"\s*(?=\()",
        re.IGNORECASE,
    )
    while match := regex.search(command):
        inner, rest = text.bracketed(command[match.end() :])
        function = match["function"].lower()
        if function == "result_scan":
            view = _result_scan(session, inner)
        elif function == "validate_pipe_load":
            raise SqlError("VALIDATE_PIPE_LOAD does not support pipes that transform")
        else:
            given = {
                key: session.query(f"select {value}").rows[0][0]
                for key, value in text.arguments(inner).items()
            }
            makers = {"copy_history": _copy_history, "pipe_usage_history": _usage}
            view = makers[function](session, given)
        closing = rest.lstrip().removeprefix(")")
        command = f"{command[: match.start()]}temp.{view}{closing}"
    return command


def _moment(value: object, default: datetime) -> datetime:
    if not isinstance(value, datetime):
        return default
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _copy_history(session: Session, given: dict[str, Any]) -> str:
    if not {"TABLE_NAME", "START_TIME"} <= set(given):
        raise compilation("COPY_HISTORY needs TABLE_NAME and START_TIME", 1015)
    relation = session.relation(session.resolve(given["TABLE_NAME"]))
    if relation is None:
        raise missing("table", given["TABLE_NAME"])
    first = _moment(given["START_TIME"], now())
    last = _moment(given.get("END_TIME"), now())
    rows = []
    statuses = {"LOADED": "Loaded", "LOAD_FAILED": "Load failed"}
    for load in relation.loads:
        if not max(first, now() - timedelta(days=14)) <= load.at <= last:
            continue
        pipe = load.pipe or (None, None, None)
        rows.append(
            {
                "FILE_NAME": load.file.removeprefix(load.stage),
                "STAGE_LOCATION": load.stage,
                "LAST_LOAD_TIME": load.at,
                "ROW_COUNT": load.loaded,
                "ROW_PARSED": load.parsed,
                "FILE_SIZE": load.size,
                "FIRST_ERROR_MESSAGE": load.error,
                "ERROR_COUNT": int(load.error is not None),
                "ERROR_LIMIT": 1,
                "STATUS": statuses[load.status],
                "TABLE_CATALOG_NAME": relation.name[0],
                "TABLE_SCHEMA_NAME": relation.name[1],
                "TABLE_NAME": relation.name[2],
                "PIPE_CATALOG_NAME": pipe[0],
                "PIPE_SCHEMA_NAME": pipe[1],
                "PIPE_NAME": pipe[2],
                "PIPE_RECEIVED_TIME": load.received,
                "BYTES_BILLED": load.size if load.pipe else None,
            }
        )
    return register_rows(session, rows, _COPY_HISTORY)


def _usage(session: Session, given: dict[str, Any]) -> str:
    """0.0037 credits a GB: sf:user-guide/data-load-snowpipe-billing."""
    wanted = given.get("PIPE_NAME")
    last = _moment(given.get("DATE_RANGE_END"), now())
    first = _moment(given.get("DATE_RANGE_START"), last - timedelta(days=14))
    hours: dict[tuple[datetime, str], list[int]] = {}
    for name, pipe in session.account.things("PIPE").items():
        if wanted and session.resolve(wanted) != name:
            continue
        for load in pipe.history.values():
            if load.status == "LOADED" and first <= load.at <= last:
                hour = load.at.replace(minute=0, second=0, microsecond=0)
                hours.setdefault((hour, ".".join(name)), []).append(load.size)
    rows = [
        {
            "START_TIME": hour,
            "END_TIME": hour + timedelta(hours=1),
            "PIPE_NAME": name,
            "CREDITS_USED": sum(sizes) / 1e9 * 0.0037,
            "BYTES_INSERTED": sum(sizes),
            "FILES_INSERTED": len(sizes),
            "BYTES_BILLED": sum(sizes),
        }
        for (hour, name), sizes in sorted(hours.items())
    ]
    return register_rows(session, rows, _PIPE_USAGE)


def _result_scan(session: Session, inner: str) -> str:
    if "last_query_id" not in inner.lower() or session.last_result is None:
        raise syntax("RESULT_SCAN of anything but LAST_QUERY_ID()")
    result = session.last_result
    columns: dict[str, pa.Array] = {}
    for position, column in enumerate(result.columns):
        values = [row[position] for row in result.rows]
        kind = {"fixed": pa.int64(), "real": pa.float64(), "boolean": pa.bool_()}
        if column.type.startswith("timestamp"):
            columns[column.name] = pa.array(values)
        else:
            as_text = column.type not in kind
            typed = [None if v is None else str(v) if as_text else v for v in values]
            columns[column.name] = pa.array(typed, kind.get(column.type, pa.string()))
    return session.register(columns)
