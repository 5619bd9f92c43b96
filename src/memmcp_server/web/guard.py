"""One guard over the whole application: Host, Origin, token, body size and security headers.

Written as plain ASGI: a middleware that wraps responses would buffer or break the live streams.
"""

import ipaddress
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memmcp_server.config import HttpSection
from memmcp_server.domain.grants import Grant
from memmcp_server.domain.grants import Scope as TokenScope
from memmcp_server.errors import (
    DataDirectoryError,
    InsufficientScope,
    InvalidInput,
    MemoryServerError,
    PayloadTooLarge,
    Refused,
    Unauthorized,
)
from memmcp_server.services.logins import Login, Logins, Role

from .errors import MalformedRequest, Misdirected, error_response
from .headers import SECURITY_HEADERS

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FOREIGN_SITES: Final = frozenset({"cross-site", "same-site"})
DRAIN_BYTES_MAX: Final = 16 * 1024 * 1024
DRAIN_S: Final = 2.0
OPERATOR_PATHS: Final = ("/actions/", "/admin/")
"""What only the operator's token opens, on every host."""

OPERATOR_ROUTES: Final = frozenset(
    {"/arbitrage/answer", "/live/disarm", "/memory/audit", "/promotions", "/rebalance", "/review", "/silences"}
)
"""The same, for paths beside which others stand open."""

GRANT: Final = "memmcp.grant"
"""Set on the scope of each request: what the named token that was shown allows, None without one."""

OPERATOR_SCOPE: Final = "memmcp.operator"
"""Set on the scope of each request that the guard lets in: whether the operator sends it."""

