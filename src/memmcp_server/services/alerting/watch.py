"""Looks at everything once a second, and at the desk at each of its changes; what is read is judged at once."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Final

import anyio

from memmcp_server.domain.alert import Reading, Sample
from memmcp_server.domain.identifiers import JsonObject
from memmcp_server.errors import MemoryServerError, TradingUnavailable, Unavailable
from memmcp_server.ports import Clock, TradingDesk
from memmcp_server.services.news import News

from .alerts import Alerts
from .desk_readings import NAMES, DeskReadings
from .sources import Source, reading

READ_TIMEOUT_S: Final = 2.0
DESK_PAUSE_S: Final = 0.1
"""Between two looks at a desk that changes all the time (a replay at full speed): its snapshots skip meanwhile."""

RETRY_S: Final = 1.0
SILENCE: Final = "source_silent_s"
DESK: Final = "desk"
UNREADABLE: Final = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError)
"""A part that says something else than it should must not silence all others; that it does is an alert."""

logger = logging.getLogger(__name__)


class Watch:
    """``desk`` None: trading is off. Slow and failing sources hold up nobody; their silence is a reading."""

    def __init__(
        self,
        alerts: Alerts,
        sources: Sequence[Source],
        desk: TradingDesk | None,
        clock: Clock,
        *,
        sample_s: float = 1.0,
        news: News | None = None,
    ) -> None:
        self._alerts = alerts
        self._sources = tuple(sources)
        self._desk = desk
        self._clock = clock
        self._sample_s = sample_s
        self._news = news
        self._desk_readings = DeskReadings()
        began_s = clock.monotonic_s()
        self._heard_s = dict.fromkeys((*(source.name for source in sources), *([DESK] if desk else [])), began_s)
        self._troubles: dict[str, str] = {}
        self._trouble = ""

    async def run(self) -> None:
        """Watch until cancelled."""
        hearing = nullcontext() if self._news is None else self._news.listening(self._alerts.hear)
        with hearing:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._sample_for_ever)
                if self._desk is not None:
                    tasks.start_soon(self._follow_desk, self._desk)

    async def look(self) -> None:
        """Take one sample of everything and judge it. Raises: what writing to the journal raises."""
        readings: list[Reading] = []
        known: set[str] = {SILENCE}
        async with anyio.create_task_group() as tasks:
            for source in self._sources:
                tasks.start_soon(self._read, source, readings, known)
            if self._desk is not None:
                tasks.start_soon(self._read_desk, self._desk, readings, known)
        now_s = self._clock.monotonic_s()
        for name, heard_s in self._heard_s.items():
            readings.append(reading(SILENCE, now_s - heard_s, self._troubles.get(name, ""), source=name))
        await self._alerts.take(Sample(tuple(readings), frozenset(known)))

    async def _sample_for_ever(self) -> None:
        while True:
            began_s = self._clock.monotonic_s()
            await self._judged(self.look)
            await anyio.sleep(max(0.05, began_s + self._sample_s - self._clock.monotonic_s()))

    async def _follow_desk(self, desk: TradingDesk) -> None:
        while True:
            try:
                async for snapshot in desk.changes():
                    found = self._read_snapshot(snapshot)
                    if found is not None:
                        await self._judged(partial(self._alerts.take, Sample(tuple(found), NAMES)))
                    await anyio.sleep(DESK_PAUSE_S)
            except TradingUnavailable as error:
                logger.debug("the desk is not there: %s", error.message)
            await anyio.sleep(RETRY_S)

    async def _judged(self, judge: Callable[[], Awaitable[object]]) -> None:
        """Do it, and go on where the journal cannot be written: what was found is kept and written next time."""
        try:
            await judge()
        except MemoryServerError as error:
            if error.message != self._trouble:
                logger.warning("alerts cannot be written down now: %s", error.message)
            self._trouble = error.message
        else:
            self._trouble = ""

    async def _read(self, source: Source, into: list[Reading], known: set[str]) -> None:
        try:
            with anyio.fail_after(READ_TIMEOUT_S):
                found = await source.read()
        except TimeoutError:
            self._troubles[source.name] = f"It did not answer within {READ_TIMEOUT_S:g} s."
        except (MemoryServerError, OSError) as error:
            self._troubles[source.name] = str(error)
        except UNREADABLE as error:
            self._cannot_read(source.name, error)
        else:
            self._heard(source.name)
            into += found
            known |= source.names

    async def _read_desk(self, desk: TradingDesk, into: list[Reading], known: set[str]) -> None:
        try:
            with anyio.fail_after(READ_TIMEOUT_S):
                snapshot = await desk.snapshot()
        except TimeoutError:
            self._troubles[DESK] = f"It did not answer within {READ_TIMEOUT_S:g} s."
        except Unavailable as error:
            self._troubles[DESK] = error.message
        else:
            found = self._read_snapshot(snapshot)
            if found is not None:
                self._heard(DESK)
                into += found
                known |= NAMES

    def _read_snapshot(self, snapshot: JsonObject) -> list[Reading] | None:
        """Return its readings, None where it is not what it should be: then the desk counts as silent."""
        try:
            return self._desk_readings.of(snapshot, self._clock.monotonic_s())
        except UNREADABLE as error:
            self._cannot_read(DESK, error)
            return None

    def _cannot_read(self, name: str, error: Exception) -> None:
        told = f"What it says cannot be read: {error!r}"
        if self._troubles.get(name) != told:
            logger.error("readings of %s cannot be read", name, exc_info=error)
        self._troubles[name] = told

    def _heard(self, name: str) -> None:
        self._heard_s[name] = self._clock.monotonic_s()
        self._troubles.pop(name, None)
