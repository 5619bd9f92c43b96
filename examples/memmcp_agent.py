"""What the Python examples share: one MCP session over stdio, and tools that answer with facts or say what is wrong."""

import argparse
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import CallToolResult, Implementation


class ToolFailed(Exception):
    """A tool answered with an error; the text says what to do next."""


class Agent:
    """One agent under its own name, which the memory keeps with everything that it writes."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.client = client

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return a tool's structured answer. Raises: ToolFailed."""
        result = await self.client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        if result.is_error:
            raise ToolFailed("\n".join(block.text for block in result.content if block.type == "text"))
        answer: dict[str, Any] = result.structured_content
        return answer

    async def read(self, uri: str) -> str:
        """Return a resource's text. Raises: MCPError."""
        text: str = (await self.client.read_resource(uri)).contents[0].text  # type: ignore[union-attr]
        return text


@asynccontextmanager
async def agent(name: str, data_dir: Path | None = None) -> AsyncIterator[Agent]:
    """Start `memmcp stdio`, which finds the daemon of this machine or starts it, and speak MCP as ``name``."""
    command, *arguments = bridge(data_dir)
    server = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    async with Client(server, client_info=Implementation(name=name, version="1")) as client:
        yield Agent(name, client)


def bridge(data_dir: Path | None) -> list[str]:
    """Return what starts the bridge: the `memmcp` beside this Python, that of the project, else the one on the PATH."""
    places = (Path(sys.executable).parent, Path(__file__).resolve().parent.parent / ".venv" / "bin")
    beside = next((place / "memmcp" for place in places if (place / "memmcp").exists()), None)
    command = str(beside) if beside else shutil.which("memmcp")
    if command is None:
        raise SystemExit("there is no `memmcp` command: run `make setup` first")
    return [command, "stdio", *(["--data-dir", str(data_dir)] if data_dir else [])]


def options(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data-dir", type=Path, help="the daemon's data directory (default: the user's own)")
    return parser
