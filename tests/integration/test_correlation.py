"""Every request has a name: in the answer, in each record of the log that it causes, and in what its caller reads when
it fails in a way that nobody foresaw."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from tests.support.stage import Stage, error_of, served, staged

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.daemon.logs import JsonLines

pytestmark = pytest.mark.anyio
STAMP = "0f0e0d0c-bridge:7"


class Lines(logging.Handler):
    """Keeps what the daemon's log file would hold."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines((), RuleScanner()))
        self.told: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler.told
    logging.getLogger().removeHandler(handler)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


@pytest.fixture
def broken(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(*_: Any, **__: Any) -> None:
        logging.getLogger("deep.inside").warning("about to break")
        raise ZeroDivisionError

    monkeypatch.setattr(stage.services.memories, "search", breaks)


async def test_a_name_that_a_caller_gives_comes_back_and_a_malformed_one_is_replaced(stage: Stage) -> None:
    async def named(path: str, given: str) -> str:
        return str((await stage.http.get(path, headers={"X-Request-Id": given})).headers["x-request-id"])

    for given in ("job-7:step.2", "a" * 64):
        assert await named("/health", given) == given
    for given in ("", "a" * 65, "two words", "-leading", 'quo"te', "new\tline"):
        names = {await named("/health", given), await named("/no/such/page", given)}
        assert len(names) == 2
        assert {len(name) for name in names} == {32}
        assert given not in names


async def test_a_refusal_of_the_guard_has_a_name_too(stage: Stage) -> None:
    answer = await stage.http.get("/health", headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.usefixtures("broken")
async def test_an_unforeseen_failure_over_http_is_found_in_the_log_by_its_name(
    stage: Stage, lines: list[dict[str, Any]]
) -> None:
    transport = httpx2.ASGITransport(app=stage.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=stage.http.base_url) as http:
        answer = await http.get("/memory/search?query=x", headers={"X-Request-Id": "req-9", "X-Memmcp-Agent": "ci"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "req-9"
    error = error_of(answer)
    assert "req-9" in error["message"]
    assert error["hint"] == "memmcp logs --request req-9"
    warned, failed = (next(each for each in lines if each["level"] == level) for level in ("warning", "error"))
    assert (warned["request"], warned["agent"], warned["logger"]) == ("req-9", "ci", "deep.inside")
    assert (failed["request"], failed["error"]["type"]) == ("req-9", "ZeroDivisionError")


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_an_unforeseen_failure_of_a_tool_tells_the_agent_where_the_operator_finds_it(
    stage: Stage, lines: list[dict[str, Any]], mode: Any
) -> None:
    async with Client(stage.mcp, client_info=Implementation(name="cursor", version="1"), mode=mode) as client:
        result = await client.call_tool("memory_search", {"query": "x"}, meta={"memmcp/request": STAMP})
    assert result.is_error
    [block] = result.content
    assert block.type == "text"
    assert f"under request {STAMP}" in block.text
    assert "ZeroDivisionError" not in block.text
    mine = [each for each in lines if each.get("request") == STAMP]
    assert [(each["level"], each["tool"], each["agent"]) for each in mine] == [
        ("warning", "memory_search", "cursor"),
        ("error", "memory_search", "cursor"),
    ]
    told = [each for each in stage.services.meters.tool_calls.readings() if each.value]
    assert [each.labels for each in told] == [("memory_search", "internal_error")]


@pytest.mark.usefixtures("broken")
async def test_the_name_of_an_http_request_is_that_of_the_call_it_carries(
    stage: Stage, lines: list[dict[str, Any]]
) -> None:
    async with (
        served(stage.app) as url,
        httpx2.AsyncClient(headers={"X-Request-Id": "req-http", "X-Memmcp-Agent": "planner"}) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode="legacy") as client,
    ):
        result = await client.call_tool("memory_search", {"query": "x"})
    assert result.is_error
    [failed] = [each for each in lines if each["level"] == "error"]
    assert (failed["request"], failed["agent"], failed["tool"]) == ("req-http", "planner", "memory_search")


@pytest.mark.usefixtures("broken")
async def test_calls_without_a_stamp_have_names_of_their_own(stage: Stage, lines: list[dict[str, Any]]) -> None:
    async with Client(stage.mcp, mode="legacy") as client:
        for _ in range(2):
            await client.call_tool("memory_search", {"query": "x"})
    assert len({each["request"] for each in lines if each["level"] == "error"}) == 2
