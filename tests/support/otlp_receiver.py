"""A loopback receiver of traces: OTLP over HTTP in protobuf, and the part of Langfuse's API that is used, with faults.

What was stored is kept by span id, as receivers do, with how often it came. ``fault`` is what every request meets now;
it may be changed while requests are under way.
"""

import base64
import gzip
import socket
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import anyio
import orjson
from anyio.from_thread import start_blocking_portal
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.market_server import loopback

Fault = Literal["", "slow", "hanging", "busy", "broken", "broken_after_storing", "picky", "unauthorized", "too_large"]
TROUBLES: Final[tuple[Fault, ...]] = (
    "slow",
    "busy",
    "broken",
    "broken_after_storing",
    "hanging",
    "too_large",
    "unauthorized",
)
"""In each of them a receiver takes nothing, or answers as if it had not."""

PUBLIC_KEY: Final = "pk-lf-of-the-tests"
SECRET_KEY: Final = "sk-lf-0f9d1c7e-3b5a-4d2f-8e6c-a1b2c3d4e5f6"
BODY_LEN_MAX_WHEN_SMALL: Final = 64
"""Spans of one request that a receiver takes that finds larger ones too large."""


@dataclass(slots=True)
class OtlpReceiver:
    """``refused``: span names that it takes offence at while ``fault`` is picky. ``scores`` by their ids. ``met``: how
    many requests met each fault."""

    fault: Fault = ""
    slow_s: float = 0.05
    retry_after: str = "0"
    refused: set[str] = field(default_factory=set)
    spans: dict[bytes, Span] = field(default_factory=dict)
    came: Counter[bytes] = field(default_factory=Counter)
    resources: list[dict[str, str]] = field(default_factory=list)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    release: anyio.Event = field(default_factory=anyio.Event)

    def traces(self) -> dict[bytes, list[Span]]:
        """Return the stored spans of each trace."""
        found: dict[bytes, list[Span]] = defaultdict(list)
        for span in self.spans.values():
            found[span.trace_id].append(span)
        return found

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans.values() if span.name == name]

    async def take_spans(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        body = gzip.decompress(await request.body())
        told = ExportTraceServiceRequest.FromString(body)
        found = [span for each in told.resource_spans for scope in each.scope_spans for span in scope.spans]
        turned = await self._turned_away(len(found))
        if turned is not None:
            return turned
        self.resources = [attributes_of(each.resource) for each in told.resource_spans]
        refused = [span for span in found if self.fault == "picky" and span.name in self.refused]
        for span in found:
            if span not in refused:
                self.spans[span.span_id] = span
                self.came[span.span_id] += 1
        if self.fault == "broken_after_storing":
            return Response(status_code=500)
        partial = ExportTracePartialSuccess(rejected_spans=len(refused), error_message="names" if refused else "")
        answer = ExportTraceServiceResponse(partial_success=partial)
        return Response(answer.SerializeToString(), media_type="application/x-protobuf")

    async def take_scores(self, request: Request) -> Response:
        scores = orjson.loads(await request.body())
        turned = await self._turned_away(len(scores))
        if turned is not None:
            return turned
        for score in scores:
            self.scores[score["id"]] = score
        if self.fault == "broken_after_storing":
            return Response(status_code=500)
        return JSONResponse({"accepted": len(scores)}, 202)

    async def delete(self, request: Request) -> Response:
        wanted = orjson.loads(await request.body())["traceIds"]
        turned = await self._turned_away(len(wanted))
        if turned is not None:
            return turned
        self.deleted.extend(wanted)
        gone = {bytes.fromhex(each) for each in wanted}
        self.spans = {name: span for name, span in self.spans.items() if span.trace_id not in gone}
        self.scores = {name: each for name, each in self.scores.items() if bytes.fromhex(each["traceId"]) not in gone}
        return JSONResponse({"message": "deletion is under way"})

    async def _turned_away(self, size: int) -> Response | None:
        self.met[self.fault] += 1
        match self.fault:
            case "slow":
                with anyio.move_on_after(self.slow_s):
                    await self.release.wait()
            case "hanging":
                await self.release.wait()
            case "busy":
                return Response(status_code=429, headers={"retry-after": self.retry_after})
            case "broken":
                return Response(status_code=500)
            case "unauthorized":
                return Response(status_code=401)
            case "too_large" if size > BODY_LEN_MAX_WHEN_SMALL:
                return Response(status_code=413)
        return None

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Serve until the block is left; yields the base URL. A named port may be served again later."""
        routes = [
            Route("/api/public/otel/v1/traces", self.take_spans, methods=["POST"]),
            Route("/v1/traces", self.take_spans, methods=["POST"]),
            Route("/api/public/scores", self.take_scores, methods=["POST"]),
            Route("/api/public/traces", self.delete, methods=["DELETE"]),
        ]
        async with loopback(routes, port) as url:
            try:
                yield url
            finally:
                self.release.set()


@contextmanager
def serving_apart(receiver: OtlpReceiver, port: int = 0) -> Iterator[str]:
    """Serve a receiver from a thread of its own, for tests that wait for processes; yields the base URL."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(receiver.serving(port)) as url:
        try:
            yield url
        finally:
            portal.call(receiver.release.set)


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def attributes_of(told: Any) -> dict[str, Any]:
    """Return the attributes of a span, an event or a resource as plain values."""
    return {each.key: _plain(each.value) for each in told.attributes}


def basic_authorization() -> str:
    return f"Basic {base64.b64encode(f'{PUBLIC_KEY}:{SECRET_KEY}'.encode()).decode()}"


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)
