"""pydantic-ai's MCPToolset: structured results where there are any; a refusal is a ModelRetry for the model."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastmcp.client.transports import SSETransport, StdioTransport
from pydantic_ai import ModelRetry
from pydantic_ai.mcp import MCPToolset
from steps import Answer, Target, main


class PydanticAi:
    def __init__(self, toolset: MCPToolset) -> None:
        self._toolset = toolset
        self.protocol = str(toolset.client.protocol_version)

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self._toolset.list_tools()]

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        try:
            result = await self._toolset.direct_call_tool(name, arguments)
        except ModelRetry as refused:
            return Answer(None, refused.message, True)
        if isinstance(result, str):
            return Answer(None, result)
        return Answer(result, json.dumps(result))

    async def read(self, uri: str) -> str:
        return str(await self._toolset.read_resource(uri))


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[PydanticAi]:
    where: Any = target.url
    if target.transport == "stdio":
        where = StdioTransport(target.command, target.args, env=target.environ, keep_alive=False)
    elif target.transport == "sse":
        where = SSETransport(target.url)
    async with MCPToolset(where) as toolset:
        yield PydanticAi(toolset)


if __name__ == "__main__":
    main(connect)
