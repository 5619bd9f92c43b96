"""The Python SDK's client over stdio (through the bridge), Streamable HTTP and SSE, on both protocol eras."""

import json
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitRequestParams, ElicitResult, Implementation

from memmcp_server.tools.server import tool_specs

from .conftest import Daemon

pytestmark = [pytest.mark.anyio, pytest.mark.system]
NAMES = [spec.name for spec in tool_specs()]


def connection(daemon: Daemon, transport: str, mode: Any, user: Any = None) -> AbstractAsyncContextManager[Client]:
    server: Any
    if transport == "stdio":
        command, *args = daemon.stdio
        server = StdioServerParameters(command=command, args=args, env=daemon.environ)
    elif transport == "http":
        server = f"{daemon.url}/mcp"
    else:
        server = sse_client(f"{daemon.url}/sse")
    info = Implementation(name=f"py-{transport}", version="1")
    return Client(server, mode=mode, client_info=info, elicitation_callback=user)


@pytest.mark.requirement("A3")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("transport", ["stdio", "http", "sse"])
async def test_the_python_client_lists_and_calls_the_tools(daemon: Daemon, transport: str, mode: str) -> None:
    content = f"The Python client was here over {transport} as {mode}."
    async with connection(daemon, transport, mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == NAMES
        written = await client.call_tool("memory_write", {"content": content})
        found = await client.call_tool("memory_search", {"query": content})
        state = await client.call_tool("telemetry_trading", {})
        latest = await client.read_resource("telemetry://latest")
        refused = await client.call_tool("memory_search", {"query": "x", "limit": 0})
    hits = {hit["id"]: hit for hit in found.structured_content["hits"]}
    assert hits[written.structured_content["id"]]["agent"] == f"py-{transport}"
    assert state.structured_content["money"] == "paper"
    assert json.loads(latest.contents[0].text)["run_id"] == state.structured_content["run_id"]
    assert refused.is_error
    assert "limit" in refused.content[0].text


@pytest.mark.requirement("A5")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("transport", ["stdio", "http", "sse"])
async def test_the_users_no_stops_an_order_over_every_transport(daemon: Daemon, transport: str, mode: str) -> None:
    asked: list[str] = []

    async def user(_context: Any, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="decline")

    wish = {"scope": "buckets", "policy": "equal", "reason": "even them out"}
    async with connection(daemon, transport, mode, user) as client:
        preview = (await client.call_tool("rebalance", wish)).structured_content
        answer = await client.call_tool("rebalance", {**wish, "preview_id": preview["preview_id"]})
    assert answer.is_error
    assert "the user declined, so nothing was traded" in answer.content[0].text
    [question] = asked
    assert question.startswith(f"PAPER money: py-{transport} wants to rebalance buckets to equal")
