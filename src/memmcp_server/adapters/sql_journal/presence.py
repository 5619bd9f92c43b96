"""Finds out, while a read waits for long, whether its server is there at all.

A server that is down refuses at once. One that hangs, or whose machine went away without a word, would keep a reader
waiting for as long as a statement may take: so a connection of its own is made, and asked for a constant.
"""

import asyncio
import contextlib
import threading
from typing import Any, TypeVar

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from memmcp_server.errors import JournalUnavailable, MemoryServerError

from .engines import LIVELINESS, Place
from .translate import translating

PATIENCE_S = 0.5
"""So long a read waits before anybody asks whether its server is there; then again after each such pause."""

ANSWER_S = 1.5
"""So long a server that is there may take to let somebody in and say a constant."""

CONNECT_TIMEOUT_S = 2

T = TypeVar("T")


class Presence:
    """Used from one event loop. Reads that wait at the same time share one question."""

    def __init__(self, place: Place) -> None:
        self._shown = place.shown
        waits = {**LIVELINESS, "connect_timeout": CONNECT_TIMEOUT_S, "application_name": "memmcp (presence)"}
        self._engine = create_engine(place.url, poolclass=NullPool, connect_args=waits, hide_parameters=True)
        self._asking: asyncio.Future[bool] | None = None

    async def wait(self, future: "asyncio.Future[T]") -> T:
        """Return the future's result. Raises: what it raises; JournalUnavailable: its server does not answer."""
        try:
            while not (await asyncio.wait({future}, timeout=PATIENCE_S))[0]:
                if not await self._is_there(future):
                    msg = f"the journal at {self._shown} does not answer"
                    raise JournalUnavailable(msg, hint="check that the database runs and can be reached, then repeat")
        finally:
            future.cancel()  # nothing for one that is done; one that has not begun never begins
        return future.result()

    async def _is_there(self, future: "asyncio.Future[T]") -> bool:
        if self._asking is None or self._asking.done():
            self._asking = self._begin()
        waited: set[asyncio.Future[Any]] = {future, self._asking}
        await asyncio.wait(waited, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        return future.done() or (self._asking.done() and self._asking.result())

    def _begin(self) -> "asyncio.Future[bool]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()

        def tell(found: bool) -> None:
            if not answer.done():
                answer.set_result(found)

        def ask() -> None:
            found = self._ask()
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(tell, found)

        # Not one of a pool: it must not wait behind others, and nobody waits for it at the end.
        threading.Thread(target=ask, name="journal-presence", daemon=True).start()
        return answer

    def _ask(self) -> bool:
        try:
            with translating(self._shown), self._engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
        except MemoryServerError:
            return False
        return True
