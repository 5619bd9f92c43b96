"""One session of a real client: lists the tools, writes a memory, finds it, sees an error; prints it as JSON.

usage: PYTHON_OF_THE_CLIENT peer.py CLIENT stdio|http|sse TARGET [ARG ...]

It runs in that client's own environment and imports nothing of ours. What each client hands its model differs: some the
structured content, some the text. Both carry the id of what was found, which is all that is looked at here.
"""

import asyncio
import json
import sys
import time
from typing import Any

CLIENT, TRANSPORT, TARGET, *ARGS = sys.argv[1:]
CONTENT = f"{CLIENT} was here over {TRANSPORT}."
URL = {"http": f"{TARGET}/mcp", "sse": f"{TARGET}/sse"}.get(TRANSPORT, "")
WRITE = {"content": CONTENT, "namespace": "clients", "tags": [CLIENT, TRANSPORT]}
SEARCH = {"query": CONTENT, "namespace": "clients", "limit": 50}
WRONG = {"query": "x", "limit": 0}


def told(names: list[str], written: Any, found: Any, wrong: str, began_s: float) -> None:
    texts = [each if isinstance(each, str) else json.dumps(each, default=str) for each in (written, found)]
    print(
        json.dumps(
            {
                "tools": names,
                "written": texts[0],
                "found": texts[1],
                "wrong": wrong[:500],
                "ms": round((time.perf_counter() - began_s) * 1_000),
            }
        )
    )


async def with_fastmcp() -> None:
    from fastmcp import Client
    from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport

    transports = {
        "stdio": lambda: StdioTransport(command=TARGET, args=ARGS),
        "http": lambda: StreamableHttpTransport(URL),
        "sse": lambda: SSETransport(URL),
    }
    began_s = time.perf_counter()
    async with Client(transports[TRANSPORT]()) as client:
        names = [tool.name for tool in await client.list_tools()]
        written = await client.call_tool("memory_write", WRITE)
        found = await client.call_tool("memory_search", SEARCH)
        wrong = await client.call_tool("memory_search", WRONG, raise_on_error=False)
    told(names, written.structured_content, found.structured_content, wrong.content[0].text, began_s)


async def with_langchain() -> None:
    from langchain_mcp_adapters.client import MultiServerMCPClient

    servers = {
        "stdio": {"transport": "stdio", "command": TARGET, "args": ARGS},
        "http": {"transport": "streamable_http", "url": URL},
        "sse": {"transport": "sse", "url": URL},
    }
    began_s = time.perf_counter()
    client = MultiServerMCPClient({"memmcp": servers[TRANSPORT]})
    async with client.session("memmcp") as session:
        from langchain_mcp_adapters.tools import load_mcp_tools

        tools = {tool.name: tool for tool in await load_mcp_tools(session)}
        written = await tools["memory_write"].ainvoke(WRITE)
        found = await tools["memory_search"].ainvoke(SEARCH)
        wrong = await failing(tools["memory_search"].ainvoke(WRONG))
    told(list(tools), written, found, wrong, began_s)


async def with_pydantic_ai() -> None:
    from fastmcp.client import Client
    from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport
    from pydantic_ai.mcp import MCPToolset

    transports = {
        "stdio": lambda: StdioTransport(command=TARGET, args=ARGS),
        "http": lambda: StreamableHttpTransport(URL),
        "sse": lambda: SSETransport(URL),
    }
    began_s = time.perf_counter()
    toolset = MCPToolset(Client(transports[TRANSPORT]()))
    async with toolset:
        names = [tool.name for tool in await toolset.list_tools()]
        written = await toolset.direct_call_tool("memory_write", WRITE)
        found = await toolset.direct_call_tool("memory_search", SEARCH)
        wrong = await failing(toolset.direct_call_tool("memory_search", WRONG))
    told(names, written, found, wrong, began_s)


async def with_openai_agents() -> None:
    from agents.mcp import MCPServerSse, MCPServerStdio, MCPServerStreamableHttp

    servers = {
        "stdio": lambda: MCPServerStdio(params={"command": TARGET, "args": ARGS}, client_session_timeout_seconds=30),
        "http": lambda: MCPServerStreamableHttp(params={"url": URL}, client_session_timeout_seconds=30),
        "sse": lambda: MCPServerSse(params={"url": URL}, client_session_timeout_seconds=30),
    }
    began_s = time.perf_counter()
    async with servers[TRANSPORT]() as server:
        names = [tool.name for tool in await server.list_tools()]
        written = await server.call_tool("memory_write", WRITE)
        found = await server.call_tool("memory_search", SEARCH)
        wrong = await server.call_tool("memory_search", WRONG)
    told(names, texts_of(written), texts_of(found), texts_of(wrong), began_s)


async def with_mcp_use() -> None:
    from mcp_use import MCPClient

    servers = {
        "stdio": {"command": TARGET, "args": ARGS},
        "http": {"url": URL},
        "sse": {"url": URL},
    }
    began_s = time.perf_counter()
    client = MCPClient.from_dict({"mcpServers": {"memmcp": servers[TRANSPORT]}})
    try:
        session = await client.create_session("memmcp")
        names = [tool.name for tool in await session.list_tools()]
        written = await session.call_tool("memory_write", WRITE)
        found = await session.call_tool("memory_search", SEARCH)
        wrong = await session.call_tool("memory_search", WRONG)
    finally:
        await client.close_all_sessions()
    told(names, texts_of(written), texts_of(found), texts_of(wrong), began_s)


def texts_of(result: Any) -> str:
    return "\n".join(block.text for block in result.content)


async def failing(call: Any) -> str:
    """Return what a client says of a failed call, whether it raises or returns it."""
    try:
        return str(await call)
    except Exception as error:  # noqa: BLE001 - whatever class a client has for it
        return str(error)


CLIENTS = {
    "fastmcp": with_fastmcp,
    "langchain-mcp-adapters": with_langchain,
    "pydantic-ai-slim": with_pydantic_ai,
    "openai-agents": with_openai_agents,
    "mcp-use": with_mcp_use,
}
asyncio.run(CLIENTS[CLIENT]())
