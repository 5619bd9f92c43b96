"""openai-agents: one class for each transport."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agents.mcp import MCPServerSse, MCPServerStdio, MCPServerStreamableHttp
from steps import Answer, Target, main


class OpenAiAgents:
    def __init__(self, server: Any) -> None:
        self._server = server
        initialized = server.server_initialize_result
        session = server.session
        self.protocol = str(getattr(initialized, "protocol_version", None) or session.protocol_version)

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self._server.list_tools()]

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        result = await self._server.call_tool(name, arguments)
        text = "\n".join(block.text for block in result.content)
        return Answer(result.structured_content, text, bool(result.is_error))

    async def read(self, uri: str) -> str:
        return str((await self._server.read_resource(uri)).contents[0].text)


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[OpenAiAgents]:
    if target.transport == "stdio":
        opened: Any = MCPServerStdio({"command": target.command, "args": target.args, "env": target.environ})
    else:
        opened = {"http": MCPServerStreamableHttp, "sse": MCPServerSse}[target.transport]({"url": target.url})
    async with opened as server:
        yield OpenAiAgents(server)


if __name__ == "__main__":
    main(connect)
