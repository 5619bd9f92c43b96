"""langchain-mcp-adapters: tools become LangChain tools; resources are read over the session it opens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.resources import get_mcp_resource
from langchain_mcp_adapters.tools import load_mcp_tools
from steps import Answer, Target, main


class LangChain:
    def __init__(self, session: Any, tools: list[Any], protocol: str) -> None:
        self._session = session
        self._tools = {tool.name: tool for tool in tools}
        self.protocol = protocol

    async def tools(self) -> list[str]:
        return list(self._tools)

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        call = {"name": name, "args": arguments, "id": "1", "type": "tool_call"}
        message = await self._tools[name].ainvoke(call)
        blocks = message.content if isinstance(message.content, list) else [{"text": message.content}]
        text = "\n".join(block["text"] for block in blocks)
        return Answer((message.artifact or {}).get("structured_content"), text, message.status == "error")

    async def read(self, uri: str) -> str:
        return (await get_mcp_resource(self._session, uri))[0].as_string()


def connection(target: Target) -> dict[str, Any]:
    if target.transport == "stdio":
        return {"transport": "stdio", "command": target.command, "args": target.args, "env": target.environ}
    return {"transport": {"http": "streamable_http", "sse": "sse"}[target.transport], "url": target.url}


@asynccontextmanager
async def connect(target: Target) -> AsyncIterator[LangChain]:
    client = MultiServerMCPClient({"memmcp": connection(target)})
    async with client.session("memmcp", auto_initialize=False) as session:
        initialized = await session.initialize()
        tools = await load_mcp_tools(session)
        yield LangChain(session, tools, str(initialized.protocolVersion))


if __name__ == "__main__":
    main(connect)
