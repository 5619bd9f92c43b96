"""Carries trips out at their venues, whatever dies: each event is written down before what it leads to is done.

A trip's next attempt follows from its events alone, so the event that leads to it stands for it in the journal. After a
restart every attempt that is open is asked about, as nobody knows whether it was sent. Nothing is concluded from an
error of a venue. What ends otherwise than flat, or was filled for less than was allowed, halts: no trip is opened until
a person has looked, and what is open is finished.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
import anyio.abc
import anyio.to_thread

from trading.errors import InvalidInput, TradingError
from trading.model.units import NS_PER_S
from trading.ports import Clock

from .leg_venue import LegVenue, Outcome
from .trip_ports import TripJournal, TripLimits
from .trips import Action, Attempt, Began, Event, Looked, Phase, Send, Trip, TripPlan, fold, step

logger = logging.getLogger(__name__)
T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
_CALL_EXTRA_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class RunnerRules:
    """``ask_s``: how long to wait before an attempt without an answer is asked about again, doubled up to
    ``ask_cap_s``. ``tick_s``: how often a trip looks at the time while it pauses."""

    limits: TripLimits
    ask_s: float = 0.5
    ask_cap_s: float = 8.0
    tick_s: float = 0.25


class TripRunner:
    """One per journal. ``run`` takes up what is unfinished, then works until it is cancelled; ``take`` hands in."""

    def __init__(
        self,
        journal: TripJournal,
        venues: Mapping[str, LegVenue],
        rules: RunnerRules,
        clock: Clock,
        sleep: Sleep = anyio.sleep,
    ) -> None:
        self._journal = journal
        self._venues = venues
        self._rules = rules
        self._clock = clock
        self._sleep = sleep
        self._one = anyio.CapacityLimiter(1)
        self._tasks: anyio.abc.TaskGroup | None = None
        self._under_way: dict[str, Trip] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a trip is under way."""
        return bool(self._under_way)

    def promised(self, venue: str) -> tuple[int, int]:
        """Return what trips that are not over may still give at a venue: money, and the middle token. What an attempt
        gives that is under way counts, though the venue may have taken it off already: never too little is told."""
        money = middle = 0
        for trip in self._under_way.values():
            plan = trip.plan
            if plan.is_whole or trip.phase.is_over:
                continue
            if trip.phase is Phase.FIRST:
                money += plan.first.amount_in if plan.first.venue == venue else 0
                middle += plan.second.amount_in if plan.second.venue == venue else 0
            elif venue in {plan.second.venue, *(way.venue for way in plan.unwinds)}:
                middle += trip.middle if trip.phase is Phase.UNWINDING or plan.second.venue == venue else 0
        return money, middle

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Raises: JournalUnavailable: what cannot be written down is not done."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                for kept in await self._io(self._journal.unfinished):
                    tasks.start_soon(self.carry_out, kept.plan.id)
                task_status.started()
                await anyio.sleep_forever()
            finally:
                self._tasks = None

    async def take(self, plan: TripPlan, loss_max: int) -> str:
        """Write a trip down and begin, or return why it may not be. Raises: InvalidInput, JournalUnavailable."""
        unknown = {leg.venue for leg in (plan.first, plan.second, *plan.unwinds)} - set(self._venues)
        if unknown:
            msg = f"venue: {', '.join(sorted(unknown))} is none of {', '.join(sorted(self._venues))}"
            raise InvalidInput(msg, field="venue")
        now_ns, limits = self._clock.now_ns(), self._rules.limits
        why_not = await self._io(lambda: self._journal.open(plan, loss_max, limits, now_ns))
        if not why_not:
            self._under_way[plan.id] = Trip(plan)
        if not why_not and self._tasks is not None:
            self._tasks.start_soon(self.carry_out, plan.id)
        return why_not

    async def carry_out(self, trip_id: str) -> Trip:
        """Drive one trip to its end from wherever it stands, and return it as it ended."""
        kept = await self._io(lambda: self._journal.kept(trip_id))
        trip, actions = fold(kept.plan, kept.events)
        self._under_way[trip_id] = trip
        number, wait_s, is_told = len(kept.events), self._rules.ask_s, False
        if not kept.events:
            trip, actions = await self._happened(trip, number, Began(self._clock.now_ns()))
            number += 1
        while not trip.phase.is_over:
            event: Event | None = await self._done(actions) if actions else None
            if event is None:
                # Nobody answered, or the trip pauses: only time goes on, and that need not be written down
                # unless it leads to something.
                await self._sleep(wait_s if trip.open is not None else self._rules.tick_s)
                wait_s = min(2 * wait_s, self._rules.ask_cap_s)
                event = Looked(self._clock.now_ns())
                if trip.open is not None and event.at_ns >= trip.plan.flat_by_ns and not is_told:
                    is_told = await self._unanswered(trip.plan.id, trip.open)
                after, actions = step(trip, event)
                if after == trip:
                    continue
            wait_s = self._rules.ask_s
            trip, actions = await self._happened(trip, number, event)
            number += 1
        self._under_way.pop(trip_id, None)
        if trip.phase is Phase.STUCK or trip.broken:
            why = f"trip {trip_id} is {trip.phase.value}, {trip.middle} left, {trip.broken} fills below their floor"
            await self._io(lambda: self._journal.halt(why))
        return trip

    async def _unanswered(self, trip_id: str, attempt: Attempt) -> bool:
        """Halt: past its deadline nobody says what came of an attempt. It may have been done, so it is asked on."""
        why = f"trip {trip_id} is past its deadline, and {attempt.venue} does not say what came of {attempt.key}"
        logger.warning("%s: it is asked again", why)
        await self._io(lambda: self._journal.halt(why))
        return True

    async def _happened(self, trip: Trip, number: int, event: Event) -> tuple[Trip, tuple[Action, ...]]:
        after, actions = step(trip, event)
        trip_id = trip.plan.id
        await self._io(lambda: self._journal.happened(trip_id, number, event, after.phase, after.result))
        self._under_way[trip_id] = after
        return after, actions

    async def _done(self, actions: tuple[Action, ...]) -> Outcome:
        """Do what a trip asks for; None where it is not known what came of it."""
        (action,) = actions
        venue = self._venues.get(action.attempt.venue)
        if venue is None:
            # It was begun under other settings: nothing is known there, so nothing is concluded.
            logger.warning("%s is at %s, which is not configured", action.attempt.key, action.attempt.venue)
            return None
        left_s = max(0.0, (action.attempt.expires_ns - self._clock.now_ns()) / NS_PER_S)
        try:
            with anyio.move_on_after(left_s + _CALL_EXTRA_S):
                # A body that sends does not stop in the middle: it is asked only when it has come back.
                return await (venue.send if isinstance(action, Send) else venue.ask)(action.attempt)
        except TradingError as error:
            logger.info("%s at %s: %s", action.attempt.key, action.attempt.venue, error)
        return None

    async def _io(self, call: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(call, limiter=self._one)
