"""The page's door: a code or a token becomes a session behind a cookie that no script can read."""

import logging
from typing import Final

from pydantic import Field
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse

from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.domain.lifecycle import AUDIT_LOGIN, RecordAudit
from memmcp_server.domain.memory import Provenance
from memmcp_server.errors import MemoryServerError
from memmcp_server.services.container import Services
from memmcp_server.services.logins import AGE_S, Login, Role
from memmcp_server.wire.base import Request as WireRequest
from memmcp_server.wire.base import Wire

from .guard import LOGIN, GuardPolicy, cookie_name, cookie_of, role_of
from .requests import NoQuery, answer, body_as, query_as
from .routing import ApiRoute

NOBODY: Final = "nobody"

logger = logging.getLogger(__name__)


class LoginRequest(WireRequest):
    """``secret``: a one-time code (`memmcp login`), the operator's token, or a named token."""

    secret: str = Field(min_length=1, max_length=4_096)


class SessionAnswer(Wire):
    """``role`` None: nobody is logged in. ``is_open``: whoever reaches this daemon may read without logging in."""

    role: Role | None
    name: str
    is_open: bool


class CodeRequest(WireRequest):
    role: str = Field(default="operator", max_length=40)


class CodeAnswer(Wire):
    """``url`` opens the page and logs in with the code, which stands behind a # and so is in no request and no log."""

    code: str
    url: str
    role: Role
    expires_s: float


class EndedAnswer(Wire):
    ended: int


class SessionRoutes:
    def __init__(self, services: Services, policy: GuardPolicy) -> None:
        self._services = services
        self._policy = policy

    async def login(self, request: Request) -> JSONResponse:
        logins = self._services.logins
        logins.require_patience()
        wish = await body_as(request, LoginRequest)
        redeemed, token = logins.redeem(wish.secret), ""
        if redeemed is None:
            token = wish.secret
            role, name, is_steward = role_of(token, self._policy)
        else:
            (role, is_steward), name = redeemed, "code"
        if role is None:
            raise logins.failed()
        if (before := cookie_of(request.headers)) is not None:
            logins.end(before)
        secret = logins.begin(role, name, is_steward=is_steward and role == "operator", token=token)
        await note_login(self._services, role, name)
        response = answer(self._session(role, name))
        response.set_cookie(
            cookie_name(request.headers),
            secret,
            max_age=int(AGE_S),
            path="/",
            secure=_is_over_tls(request.headers, self._policy),
            httponly=True,
            samesite="strict",
        )
        return response

    async def session(self, request: Request) -> JSONResponse:
        query_as(request, NoQuery)
        login: Login | None = request.scope.get(LOGIN)
        return answer(self._session(None, NOBODY) if login is None else self._session(login.role, login.name))

    async def logout(self, request: Request) -> JSONResponse:
        await body_as(request, WireRequest)
        secret = cookie_of(request.headers)
        ended = secret is not None and self._services.logins.end(secret)
        response = answer(EndedAnswer(ended=int(ended)))
        response.delete_cookie(cookie_name(request.headers), path="/", httponly=True, samesite="strict")
        return response

    def _session(self, role: Role | None, name: str) -> SessionAnswer:
        return SessionAnswer(role=role, name=name, is_open=not self._policy.needs_token)

    def routes(self) -> list[ApiRoute]:
        return [
            ApiRoute(
                "POST",
                "/login",
                self.login,
                "Log in on the page: answers with a cookie for its session.",
                body=LoginRequest,
                answer=SessionAnswer,
                also={429: "too many tries have failed"},
            ),
            ApiRoute("GET", "/session", self.session, "Who is logged in.", query=NoQuery, answer=SessionAnswer),
            ApiRoute("POST", "/logout", self.logout, "End the page's session.", body=WireRequest, answer=EndedAnswer),
        ]


async def note_login(services: Services, role: Role | None, name: str) -> None:
    """Note in the audit that somebody logged in, or (``role`` None) that all were logged out."""
    detail: JsonObject = {"role": role, "by": name} if role is not None else {"ended": "all"}
    by = Provenance(agent="operator" if role != "viewer" else name, session="", tool="page")
    try:
        await services.journal.commit([RecordAudit(AUDIT_LOGIN, by, detail=detail)])
    except MemoryServerError as error:
        # Who wants to stop the desk must get in, with a full disk too.
        logger.error("the audit has no entry for a login as %s: %s", role, error.message)


def _is_over_tls(headers: Headers, policy: GuardPolicy) -> bool:
    """Say whether the browser came over TLS, which ends at a proxy before us: by the address it names as its own."""
    return policy.public_origin.startswith("https://") and headers.get("origin", "") == policy.public_origin