SECURITY_PAIRS: Final = tuple((name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items())

LOGIN: Final = "memmcp.login"
"""Set on the scope of each request that shows the cookie of a session: the ``Login``, else None."""

COOKIE: Final = "memmcp-login"
"""With the port behind it: a browser keeps no cookies of one port from another, and there may be several daemons."""

PAGE_HEADER: Final = "x-memmcp-page"
"""What the page's script sends with each request that changes something. A form, or a link, cannot."""

MCP_PATHS: Final = ("/mcp", "/sse", "/messages")
APPROVAL_PATHS: Final = ("/approvals", "/passkeys")
ASSESS_PATH: Final = "/assess"
"""It spends the desk's money, as an order does."""

RESOURCE_METADATA: Final = "/.well-known/oauth-protected-resource"

PUBLIC_PATHS: Final = frozenset(
    {"/health", RESOURCE_METADATA, f"{RESOURCE_METADATA}/mcp", "/", "/login", "/logout", "/session"}
)
"""What a supervisor may ask without a token, and the page, which holds nothing before somebody has logged in."""

PUBLIC_FILES: Final = "/static/"


class NamedTokens(Protocol):
    """``adapters.token_file.TokenFile`` as far as the guard needs it. Raises: DataDirectoryError."""

    @property
    def has_any(self) -> bool: ...

    def find(self, token: str) -> Grant | None: ...


class TokenVerifier(Protocol):
    """``adapters.jwt_grants.JwtGrants`` as far as the guard needs it; ``resource`` is our own public address."""

    resource: str

    async def verify(self, token: str) -> Grant | None: ...


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """What the guard lets in. ``needs_token`` false: everything but operator paths is open (loopback only).

    ``named`` tells what a named token allows, None for one that it does not know; ``has_named``: whether there are any.
    """

    hosts: frozenset[str]
    needs_token: bool
    operator_tokens: tuple[str, ...]
    body_bytes_max: int
    verifier: TokenVerifier | None = None
    named: Callable[[str], Grant | None] = lambda _token: None
    has_named: Callable[[], bool] = lambda: False
    public_origin: str = ""
    """Scheme and host of ``http.public_url``, as a browser names them."""


def guard_policy(
    http: HttpSection,
    operator_token: str,
    tokens: NamedTokens | None = None,
    verifier: TokenVerifier | None = None,
) -> GuardPolicy:
    """Return the policy of a configuration.

    Raises: InvalidInput when a door beyond loopback would stand open.
    """
    configured = http.token.get_secret_value() if http.token else None
    is_remote = not is_loopback(http.host)
    if is_remote and not configured and verifier is None and not (tokens is not None and tokens.has_any):
        msg = f"http.host {http.host} is reachable from other machines, so http.token must be set"
        hint = "make tokens with `memmcp token add`, set MEMMCP_HTTP__TOKEN, or use --host 127.0.0.1"
        raise InvalidInput(msg, field="http.token", hint=hint)
    if not operator_token:
        msg = "the operator's token is empty, so every action would be open"
        raise DataDirectoryError(msg, field="token", hint="restart the daemon: it writes a fresh one to daemon.json")
    hosts = set(LOOPBACK_HOSTS) | {host.lower() for host in http.allowed_hosts}
    if http.public_url is not None and (public := urlsplit(http.public_url).hostname):
        hosts.add(public.lower())
    if http.host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        hosts.add(http.host.lower())
    operators = (operator_token,) if configured is None else (operator_token, configured)
    needs_token = configured is not None or is_remote or http.tokens_required
    policy = GuardPolicy(
        frozenset(hosts), needs_token, operators, http.body_bytes_max, verifier, public_origin=_origin(http.public_url)
    )
    if tokens is None:
        return policy
    return replace(policy, named=tokens.find, has_named=lambda: tokens.has_any)


def _origin(url: str | None) -> str:
    if url is None:
        return ""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def role_of(token: str, policy: GuardPolicy) -> tuple[Role | None, str, bool]:
    """Return what a token makes of somebody on the page, its name, and whether it is this machine's own secret.

    The operator's token and one with every right make an operator, any other that is known a viewer.
    """
    if _matches(token, policy.operator_tokens):
        return "operator", "operator", _matches(token, policy.operator_tokens[:1])
    grant = policy.named(token)
    if grant is None:
        return None, "", False
    return ("operator" if grant.allows(TokenScope.ADMIN) else "viewer"), grant.name, False


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware; see the module."""

    def __init__(self, app: ASGIApp, policy: GuardPolicy, logins: Logins | None = None) -> None:
        self.app = app
        self.policy = policy
        self.logins = logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            # There is no WebSocket here; refusing before the handshake costs nothing.
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        answer = _Answer(send)
        login = self._login(headers)
        try:
            scope[GRANT] = self._check(scope["method"], scope["path"], headers, await self._verified(headers), login)
            scope[OPERATOR_SCOPE] = self._is_operator(headers) or (login is not None and login.is_steward)
            scope[LOGIN] = login
            limited = _limited(receive, headers, self.policy.body_bytes_max)
        except MemoryServerError as error:
            extra = {}
            if isinstance(error, Unauthorized):
                extra["WWW-Authenticate"] = _challenge(error, self.policy.verifier)
            # The body was not read, so the connection cannot carry another request.
            extra["Connection"] = "close"
            if isinstance(error, PayloadTooLarge):
                await _drain(receive)
            await error_response(error, extra)(scope, receive, answer)
            return
        try:
            await self._answered(scope, limited, answer, login)
        except PayloadTooLarge as error:
            if answer.started:
                raise
            await _drain(receive)
            await error_response(error, {"Connection": "close"})(scope, receive, answer)

    async def _answered(self, scope: Scope, receive: Receive, send: Send, login: Login | None) -> None:
        """Have the application answer; a stream that a session has opened ends with the session."""
        if login is None or self.logins is None:
            await self.app(scope, receive, send)
            return
        logins = self.logins
        with anyio.CancelScope() as cancelled:

            async def while_alive(message: Message) -> None:
                # A stream says something every few seconds, at least that it is there. What is whole is sent: the
                # answer to a logout is.
                if message.get("more_body") and not logins.is_alive(login):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    cancelled.cancel()
                    return
                await send(message)

            await self.app(scope, receive, while_alive)

    def _login(self, headers: Headers) -> Login | None:
        """Return the session whose cookie is shown; a token that is shown as well counts alone."""
        if self.logins is None or "authorization" in headers:
            return None
        secret = cookie_of(headers)
        login = None if secret is None else self.logins.find(secret)
        if secret is None or login is None or not login.token:
            return login
        try:
            is_known = role_of(login.token, self.policy)[0] == login.role
        except DataDirectoryError:
            return None  # the file of tokens cannot be read now: nobody is let in by it, and nobody logged out
        if not is_known:
            # The token was taken away, replaced or has expired.
            self.logins.end(secret)
        return login if is_known else None

    async def _verified(self, headers: Headers) -> Grant | None:
        """Return what an authorization server's token allows, None where that is none, or none is taken here."""
        verifier = self.policy.verifier
        if verifier is None or not _is_bearer(headers):
            return None
        return await verifier.verify(_presented_token(headers))

    def _check(
        self, method: str, path: str, headers: Headers, verified: Grant | None = None, login: Login | None = None
    ) -> Grant | None:
        """Return what the token or session that is shown allows, None where the operator's, or none, is enough."""
        host = self._check_host(headers)
        self._check_origin(method, headers, host)
        policy, token = self.policy, _presented_token(headers)
        if login is not None:
            _check_page(method, headers)
            grant, is_known = login.grant, True
        elif token and _matches(token, policy.operator_tokens):
            grant, is_known = None, True
        else:
            grant = verified or (policy.named(token) if token else None)
            is_known = grant is not None
        if _is_operators(path):
            if not is_known:
                msg = f"{path} needs the operator's token"
                raise Unauthorized(msg, hint="send Authorization: Bearer <token from daemon.json>")
        elif not is_known and not _is_public(path):
            if policy.needs_token:
                msg = "this daemon needs a token"
                raise Unauthorized(msg, hint="send Authorization: Bearer <http.token>")
            if _is_bearer(headers) and policy.has_named():
                # Who shows a token that was taken away is not let in as if he had shown none.
                msg = "this token is unknown, replaced or expired"
                raise Unauthorized(msg, hint="the operator makes another one: memmcp token add, or rotate")
        if grant is not None and not _is_public(path):
            grant.require(scope_of(method, path), f"{method} {path[:100]}")
        return grant

    def _is_operator(self, headers: Headers) -> bool:
        """Say whether the bearer is this machine's operator; the token that opens the doors of agents is not enough."""
        return _matches(_presented_token(headers), self.policy.operator_tokens[:1])

    def _check_host(self, headers: Headers) -> str:
        given = headers.getlist("host")
        if len(given) != 1 or not given[0]:
            msg = f"a request needs exactly one Host header, this one has {len(given)}"
            raise MalformedRequest(msg, field="Host")
        name = _host_name(given[0])
        if name not in self.policy.hosts:
            msg = f"Host {given[0][:100]} is not served here"
            raise Misdirected(msg, field="Host", hint="add it to http.allowed_hosts to serve it")
        return given[0].lower()

    def _check_origin(self, method: str, headers: Headers, host: str) -> None:
        origins = headers.getlist("origin")
        if any(not _is_origin_of(origin, host) for origin in origins):
            msg = f"Origin {origins[0][:100]} is not this daemon's page"
            raise Refused(msg, field="Origin", hint="call from a program without an Origin header, or from the page")
        site = headers.get("sec-fetch-site")
        if method not in SAFE_METHODS and site is not None and site != "same-origin":
            msg = f"a {method} from another site ({site[:40]}) is refused"
            raise Refused(msg, field="Sec-Fetch-Site", hint="call from the daemon's own page, or from a program")
        if site in FOREIGN_SITES and not _is_link(headers):
            # It could not read the answer, but it can measure how long one takes, and keep streams open.
            msg = f"what another site ({site}) embeds or fetches is not answered"
            raise Refused(msg, field="Sec-Fetch-Site", hint="a link may lead here; a program sends no such header")


def _check_page(method: str, headers: Headers) -> None:
    """A browser sends a cookie by itself, so what changes something must come from the page's own script.

    A page on another port of this host counts as the same site for cookies, and its requests carry ours.

    Raises: Refused.
    """
    if method in SAFE_METHODS:
        return
    if headers.get("sec-fetch-site") is None and headers.get("origin") is None:
        msg = "a request with the page's cookie must say that it comes from the page"
        raise Refused(msg, field="Origin", hint="programs send Authorization: Bearer <token> instead")
    if headers.get(PAGE_HEADER) is None:
        msg = f"a {method} with the page's cookie needs the header {PAGE_HEADER}, which only the page's script sends"
        raise Refused(msg, field=PAGE_HEADER, hint="programs send Authorization: Bearer <token> instead")


def cookie_name(headers: Headers) -> str:
    """Return the name of the session's cookie at the address that the browser knows."""
    port = urlsplit(f"//{headers.get('host', '')}").netloc.rpartition("]")[2].rpartition(":")[2]
    return f"{COOKIE}-{port}" if port.isdecimal() else COOKIE


def cookie_of(headers: Headers) -> str | None:
    """Return the secret in the session's cookie, None where there is not exactly one."""
    name = cookie_name(headers)
    pairs = (part.strip().partition("=") for line in headers.getlist("cookie") for part in line.split(";"))
    found = [value for key, _, value in pairs if key == name]
    return found[0] if len(found) == 1 and found[0] else None


def _is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_FILES)


