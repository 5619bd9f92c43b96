"""MCP behind the guard: Streamable HTTP and SSE on a real socket, with the names that callers bring along."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import Implementation
from pydantic import SecretStr
from tests.support.stage import OPERATOR_TOKEN, Stage, served, staged

from memmcp_server.config import HttpSection

pytestmark = pytest.mark.anyio
ACCESS = "access-token"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def connected(url: str, transport: str, mode: Any = "legacy", **headers: str) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(headers=headers) as http:
        server: Any
        if transport == "http":
            server = streamable_http_client(f"{url}/mcp", http_client=http)
        else:
            server = sse_client(f"{url}/sse", headers=headers)
        async with Client(server, mode=mode, client_info=Implementation(name="over-http", version="1")) as client:
            yield client


@pytest.mark.requirement("A3")
@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_the_tools_work_over_both_http_transports_and_both_eras(stage: Stage, transport: str, mode: str) -> None:
    async with served(stage.app) as url, connected(url, transport, mode) as client:
        written = await client.call_tool("memory_write", {"content": "over the wire"})
        assert written.structured_content["durable"] is True
    memory = await stage.services.memories.get(written.structured_content["id"])
    assert memory.provenance.agent == "over-http"
    assert memory.provenance.tool == "memory_write"


async def test_a_header_names_the_agent_where_one_program_speaks_for_several(stage: Stage) -> None:
    async with served(stage.app) as url, connected(url, "http", **{"X-Memmcp-Agent": "planner\t7"}) as client:
        written = await client.call_tool("memory_write", {"content": "as another"})
    memory = await stage.services.memories.get(written.structured_content["id"])
    assert memory.provenance.agent == "planner7"


async def test_a_web_page_elsewhere_cannot_speak_mcp_to_us(stage: Stage) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for path in ("/mcp", "/messages/?session_id=0"):
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            response = await stage.http.post(path, json=hello, headers=headers)
            assert response.status_code == 403
        response = await stage.http.post(path, json=hello, headers={"Host": "evil.example"})
        assert response.status_code == 421


async def test_with_a_token_mcp_needs_it_and_the_operators_is_enough(tmp_path: Path) -> None:
    section = HttpSection(token=SecretStr(ACCESS))
    async with staged(tmp_path, http=section) as stage, served(stage.app) as url:
        async with httpx2.AsyncClient() as bare:
            for path in ("/mcp", "/sse", "/events", "/memory/search?query=x"):
                assert (await bare.get(f"{url}{path}")).status_code == 401
        for token in (ACCESS, OPERATOR_TOKEN):
            async with connected(url, "http", Authorization=f"Bearer {token}") as client:
                assert (await client.list_tools()).tools


async def test_the_guard_of_what_the_server_hands_out_and_takes_back_stays_in_place(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        kinds = [type(each).__name__ for each in stage.mcp.middleware]
    assert "RequestStateBoundary" in kinds
    assert "OpenTelemetryMiddleware" not in kinds
