"""The outermost layer of every request: it gets a name that logs and answers tell, and is counted and timed."""

import re
import time
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memmcp_server.domain.correlation import Correlation, correlated
from memmcp_server.services.meters import Meters

REQUEST_HEADER: Final = "x-request-id"
REQUEST_ID: Final = "memmcp.request"
"""Where the scope of each request has its name."""

WELL_FORMED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")
AGENT_HEADER: Final = "x-memmcp-agent"
AGENT_CHARS_MAX: Final = 128
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE: Final = "none"


class Access:
    """ASGI middleware; see the module. A name that a caller sends is kept where it is well formed."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self.app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = request_id(headers.get(REQUEST_HEADER))
        scope[REQUEST_ID] = name
        agent = "".join(char for char in headers.get(AGENT_HEADER, "") if char.isprintable())[:AGENT_CHARS_MAX]
        answer = _Answer(send, name)
        began_s = time.perf_counter()
        try:
            with correlated(Correlation(name, agent=agent)):
                await self.app(scope, receive, answer)
        finally:
            self._count(scope, answer, (answer.stream_began_s or time.perf_counter()) - began_s)

    def _count(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        # A method is whatever a client writes; the route is one of ours.
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = str(getattr(scope.get("route"), "path", None) or NO_ROUTE)
        self._meters.http_requests.add(method, route, f"{answer.status // 100}xx")
        self._meters.http_seconds.observe(seconds, method, route)


class _Answer:
    """Names the request in the answer, and remembers how it began. 500 where it never does: the handler of last resort
    stands outside."""

    def __init__(self, send: Send, name: str) -> None:
        self._send = send
        self._name = name.encode()
        self.status = 500
        self.stream_began_s: float | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.get("headers", ())
            if any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers):
                self.stream_began_s = time.perf_counter()
            message = {**message, "headers": [*headers, (REQUEST_HEADER.encode(), self._name)]}
        await self._send(message)


def request_id(given: str | None) -> str:
    """Return the name that a caller gave its request where it is well formed, else a fresh one."""
    return given if given is not None and WELL_FORMED.match(given) else uuid4().hex
