"""The account: every object that is not data, and what tests control.

The rows are in DuckDB databases. Everything else is here, so that
SHOW, DESCRIBE, the information schema and the tests read one registry.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb

from integration_tests.snowflake_stand_in.errors import SqlError, exists, missing

Name = tuple[str, ...]
#: A column that a table with row timestamps has, and `*` leaves out.
COMMIT_TIME = "METADATA$ROW_LAST_COMMIT_TIME"
#: Seconds that a transaction may idle while it blocks another:
#: https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions
IDLE_TIMEOUT = 300
#: sf:sql-reference/parameters: defaults of the parameters that this project touches.
PARAMETERS = {
    "DATA_RETENTION_TIME_IN_DAYS": "1",
    "DATE_INPUT_FORMAT": "AUTO",
    "PREVENT_UNLOAD_TO_INLINE_URL": "false",
    "QUERY_TAG": "",
    "REQUIRE_STORAGE_INTEGRATION_FOR_STAGE_CREATION": "false",
    "REQUIRE_STORAGE_INTEGRATION_FOR_STAGE_OPERATION": "false",
    "STATEMENT_TIMEOUT_IN_SECONDS": "172800",
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ",
    "TIMEZONE": "America/Los_Angeles",
}


def now() -> datetime:
    """The current instant."""
    return datetime.now(UTC)


@dataclass
class Thing:
    """Any object: its kind, name, owner and properties."""

    kind: str
    name: Name
    owner: str
    properties: dict[str, Any] = field(default_factory=dict)
    created: datetime = field(default_factory=now)

    def place(self) -> dict[str, Any]:
        """The first columns of nearly every SHOW command."""
        parents = dict(
            zip(("database_name", "schema_name"), self.name[:-1], strict=False)
        )
        return parents | {
            "created_on": self.created,
            "name": self.name[-1],
            "owner": self.owner,
            "comment": self.properties.get("COMMENT", ""),
            "owner_role_type": "ROLE",
        }


@dataclass
class Load:
    """One file's entry in a load history (of a table, or of a pipe)."""

    file: str
    stage: str
    size: int
    rows: int = 0
    error: str | None = None
    pipe: Name | None = None
    at: datetime = field(default_factory=now)


@dataclass
class Relation(Thing):
    """A table or a view; its rows are DuckDB's.

    ``copied`` holds the files that COPY skips, ``loads`` the rows of COPY_HISTORY. Both
    are dropped with the table.
    """

    column_comments: dict[str, str] = field(default_factory=dict)
    copied: set[str] = field(default_factory=set)
    loads: list[Load] = field(default_factory=list)

    @property
    def has_row_timestamps(self) -> bool:
        """Whether queries may ask when a row was committed."""
        return str(self.properties.get("ROW_TIMESTAMP")).lower() == "true"


@dataclass
class Pipe(Thing):
    """A pipe with its own load history and its pending events."""

    statement: str = ""
    stage: Name = ()
    path: str = ""
    pattern: str = ""
    table: Name = ()
    channel: str | None = None
    history: dict[str, Load] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    received: datetime | None = None
    forwarded: datetime | None = None

    @property
    def paused(self) -> bool:
        """Whether files wait until the pipe is resumed."""
        return self.properties.get("PIPE_EXECUTION_PAUSED", "").lower() == "true"


@dataclass(frozen=True)
class Grant:
    """One privilege on one object, or (``future``) on objects to come."""

    privilege: str
    kind: str
    name: Name
    to_kind: str
    to: str
    by: str = field(default="", compare=False)
    future: bool = False
    created: datetime = field(default_factory=now, compare=False)


@dataclass
class Failure:
    """An error that a test ordered for the next statements that match."""

    regex: str
    message: str
    times: int
    when: str


