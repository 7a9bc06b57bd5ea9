"""The HTTP side: what the connector calls, and what tests call to control it.

The connector's endpoints are undocumented; the answers are what
snowflake-connector-python reads. Errors of SQL are HTTP 200 with ``success: false``,
unexpected ones too, because the connector retries an HTTP 500 for minutes. A statement
that takes longer than 45 seconds is answered by the address of its result: the
connector sends a request again that has no answer after a minute. Log-in
follows sf:user-guide/key-pair-auth for users that the account has: the token must be
signed with one of the user's two keys, and no user has a password. Any other user logs
in as the account's administrator.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import re
import secrets
import traceback
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from integration_tests.snowflake_stand_in import (
    catalog,
    dialect,
    loading,
    objects,
    relations,
    text,
)
from integration_tests.snowflake_stand_in.account import (
    IDLE_TIMEOUT,
    Account,
    Failure,
    now,
)
from integration_tests.snowflake_stand_in.errors import SqlError
from integration_tests.snowflake_stand_in.results import Result
from integration_tests.snowflake_stand_in.session import Session

#: To be imported: each registers its handlers.
HANDLERS = (catalog, loading, objects, relations)
_RESULTS_KEPT = 200


class Server:
    """One account behind the connector's endpoints."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.sessions: dict[str, Session] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self.running: dict[str, asyncio.Future[JSONResponse]] = {}
        dialect.install_functions(account.duck)

    def app(self) -> Starlette:
        """The ASGI application."""
        post = {
            "/session/v1/login-request": self.login,
            "/session": self.leave,
            "/queries/v1/query-request": self.query,
            "/queries/v1/abort-request": self.nothing,
            "/stand-in/{action}": self.steer,
        }
        routes = [Route(path, call, methods=["POST"]) for path, call in post.items()]
        routes.append(Route("/queries/{query}/result", self.result))
        return Starlette(routes=routes, exception_handlers={Exception: _unforeseen})

    # ----- what the connector calls

    async def login(self, request: Request) -> JSONResponse:
        """Open a session."""
        data = (await _body(request))["data"]
        asked = request.query_params
        user = text.identifier(data.get("LOGIN_NAME", "STAND_IN"))
        try:
            self._authenticate(user, data)
            session = Session(self.account, user)
            known = self.account.things("USER").get((user,))
            self._enter(session, known, asked.get("roleName"))
        except SqlError as error:
            return _failed(error, 390100)
        for key, value in (data.get("SESSION_PARAMETERS") or {}).items():
            if key.upper() in ("QUERY_TAG", "TIMEZONE"):
                session.set_parameter(key.upper(), str(value))
        self._place(session, asked.get("databaseName"), asked.get("schemaName"))
        token = secrets.token_urlsafe(24)
        self.sessions[token] = session
        data = {
            "token": token,
            "masterToken": token,
            "validityInSeconds": 3600,
            "masterValidityInSeconds": 14400,
            "sessionId": int(session.id),
            "serverVersion": "9.0.0",
            "parameters": _parameters(session),
            "sessionInfo": {
                "databaseName": session.database,
                "schemaName": session.schema,
                "roleName": session.role,
            },
        }
        return JSONResponse({"data": data, "success": True, "code": None})

    def _authenticate(self, user: str, data: dict[str, Any]) -> None:
        known = self.account.things("USER").get((user,))
        if known is None:
            return
        values = known.properties
        if data.get("AUTHENTICATOR") != "SNOWFLAKE_JWT":
            raise SqlError("Incorrect username or password was specified.", 390100)
        for option in ("RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2"):
            if option in values and _signed_by(values[option], data["TOKEN"]):
                return
        raise SqlError("JWT token is invalid.", 390144)

    def _enter(self, session: Session, known: Any, role: str | None) -> None:
        asked = role or (known and known.properties.get("DEFAULT_ROLE"))
        if not asked:
            return
        name = text.name_parts(str(asked))
        held = [
            grant.name
            for grant in self.account.grants
            if grant.kind == "ROLE"
            and (grant.to_kind, grant.to) == ("USER", session.user)
        ]
        allowed = name in held or known is None
        if name not in self.account.things("ROLE") or not allowed:
            raise SqlError(
                f"Role '{name[0]}' specified in the connect string does not exist or"
                " not authorized.",
                390189,
            )
        session.role = name[0]

    def _place(
        self, session: Session, database: str | None, schema: str | None
    ) -> None:
        """Enter a database and schema, as far as they exist (as Snowflake does)."""
        name = text.name_parts(database or "")
        if not name or name not in self.account.things("DATABASE"):
            return
        place = (*name, *text.name_parts(schema or "PUBLIC"))
        found = place in self.account.things("SCHEMA")
        session.use(name[0], place[1] if found else None)

    async def query(self, request: Request) -> JSONResponse:
        """Run the statements of one request."""
        session = self._session(request)
        if session is None:
            error = SqlError("Session no longer exists. New login required.", 390111)
            return _failed(error, 390111)
        body = await _body(request)
        answer = run_in_threadpool(self._answer, session, body)
        return await self._wait(str(uuid.uuid4()), asyncio.ensure_future(answer))

    async def _wait(
        self, query: str, answer: asyncio.Future[JSONResponse]
    ) -> JSONResponse:
        """The answer or, if that takes long, the address where the client asks."""
        self.running[query] = answer
        await asyncio.wait([answer], timeout=self.account.patience)
        if answer.done():
            return self.running.pop(query).result()
        data = {"queryId": query, "getResultUrl": f"/queries/{query}/result"}
        return JSONResponse({"data": data, "code": "333333", "success": True})

    def _answer(self, session: Session, body: dict[str, Any]) -> JSONResponse:
        try:
            sql = body["sqlText"]
            parts = text.statements(sql)
            wanted = (body.get("parameters") or {}).get("MULTI_STATEMENT_COUNT", 1)
            if len(parts) > 1 and int(wanted) != 1:
                return self._several(session, parts)
            return JSONResponse(self._keep(session, session.run(sql)))
        except SqlError as error:
            return _failed(error)
        except Exception as error:
            traceback.print_exc()
            return _unforeseen(None, error)

    def _several(self, session: Session, parts: list[str]) -> JSONResponse:
        """Several statements: their results are fetched one by one."""
        kept = [self._keep(session, session.run(part)) for part in parts]
        answer = self._keep(session, Result.status("Multiple statements executed."))
        answer["data"] |= {
            "resultIds": ",".join(each["data"]["queryId"] for each in kept),
            "resultTypes": ",".join(
                str(each["data"]["statementTypeId"]) for each in kept
            ),
        }
        return JSONResponse(answer)

    def _keep(self, session: Session, result: Result) -> dict[str, Any]:
        query = str(uuid.uuid4())
        data = result.wire() | {
            "parameters": _parameters(session),
            "queryId": query,
            "finalDatabaseName": session.database,
            "finalSchemaName": session.schema,
            "finalRoleName": session.role,
        }
        answer = {"data": data, "success": True, "code": None, "message": None}
        self.results[query] = answer
        if len(self.results) > _RESULTS_KEPT:
            del self.results[next(iter(self.results))]
        return answer

    async def result(self, request: Request) -> JSONResponse:
        """The result of an earlier query, or of one that runs."""
        query = request.path_params["query"]
        if query in self.running:
            return await self._wait(query, self.running[query])
        return JSONResponse(self.results[query])

    async def leave(self, request: Request) -> JSONResponse:
        """Close a session."""
        session = self.sessions.pop(_token(request), None)
        if session:
            await run_in_threadpool(session.close)
        return JSONResponse({"data": None, "success": True})

    async def nothing(self, _request: Request) -> JSONResponse:
        """Accept and do nothing."""
        return JSONResponse({"data": None, "success": True})

    def _session(self, request: Request) -> Session | None:
        return self.sessions.get(_token(request))

    # ----- what tests call

    async def steer(self, request: Request) -> JSONResponse:
        """Run one of the tests' actions."""
        action, body = request.path_params["action"], await _body(request)
        call = getattr(self, f"_do_{action.replace('-', '_')}", None)
        if call is None:
            return JSONResponse({"error": f"unknown action {action}"}, 404)
        try:
            answer = await run_in_threadpool(self._locked, call, body)
        except Exception as error:
            return JSONResponse({"error": f"{error}"}, 400)
        return JSONResponse({"answer": answer})

    def _locked(self, call: Callable[..., Any], body: dict[str, Any]) -> Any:
        with self.account.lock:
            return call(**body)

    def _do_event(self, url: str) -> list[str]:
        return loading.event(self.account, url)

    def _do_poll(self) -> list[str]:
        return loading.poll(self.account)

    def _do_lapse(self, name: str) -> int:
        """Clear a pipe's load history, as Snowflake does after 14 days."""
        known = self.account.find("PIPE", text.name_parts(name)).history
        count = len(known)
        known.clear()
        return count

    def _do_account(self, **settings: Any) -> None:
        """Set parameters of the account, its edition, or how it numbers rows."""
        for name, value in settings.items():
            if name in self.account.SETTINGS:
                setattr(self.account, name, value)
            elif name.upper() in self.account.parameters:
                self.account.parameters[name.upper()] = value
            else:
                raise ValueError(f"unknown setting {name}")

    def _do_hold(self, regex: str) -> None:
        self.account.released.clear()
        self.account.to_hold = re.compile(regex, re.IGNORECASE)

    def _do_is_held(self) -> bool:
        return self.account.to_hold is None

    def _do_release(self) -> None:
        self.account.released.set()

    def _do_pipe_timezone(self, timezone: str | None) -> None:
        self.account.pipe_timezone = timezone

    def _do_idle_timeout(self, seconds: float | None) -> None:
        self.account.idle_timeout = IDLE_TIMEOUT if seconds is None else seconds

    def _do_fail(self, regex: str, message: str, times: int, when: str) -> None:
        self.account.failures.append(Failure(regex, message, times, when))

    def _do_forget_failures(self) -> None:
        self.account.failures.clear()

    def _do_log(self) -> list[dict[str, Any]]:
        return self.account.log

    def _do_clear_log(self) -> None:
        self.account.log.clear()

    def _do_age(self, url: str, days: float) -> None:
        """Pretend that a file was last modified some days ago."""
        self.account.last_modified[url] = now() - timedelta(days=days)

    def _do_scan_time(self, minutes_ago: float | None) -> None:
        """Give loads an earlier METADATA$START_SCAN_TIME; null gives the real one."""
        late = None if minutes_ago is None else now() - timedelta(minutes=minutes_ago)
        self.account.scan_time = late


