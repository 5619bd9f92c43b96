"""The outermost layer: what it counts, and until when it takes the time."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from memmcp_server.domain.correlation import current
from memmcp_server.services.meters import Meters
from memmcp_server.web.access import Access

pytestmark = pytest.mark.anyio


class Route:
    path = "/events"


async def receive() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def answering(content_type: bytes, seen: list[Any], end: Callable[[], float]) -> Any:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(current())
        scope["route"] = Route()
        headers = [(b"content-type", content_type)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await anyio.sleep(end())
        await send({"type": "http.response.body", "body": b""})

    return app


@pytest.mark.parametrize(("content_type", "whole"), [(b"application/json", True), (b"text/event-stream", False)])
async def test_an_answer_is_timed_to_its_end_and_a_stream_to_its_beginning(content_type: bytes, whole: bool) -> None:
    meters, seen, sent = Meters(), [], []

    async def send(message: Any) -> None:
        sent.append(message)

    app = Access(answering(content_type, seen, lambda: 0.2), meters)
    headers = [(b"x-memmcp-agent", b"planner\x07")]
    await app({"type": "http", "method": "GET", "path": "/events", "headers": headers}, receive, send)
    [reading] = meters.http_seconds.readings()
    assert reading.labels == ("GET", "/events")
    assert (reading.value >= 0.2) is whole
    assert [each.labels for each in meters.http_requests.readings()] == [("GET", "/events", "2xx")]
    [correlation] = seen
    assert correlation.agent == "planner"
    assert (b"x-request-id", correlation.request.encode()) in sent[0]["headers"]
    assert current() is None


async def test_what_is_no_http_request_passes_by() -> None:
    meters, passed = Meters(), []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        passed.append(scope["type"])

    await Access(app, meters)({"type": "lifespan"}, receive, receive)  # type: ignore[arg-type]
    assert passed == ["lifespan"]
    assert list(meters.http_requests.readings()) == []
