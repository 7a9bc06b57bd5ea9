"""Account objects, grants, and statements about the session itself.

Followed: sf:sql-reference/sql/{create-warehouse,create-resource-monitor,create-role,
create-user,create-network-policy,create-storage-integration,alter-storage-integration,
desc-integration,grant-privilege,revoke-privilege,show-grants,use,alter-session,
create-function}. Options are checked against the documented names; an object named in
an option or a grant must exist. Not modelled: enforcement of privileges, managed
access schemas, database roles, secondary roles, overloaded functions.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Any

from sqlglot import exp

from integration_tests.snowflake_stand_in import text
from integration_tests.snowflake_stand_in.account import (
    PARAMETERS,
    Grant,
    Name,
    Relation,
    Thing,
)
from integration_tests.snowflake_stand_in.errors import (
    SqlError,
    compilation,
    syntax,
)
from integration_tests.snowflake_stand_in.results import Result
from integration_tests.snowflake_stand_in.session import Session, statement

Match = re.Match[str]
_DONE = "Statement executed successfully."

_PROPERTIES = {
    "WAREHOUSE": "WAREHOUSE_TYPE WAREHOUSE_SIZE MAX_CLUSTER_COUNT MIN_CLUSTER_COUNT"
    " SCALING_POLICY AUTO_SUSPEND AUTO_RESUME INITIALLY_SUSPENDED RESOURCE_MONITOR"
    " COMMENT ENABLE_QUERY_ACCELERATION MAX_CONCURRENCY_LEVEL"
    " STATEMENT_QUEUED_TIMEOUT_IN_SECONDS STATEMENT_TIMEOUT_IN_SECONDS",
    "ROLE": "COMMENT",
    "USER": "PASSWORD LOGIN_NAME DISPLAY_NAME EMAIL TYPE DISABLED COMMENT"
    " DEFAULT_WAREHOUSE DEFAULT_NAMESPACE DEFAULT_ROLE DEFAULT_SECONDARY_ROLES"
    " RSA_PUBLIC_KEY RSA_PUBLIC_KEY_2 NETWORK_POLICY MUST_CHANGE_PASSWORD "
    + " ".join(PARAMETERS),
    "RESOURCE MONITOR": "CREDIT_QUOTA FREQUENCY START_TIMESTAMP END_TIMESTAMP"
    " NOTIFY_USERS",
    "NETWORK POLICY": "ALLOWED_IP_LIST BLOCKED_IP_LIST ALLOWED_NETWORK_RULE_LIST"
    " BLOCKED_NETWORK_RULE_LIST COMMENT",
    "STORAGE INTEGRATION": "TYPE STORAGE_PROVIDER ENABLED STORAGE_AWS_ROLE_ARN"
    " STORAGE_AWS_EXTERNAL_ID STORAGE_AWS_OBJECT_ACL STORAGE_ALLOWED_LOCATIONS"
    " STORAGE_BLOCKED_LOCATIONS USE_PRIVATELINK_ENDPOINT COMMENT",
    "NOTIFICATION INTEGRATION": "TYPE ENABLED DIRECTION NOTIFICATION_PROVIDER"
    " AWS_SNS_TOPIC_ARN AWS_SNS_ROLE_ARN COMMENT",
    "FILE FORMAT": "TYPE COMPRESSION SNAPPY_COMPRESSION BINARY_AS_TEXT TRIM_SPACE"
    " USE_LOGICAL_TYPE USE_VECTORIZED_SCANNER REPLACE_INVALID_CHARACTERS NULL_IF"
    " COMMENT",
    "DATABASE": "DATA_RETENTION_TIME_IN_DAYS MAX_DATA_EXTENSION_TIME_IN_DAYS COMMENT",
    "SCHEMA": "DATA_RETENTION_TIME_IN_DAYS MAX_DATA_EXTENSION_TIME_IN_DAYS COMMENT",
}
#: Options that name another object, which must exist.
_REFERENCES = {
    "RESOURCE_MONITOR": "RESOURCE MONITOR",
    "NETWORK_POLICY": "NETWORK POLICY",
}
_KINDS = "warehouse|role|user|resource monitor|network policy|file format"
_INTEGRATION = r"(?:(?:storage|notification)\s+)?integration"
_SCHEMA_LEVEL = ("TABLE", "VIEW", "STAGE", "PIPE", "FUNCTION", "FILE FORMAT")


def _allowed(kind: str) -> frozenset[str]:
    return frozenset(_PROPERTIES[kind].split())


def _kind(match: Match) -> str:
    return " ".join(match["kind"].upper().split())


def full_name(session: Session, kind: str, name: str) -> Name:
    """A name of the depth that the kind has."""
    depth = 3 if kind in _SCHEMA_LEVEL else 2 if kind == "SCHEMA" else 1
    if depth > 1:
        return session.resolve(name, depth)
    return text.name_parts(name)


def _values(session: Session, kind: str, rest: str) -> dict[str, Any]:
    triggers = re.search(r"\btriggers\b(.*)$", rest, re.IGNORECASE | re.DOTALL)
    rest = rest[: triggers.start()] if triggers else rest
    values: dict[str, Any] = {
        key: text.unquote(value) if not value.startswith("(") else text.literals(value)
        for key, value in text.options(rest, _allowed(kind)).items()
    }
    if triggers:
        values["TRIGGERS"] = re.findall(
            r"on\s+(\d+)\s+percent\s+do\s+(notify|suspend_immediate|suspend)",
            triggers[1],
            re.IGNORECASE,
        )
    for option, referred in _REFERENCES.items():
        if option in values and str(values[option]).upper() != "NULL":
            name = text.name_parts(str(values[option]))
            session.account.find(referred, name)
            values[option] = name[0]
    return values


@statement(rf"create {{replace}}(?P<kind>{_KINDS}) {{missing}}{{name}}{{rest}}")
def create_object(session: Session, match: Match) -> Result:
    """CREATE of an object that is only its properties."""
    session.commit()
    kind = _kind(match)
    name = full_name(session, kind, match["name"])
    values = _values(session, kind, match["rest"])
    if kind == "USER":
        _check_user(values)
    if kind == "WAREHOUSE":
        values.setdefault("WAREHOUSE_SIZE", "XSMALL")
        values.setdefault("AUTO_SUSPEND", "600")
    return _register(session, Thing(kind, name, session.role, values), match)


def _register(session: Session, thing: Thing, match: Match) -> Result:
    added = session.account.add(
        thing, replace=bool(match["replace"]), missing_only=bool(match["missing"])
    )
    name, title = thing.name[-1], thing.kind.capitalize()
    if not added:
        return Result.status(f"{name} already exists, statement succeeded.")
    return Result.status(f"{title} {name} successfully created.")


def _check_user(values: dict[str, Any]) -> None:
    if str(values.get("TYPE", "")).upper() == "SERVICE" and "PASSWORD" in values:
        raise SqlError("Cannot set PASSWORD for a user of TYPE = SERVICE", 1426)


@statement(
    rf"alter (?P<kind>{_KINDS}|schema|database) {{exists}}{{name}}"
    r" (?P<verb>set|unset|suspend|resume(?:\s+if\s+suspended)?)(?P<rest>\s.*|)"
)
def alter_object(session: Session, match: Match) -> Result:
    """ALTER ... SET, UNSET, SUSPEND or RESUME."""
    session.commit()
    kind = _kind(match)
    name = full_name(session, kind, match["name"])
    if match["exists"] and name not in session.account.things(kind):
        return Result.status(_DONE)
    thing = session.account.find(kind, name)
    verb = match["verb"].lower()
    if verb == "set":
        values = thing.properties | _values(session, kind, match["rest"])
        if kind == "USER":
            _check_user(values)
        thing.properties = values
    elif verb == "unset":
        for key in match["rest"].upper().split(","):
            thing.properties.pop(key.strip(), None)
    else:
        thing.properties["SUSPENDED"] = verb == "suspend"
    return Result.status(_DONE)


@statement(
    rf"drop (?P<kind>{_KINDS}|{_INTEGRATION}|stage|schema|database|function)"
    r" {exists}{name}\s*(?:\([^)]*\))?(?:\s+(?:cascade|restrict))?"
)
def drop_object(session: Session, match: Match) -> Result:
    """DROP of anything but relations and pipes."""
    session.commit()
    kind = "INTEGRATION" if "INTEGRATION" in _kind(match) else _kind(match)
    name = full_name(session, kind, match["name"])
    found = session.account.remove(kind, name, if_exists=bool(match["exists"]))
    if not found:
        return Result.status("Drop statement executed successfully.")
    if kind == "FUNCTION":
        session.duckdb(f"drop macro {session.physical(name)}")
    elif kind in ("SCHEMA", "DATABASE"):
        _drop_contents(session, kind, name)
    return Result.status(f"{name[-1]} successfully dropped.")


def _drop_contents(session: Session, kind: str, name: Name) -> None:
    registry = session.account.registry
    if (session.database, session.schema)[: len(name)] == name:
        session.use(None, None)
        session.duckdb("set schema = 'memory.main'")
    physical = ".".join(f'"{part}"' for part in name)
    if kind == "SCHEMA":
        session.duckdb(f"drop schema {physical} cascade")
    else:
        session.duckdb(f"detach {physical}")
    for things in (registry.relations, *registry.things.values()):
        for other in [o for o in things if o != name and o[: len(name)] == name]:
            del things[other]


@statement(r"create {replace}(?:transient\s+)?database {missing}{name}{rest}")
def create_database(session: Session, match: Match) -> Result:
    """CREATE DATABASE, with its schema PUBLIC; the session moves into it."""
    session.commit()
    name = text.name_parts(match["name"])
    if match["replace"] and name in session.account.things("DATABASE"):
        raise syntax("CREATE OR REPLACE DATABASE of an existing one")
    values = _values(session, "DATABASE", match["rest"])
    known = name in session.account.things("DATABASE")
    result = _register(session, Thing("DATABASE", name, session.role, values), match)
    if not known:
        session.account.attach(name[0])
        _add_schema(session, (name[0], "PUBLIC"))
    session.use(name[0], "PUBLIC")
    return result


def _add_schema(session: Session, name: Name) -> None:
    schema = Thing("SCHEMA", name, session.role)
    session.account.add(schema, replace=False, missing_only=False)
    session.duckdb(f'create schema "{name[0]}"."{name[1]}"')


@statement(r"create {replace}(?P<transient>transient\s+)?schema {missing}{name}{rest}")
def create_schema(session: Session, match: Match) -> Result:
    """CREATE SCHEMA; the session moves into it."""
    session.commit()
    name = session.resolve(match["name"], 2)
    session.account.find("DATABASE", name[:1])
    managed = re.compile(r"\bwith\s+managed\s+access\b", re.IGNORECASE)
    values = _values(session, "SCHEMA", managed.sub("", match["rest"]))
    values["TRANSIENT"] = bool(match["transient"])
    known = name in session.account.things("SCHEMA")
    result = _register(session, Thing("SCHEMA", name, session.role, values), match)
    if known and match["replace"]:
        _drop_contents(session, "SCHEMA", name)
    if not known or match["replace"]:
        session.duckdb(f'create schema "{name[0]}"."{name[1]}"')
    session.use(*name)
    return result


# ----- integrations


@statement(
    r"create {replace}(?P<kind>storage integration|notification integration)"
    r" {missing}{name}{rest}"
)
def create_integration(session: Session, match: Match) -> Result:
    """CREATE STORAGE INTEGRATION; Snowflake makes the external id if none is given."""
    session.commit()
    kind = _kind(match)
    values = _values(session, kind, match["rest"])
    values["CATEGORY"] = kind.split()[0]
    if kind == "STORAGE INTEGRATION":
        for needed in ("STORAGE_AWS_ROLE_ARN", "STORAGE_ALLOWED_LOCATIONS"):
            if needed not in values:
                raise compilation(f"Missing option(s): [{needed}]", 2028)
        generated = f"STANDIN_SFCRole=2_{secrets.token_urlsafe(24)}="
        values.setdefault("STORAGE_AWS_EXTERNAL_ID", generated)
    values["ID"] = secrets.token_hex(8)
    name = text.name_parts(match["name"])
    return _register(session, Thing("INTEGRATION", name, session.role, values), match)


@statement(rf"alter {_INTEGRATION} {{exists}}{{name}} (?P<verb>set|unset) {{rest}}")
def alter_integration(session: Session, match: Match) -> Result:
    """ALTER STORAGE INTEGRATION keeps the external id unless it sets one."""
    session.commit()
    name = text.name_parts(match["name"])
    if match["exists"] and name not in session.account.things("INTEGRATION"):
        return Result.status(_DONE)
    integration = session.account.find("INTEGRATION", name)
    kind = integration.properties["CATEGORY"] + " INTEGRATION"
    if match["verb"].lower() == "set":
        integration.properties |= _values(session, kind, match["rest"])
    else:
        for key in match["rest"].upper().split(","):
            integration.properties.pop(key.strip(), None)
    return Result.status(_DONE)


@statement(rf"(?:describe|desc) {_INTEGRATION} {{name}}")
def describe_integration(session: Session, match: Match) -> Result:
    """DESC INTEGRATION: one row a property."""
    found = session.account.find("INTEGRATION", text.name_parts(match["name"]))
    values = found.properties
    typed = {
        "ENABLED": "Boolean",
        "STORAGE_PROVIDER": "String",
        "STORAGE_ALLOWED_LOCATIONS": "List",
        "STORAGE_BLOCKED_LOCATIONS": "List",
        "STORAGE_AWS_IAM_USER_ARN": "String",
        "STORAGE_AWS_ROLE_ARN": "String",
        "STORAGE_AWS_EXTERNAL_ID": "String",
        "USE_PRIVATELINK_ENDPOINT": "Boolean",
        "COMMENT": "String",
    }
    own = {"STORAGE_AWS_IAM_USER_ARN": "arn:aws:iam::123456789001:user/abc1-b-self1234"}
    rows = []
    for name, kind in typed.items():
        value = values.get(name, own.get(name, "false" if kind == "Boolean" else ""))
        value = ",".join(value) if isinstance(value, list) else str(value)
        rows.append(
            {
                "property": name,
                "property_type": kind,
                "property_value": value.lower() if kind == "Boolean" else value,
                "property_default": {"Boolean": "false", "List": "[]"}.get(kind, ""),
            }
        )
    return Result.table("property property_type property_value property_default", rows)


@statement(r"(?:describe|desc) (?P<kind>user|network policy) {name}")
def describe_object(session: Session, match: Match) -> Result:
    """DESC USER and DESC NETWORK POLICY: one row a property."""
    found = session.account.find(_kind(match), text.name_parts(match["name"]))
    rows = []
    for name, value in found.properties.items():
        shown = ",".join(value) if isinstance(value, list) else str(value)
        shown = "********" if name == "PASSWORD" else shown
        rows.append({"property": name, "name": name, "value": shown})
    return Result.table("property name value", rows)


# ----- SHOW rows


def row(session: Session, thing: Thing) -> dict[str, Any]:
    """An object as its SHOW command has it."""
    values, grants = thing.properties, session.account.registry.grants
    shown = thing.place()
    match thing.kind:
        case "WAREHOUSE":
            suspended = values.get("SUSPENDED", values.get("INITIALLY_SUSPENDED"))
            stopped = str(suspended).upper() == "TRUE"
            shown |= {
                "state": "SUSPENDED" if stopped else "STARTED",
                "type": values.get("WAREHOUSE_TYPE", "STANDARD"),
                "size": _size(values["WAREHOUSE_SIZE"]),
                "running": 0,
                "queued": 0,
                "is_current": "Y" if session.warehouse == thing.name[0] else "N",
                "auto_suspend": int(values["AUTO_SUSPEND"]),
                "auto_resume": str(values.get("AUTO_RESUME", "true")).lower(),
                "resource_monitor": values.get("RESOURCE_MONITOR", "null"),
            }
        case "ROLE":
            granted = [g for g in grants if g.kind == "ROLE" and g.name == thing.name]
            held = [g for g in grants if g.kind == "ROLE" and g.to == thing.name[0]]
            shown |= {
                "is_current": "Y" if session.role == thing.name[0] else "N",
                "assigned_to_users": sum(g.to_kind == "USER" for g in granted),
                "granted_to_roles": sum(g.to_kind == "ROLE" for g in granted),
                "granted_roles": len(held),
            }
        case "USER":
            shown |= {key.lower(): values.get(key) for key in _allowed("USER")}
            shown |= {
                "type": str(values.get("TYPE", "")).upper() or None,
                "disabled": str(values.get("DISABLED", "false")).lower(),
                "has_password": "true" if "PASSWORD" in values else "false",
                "has_rsa_public_key": str("RSA_PUBLIC_KEY" in values).lower(),
                "comment": thing.comment,
            }
        case "RESOURCE MONITOR":
            shown |= _monitor(values)
        case "NETWORK POLICY":
            for side in ("allowed", "blocked"):
                listed = values.get(f"{side.upper()}_IP_LIST", [])
                shown[f"entries_in_{side}_ip_list"] = len(listed)
        case "INTEGRATION":
            shown |= {
                "type": values.get("TYPE"),
                "category": values["CATEGORY"],
                "enabled": str(values.get("ENABLED", "false")).lower(),
            }
        case "SCHEMA" | "DATABASE":
            options = "TRANSIENT" if values.get("TRANSIENT") else ""
            days = values.get("DATA_RETENTION_TIME_IN_DAYS", "1")
            shown |= {"options": options, "retention_time": days, "kind": "STANDARD"}
            if thing.kind == "SCHEMA":
                shown["kind"] = None
        case "STAGE":
            shown |= {
                "url": values["URL"],
                "has_credentials": "N",
                "has_encryption_key": "N",
                "type": "EXTERNAL",
                "cloud": "AWS",
                "storage_integration": values.get("STORAGE_INTEGRATION"),
            }
        case "PIPE":
            shown |= values["SHOWN"] | {"comment": thing.comment}
        case "FUNCTION":
            shown |= values | {"catalog_name": thing.name[0], "is_builtin": "N"}
        case "FILE FORMAT":
            shown |= {"type": values.get("TYPE", "CSV"), "format_options": str(values)}
    return shown


def _size(value: str) -> str:
    names = {"XSMALL": "X-Small", "SMALL": "Small", "MEDIUM": "Medium"}
    names |= {"LARGE": "Large", "XLARGE": "X-Large"}
    key = value.upper().replace("-", "")
    if key not in names:
        raise compilation(
            f"invalid property value '{value}' for 'WAREHOUSE_SIZE'", 1506
        )
    return names[key]


def _monitor(values: dict[str, Any]) -> dict[str, Any]:
    triggers: dict[str, list[str]] = {}
    for percent, action in values.get("TRIGGERS", []):
        triggers.setdefault(action.lower(), []).append(f"{percent}%")
    quota = values.get("CREDIT_QUOTA")
    return {
        "credit_quota": quota,
        "used_credits": "0.00",
        "remaining_credits": quota,
        "frequency": values.get("FREQUENCY", "MONTHLY").upper(),
        "notify_at": ",".join(triggers.get("notify", [])),
        "suspend_at": ",".join(triggers.get("suspend", [])),
        "suspend_immediately_at": ",".join(triggers.get("suspend_immediate", [])),
    }


# ----- grants

_PRIVILEGES = {
    "ACCOUNT": "CREATE DATABASE,CREATE WAREHOUSE,CREATE ROLE,CREATE USER,"
    "CREATE INTEGRATION,CREATE STORAGE INTEGRATION,CREATE NETWORK POLICY,"
    "CREATE RESOURCE MONITOR,MANAGE GRANTS,MONITOR USAGE,MONITOR EXECUTION,"
    "EXECUTE TASK,EXECUTE MANAGED TASK,IMPORT SHARE,MANAGE WAREHOUSES,MONITOR",
    "DATABASE": "USAGE,MONITOR,MODIFY,CREATE SCHEMA,CREATE DATABASE ROLE",
    "SCHEMA": "USAGE,MONITOR,MODIFY,CREATE TABLE,CREATE VIEW,CREATE STAGE,CREATE PIPE,"
    "CREATE FUNCTION,CREATE FILE FORMAT,CREATE DYNAMIC TABLE,CREATE EXTERNAL TABLE,"
    "CREATE SEQUENCE,CREATE STREAM,CREATE TASK,CREATE TAG,CREATE PROCEDURE,"
    "ADD SEARCH OPTIMIZATION",
    "TABLE": "SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,EVOLVE SCHEMA",
    "VIEW": "SELECT,REFERENCES",
    "STAGE": "USAGE,READ,WRITE",
    "PIPE": "MONITOR,OPERATE",
    "WAREHOUSE": "USAGE,OPERATE,MONITOR,MODIFY",
    "INTEGRATION": "USAGE",
    "FUNCTION": "USAGE",
    "FILE FORMAT": "USAGE",
    "USER": "MONITOR",
    "ROLE": "USAGE",
    "RESOURCE MONITOR": "MONITOR,MODIFY",
}
_ON_KINDS = (
    "database|schema|table|view|stage|pipe|warehouse|integration|function|file format"
    "|user|role|resource monitor"
)
_BULK = "tables|views|stages|pipes|functions|file formats|schemas"
_TO = (
    rf"(?:(?P<to_kind>role|user)\s+)?(?P<to>{text.IDENTIFIER}"
    rf"(?:\s*,\s*{text.IDENTIFIER})*)"
    r"(?P<option>\s+with\s+grant\s+option)?"
    r"(?:\s+(?:revoke|copy)\s+current\s+grants)?(?:\s+(?:cascade|restrict))?"
)


def _granted(session: Session, match: Match) -> Iterable[tuple[str, str, Name]]:
    """Privilege, kind and object of each grant that a statement names."""
    fields = match.groupdict()
    if fields.get("account"):
        targets: list[tuple[str, Name]] = [("ACCOUNT", ())]
    elif fields.get("bulk"):
        kind = " ".join(match["bulk"].upper().split()).removesuffix("S")
        depth = 1 if match["scope"].lower() == "database" else 2
        scope = session.resolve(match["name"], depth)
        session.account.find(match["scope"].upper(), scope)
        targets = [(kind, scope)]
        if match["reach"].lower() == "all":
            targets = [
                (kind, name)
                for name in _objects(session, kind)
                if name[:depth] == scope
            ]
    else:
        kind = " ".join((match["kind"] or "table").upper().split())
        name = full_name(session, kind, match["name"])
        if kind in ("TABLE", "VIEW"):
            relation: Relation = session.account.find(kind, name)
            targets = [(relation.kind, name)]
        else:
            session.account.find(kind, name)
            targets = [(kind, name)]
    for kind, name in targets:
        for privilege in _privileges(match["privileges"], kind):
            yield privilege, kind, name


def _objects(session: Session, kind: str) -> list[Name]:
    if kind in ("TABLE", "VIEW"):
        relations = session.account.registry.relations
        return [name for name, relation in relations.items() if relation.kind == kind]
    return list(session.account.things(kind))


def _privileges(written: str, kind: str) -> list[str]:
    allowed = _PRIVILEGES[kind].split(",")
    wanted = [" ".join(part.upper().split()) for part in written.split(",")]
    if wanted in (["ALL"], ["ALL PRIVILEGES"]):
        return allowed
    for privilege in wanted:
        if privilege not in (*allowed, "OWNERSHIP"):
            raise compilation(f"Invalid privilege '{privilege}' for {kind}", 3008)
    return wanted


@statement(
    rf"(?P<verb>grant) (?P<privileges>.+?) on (?P<account>account) to {_TO}",
    rf"(?P<verb>revoke) (?P<privileges>.+?) on (?P<account>account) from {_TO}",
    rf"(?P<verb>grant) (?P<privileges>.+?) on (?P<reach>all|future) (?P<bulk>{_BULK})"
    rf" in (?P<scope>schema|database) {{name}} to {_TO}",
    rf"(?P<verb>revoke) (?P<privileges>.+?) on (?P<reach>all|future) (?P<bulk>{_BULK})"
    rf" in (?P<scope>schema|database) {{name}} from {_TO}",
    rf"(?P<verb>grant) (?P<privileges>.+?) on (?:(?P<kind>{_ON_KINDS})\s+)?{{name}}"
    rf"\s*(?:\([^)]*\))?\s+to {_TO}",
    rf"(?P<verb>revoke) (?P<privileges>.+?) on (?:(?P<kind>{_ON_KINDS})\s+)?{{name}}"
    rf"\s*(?:\([^)]*\))?\s+from {_TO}",
)
def grant_privileges(session: Session, match: Match) -> Result:
    """GRANT and REVOKE of privileges, also on ALL and FUTURE objects."""
    session.commit()
    to_kind = (match["to_kind"] or "role").upper()
    future = (match.groupdict().get("reach") or "").lower() == "future"
    option = bool(match["option"])
    for grantee in text.name_parts(match["to"]):
        session.account.find(to_kind, (grantee,))
        for privilege, kind, name in _granted(session, match):
            entry = Grant(
                privilege, kind, name, to_kind, grantee, option, session.role, future
            )
            if match["verb"].lower() == "revoke":
                _revoke(session, entry)
            elif privilege == "OWNERSHIP" and not future:
                _owned(session, kind, name).owner = grantee
            else:
                session.account.grant(entry)
    return Result.status(_DONE)


def _owned(session: Session, kind: str, name: Name) -> Thing:
    return session.account.find(kind, name)


def _revoke(session: Session, entry: Grant) -> None:
    def same(grant: Grant) -> bool:
        ours = (grant.privilege, grant.kind, grant.name, grant.to_kind, grant.to)
        theirs = (entry.privilege, entry.kind, entry.name, entry.to_kind, entry.to)
        return ours == theirs and grant.future == entry.future

    registry = session.account.registry
    registry.grants = [grant for grant in registry.grants if not same(grant)]


@statement(
    rf"(?P<verb>grant) role {{name}} to (?P<to_kind>role|user) (?P<to>{text.NAME})",
    rf"(?P<verb>revoke) role {{name}} from (?P<to_kind>role|user) (?P<to>{text.NAME})",
)
def grant_role(session: Session, match: Match) -> Result:
    """GRANT ROLE and REVOKE ROLE."""
    session.commit()
    name, to = text.name_parts(match["name"]), text.name_parts(match["to"])
    to_kind = match["to_kind"].upper()
    session.account.find("ROLE", name)
    session.account.find(to_kind, to)
    entry = Grant("USAGE", "ROLE", name, to_kind, to[0], by=session.role)
    if match["verb"].lower() == "revoke":
        _revoke(session, entry)
    else:
        session.account.grant(entry)
    return Result.status(_DONE)


@statement(
    r"show (?P<future>future\s+)?grants(?:\s+(?P<way>on|to|of|in)\s+(?:(?P<account>"
    rf"account)|(?:(?P<kind>{_ON_KINDS})\s+)?{{name}}\s*(?:\([^)]*\))?))?"
)
def show_grants(session: Session, match: Match) -> Result:
    """SHOW GRANTS ON, TO, OF, and SHOW FUTURE GRANTS IN."""
    way = (match["way"] or "to").lower()
    kind = " ".join((match["kind"] or "").upper().split())
    grants = session.account.registry.grants
    if match["future"]:
        grants = [g for g in grants if g.future]
    else:
        grants = [g for g in grants if not g.future]
    if way in ("to", "of"):
        kind, name = kind or "ROLE", text.name_parts(match["name"] or session.role)
        session.account.find(kind, name)
        if way == "to":
            grants = [g for g in grants if (g.to_kind, (g.to,)) == (kind, name)]
        else:
            grants = [g for g in grants if (g.kind, g.name) == ("ROLE", name)]
    elif match["account"]:
        grants = [g for g in grants if g.kind == "ACCOUNT"]
    else:
        kind = kind or "TABLE"
        name = full_name(session, kind, match["name"])
        thing = session.account.find(kind, name)
        if not match["future"]:
            kind = thing.kind
            grants = [g for g in grants if (g.kind, g.name) == (kind, name)]
            if thing.owner:
                owner = thing.owner
                own = Grant("OWNERSHIP", kind, name, "ROLE", owner, True, owner)
                grants = [own, *grants]
        else:
            grants = [g for g in grants if g.name == name]
    rows = [_grant_row(grant) for grant in grants]
    if match["future"]:
        return Result.table(
            "created_on privilege grant_on name grant_to grantee_name grant_option",
            rows,
        )
    if way == "of":
        return Result.table(
            "created_on role granted_to grantee_name granted_by",
            [row | {"role": row["name"]} for row in rows],
        )
    return Result.table(
        "created_on privilege granted_on name granted_to grantee_name grant_option"
        " granted_by",
        rows,
    )


def _grant_row(grant: Grant) -> dict[str, Any]:
    name = ".".join(grant.name)
    kind = grant.kind.replace(" ", "_")
    if grant.future:
        name = f"{name}.<{kind}>"
    return {
        "created_on": grant.created,
        "privilege": grant.privilege,
        "granted_on": kind,
        "grant_on": kind,
        "name": name,
        "granted_to": grant.to_kind,
        "grant_to": grant.to_kind,
        "grantee_name": grant.to,
        "grant_option": "true" if grant.option else "false",
        "granted_by": grant.by,
    }


# ----- functions

_FUNCTION = (
    r"create {replace}(?:secure\s+)?function {missing}{name}\s*"
    r"\((?P<arguments>[^)]*)\) returns (?P<returns>\w+(?:\s*\([\d, ]+\))?)"
    r"(?P<options>.*?)\s+as\s+(?P<body>'.*'|\$\$.*\$\$)"
)


@statement(_FUNCTION)
def create_function(session: Session, match: Match) -> Result:
    """CREATE FUNCTION in SQL, as a DuckDB macro with the arguments cast."""
    session.commit()
    other = re.search(r"\blanguage\s+(?!sql\b)\w+", match["options"], re.IGNORECASE)
    if other:
        raise syntax(other[0])
    name = session.resolve(match["name"])
    session.account.find("SCHEMA", name[:2])
    declared = [part.split(None, 1) for part in match["arguments"].split(",") if part]
    arguments = {argument.upper(): kind for argument, kind in declared}
    parsed = session.parse(f"select ({text.unquote(match['body']).strip()})")
    for column in list(parsed.find_all(exp.Column)):
        if not column.table and column.name.upper() in arguments:
            kind = arguments[column.name.upper()]
            column.replace(exp.cast(column.copy(), kind, dialect="snowflake"))
    returned = exp.cast(parsed.expressions[0], match["returns"], dialect="snowflake")
    query = exp.select(returned)
    sql = session.translate(query).removeprefix("SELECT ")
    known = name in session.account.things("FUNCTION")
    kinds = ", ".join(arguments.values()).upper()
    values = {
        "arguments": f"{name[-1]}({kinds}) RETURN {match['returns'].upper()}",
        "min_num_arguments": len(arguments),
        "max_num_arguments": len(arguments),
        "language": "SQL",
        "description": "user-defined function",
    }
    result = _register(session, Thing("FUNCTION", name, session.role, values), match)
    if not known or match["replace"]:
        session.duckdb(
            f"create or replace macro {session.physical(name)}"
            f"({', '.join(arguments)}) as ({sql})"
        )
    return result


# ----- the session


@statement(
    r"use (?P<kind>role|warehouse|database|schema) {name}",
    r"use (?P<kind>)(?!secondary\s){name}",
    r"use secondary (?P<kind>roles) (?P<name>all|none)",
)
def use(session: Session, match: Match) -> Result:
    """USE ROLE, WAREHOUSE, DATABASE, SCHEMA."""
    kind, parts = match["kind"].upper(), text.name_parts(match["name"])
    if kind == "ROLES":
        return Result.status(_DONE)
    if kind == "ROLE":
        session.account.find("ROLE", parts)
        session.role = parts[0]
    elif kind == "WAREHOUSE":
        session.account.find("WAREHOUSE", parts)
        session.warehouse = parts[0]
    elif kind == "DATABASE" or (not kind and len(parts) == 1):
        public = (parts[0], "PUBLIC") in session.account.things("SCHEMA")
        session.use(parts[0], "PUBLIC" if public else None)
    else:
        session.use(*session.resolve(parts, 2))
    return Result.status(_DONE)


@statement(r"alter (?P<kind>session|account) (?P<verb>set|unset) {rest}")
def set_parameters(session: Session, match: Match) -> Result:
    """ALTER SESSION and ALTER ACCOUNT."""
    values: dict[str, str | None]
    if match["verb"].lower() == "set":
        written = text.options(match["rest"])
        values = {key: text.unquote(value) for key, value in written.items()}
    else:
        values = dict.fromkeys(k.strip() for k in match["rest"].upper().split(","))
    for key, value in values.items():
        if match["kind"].lower() == "session":
            session.set_parameter(key, value)
        elif key not in PARAMETERS:
            raise compilation(f"invalid property '{key}' for 'ACCOUNT'", 1506)
        elif value is None:
            session.account.registry.parameters.pop(key, None)
        else:
            session.account.registry.parameters[key] = value
    session.apply_timezone()
    return Result.status(_DONE)


@statement(
    r"(?P<verb>begin)(?:\s+(?:transaction|work))?(?:\s+name\s+\w+)?",
    r"(?P<verb>start) transaction",
    r"(?P<verb>commit)(?:\s+work)?",
    r"(?P<verb>rollback)(?:\s+work)?",
)
def transaction(session: Session, match: Match) -> Result:
    """BEGIN, COMMIT and ROLLBACK."""
    {
        "begin": session.begin,
        "start": session.begin,
        "commit": session.commit,
        "rollback": session.rollback,
    }[match["verb"].lower()]()
    return Result.status(_DONE)
