"""The same steps for every Python client library. Runs in that library's own environment: standard library only.

usage: python DRIVER.py stdio|http|sse '{"target": [...], "note": ..., "other": {"content": ...}, "mint": ...}'

A driver opens a connection the way the library's own documents do, hands a ``Session`` to ``main`` and prints one JSON
object: what it saw, and how long the first result of a tool took.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Answer:
    """What the library hands on of a tool's result: data where it has it, the text, and whether it is an error."""

    data: Any
    text: str
    is_error: bool = False

    def document(self) -> Any:
        """Return the data, or the text as JSON where the library hands on only text."""
        return self.data if self.data is not None else json.loads(self.text)


class Session(Protocol):
    """One open connection of a library."""

    protocol: str

    async def tools(self) -> list[str]: ...

    async def call(self, name: str, arguments: dict[str, Any]) -> Answer: ...

    async def read(self, uri: str) -> str: ...


@dataclass(frozen=True)
class Target:
    """Where to connect: ``command`` for stdio, else ``url``."""

    transport: str
    command: str
    args: list[str]
    url: str

    @property
    def environ(self) -> dict[str, str]:
        return dict(os.environ)


def target_of(transport: str, target: list[str]) -> Target:
    if transport == "stdio":
        return Target(transport, target[0], target[1:], "")
    return Target(transport, "", [], f"{target[0]}/{'mcp' if transport == 'http' else 'sse'}")


async def walk(opened: AbstractAsyncContextManager[Session], job: dict[str, Any]) -> dict[str, Any]:
    began_s = time.perf_counter()
    async with opened as session:
        written = await session.call("memory_write", {"content": job["note"], "tags": ["nine-clients"]})
        first_result_ms = (time.perf_counter() - began_s) * 1_000
        search = {"tags": ["nine-clients"], "limit": 5}
        found = await session.call("memory_search", {"query": job["note"], **search})
        other = await session.call("memory_search", {"query": job["other"]["content"], **search})
        order = {"side": "buy", "mint": job["mint"], "amount_sol": "0.05", "reason": "A preview by a client under test"}
        preview = await session.call("place_trade", order)
        refused = await session.call("memory_search", {"query": "x", "limit": 0})
        return {
            "protocol": session.protocol,
            "first_result_ms": first_result_ms,
            "tools": await session.tools(),
            "written": written.document(),
            "found": found.document(),
            "found_text": found.text,
            "other": other.document(),
            "preview": preview.document(),
            "refused": {"is_error": refused.is_error, "text": refused.text},
            "resource": json.loads(await session.read("telemetry://latest")),
            "data": found.data is not None,
        }


def main(connect: Callable[[Target], AbstractAsyncContextManager[Session]]) -> None:
    transport, job = sys.argv[1], json.loads(sys.argv[2])
    opened = connect(target_of(transport, job["target"]))
    print(json.dumps(asyncio.run(walk(opened, job))))
