"""The Python SDK's Client; MODE in the environment chooses the protocol era (auto or legacy)."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from steps import Answer, Target, main


class Sdk:
    def __init__(self, client: Client) -> None:
        self._client = client
        self.protocol = str(client.protocol_version)

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        result: Any = await self._client.call_tool(name, arguments)
        text = "\n".join(block.text for block in result.content)
        return Answer(result.structured_content, text, bool(result.is_error))

    async def read(self, uri: str) -> str:
        contents: Any = (await self._client.read_resource(uri)).contents
        return str(contents[0].text)


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[Sdk]:
    where: Any = target.url
    if target.transport == "stdio":
        where = StdioServerParameters(command=target.command, args=target.args, env=target.environ)
    elif target.transport == "sse":
        where = sse_client(target.url)
    mode: Any = os.environ["MODE"]
    async with Client(where, mode=mode) as client:
        yield Sdk(client)


if __name__ == "__main__":
    main(connect)
