"""Where the loop's cycles come from: a recorded or generated feed at a pace, or a live one as it comes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import anyio
import anyio.to_thread

from trading.model.market_data import CycleEnd, FeedDescription, MarketEvent, ts_of
from trading.model.units import NS_PER_S
from trading.ports import Feed, LiveFeed

BATCH_CYCLES_MAX = 256
BATCH_EVENTS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Cycle:
    """The events of one time, closed by a CycleEnd. ``number`` counts from 1 over the whole feed."""

    number: int
    events: tuple[MarketEvent, ...]


class Source(Protocol):
    """Cycles in order. ``next`` returns what is due now (at least one), None when the feed has ended."""

    @property
    def description(self) -> FeedDescription: ...

    def seek(self, cycles: int) -> None:
        """Go on after that many cycles."""

    async def next(self) -> list[Cycle] | None: ...

    def age_s(self) -> float | None:
        """Age of the newest event by the feed's own clock, None before the first."""

    def health(self) -> dict[str, Any]: ...


class PacedSource:
    """A recorded or generated feed. ``speed`` is a multiple of the feed's own time, None for as fast as it goes.

    The first ``unpaced_cycles`` of the feed come without a pace: a run that is new is warm at once, and one that goes
    on behind them is paced from its first cycle.
    """

    def __init__(
        self,
        feed: Feed,
        speed: float | None,
        monotonic_s: Callable[[], float] = time.monotonic,
        *,
        unpaced_cycles: int = 0,
    ) -> None:
        self._feed = feed
        self._speed = speed
        self._monotonic_s = monotonic_s
        self._unpaced_cycles = unpaced_cycles
        self._events: Iterator[MarketEvent] = iter(())
        self._ahead: Cycle | None = None
        self._number = 0
        self._anchor: tuple[float, int] | None = None
        self._newest: tuple[float, int] | None = None

    @property
    def description(self) -> FeedDescription:
        return self._feed.description

    def seek(self, cycles: int) -> None:
        self._events = self._feed.events(cycles)
        self._number = cycles
        self._ahead = None
        self._anchor = None

    async def next(self) -> list[Cycle] | None:
        if self._ahead is None:
            self._ahead = await anyio.to_thread.run_sync(self._pull)
        if self._ahead is None:
            return None
        await anyio.sleep(max(0.0, self._due_in_s(self._ahead)))
        batch = await anyio.to_thread.run_sync(self._due)
        self._newest = (self._monotonic_s(), ts_of(batch[-1].events[-1]))
        return batch

    def age_s(self) -> float | None:
        if self._newest is None:
            return None
        return 0.0 if self._speed is None else (self._monotonic_s() - self._newest[0]) * self._speed

    def health(self) -> dict[str, Any]:
        return {"kind": self.description.kind, "speed": "max" if self._speed is None else self._speed}

    def _pull(self) -> Cycle | None:
        events: list[MarketEvent] = []
        for event in self._events:
            events.append(event)
            if isinstance(event, CycleEnd):
                self._number += 1
                return Cycle(self._number, tuple(events))
        return None

    def _due(self) -> list[Cycle]:
        batch: list[Cycle] = []
        size = 0
        while self._ahead is not None and self._due_in_s(self._ahead) <= 0:
            batch.append(self._ahead)
            size += len(self._ahead.events)
            self._ahead = self._pull()
            if len(batch) >= BATCH_CYCLES_MAX or size >= BATCH_EVENTS_MAX:
                break
        if not batch and self._ahead is not None:  # woken a hair too early
            batch.append(self._ahead)
            self._ahead = self._pull()
        return batch

    def _due_in_s(self, cycle: Cycle) -> float:
        if self._speed is None or cycle.number <= self._unpaced_cycles:
            return 0.0
        ts_ns = ts_of(cycle.events[-1])
        if self._anchor is None:
            self._anchor = (self._monotonic_s(), ts_ns)
        began_s, from_ns = self._anchor
        return began_s + (ts_ns - from_ns) / NS_PER_S / self._speed - self._monotonic_s()


class LiveSource:
    """A feed that comes when it comes; its age is measured by the wall clock."""

    def __init__(self, feed: LiveFeed, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._feed = feed
        self._now_ns = now_ns
        self._number = 0
        self._newest_ns: int | None = None
        self._events: list[MarketEvent] = []

    @property
    def description(self) -> FeedDescription:
        return self._feed.description

    def seek(self, cycles: int) -> None:
        self._number = cycles

    async def next(self) -> list[Cycle] | None:
        while True:
            event = await self._feed.receive()
            self._events.append(event)
            self._newest_ns = ts_of(event)
            if isinstance(event, CycleEnd):
                self._number += 1
                events, self._events = tuple(self._events), []
                return [Cycle(self._number, events)]

    def age_s(self) -> float | None:
        """A clock that was set back makes the newest event one of the future: nothing more is decided until then."""
        return None if self._newest_ns is None else abs(self._now_ns() - self._newest_ns) / NS_PER_S

    def health(self) -> dict[str, Any]:
        return dict(self._feed.health())
