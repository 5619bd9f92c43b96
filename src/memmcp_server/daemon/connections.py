"""Serve each bridge's connection with the MCP server, over its socket."""

import asyncio
import contextlib
import json
import logging
import re
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

import anyio
from mcp.server import MCPServer
from mcp.server.stdio import stdio_server

from memmcp_server import __version__
from memmcp_server.errors import Unavailable

from .finding import LINE_BYTES_MAX, PROTOCOL

GREETING_TIMEOUT_S = 10.0
GREETING_BYTES_MAX = 4_096
CHUNK_BYTES = 65_536
ACCEPT_PAUSE_S = 0.2

logger = logging.getLogger(__name__)


class Registry(Protocol):
    """Who is connected; see services.clients.ClientRegistry."""

    def connected(self, name: str, transport: str) -> AbstractContextManager[object]: ...


ANSWER = re.compile(r'\{"jsonrpc": ?"2\.0", ?"id": ?("(?:[^"\\]|\\.)*"|-?\d+), ?"(?:result|error)"')
"""How the SDK begins an answer; reading on would parse every result a second time."""


class RunningCalls:
    """The tool calls of all connections that wait for their answers, so that an orderly end can wait for them."""

    def __init__(self) -> None:
        self.is_ending = False
        self._waiting: dict[object, set[str]] = {}
        self._settled = anyio.Event()

    def began(self, connection: object, line: str) -> None:
        if '"tools/call"' not in line and '"notifications/cancelled"' not in line:
            return
        with contextlib.suppress(ValueError, RecursionError):
            message = json.loads(line)
            if not isinstance(message, dict):
                return
            params = message.get("params")
            if message.get("method") == "tools/call" and "id" in message:
                self._waiting.setdefault(connection, set()).add(json.dumps(message["id"]))
            elif message.get("method") == "notifications/cancelled" and isinstance(params, dict):
                self._settle(connection, json.dumps(params.get("requestId")))  # nobody answers it any more

    def answered(self, connection: object, line: str) -> None:
        found = ANSWER.match(line) if connection in self._waiting else None
        if found is not None:
            self._settle(connection, json.dumps(json.loads(found[1])))

    def _settle(self, connection: object, request_id: str) -> None:
        waiting = self._waiting.get(connection, set())
        waiting.discard(request_id)
        if not waiting:
            self.gone(connection)

    def gone(self, connection: object) -> None:
        """Nobody waits on this connection (any more)."""
        if self._waiting.pop(connection, None) is not None:
            settled, self._settled = self._settled, anyio.Event()
            settled.set()

    async def finish(self) -> None:
        """Return when every call that has begun is answered; nothing further is begun."""
        self.is_ending = True
        while self._waiting:
            await self._settled.wait()


