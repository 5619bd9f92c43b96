"""MCP Inspector on the command line, over every transport."""

import json
from typing import Any

import pytest

from memmcp_server.tools.server import tool_specs

from .conftest import Daemon, run_node

pytestmark = pytest.mark.system
INSPECTOR = "node_modules/@modelcontextprotocol/inspector-cli/build/cli.js"


def inspect(node: str, daemon: Daemon, transport: str, *options: str) -> Any:
    target = daemon.stdio if transport == "stdio" else [f"{daemon.url}/{'mcp' if transport == 'http' else 'sse'}"]
    chosen = [] if transport == "stdio" else ["--transport", transport]
    done = run_node(node, INSPECTOR, "--cli", *target, *chosen, *options, daemon=daemon)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.requirement("A3")
@pytest.mark.parametrize("transport", ["stdio", "http", "sse"])
def test_the_inspector_lists_and_calls_the_tools(daemon: Daemon, node: str, transport: str) -> None:
    listed = inspect(node, daemon, transport, "--method", "tools/list")
    assert [tool["name"] for tool in listed["tools"]] == [spec.name for spec in tool_specs()]
    content = f"The Inspector was here over {transport}."
    arguments = ("--method", "tools/call", "--tool-name", "memory_write", "--tool-arg", f"content={content}")
    written = inspect(node, daemon, transport, *arguments)
    assert written["structuredContent"]["durable"] is True
    latest = inspect(node, daemon, transport, "--method", "resources/read", "--uri", "telemetry://latest")
    assert json.loads(latest["contents"][0]["text"])["money"] == "paper"
