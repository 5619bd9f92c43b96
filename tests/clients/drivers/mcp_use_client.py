"""mcp-use: a configuration in the form of the desktop clients' files; given an SSE address it falls back to SSE."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp_use import MCPClient
from steps import Answer, Target, main


class McpUse:
    def __init__(self, session: Any) -> None:
        self._session = session
        # Over HTTP the connector has initialized before the session is handed out, and keeps no version.
        self.protocol = str(getattr(session.session_info, "protocolVersion", "not told"))

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self._session.list_tools()]

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        result = await self._session.call_tool(name, arguments)
        text = "\n".join(block.text for block in result.content)
        return Answer(result.structuredContent, text, bool(result.isError))

    async def read(self, uri: str) -> str:
        return str((await self._session.read_resource(uri)).contents[0].text)


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[McpUse]:
    entry: dict[str, Any] = {"url": target.url}
    if target.transport == "stdio":
        entry = {"command": target.command, "args": target.args, "env": target.environ}
    client = MCPClient(config={"mcpServers": {"memmcp": entry}})
    try:
        yield McpUse(await client.create_session("memmcp"))
    finally:
        await client.close_all_sessions()


if __name__ == "__main__":
    main(connect)