class LineReader:
    """The lines of a stream as text, each at most ``LINE_BYTES_MAX`` long."""

    def __init__(self, stream: asyncio.StreamReader, connection: object, calls: RunningCalls) -> None:
        self._stream = stream
        self._connection = connection
        self._calls = calls
        self._buffer = bytearray()

    async def line(self, bytes_max: int = LINE_BYTES_MAX) -> bytes | None:
        """Return the next line without its newline, None at the end. Raises: ValueError (line too long)."""
        searched = 0
        while (at := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > bytes_max:
                msg = f"a line longer than {bytes_max} bytes"
                raise ValueError(msg)
            try:
                chunk = await self._stream.read(CHUNK_BYTES)
            except ConnectionError:
                return None
            if not chunk:
                return None
            self._buffer += chunk
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        return line

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            try:
                line = await self.line()
            except ValueError as error:
                logger.warning("a bridge sent %s: its connection is closed", error)
                return
            if line is None:
                return
            if self._calls.is_ending:
                # Not begun: its bridge sees the connection close and says that the daemon was stopped.
                await anyio.sleep_forever()
            text = line.decode("utf-8", "replace")
            self._calls.began(self._connection, text)
            yield text


class LineWriter:
    """What the SDK's line transport writes to. A client that is gone is no error: its reader sees the end."""

    def __init__(self, stream: asyncio.StreamWriter, connection: object, calls: RunningCalls) -> None:
        self._stream = stream
        self._connection = connection
        self._calls = calls

    async def write(self, text: str) -> None:
        try:
            self._stream.write(text.encode("utf-8", "surrogatepass"))
            await self._stream.drain()
        except ConnectionError:
            self._stream.close()
        self._calls.answered(self._connection, text)

    async def flush(self) -> None:
        """Nothing is held back."""


async def _streams_of(connection: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if connection.family == socket.AF_INET:
        # A line is a message: waiting to fill a packet would add tens of milliseconds.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return await asyncio.open_connection(sock=connection)
    return await asyncio.open_unix_connection(sock=connection)


class BridgeDoor:
    """Accepts bridges until cancelled."""

    def __init__(self, server: MCPServer[Any], clients: Registry, secret: str) -> None:
        """``secret``: what a bridge must say first, empty where only this user can connect at all."""
        self._server = server
        self._clients = clients
        self._secret = secret
        self._calls = RunningCalls()

    async def finish(self) -> None:
        """Take nothing new, and return when every call that has begun is answered. The caller bounds the wait."""
        await self._calls.finish()

    async def serve(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        async with anyio.create_task_group() as tasks:
            while True:
                try:
                    connection, _ = await loop.sock_accept(sock)
                except OSError as error:
                    # Out of descriptors, or a client that was gone at once: the others must still get in later.
                    logger.warning("a bridge could not be accepted: %s", error)
                    await anyio.sleep(ACCEPT_PAUSE_S)
                    continue
                tasks.start_soon(self._serve_one, connection)

    async def _serve_one(self, connection: socket.socket) -> None:
        incoming, outgoing = await _streams_of(connection)
        reader, writer = LineReader(incoming, outgoing, self._calls), LineWriter(outgoing, outgoing, self._calls)
        try:
            greeting = await self._greeting(reader)
            if greeting is None:
                return
            with self._clients.connected(str(greeting.get("id", ""))[:64], "stdio"):
                await self._say(writer, {"memmcp": "daemon", "protocol": PROTOCOL, "version": __version__})
                await self._speak(reader, writer)
        except Unavailable as error:
            await self._say(writer, {"memmcp": "refused", "reason": f"{error.message}; {error.hint}"})
        finally:
            self._calls.gone(outgoing)
            outgoing.close()

    async def _greeting(self, reader: LineReader) -> dict[str, Any] | None:
        """Return what the bridge said first; None for anything that is no bridge, such as a browser on a raw port."""
        greeting: object = None
        with anyio.move_on_after(GREETING_TIMEOUT_S):
            try:
                greeting = json.loads(await reader.line(GREETING_BYTES_MAX) or b"null")
            except (ValueError, RecursionError):
                return None
        if not isinstance(greeting, dict) or greeting.get("memmcp") != "bridge":
            return None
        if self._secret and not secrets.compare_digest(str(greeting.get("secret")).encode(), self._secret.encode()):
            logger.warning("a connection without the secret was closed")
            return None
        if greeting.get("protocol") != PROTOCOL:
            theirs = f"{greeting.get('version')} (protocol {greeting.get('protocol')})"
            reason = (
                f"this daemon is version {__version__} (protocol {PROTOCOL}), the bridge is {theirs}: "
                "run `memmcp stop`, then connect again"
            )
            raise Unavailable(reason, hint="the next client starts the installed version")
        return greeting

    async def _say(self, writer: LineWriter, message: dict[str, object]) -> None:
        await writer.write(json.dumps(message) + "\n")

    async def _speak(self, reader: LineReader, writer: LineWriter) -> None:
        """Run the protocol, both eras, until the bridge closes."""
        lowlevel = self._server._lowlevel_server
        streams = stdio_server(cast("anyio.AsyncFile[str]", reader), cast("anyio.AsyncFile[str]", writer))
        async with streams as (incoming, outgoing):
            await lowlevel.run(incoming, outgoing, lowlevel.create_initialization_options())
