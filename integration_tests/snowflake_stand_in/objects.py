"""Account objects, schemas, functions, grants, and statements about the session.

Followed: sf:sql-reference/sql/{create-warehouse,create-resource-monitor,create-role,
create-user,alter-user,create-network-policy,create-database,create-schema,
create-storage-integration,alter-storage-integration,desc-integration,grant-privilege,
revoke-privilege,grant-role,revoke-role,show-grants,use-role,use-schema,alter-session},
sf:developer-guide/udf/sql/udf-sql-scalar-functions. Only the options that this project
sets are accepted. An object named in an option or a grant must exist, except in a
user's DEFAULT_ options. Not modelled: enforcement of privileges, managed access
schemas, database roles, secondary roles, overloaded functions.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Any

from sqlglot import exp

from integration_tests.snowflake_stand_in import text
from integration_tests.snowflake_stand_in.account import Grant, Name, Thing
from integration_tests.snowflake_stand_in.errors import compilation, syntax
from integration_tests.snowflake_stand_in.results import Result
from integration_tests.snowflake_stand_in.session import Session, statement

Match = re.Match[str]

_PROPERTIES = {
    "WAREHOUSE": "WAREHOUSE_SIZE GENERATION AUTO_SUSPEND AUTO_RESUME"
    " INITIALLY_SUSPENDED RESOURCE_MONITOR COMMENT STATEMENT_TIMEOUT_IN_SECONDS",
    "ROLE": "COMMENT",
    "USER": "TYPE COMMENT DEFAULT_WAREHOUSE DEFAULT_NAMESPACE DEFAULT_ROLE"
    " DEFAULT_SECONDARY_ROLES RSA_PUBLIC_KEY RSA_PUBLIC_KEY_2 NETWORK_POLICY",
    "RESOURCE MONITOR": "CREDIT_QUOTA FREQUENCY START_TIMESTAMP",
    "NETWORK POLICY": "ALLOWED_IP_LIST COMMENT",
    "STORAGE INTEGRATION": "TYPE STORAGE_PROVIDER ENABLED STORAGE_AWS_ROLE_ARN"
    " STORAGE_ALLOWED_LOCATIONS COMMENT",
    "NOTIFICATION INTEGRATION": "ENABLED",
    "DATABASE": "COMMENT",
    "SCHEMA": "COMMENT",
}
#: Options that name another object, which must exist.
_REFERENCES = {
    "RESOURCE_MONITOR": "RESOURCE MONITOR",
    "NETWORK_POLICY": "NETWORK POLICY",
}
_KINDS = "warehouse|role|user|resource monitor|network policy"
_INTEGRATION = r"(?:storage\s+)?integration"
_SIZES = text.words("XSMALL SMALL MEDIUM LARGE XLARGE")


def _kind(match: Match) -> str:
    return " ".join(match["kind"].upper().split())


def _full_name(session: Session, kind: str, name: str) -> Name:
    """A name of the depth that the kind has."""
    in_a_schema = kind in ("TABLE", "VIEW", "STAGE", "PIPE", "FUNCTION")
    depth = 3 if in_a_schema else 2 if kind == "SCHEMA" else 1
    return session.resolve(name, depth) if depth > 1 else text.name_parts(name)


def _values(session: Session, kind: str, rest: str) -> dict[str, Any]:
    rest = re.sub(r"^\s*with\b", "", rest, flags=re.IGNORECASE)
    rest, *triggers = re.split(r"\btriggers\b", rest, flags=re.IGNORECASE)
    allowed = _PROPERTIES[kind].split()
    values: dict[str, Any] = {
        key: text.unquote(value) if not value.startswith("(") else text.literals(value)
        for key, value in text.options(rest, allowed).items()
    }
    action = re.compile(r"\s*on (\d+) percent do (notify|suspend)\b", re.IGNORECASE)
    for written in triggers:
        if unknown := action.sub("", written).strip():
            raise syntax(unknown)
        for percent, does in action.findall(written):
            values[f"{does.upper()}_AT"] = f"{percent}%"
    for option, referred in _REFERENCES.items():
        if option in values:
            name = text.name_parts(values[option])
            session.account.find(referred, name)
            values[option] = name[0]
    if "TYPE" in values:
        values["TYPE"] = values["TYPE"].upper()
    if "WAREHOUSE_SIZE" in values:
        size = values["WAREHOUSE_SIZE"].upper().replace("-", "")
        if size not in _SIZES:
            raise compilation(f"invalid value '{size}' for 'WAREHOUSE_SIZE'", 1506)
        values["WAREHOUSE_SIZE"] = re.sub("^X", "X-", size.title())
    return values


@statement(rf"create (?P<kind>{_KINDS}) {{missing}}{{name}}{{rest}}")
def create_object(session: Session, match: Match) -> Result:
    """CREATE of an object that has nothing but properties."""
    session.commit()
    kind, name = _kind(match), text.name_parts(match["name"])
    values = _values(session, kind, match["rest"])
    return _register(session, Thing(kind, name, session.role, values), match)


def _register(session: Session, thing: Thing, match: Match) -> Result:
    fields = match.groupdict()
    replace, missing_only = bool(fields.get("replace")), bool(match["missing"])
    added = session.account.add(thing, replace=replace, missing_only=missing_only)
    title, name = thing.kind.capitalize(), thing.name[-1]
    if not added:
        return Result.status(f"{name} already exists, statement succeeded.")
    return Result.status(f"{title} {name} successfully created.")


@statement(
    rf"alter (?P<kind>{_KINDS}|storage integration) {{name}}"
    r" (?P<verb>set|unset) {rest}"
)
def alter_object(session: Session, match: Match) -> Result:
    """ALTER ... SET or UNSET; an integration keeps its external id."""
    session.commit()
    kind, name = _kind(match), text.name_parts(match["name"])
    thing = session.account.find(kind.removeprefix("STORAGE "), name)
    if match["verb"].lower() == "set":
        thing.properties |= _values(session, kind, match["rest"])
    else:
        option = match["rest"].strip().upper()
        if option not in _PROPERTIES[kind].split():
            raise compilation(f"invalid property '{option}' for '{kind}'", 1506)
        thing.properties.pop(option, None)
    return Result.status()


@statement(
    rf"drop (?P<kind>{_KINDS}|{_INTEGRATION}|stage|pipe|schema|database|function)"
    r" {exists}{name}\s*(?:\([^)]*\))?"
)
def drop_object(session: Session, match: Match) -> Result:
    """DROP of anything but relations."""
    session.commit()
    kind = "INTEGRATION" if "INTEGRATION" in _kind(match) else _kind(match)
    name = _full_name(session, kind, match["name"])
    if not session.account.remove(kind, name, if_exists=bool(match["exists"])):
        return Result.status("Drop statement executed successfully.")
    if kind == "FUNCTION":
        session.duckdb(f"drop macro {session.physical(name)}")
    elif kind in ("SCHEMA", "DATABASE"):
        _drop_contents(session, kind, name)
    return Result.status(f"{name[-1]} successfully dropped.")


def _drop_contents(session: Session, kind: str, name: Name) -> None:
    if (session.database, session.schema)[: len(name)] == name:
        session.use(None, None)
        session.duckdb("set schema = 'memory.main'")
    if kind == "SCHEMA":
        session.duckdb(f'drop schema "{name[0]}"."{name[1]}" cascade')
    else:
        session.duckdb(f'detach "{name[0]}"')
    for things in (session.account.relations, *session.account.kinds.values()):
        for other in [o for o in things if o[: len(name)] == name]:
            del things[other]


@statement(r"create database {missing}{name}{rest}")
def create_database(session: Session, match: Match) -> Result:
    """CREATE DATABASE, with its schema PUBLIC; the session moves into it."""
    session.commit()
    name = text.name_parts(match["name"])
    values = _values(session, "DATABASE", match["rest"])
    known = name in session.account.things("DATABASE")
    result = _register(session, Thing("DATABASE", name, session.role, values), match)
    if not known:
        session.duckdb(f"attach ':memory:' as \"{name[0]}\"")
        _add_schema(session, Thing("SCHEMA", (*name, "PUBLIC"), session.role))
    session.use(name[0], "PUBLIC")
    return result


def _add_schema(session: Session, schema: Thing) -> None:
    session.account.add(schema, replace=False, missing_only=False)
    session.duckdb('create schema "' + '"."'.join(schema.name) + '"')


@statement(r"create schema {missing}{name}{rest}")
def create_schema(session: Session, match: Match) -> Result:
    """CREATE SCHEMA; the session moves into it."""
    session.commit()
    name = session.resolve(match["name"], 2)
    session.account.find("DATABASE", name[:1])
    values = _values(session, "SCHEMA", match["rest"])
    if not match["missing"] or name not in session.account.things("SCHEMA"):
        _add_schema(session, Thing("SCHEMA", name, session.role, values))
    session.use(*name)
    return Result.status(f"Schema {name[1]} successfully created.")


# ----- integrations


@statement(
    r"create (?P<kind>storage integration|notification integration)"
    r" {missing}{name}{rest}"
)
def create_integration(session: Session, match: Match) -> Result:
    """CREATE STORAGE INTEGRATION; Snowflake makes the external id."""
    session.commit()
    kind = _kind(match)
    values = _values(session, kind, match["rest"])
    values["CATEGORY"] = kind.split()[0]
    if kind == "STORAGE INTEGRATION":
        for needed in ("STORAGE_AWS_ROLE_ARN", "STORAGE_ALLOWED_LOCATIONS"):
            if needed not in values:
                raise compilation(f"Missing option(s): [{needed}]", 2028)
        values["STORAGE_AWS_EXTERNAL_ID"] = f"STANDIN_={secrets.token_urlsafe(24)}="
        values["STORAGE_AWS_IAM_USER_ARN"] = "arn:aws:iam::123456789001:user/abc1-b"
    name = text.name_parts(match["name"])
    return _register(session, Thing("INTEGRATION", name, session.role, values), match)


@statement(r"desc integration {name}", r"desc (?P<kind>user|network policy) {name}")
def describe_object(session: Session, match: Match) -> Result:
    """DESC INTEGRATION, USER or NETWORK POLICY: one row a property."""
    kind = _kind(match) if match.groupdict().get("kind") else "INTEGRATION"
    found = session.account.find(kind, text.name_parts(match["name"]))
    rows = []
    for name, value in found.properties.items():
        shown = ",".join(value) if isinstance(value, list) else str(value)
        rows.append({"property": name, "property_value": shown, "value": shown})
    column = "property_value" if kind == "INTEGRATION" else "value"
    return Result.table(f"property {column}", rows)


def row(thing: Thing) -> dict[str, Any]:
    """An object as its SHOW command has it; a property is a column of its name."""
    values = {key.lower(): value for key, value in thing.properties.items()}
    values["size"] = values.get("warehouse_size")
    values["resource_monitor"] = values.get("resource_monitor", "null")
    if thing.kind == "FUNCTION":
        values |= {"catalog_name": thing.name[0], "is_builtin": "N"}
    if thing.kind == "PIPE":
        values |= {"definition": thing.statement, "notification_channel": thing.channel}
    return values | thing.place()


# ----- grants

_PRIVILEGES = {
    "DATABASE": "USAGE",
    "SCHEMA": "USAGE,CREATE TABLE,CREATE VIEW,CREATE PIPE",
    "TABLE": "SELECT",
    "VIEW": "SELECT",
    "STAGE": "USAGE",
    "PIPE": "MONITOR",
    "WAREHOUSE": "USAGE",
    "INTEGRATION": "USAGE",
    "FUNCTION": "USAGE",
}
_ON = r"(?P<privileges>[\w ,]+?) on"
_ONE = rf"(?P<kind>{'|'.join(_PRIVILEGES)}) {{name}}"
_BULK = r"(?P<reach>all|future) (?P<bulk>tables|views|pipes|functions) in schema {name}"


@statement(
    rf"(?P<verb>grant) {_ON} {_BULK} to role (?P<to>{text.IDENTIFIER})",
    rf"(?P<verb>grant) {_ON} {_ONE} to role (?P<to>{text.IDENTIFIER})",
    rf"(?P<verb>revoke) {_ON} {_ONE} from role (?P<to>{text.IDENTIFIER})",
)
def grant_privileges(session: Session, match: Match) -> Result:
    """GRANT and REVOKE of privileges, also on ALL and FUTURE objects."""
    session.commit()
    account, (to,) = session.account, text.name_parts(match["to"])
    account.find("ROLE", (to,))
    future = (match.groupdict().get("reach") or "").lower() == "future"
    for kind, name in _granted(session, match.groupdict()):
        for privilege in _privileges(match["privileges"], kind):
            entry = Grant(privilege, kind, name, "ROLE", to, session.role, future)
            if match["verb"].lower() == "grant":
                account.grant(entry)
            else:
                account.grants = [grant for grant in account.grants if grant != entry]
    return Result.status()


def _granted(session: Session, fields: dict[str, Any]) -> Iterable[tuple[str, Name]]:
    """Kind and name of each object of a grant."""
    account = session.account
    if not fields.get("bulk"):
        kind = fields["kind"].upper()
        name = _full_name(session, kind, fields["name"])
        account.find(kind, name)
        return [(kind, name)]
    kind = fields["bulk"].upper().removesuffix("S")
    schema = session.resolve(fields["name"], 2)
    account.find("SCHEMA", schema)
    if fields["reach"].lower() == "future":
        return [(kind, schema)]
    if kind == "PIPE":
        raise compilation("Bulk grant on objects of type PIPE is restricted.", 3111)
    return [(kind, name) for name in account.things(kind) if name[:2] == schema]


def _privileges(written: str, kind: str) -> list[str]:
    wanted = [" ".join(part.upper().split()) for part in written.split(",")]
    for privilege in wanted:
        if privilege not in _PRIVILEGES[kind].split(","):
            raise compilation(f"Invalid privilege '{privilege}' for {kind}", 3008)
    return wanted


@statement(
    rf"(?P<verb>grant) role {{name}} to (?P<kind>role|user) (?P<to>{text.NAME})",
    rf"(?P<verb>revoke) role {{name}} from (?P<kind>role|user) (?P<to>{text.NAME})",
)
def grant_role(session: Session, match: Match) -> Result:
    """GRANT ROLE and REVOKE ROLE."""
    session.commit()
    account, kind = session.account, _kind(match)
    name, to = text.name_parts(match["name"]), text.name_parts(match["to"])
    account.find("ROLE", name)
    account.find(kind, to)
    entry = Grant("USAGE", "ROLE", name, kind, to[0], session.role)
    if match["verb"].lower() == "grant":
        account.grant(entry)
    else:
        account.grants = [grant for grant in account.grants if grant != entry]
    return Result.status()


@statement(r"show (?P<future>future\s+)?grants to (?P<kind>role|user) {name}")
def show_grants(session: Session, match: Match) -> Result:
    """SHOW GRANTS TO and SHOW FUTURE GRANTS TO."""
    kind, name = _kind(match), text.name_parts(match["name"])
    session.account.find(kind, name)
    of = "grant_on" if match["future"] else "granted_on"
    rows = [
        {
            "created_on": grant.created,
            "privilege": grant.privilege,
            of: grant.kind,
            "name": ".".join(grant.name) + (f".<{grant.kind}>" if grant.future else ""),
            "grantee_name": grant.to,
        }
        for grant in session.account.grants
        if (grant.to_kind, (grant.to,)) == (kind, name)
        and grant.future == bool(match["future"])
    ]
    return Result.table(f"created_on privilege name {of} grantee_name", rows)


# ----- functions


@statement(
    r"create {replace}function {missing}{name}\s*"
    r"\((?P<argument>\w+) (?P<takes>\w+)\) returns (?P<returns>\w+)"
    r" language sql immutable comment = (?P<comment>'[^']*') as\s+\$\$(?P<body>.*)\$\$"
)
def create_function(session: Session, match: Match) -> Result:
    """CREATE FUNCTION of one argument in SQL, as a DuckDB macro with casts."""
    session.commit()
    name, argument = session.resolve(match["name"]), match["argument"].upper()
    session.account.find("SCHEMA", name[:2])
    parsed = session.parse(f"select ({match['body'].strip()})")
    for column in list(parsed.find_all(exp.Column)):
        if column.name.upper() == argument:
            typed = exp.cast(column.copy(), match["takes"], dialect="snowflake")
            column.replace(typed)
    returned = exp.cast(parsed.expressions[0], match["returns"], dialect="snowflake")
    sql = session.translate(exp.select(returned)).removeprefix("SELECT ")
    takes, returns = match["takes"].upper(), match["returns"].upper()
    values = {
        "arguments": f"{name[-1]}({takes}) RETURN {returns}",
        "description": text.unquote(match["comment"]),
    }
    known = name in session.account.things("FUNCTION")
    result = _register(session, Thing("FUNCTION", name, session.role, values), match)
    if not known or match["replace"]:
        macro = f"create or replace macro {session.physical(name)}({argument})"
        session.duckdb(f"{macro} as ({sql})")
    return result


# ----- the session


@statement(r"use (?P<kind>role|schema) {name}")
def use(session: Session, match: Match) -> Result:
    """USE ROLE or SCHEMA."""
    parts = text.name_parts(match["name"])
    if _kind(match) == "SCHEMA":
        session.use(*session.resolve(parts, 2))
    else:
        session.account.find("ROLE", parts)
        session.role = parts[0]
    return Result.status()


@statement(r"alter session set {rest}")
def set_parameters(session: Session, match: Match) -> Result:
    """ALTER SESSION."""
    for key, value in text.options(match["rest"]).items():
        session.set_parameter(key, text.unquote(value))
    return Result.status()


@statement(r"(?P<verb>begin|commit|rollback)(?:\s+transaction)?")
def transaction(session: Session, match: Match) -> Result:
    """BEGIN, COMMIT and ROLLBACK."""
    getattr(session, match["verb"].lower())()
    return Result.status()
