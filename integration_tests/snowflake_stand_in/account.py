"""The account: every object that is not data, and what tests may steer.

Data lives in DuckDB databases that fakesnow attaches. Everything else is here, in
plain Python, so that SHOW, DESCRIBE, the information schema and the tests read one
registry. With a state directory the registry is pickled beside the DuckDB files.
"""

from __future__ import annotations

import os
import pickle
import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fakesnow.instance
from fakesnow.fakes import FakeSnowflakeConnection

from integration_tests.snowflake_stand_in.errors import SqlError, exists, missing

Name = tuple[str, ...]
SYSTEM_ROLES = (
    "ACCOUNTADMIN",
    "ORGADMIN",
    "PUBLIC",
    "SECURITYADMIN",
    "SYSADMIN",
    "USERADMIN",
)
#: sf:sql-reference/parameters: defaults of the parameters this project may touch.
PARAMETERS = {
    "AUTOCOMMIT": "true",
    "CLIENT_SESSION_KEEP_ALIVE": "false",
    "DATA_RETENTION_TIME_IN_DAYS": "1",
    "ERROR_ON_NONDETERMINISTIC_MERGE": "true",
    "LOCK_TIMEOUT": "43200",
    "MULTI_STATEMENT_COUNT": "1",
    "QUERY_TAG": "",
    "QUOTED_IDENTIFIERS_IGNORE_CASE": "false",
    "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": "0",
    "STATEMENT_TIMEOUT_IN_SECONDS": "172800",
    "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ",
    "TIMEZONE": "America/Los_Angeles",
    "USE_CACHED_RESULT": "true",
    "WEEK_START": "0",
}


def now() -> datetime:
    """The current instant."""
    return datetime.now(UTC)


@dataclass
class Thing:
    """Any object: what it is, whose it is, and its properties."""

    kind: str
    name: Name
    owner: str
    properties: dict[str, Any] = field(default_factory=dict)
    created: datetime = field(default_factory=now)

    @property
    def fqn(self) -> str:
        """The dotted name."""
        return ".".join(self.name)

    @property
    def comment(self) -> str:
        """The object's comment, empty when it has none."""
        return self.properties.get("COMMENT", "")

    def place(self) -> dict[str, Any]:
        """The columns that nearly every SHOW command begins with."""
        place: dict[str, Any] = {
            "created_on": self.created,
            "name": self.name[-1],
            "owner": self.owner,
            "comment": self.comment,
            "owner_role_type": "ROLE",
        }
        if len(self.name) > 1:
            place["database_name"] = self.name[0]
        if len(self.name) > 2:
            place["schema_name"] = self.name[1]
        return place


@dataclass
class Load:
    """One file's entry in a load history (of a table, or of a pipe)."""

    file: str
    stage: str
    size: int
    status: str
    parsed: int = 0
    loaded: int = 0
    error: str | None = None
    pipe: Name | None = None
    received: datetime | None = None
    at: datetime = field(default_factory=now)


@dataclass
class Relation(Thing):
    """A table or a view; its rows are DuckDB's.

    ``copied`` is the table's own COPY metadata, by which COPY skips files;
    ``loads`` is what COPY_HISTORY shows. Both go with the table.
    """

    altered: datetime = field(default_factory=now)
    column_comments: dict[str, str] = field(default_factory=dict)
    copied: set[str] = field(default_factory=set)
    loads: list[Load] = field(default_factory=list)

    @property
    def is_view(self) -> bool:
        """Whether this is a view."""
        return self.kind == "VIEW"


@dataclass
class Stage(Thing):
    """An external stage; ``id`` is hidden, new whenever the stage is replaced."""

    id: str = ""
    integration_id: str | None = None

    @property
    def url(self) -> str:
        """The stage's URL."""
        return self.properties["URL"]


@dataclass
class Pipe(Thing):
    """A pipe with its own load history, and the events it has not handled."""

    statement: str = ""
    stage: Name = ()
    stage_id: str = ""
    path: str = ""
    table: Name = ()
    channel: str | None = None
    paused: bool = False
    history: dict[str, Load] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    received: datetime | None = None
    forwarded: datetime | None = None


@dataclass(frozen=True)
class Grant:
    """One privilege on one object, or (``future``) on objects to come."""

    privilege: str
    kind: str
    name: Name
    to_kind: str
    to: str
    option: bool = False
    by: str = ""
    future: bool = False
    created: datetime = field(default_factory=now, compare=False)


@dataclass
class Failure:
    """A statement error that a test ordered."""

    regex: str
    message: str
    times: int
    when: str

    def matches(self, text: str, when: str) -> bool:
        """Whether the statement is to fail at this point."""
        if self.when != when or self.times < 1:
            return False
        return re.search(self.regex, text, re.IGNORECASE | re.DOTALL) is not None


