"""The phone's state in memory, kept before anything is done on account of it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from memmcp_server.domain.phone import PhoneState, Pin
from memmcp_server.ports.phone import PhoneBook


class Keeping:
    """One writer at a time: the messages and the acts of one phone share it."""

    def __init__(self, book: PhoneBook) -> None:
        self._book = book
        self._state: PhoneState | None = None
        self._turn = asyncio.Lock()

    async def state(self) -> PhoneState:
        """Return the present state. Raises: DataDirectoryError."""
        async with self._turn:
            return await self._loaded()

    async def change(self, **changes: Any) -> PhoneState:
        """Keep some fields anew, durably. Raises: DataDirectoryError; nothing has changed then."""
        return await self.changed(lambda state: replace(state, **changes))

    async def changed(self, change: Callable[[PhoneState], PhoneState]) -> PhoneState:
        """Keep what ``change`` makes of the present state, durably. Raises: DataDirectoryError."""
        async with self._turn:
            state = change(await self._loaded())
            await asyncio.to_thread(self._book.save, state)
            self._state = state
            return state

    async def pin(self) -> Pin | None:
        """Return what is kept of the PIN now. Raises: DataDirectoryError."""
        return await asyncio.to_thread(self._book.pin)

    async def _loaded(self) -> PhoneState:
        if self._state is None:
            self._state = await asyncio.to_thread(self._book.load)
        return self._state