class Account:
    """One account: the registry, DuckDB, and what tests have set.

    Args:
        s3_endpoint: Where S3, SQS and SNS are emulated.
    """

    #: What a test may set besides parameters.
    SETTINGS = (
        *("edition", "first_row_number", "row_numbers_restart"),
        *("copy_limit", "patience"),
    )

    def __init__(self, s3_endpoint: str) -> None:
        self.s3_endpoint = s3_endpoint
        self.lock = threading.RLock()
        self.table_locks = threading.Condition()
        self.lock_holders: dict[Name, Any] = {}
        self.log: list[dict[str, Any]] = []
        self.failures: list[Failure] = []
        self.scan_time: datetime | None = None
        self.parameters = dict(PARAMETERS)
        self.edition = "STANDARD"
        #: METADATA$FILE_ROW_NUMBER of Parquet is documented nowhere: where it starts,
        #: and whether it starts anew with each row group.
        self.first_row_number = 1
        self.row_numbers_restart = False
        #: How many files a COPY loads within the time limit for statements.
        self.copy_limit: int | None = None
        #: Seconds after which a statement is answered by the address of its result.
        self.patience: float = 45
        #: A statement that matches waits until a test lets it go; only the first one.
        self.to_hold: re.Pattern[str] | None = None
        self.released = threading.Event()
        self.pipe_timezone: str | None = None
        self.idle_timeout: float = IDLE_TIMEOUT
        self.last_modified: dict[str, datetime] = {}
        self.duck = duckdb.connect(config={"threads": 1})
        self.kinds: dict[str, dict[Name, Any]] = defaultdict(dict)
        self.relations: dict[Name, Relation] = {}
        self.grants: list[Grant] = []
        for role in ("ACCOUNTADMIN", "PUBLIC", "SYSADMIN"):
            self.kinds["ROLE"][(role,)] = Thing("ROLE", (role,), "")

    def things(self, kind: str) -> dict[Name, Any]:
        """All objects of a kind, by name."""
        if kind in ("TABLE", "VIEW"):
            return {n: r for n, r in self.relations.items() if r.kind == kind}
        return self.kinds[kind]

    def find(self, kind: str, name: Name) -> Any:
        """An object that must exist."""
        found = self.things(kind).get(name)
        if found is None:
            raise missing(kind, ".".join(name))
        return found

    def add(self, thing: Thing, *, replace: bool, missing_only: bool) -> bool:
        """Register an object; return false if IF NOT EXISTS found one."""
        things = self.things(thing.kind)
        if thing.name in things and not replace:
            if missing_only:
                return False
            raise exists(".".join(thing.name))
        things[thing.name] = thing
        self.renew_grants(thing.kind, thing.name)
        return True

    def remove(self, kind: str, name: Name, *, if_exists: bool) -> bool:
        """Drop an object from the registry, with the grants on it."""
        if self.things(kind).get(name) is None:
            if if_exists:
                return False
            raise missing(kind, ".".join(name))
        del self.things(kind)[name]
        self.forget_grants(kind, name)
        return True

    def forget_grants(self, kind: str, name: Name) -> None:
        """Drop the grants on an object, and to it if it is a role or a user."""
        self.grants = [
            grant
            for grant in self.grants
            if (grant.kind, grant.name) != (kind, name)
            and (grant.to_kind, (grant.to,)) != (kind, name)
        ]

    def renew_grants(self, kind: str, name: Name) -> None:
        """sf:sql-reference/sql/grant-privilege: a new object has future grants only."""
        self.forget_grants(kind, name)
        for each in list(self.grants):
            if each.future and (each.kind, each.name) == (kind, name[:2]):
                new = Grant(each.privilege, kind, name, each.to_kind, each.to, each.by)
                self.grant(new)

    def grant(self, grant: Grant) -> None:
        """Record a grant once."""
        if grant not in self.grants:
            self.grants.append(grant)

    def wait_if_held(self, text: str) -> None:
        """Wait with the first statement that a test wants to hold."""
        with self.lock:
            held = self.to_hold is not None and self.to_hold.search(text)
            if held:
                self.to_hold = None
        if held:
            self.released.wait()

    def injected(self, text: str, when: str) -> SqlError | None:
        """The error that a test ordered for this statement, if any."""
        for failure in self.failures:
            found = re.search(failure.regex, text, re.IGNORECASE | re.DOTALL)
            if found and failure.when == when and failure.times > 0:
                failure.times -= 1
                return SqlError(failure.message, 603, "XX000")
        return None
