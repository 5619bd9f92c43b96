"""Keeps the background search going beside a desk: starts its process, reads what it says, starts it again.

The desk's loop does nothing of it: it runs in a task that waits for lines, and what it read last is what is shown.
"""

import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from subprocess import PIPE
from typing import Any, Final

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

COMMAND: Final = (sys.executable, "-m", "trading.evolution.background")
RESTART_S: Final = 5.0
RESTART_S_MAX: Final = 600.0
RESTARTS_MAX: Final = 20
"""In a row, without a word in between; then it stays down, and the desk's state says so."""
END_S: Final = 3.0
LINE_BYTES_MAX: Final = 65_536

logger = logging.getLogger(__name__)
Document = dict[str, Any]


class Keeper:
    """``told`` is the line that the process is told; ``command`` what starts it."""

    def __init__(self, told: bytes, budget_percent: int, command: tuple[str, ...] = COMMAND) -> None:
        self._told = told
        self._command = command
        self._budget_percent = budget_percent
        self._strategies: dict[str, Mapping[str, Any]] = {}
        self._state = "starting"
        self._restarts = 0
        self._cpu_s = 0.0

    def document(self) -> Document:
        """Return what is shown of it: its state, and how far each strategy's search is."""
        return {
            "state": self._state,
            "cpu_budget_percent": self._budget_percent,
            "cpu_s": self._cpu_s,
            "restarts": self._restarts,
            "searches": [dict(each) for each in self._strategies.values()],
        }

    async def run(self) -> None:
        """Keep the process going until cancelled, or until it died too often."""
        silent = 0
        while silent < RESTARTS_MAX:
            words = await self._once()
            silent = 0 if words else silent + 1
            self._restarts += 1
            self._state = "restarting"
            await anyio.sleep(min(RESTART_S * 2.0**silent, RESTART_S_MAX))
        self._state = "down"
        logger.error("the background search died %d times in a row and stays down", silent)

    async def _once(self) -> int:
        """Run the process to its end; return how many lines it said."""
        words = 0
        try:
            process = await anyio.open_process(self._command, stdin=PIPE, stdout=PIPE, stderr=None)
        except OSError as error:  # no memory, no more processes: the desk trades on without it
            logger.warning("the background search could not be started: %s", error)
            return 0
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            lines = BufferedByteReceiveStream(process.stdout)
            with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError):
                await process.stdin.send(self._told)
                while True:
                    self._heard(await lines.receive_until(b"\n", LINE_BYTES_MAX))
                    words += 1
        finally:
            with anyio.CancelScope(shield=True):
                await _ended(process)
        logger.warning("the background search ended with code %s", process.returncode)
        return words

    def _heard(self, line: bytes) -> None:
        """Take one line; what is none of its words is left out (a library may print)."""
        try:
            body: Mapping[str, Any] = json.loads(line)
            strategy, cpu_s = str(body["strategy"]), float(body["cpu_s"])
        except (ValueError, KeyError, TypeError):
            return
        self._state, self._cpu_s = "running", cpu_s
        self._strategies[strategy] = {name: value for name, value in body.items() if name not in {"cpu_s", "pid"}}


async def _ended(process: Process) -> None:
    """End a process: it ends by itself when its standard input is closed, else it is killed."""
    if process.stdin is not None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await process.stdin.aclose()
    with anyio.move_on_after(END_S):
        await process.wait()
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    await process.aclose()


@asynccontextmanager
async def kept(keeper: Keeper) -> AsyncIterator[Callable[[], Document]]:
    """Keep it going while the block lasts; gives what tells how it stands."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        try:
            yield keeper.document
        finally:
            tasks.cancel_scope.cancel()
