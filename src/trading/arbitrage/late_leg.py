"""A venue that is opened beside the others, and again later where it cannot be: they go on without it meanwhile."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import anyio

from trading.errors import TradingError, Unavailable

from .leg_venue import LegLook, LegVenue, Outcome
from .paper_leg import Sight
from .runner import Sleep
from .trips import Attempt

OPEN_AGAIN_S: Final = 5.0
OPEN_AGAIN_CAP_S: Final = 60.0
ASK_WAIT_S: Final = 10.0
"""So long whoever asks what became of an attempt waits for the venue: after a restart that is asked at once, and the
next time only when the attempt's time is over."""
V = TypeVar("V", bound=Sight)

logger = logging.getLogger(__name__)


class Late(Generic[V]):
    """``opening`` connects; somebody runs ``open``."""

    def __init__(self, name: str, opening: Callable[[], Awaitable[V]], sleep: Sleep = anyio.sleep) -> None:
        self._name = name
        self._opening = opening
        self._sleep = sleep
        self._opened: V | None = None
        self._is_open = anyio.Event()
        self._why = "it is being opened"
        self.ask_wait_s = ASK_WAIT_S

    @property
    def name(self) -> str:
        return self._name

    async def open(self) -> None:
        """Return when it is open; try until it is."""
        wait_s = OPEN_AGAIN_S
        while self._opened is None:
            try:
                self._opened = await self._opening()
                self._is_open.set()
            except TradingError as error:
                self._why = error.message
                logger.warning("%s cannot be opened: %s", self._name, error)
                await self._sleep(wait_s)
                wait_s = min(2 * wait_s, OPEN_AGAIN_CAP_S)

    def there(self) -> V:
        """Return the venue. Raises: Unavailable with what kept it from being opened."""
        if self._opened is None:
            msg = f"{self._name}: {self._why}"
            raise Unavailable(msg)
        return self._opened


class LateSight(Late[Sight]):
    """A body of ``Sight``."""

    async def look(self) -> LegLook:
        return await self.there().look()


class LateLeg(Late[LegVenue]):
    """A body of ``LegVenue``: what is not open neither sends nor knows what became of anything."""

    async def look(self) -> LegLook:
        return await self.there().look()

    async def send(self, attempt: Attempt) -> Outcome:
        return await self.there().send(attempt)

    async def ask(self, attempt: Attempt) -> Outcome:
        with anyio.move_on_after(self.ask_wait_s):
            await self._is_open.wait()
        return await self.there().ask(attempt)
