"""fastmcp's own client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport
from steps import Answer, Target, main


class FastMcp:
    def __init__(self, client: Any) -> None:
        self._client = client
        self.protocol = client.protocol_version

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self._client.list_tools()]

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        result = await self._client.call_tool(name, arguments, raise_on_error=False)
        text = "\n".join(block.text for block in result.content)
        return Answer(result.structured_content, text, result.is_error)

    async def read(self, uri: str) -> str:
        return str((await self._client.read_resource(uri))[0].text)


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[FastMcp]:
    transport: Any
    if target.transport == "stdio":
        transport = StdioTransport(target.command, target.args, env=target.environ, keep_alive=False)
    else:
        transport = {"http": StreamableHttpTransport, "sse": SSETransport}[target.transport](target.url)
    async with Client(transport) as client:
        yield FastMcp(client)


if __name__ == "__main__":
    main(connect)
