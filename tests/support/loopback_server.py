"""uvicorn as tests need it: ends when it is told to, and leaves nothing open behind it."""

import contextlib
import socket
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import uvicorn

TICK_S = 0.01
TICKS_OF_A_DATE = 100
STEPS_OF_ACCEPTING = 5
"""How often the loop goes round, and one more, until a connection that is being accepted is one."""
GONE_WITHIN_S = 5.0


class LoopbackServer(uvicorn.Server):
    """Serves until ``should_exit``. The test's process keeps its own signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        ticks = 0
        while not self.should_exit:
            if ticks % TICKS_OF_A_DATE == 0:
                await self.on_tick(0)
            ticks += 1
            await anyio.sleep(TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ask every connection to end, and cut off what has not within ``timeout_graceful_shutdown``.

        uvicorn asks once, and goes when its time is over: a spare connection of a browser that is accepted just then
        would outlive its loop, and be an "unclosed transport" in whatever test comes next.
        """
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        for _ in range(STEPS_OF_ACCEPTING):
            await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(self.config.timeout_graceful_shutdown):
            await self._ended(asking=True)
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        with anyio.fail_after(GONE_WITHIN_S):
            await self._ended(asking=False)

    async def _ended(self, *, asking: bool) -> None:
        while self.server_state.connections or self.server_state.tasks:
            for connection in list(self.server_state.connections) if asking else ():
                connection.shutdown()
            await anyio.sleep(TICK_S)
