"""Serves an application on this machine only, for as long as a block runs."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext
from typing import Any, Final

import anyio
import uvicorn
from starlette.applications import Starlette

LOOPBACK: Final = "127.0.0.1"
_DOWN_S: Final = 2


@asynccontextmanager
async def bound(port: int) -> AsyncIterator[socket.socket]:
    """Hold a port of this machine; 0 is a free one. Raises: OSError when it is taken."""
    # With the protocol named, asyncio switches the delay of small packets off: 40 ms less per answer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with closing(listening):
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((LOOPBACK, port))
        yield listening


@asynccontextmanager
async def served(app: Starlette, listening: socket.socket) -> AsyncIterator[anyio.abc.TaskGroup]:
    """Serve until the block is left; give a group for what runs beside it, cancelled at the end."""
    config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = _Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listening])
        await server.up.wait()
        try:
            yield tasks
        finally:
            server.should_exit = server.force_exit = True
            with anyio.CancelScope(shield=True), anyio.move_on_after(_DOWN_S):
                await server.down.wait()
            tasks.cancel_scope.cancel()


class _Server(uvicorn.Server):
    """Tells when it is up and down; the host of this process handles signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = anyio.Event()
        self.down = anyio.Event()

    def capture_signals(self) -> Any:
        return nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self.down.set()
