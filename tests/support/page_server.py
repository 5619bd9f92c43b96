"""A loopback server that serves the built page and a stream the test writes: each state of the page can be staged."""

import asyncio
import json
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from memmcp_server.web.headers import SECURITY_HEADERS

from . import execution_documents, page_path
from . import page_documents as documents
from .loopback_server import LoopbackServer

STATIC = Path(__file__).resolve().parents[2] / "src" / "memmcp_server" / "web" / "static"
HEADERS = dict(SECURITY_HEADERS)
"""What the daemon's guard puts on every answer: the page is tested under the policy it is served under."""
START_TIMEOUT_S = 30.0
NO_SIGNER: dict[str, Any] = {
    "is_available": False,
    "approvals": [],
    "passkeys": [],
    "origins": [],
    "is_armed": False,
    "why_not": "no signer answers",
}

QUIET: dict[str, tuple[int, dict[str, Any]]] = {
    "/approvals": (200, NO_SIGNER),
    "/alerts": (200, {"severity": None, "alerts": [], "notices": [], "silences": []}),
    "/session": (200, {"role": None, "name": "nobody", "is_open": True}),
    "/clients": (200, {"connected": {"page": 1}, "callers": []}),
    "/insights": (
        200,
        {"warnings": [], "warnings_left_out": 0, "lessons": [], "lessons_total": 0, "digests": [], "findings": []},
    ),
    "/telemetry/desks": (200, {"desks": [], "left_out": 0, "totals": {"own": None, "outside": []}}),
    "/memory/summary": (200, {"counts": []}),
    "/risk": (200, {"exposure_bps": 0, "exposure_map": None}),
    "/why": (200, documents.why()),
    "/candles": (200, documents.candles(0, mint=None, symbol=None, tokens=[])),
    "/strategies": (200, {"strategies": []}),
    "/strategies/digest": (200, documents.digest()),
    "/projection": (200, page_path.no_projection()),
    "/telemetry/trading/marks": (200, page_path.marks()),
    "/nodes": (200, {"nodes": [execution_documents.node()]}),
    "/transactions": (200, {"transactions": [], "next_cursor": None}),
    "/costs": (200, {"running": None, "days": []}),
    "/profiles/log": (200, {"entries": [], "next_cursor": None}),
    "/sidecar/log": (200, {"standing": execution_documents.OFF, "entries": [], "next_cursor": None}),
    "/tasks": (200, {"tasks": [], "next_cursor": None}),
}
"""What the page asks for beside the stream, where nothing waits."""


def sse(event: str, document: dict[str, Any], event_id: int | None = None) -> str:
    lines = [f"event: {event}", f"data: {json.dumps(document)}"]
    if event_id is not None:
        lines.insert(0, f"id: {event_id}")
    return "\r\n".join(lines) + "\r\n\r\n"


@dataclass
class Stage:
    """What the server answers. Written by the test's thread, read by the server's."""

    answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=lambda: dict(QUIET))
    greeting: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    asked: deque[str] = field(default_factory=lambda: deque(maxlen=5_000))
    """Paths and queries of the documents that the page asked for, in order."""
    url: str = ""
    _loop: asyncio.AbstractEventLoop | None = None
    _queues: set[asyncio.Queue[str | None]] = field(default_factory=set)

    def answer(self, path: str, document: dict[str, Any], status: int = 200) -> None:
        self.answers[path] = (status, document)

    def push(self, event: str, document: dict[str, Any], event_id: int | None = None) -> None:
        """Send one event to every open stream."""
        self._tell(sse(event, document, event_id))

    def drop_streams(self) -> None:
        """End every open stream, as a daemon that dies does."""
        self._tell(None)

    def _tell(self, text: str | None) -> None:
        assert self._loop is not None

        def put() -> None:
            for queue in self._queues:
                queue.put_nowait(text)

        self._loop.call_soon_threadsafe(put)

    async def stream(self) -> AsyncIterator[str]:
        queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=10_000)
        self._queues.add(queue)
        try:
            for text in self.greeting:
                yield text
            while (text := await queue.get()) is not None:
                yield text
        finally:
            self._queues.discard(queue)


def full_stage() -> Stage:
    """A desk in the middle of its day."""
    stage = Stage()
    stage.answer("/telemetry/metrics", documents.metrics())
    stage.answer("/telemetry/trading", documents.snapshot())
    stage.answer("/telemetry/trading/history", documents.series())
    stage.answer("/telemetry/trading/trades", documents.trades())
    stage.answer("/trajectories/trade-bonk", documents.trajectory(7))
    stage.greeting = [sse("trading", documents.snapshot()), sse("metrics", documents.metrics())]
    return stage


def _application(stage: Stage) -> Starlette:
    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers=HEADERS)

    async def events(request: Request) -> Response:
        if "/events" in stage.answers:
            status, document = stage.answers["/events"]
            return JSONResponse(document, status, headers=HEADERS)
        stage.connections.append(request.headers.get("last-event-id", ""))
        return StreamingResponse(stage.stream(), media_type="text/event-stream", headers=HEADERS)

    async def document(request: Request) -> Response:
        stage.asked.append(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
        status, body = stage.answers.get(
            request.url.path, (404, {"error": {"code": "not_found", "message": f"no {request.url.path}"}})
        )
        # Escaped, so that also half of a surrogate pair comes through, as from a server that is not ours.
        return Response(json.dumps(body), status, headers=HEADERS, media_type="application/json")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/events", events),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/{path:path}", document),
        ]
    )


@contextmanager
def serving(stage: Stage) -> Iterator[Stage]:
    """Serve the stage on a free loopback port; ``stage.url`` is its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    stage.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(_application(stage), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = LoopbackServer(config)
    started = threading.Event()

    async def serve() -> None:
        stage._loop = asyncio.get_running_loop()
        started.set()
        await server.serve(sockets=[listener])

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="page-server", daemon=True)
    thread.start()
    assert started.wait(START_TIMEOUT_S)
    try:
        yield stage
    finally:
        stage.drop_streams()
        server.should_exit = True
        thread.join(START_TIMEOUT_S)
        listener.close()
        assert not thread.is_alive()


def asked(stage: Stage, path: str) -> list[dict[str, str]]:
    """Return the queries with which the page asked for a document, in order."""
    found = [urlsplit(each) for each in list(stage.asked)]
    return [dict(parse_qsl(each.query)) for each in found if each.path == path]
