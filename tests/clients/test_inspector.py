"""MCP Inspector on the command line, over every transport."""

import json
from typing import Any

import pytest

from memmcp_server.tools.server import tool_specs

from .conftest import Daemon, run_node

pytestmark = pytest.mark.system
INSPECTOR = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
EXIT_TOOL_ERROR = 5


def inspect(node: str, daemon: Daemon, transport: str, *options: str, exit_code: int = 0) -> Any:
    target = daemon.stdio if transport == "stdio" else [f"{daemon.url}/{'mcp' if transport == 'http' else 'sse'}"]
    chosen = [] if transport == "stdio" else ["--transport", transport]
    done = run_node(node, INSPECTOR, "--cli", *target, *chosen, *options, "--format", "json", daemon=daemon)
    assert done.returncode == exit_code, done.stderr
    return json.loads(done.stdout)["result"]


@pytest.mark.requirement("A3")
@pytest.mark.parametrize("transport", ["stdio", "http", "sse"])
def test_the_inspector_lists_and_calls_the_tools(daemon: Daemon, node: str, transport: str) -> None:
    listed = inspect(node, daemon, transport, "--method", "tools/list")
    assert [tool["name"] for tool in listed["tools"]] == [spec.name for spec in tool_specs()]
    call = ("--method", "tools/call", "--tool-name")
    content = f"content=The Inspector was here over {transport}."
    written = inspect(node, daemon, transport, *call, "memory_write", "--tool-arg", content)
    assert written["structuredContent"]["durable"] is True
    wrong = ("memory_search", "--tool-arg", "query=x", "--tool-arg", "limit=0")
    refused = inspect(node, daemon, transport, *call, *wrong, exit_code=EXIT_TOOL_ERROR)
    assert "limit" in refused["content"][0]["text"]
    latest = inspect(node, daemon, transport, "--method", "resources/read", "--uri", "telemetry://latest")
    assert json.loads(latest["contents"][0]["text"])["money"] == "paper"
