"""A call of the HTTP door as a span, as a tool's call is one. Reads of pages and of telemetry are none."""

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memmcp_server.domain.grants import Grant
from memmcp_server.domain.tracing.calls import SpanRecorder, begun

from .guard import GRANT
from .requests import AGENT_HEADER, NAME_CHARS_MAX

TOLD: Final = ("/memory/", "/trajectories", "/tasks", "/actions/", "/assess")
FAILED: Final = 400
BROKEN: Final = 500


class CallSpans:
    """ASGI middleware. ``paths``: the routes whose paths are names as they stand; others are told without their id."""

    def __init__(self, app: ASGIApp, recorder: SpanRecorder, paths: Iterable[str]) -> None:
        self.app = app
        self._recorder = recorder
        self._paths = frozenset(path for path in paths if "{" not in path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(TOLD):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = f"{scope['method']} {self._shown(scope['path'])}"
        user, parent = _agent(scope, headers), headers.get("traceparent", "")
        with begun(self._recorder, name, "tool", user=user, parent=parent) as call:
            call.tell(transport="http")

            async def answering(message: Message) -> None:
                if message["type"] == "http.response.start":
                    call.tell(status=message["status"])
                    if message["status"] >= FAILED:
                        call.fail(f"http {message['status']}", is_ours=message["status"] >= BROKEN)
                await send(message)

            await self.app(scope, receive, answering)

    def _shown(self, path: str) -> str:
        return path if path in self._paths else f"/{path.split('/')[1]}/..."


def _agent(scope: Scope, headers: Headers) -> str:
    grant = scope.get(GRANT)
    named = (grant.agent if isinstance(grant, Grant) else "") or headers.get(AGENT_HEADER, "")
    return "".join(char for char in named if char.isprintable()).strip()[:NAME_CHARS_MAX] or "http"