class _Answer:
    """Adds the security headers to the response and remembers whether it has begun."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            there = {name for name, _ in message["headers"]}
            ours = [pair for pair in SECURITY_PAIRS if pair[0] not in there]
            message = {**message, "headers": [*message["headers"], *ours]}
        await self.send(message)


def _limited(receive: Receive, headers: Mapping[str, str], body_bytes_max: int) -> Receive:
    """Return a ``receive`` that fails when the body passes the limit; a declared length fails at once."""
    too_large = f"the body is larger than {body_bytes_max} bytes"
    declared = headers.get("content-length", "0")
    if not declared.isdecimal():
        msg = f"Content-Length {declared[:40]} is not a number of bytes"
        raise MalformedRequest(msg, field="Content-Length")
    if int(declared) > body_bytes_max:
        raise PayloadTooLarge(too_large, field="body")
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > body_bytes_max:
                raise PayloadTooLarge(too_large, field="body")
        return message

    return limited


async def _drain(receive: Receive) -> None:
    """Read and drop what is still being sent, within bounds: who is cut off while sending sees a reset, no answer."""
    dropped = 0
    with anyio.move_on_after(DRAIN_S):
        while dropped < DRAIN_BYTES_MAX:
            message = await receive()
            dropped += len(message.get("body", b""))
            if not message.get("more_body", False):
                return


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _is_origin_of(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in ("http", "https"):
        return False
    default_port = ":80" if parts.scheme == "http" else ":443"
    return parts.netloc.lower().removesuffix(default_port) == host.removesuffix(default_port)


def _is_link(headers: Headers) -> bool:
    """Say whether a browser opens what it asks for as a page of its own."""
    mode, place = headers.get("sec-fetch-mode", "navigate"), headers.get("sec-fetch-dest", "document")
    return mode == "navigate" and place == "document"


def _is_bearer(headers: Headers) -> bool:
    return headers.get("authorization", "")[:7].lower() == "bearer "


def _presented_token(headers: Headers) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _matches(token: str, allowed: tuple[str, ...]) -> bool:
    return any(secrets.compare_digest(token.encode(), candidate.encode()) for candidate in allowed)


def scope_of(method: str, path: str) -> TokenScope:
    """Return what a route needs of a named token. MCP's doors need what its readers do; each tool asks for its own."""
    if _is_operators(path):
        return TokenScope.ADMIN
    if path.startswith(MCP_PATHS) or method in SAFE_METHODS:
        return TokenScope.MEMORY_READ
    if path == ASSESS_PATH:
        return TokenScope.TRADE_PAPER
    return TokenScope.TRADE_LIVE if path.startswith(APPROVAL_PATHS) else TokenScope.MEMORY_WRITE


def _is_operators(path: str) -> bool:
    if path.startswith("/alerts/"):
        return path.endswith(("/acknowledge", "/silence"))
    return path.startswith(OPERATOR_PATHS) or path in OPERATOR_ROUTES


def _challenge(error: Unauthorized, verifier: TokenVerifier | None) -> str:
    parts = ['Bearer realm="memMCP"']
    if isinstance(error, InsufficientScope):
        parts.append(f'error="insufficient_scope", scope="{error.scope}"')
    if verifier is not None:
        # RFC 9728: where a client learns which authorization server to ask.
        parts.append(f'resource_metadata="{verifier.resource.rstrip("/")}{RESOURCE_METADATA}/mcp"')
    return ", ".join(parts)