@dataclass
class Registry:
    """The part of the account that a state directory keeps."""

    things: dict[str, dict[Name, Any]] = field(default_factory=dict)
    relations: dict[Name, Relation] = field(default_factory=dict)
    grants: list[Grant] = field(default_factory=list)
    parameters: dict[str, str] = field(default_factory=dict)
    pipe_timezone: str | None = None


class Account:
    """One account: the registry, DuckDB through fakesnow, and the steering."""

    def __init__(
        self, state: Path | None = None, s3_endpoint: str | None = None
    ) -> None:
        self.s3_endpoint = s3_endpoint
        self.state = state
        self.lock = threading.RLock()
        self.table_locks = threading.Condition()
        self.lock_holders: dict[Name, Any] = {}
        self.log: list[dict[str, Any]] = []
        self.failures: list[Failure] = []
        self.scan_time: datetime | None = None
        self.last_modified: dict[str, datetime] = {}
        self.fs = fakesnow.instance.FakeSnow(False, False, db_path=state)
        self.registry = self._load()

    def _load(self) -> Registry:
        file = self.state and self.state / "registry.pickle"
        if not (file and file.exists()):
            registry = Registry()
            for role in SYSTEM_ROLES:
                thing = Thing("ROLE", (role,), "")
                registry.things.setdefault("ROLE", {})[thing.name] = thing
            return registry
        registry = pickle.loads(file.read_bytes())
        for (database,) in registry.things.get("DATABASE", {}):
            self.attach(database)
        return registry

    def attach(self, database: str) -> None:
        """Attach a database's DuckDB file (or memory), as fakesnow does it."""
        cursor = self.fs.duck_conn.cursor()
        FakeSnowflakeConnection(
            cursor, {}, database, create_schema=False, db_path=self.state
        )

    def save(self) -> None:
        """Write the registry to the state directory, if there is one."""
        if self.state:
            draft = self.state / "registry.draft"
            draft.write_bytes(pickle.dumps(self.registry))
            os.replace(draft, self.state / "registry.pickle")

    def things(self, kind: str) -> dict[Name, Any]:
        """All objects of a kind, by name."""
        return self.registry.things.setdefault(kind, {})

    def find(self, kind: str, name: Name) -> Any:
        """An object that must exist."""
        if kind in ("TABLE", "VIEW"):
            relation = self.registry.relations.get(name)
            if relation is None:
                raise missing(kind, ".".join(name))
            return relation
        found = self.things(kind).get(name)
        if found is None:
            raise missing(kind, ".".join(name))
        return found

    def add(self, thing: Thing, *, replace: bool, missing_only: bool) -> bool:
        """Register an object; false when IF NOT EXISTS found it there."""
        things = self.things(thing.kind)
        if replace and missing_only:
            raise SqlError("options OR REPLACE and IF NOT EXISTS are incompatible")
        if thing.name in things and not replace:
            if missing_only:
                return False
            raise exists(thing.fqn)
        if thing.name in things:
            self.forget_grants(thing.kind, thing.name)
        things[thing.name] = thing
        self.apply_future_grants(thing.kind, thing.name)
        return True

    def remove(self, kind: str, name: Name, *, if_exists: bool) -> bool:
        """Drop an object from the registry, with the grants on it."""
        if name not in self.things(kind):
            if if_exists:
                return False
            raise missing(kind, ".".join(name))
        del self.things(kind)[name]
        self.forget_grants(kind, name)
        return True

    def forget_grants(self, kind: str, name: Name) -> None:
        """Drop the grants on an object, and to it if it is a role or a user."""
        self.registry.grants = [
            grant
            for grant in self.registry.grants
            if (grant.kind, grant.name) != (kind, name)
            and (grant.to_kind, (grant.to,)) != (kind, name)
        ]

    def apply_future_grants(self, kind: str, name: Name) -> None:
        """sf:sql-reference/sql/grant-privilege: a schema's future grants win."""
        for depth in (2, 1):
            coming = [
                grant
                for grant in self.registry.grants
                if grant.future and grant.kind == kind and grant.name == name[:depth]
            ]
            for grant in coming:
                self.grant(
                    Grant(
                        grant.privilege,
                        kind,
                        name,
                        grant.to_kind,
                        grant.to,
                        grant.option,
                        grant.by,
                    )
                )
            if coming and len(name) > 2:
                return

    def grant(self, grant: Grant) -> None:
        """Record a grant once."""
        if grant not in self.registry.grants:
            self.registry.grants.append(grant)

    def parameter(self, name: str) -> str:
        """A parameter's value on the account."""
        return self.registry.parameters.get(name, PARAMETERS[name])

    def injected(self, text: str, when: str) -> SqlError | None:
        """The error that a test ordered for this statement, if any."""
        for failure in self.failures:
            if failure.matches(text, when):
                failure.times -= 1
                return SqlError(failure.message, 603, "XX000")
        return None