def _unforeseen(_request: Request | None, error: Exception) -> JSONResponse:
    return _failed(SqlError(f"the stand-in failed: {error!r}", 370001))


async def _body(request: Request) -> dict[str, Any]:
    raw = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        raw = gzip.decompress(raw)
    return json.loads(raw) if raw else {}


def _token(request: Request) -> str:
    header = request.headers.get("Authorization", "")
    return header.partition('Token="')[2].removesuffix('"')


def _parameters(session: Session) -> list[dict[str, Any]]:
    return [
        {"name": "AUTOCOMMIT", "value": True},
        {"name": "TIMEZONE", "value": session.parameter("TIMEZONE")},
        {"name": "CLIENT_TELEMETRY_ENABLED", "value": False},
    ]


def _failed(error: SqlError, code: int | None = None) -> JSONResponse:
    code = error.code if code is None or error.code > 390000 else code
    return JSONResponse(
        {
            "data": {
                "errorCode": f"{code:06d}",
                "sqlState": error.state,
                "queryId": str(uuid.uuid4()),
                "internalError": False,
            },
            "code": f"{code:06d}",
            "message": error.message,
            "success": False,
        }
    )


def _signed_by(public_key: str, token: str) -> bool:
    """Whether a key-pair token is signed with the key and names its fingerprint."""
    try:
        der = base64.b64decode("".join(public_key.split()))
        key = serialization.load_der_public_key(der)
        claims = jwt.decode(
            token, key, algorithms=["RS256"], options={"verify_aud": False}
        )
    except (ValueError, jwt.PyJWTError):
        return False
    digest = base64.b64encode(hashlib.sha256(der).digest()).decode()
    return claims["iss"].endswith(f".SHA256:{digest}")
