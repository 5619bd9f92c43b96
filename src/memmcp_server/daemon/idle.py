"""When nobody needs the daemon any more: it counts what HTTP asks of it, and ends after a while of nothing."""

from collections.abc import Callable
from typing import Protocol

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

POLLS_PER_WAIT = 10


class Presence(Protocol):
    """Who is there; see services.clients.ClientRegistry."""

    def touch(self) -> None: ...

    def idle_s(self) -> float: ...


class CountRequests:
    """ASGI middleware: a request is a sign of life, a stream is one for as long as it lasts."""

    def __init__(self, app: ASGIApp, clients: Presence, end_streams: Callable[[], None]) -> None:
        """``end_streams`` ends the application's live streams, which would hold up the end of the process."""
        self.end_streams = end_streams
        self._app = app
        self._clients = clients
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        self.running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.running -= 1
            self._clients.touch()


async def wait_until_idle(clients: Presence, requests: Callable[[], int], idle_exit_s: float) -> None:
    """Return when there has been no bridge, no request and no stream for so long."""
    while True:
        left_s = idle_exit_s - clients.idle_s()
        if not requests() and left_s <= 0:
            return
        await anyio.sleep(max(left_s, idle_exit_s / POLLS_PER_WAIT))
