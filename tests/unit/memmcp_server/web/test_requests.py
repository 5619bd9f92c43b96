"""From bytes and headers to wire models: what a socket can do to a request before a route sees it."""

import time
from typing import Any

import pytest
from starlette.requests import Request

from memmcp_server.errors import InvalidInput
from memmcp_server.web.errors import MalformedRequest
from memmcp_server.web.requests import body_as, caller_of, idempotency_key, parse_json
from memmcp_server.wire.memory import MemoryWriteRequest

pytestmark = pytest.mark.anyio


def request(*messages: dict[str, Any], **headers: str) -> Request:
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/memory/write", "headers": raw, "query_string": b""}
    return Request(scope, receive)


async def test_a_client_that_leaves_halfway_writes_nothing() -> None:
    halfway = request(
        {"type": "http.request", "body": b'{"content": "x', "more_body": True},
        {"type": "http.disconnect"},
        content_type="application/json",
    )
    with pytest.raises(MalformedRequest, match="left"):
        await body_as(halfway, MemoryWriteRequest)


async def test_a_body_in_pieces_is_one_body() -> None:
    pieces = request(
        {"type": "http.request", "body": b'{"content": "\xc3', "more_body": True},
        {"type": "http.request", "body": b'\xa9"}', "more_body": False},
        content_type="application/json; charset=utf-8",
    )
    assert (await body_as(pieces, MemoryWriteRequest)).content == "é"


def test_a_key_is_trimmed_and_bounded() -> None:
    assert idempotency_key({}) is None
    assert idempotency_key({"idempotency-key": "  k "}) == "k"
    with pytest.raises(InvalidInput, match="201"):
        idempotency_key({"idempotency-key": "k" * 201})


def test_a_callers_name_is_printable_and_bounded() -> None:
    named = caller_of(request(x_memmcp_agent="cron\x1b[31m" + "x" * 300), "a tool")
    assert named.agent.startswith("cron[31m")
    assert len(named.agent) == 128
    assert caller_of(request(), "a tool").agent == "http"
    assert caller_of(request(), "a tool", role="operator").agent == "operator"
    assert caller_of(request(x_memmcp_agent="header"), "a tool", agent="body").agent == "body"


@pytest.mark.parametrize("raw", [b"\xef\xbb\xbf{}", b"{'a': 1}", b"{} {}", b"{,}", b"1e", b"nul"])
def test_what_only_looks_like_json_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parse_json(raw)


def test_a_field_given_twice_among_a_hundred_thousand_is_named_at_once() -> None:
    fields = ",".join(f'"{number:x}":0' for number in range(100_000))
    began_s = time.process_time()
    with pytest.raises(MalformedRequest, match="'z' twice"):
        parse_json(f'{{{fields},"z":0,"z":0}}'.encode())
    assert time.process_time() - began_s < 5  # by comparing each with each it took a minute
