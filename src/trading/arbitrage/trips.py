"""A round trip over two venues, step by step, so that it ends flat whatever one leg does.

The first leg is the one less certain to be filled: when it fails, nothing has happened. What it gave is what the second
leg has to bring back; until then the trip is *hedge-pending*. The second leg is tried again with what is left until
``hedge_by_ns`` and not below what the leg budget allows; then the rest is unwound, at each of the venues in turn, until
``flat_by_ns``. What is not flat by then waits for a person, and says so.

A trip is the fold of its events: whoever writes each event down before acting on what it leads to can be killed at any
point and go on from the same place. At most one attempt is open, each has a key of its own, and none is made before the
one before is proven filled or dead; an attempt without an answer is asked about, not repeated.

A trip that is *whole* has one attempt that does both legs or nothing: what it gives and what it brings are both money.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from trading.model.units import ceil_div

ATTEMPTS_MAX: Final = 64
"""Of one trip; after that it waits for a person."""
_DOUBLINGS_MAX: Final = 4


class Phase(StrEnum):
    FIRST = "first"
    SECOND = "second"
    """Hedge-pending: the first leg was filled, the second is still to be."""
    UNWINDING = "unwinding"
    DONE = "done"
    FLAT = "flat"
    """Given up and flat: nothing was filled, or what was is unwound."""
    STUCK = "stuck"
    """Something is left, and a person has to look."""

    @property
    def is_over(self) -> bool:
        return self in (Phase.DONE, Phase.FLAT, Phase.STUCK)


@dataclass(frozen=True, slots=True)
class LegPlan:
    """``amount_out_min`` is for the whole ``amount_in``; for a part of it, that part, rounded up. ``least_in``: less
    than that the venue takes in no order."""

    venue: str
    amount_in: int
    amount_out_min: int
    least_in: int = 1

    def floor(self, amount_in: int) -> int:
        return ceil_div(self.amount_out_min * amount_in, self.amount_in)


@dataclass(frozen=True, slots=True)
class TripPlan:
    """``unwinds`` are where the middle token can be sold back, the best first, each with the least that it may bring.

    ``attempt_ns``: so long after it was sent an attempt is dead for certain, or its outcome can be asked for.
    ``retry_ns``: the pause after an attempt of a leg back that failed, doubled each time; a venue that refuses at once
    would use up all attempts within a moment. ``dust``: so much of the middle token may be left over, as nobody takes
    it.
    """

    id: str
    first: LegPlan
    second: LegPlan
    unwinds: tuple[LegPlan, ...]
    began_ns: int
    hedge_by_ns: int
    flat_by_ns: int
    attempt_ns: int
    dust: int = 0
    retry_ns: int = 0
    is_whole: bool = False

    def __post_init__(self) -> None:
        if not self.unwinds:
            msg = "unwinds is empty; a trip needs at least one way back"
            raise ValueError(msg)
        if not self.began_ns < self.hedge_by_ns < self.flat_by_ns:
            msg = f"began_ns {self.began_ns}, hedge_by_ns {self.hedge_by_ns}, flat_by_ns {self.flat_by_ns} must rise"
            raise ValueError(msg)
        for leg in (self.first, self.second, *self.unwinds):
            if leg.amount_in < 1 or leg.amount_out_min < 0:
                msg = f"a leg at {leg.venue} has amount_in {leg.amount_in} and amount_out_min {leg.amount_out_min}"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One order of one leg; its key stands for it at the venue and in the journal. ``is_whole``: of both legs."""

    key: str
    phase: Phase
    venue: str
    amount_in: int
    amount_out_min: int
    expires_ns: int
    is_whole: bool = False

    @property
    def gives_money(self) -> bool:
        """The first leg gives what the trip begins with; all others bring it back."""
        return self.phase is Phase.FIRST


@dataclass(frozen=True, slots=True)
class Began:
    at_ns: int


@dataclass(frozen=True, slots=True)
class Settled:
    """So much was filled, all of it or a part; nothing more of this attempt can be filled. ``cost``: what it paid."""

    key: str
    amount_in: int
    amount_out: int
    cost: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Dead:
    """Proven: nothing of this attempt was filled, or can be."""

    key: str
    cost: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Looked:
    """Time went on and nothing was heard."""

    at_ns: int


Event = Began | Settled | Dead | Looked


@dataclass(frozen=True, slots=True)
class Send:
    """Write the attempt down, then send it."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the venue what became of an attempt that was sent and not answered."""

    attempt: Attempt


Action = Send | Ask


@dataclass(frozen=True, slots=True)
class Trip:
    """``paid`` and ``back`` in the unit that the trip starts with, ``middle`` is held of the other token. ``broken``:
    so many fills gave less than the order allowed, which no honest venue does; they are facts all the same."""

    plan: TripPlan
    phase: Phase = Phase.FIRST
    open: Attempt | None = None
    attempts: int = 0
    tries: int = 0
    paid: int = 0
    middle: int = 0
    back: int = 0
    cost: int = 0
    broken: int = 0
    fails: int = 0
    not_before_ns: int = 0

    @property
    def is_hedge_pending(self) -> bool:
        return self.middle > self.plan.dust and not self.phase.is_over

    @property
    def result(self) -> int:
        """What the trip has brought so far, its costs off; without the middle token that is left."""
        return self.back - self.paid - self.cost


def step(trip: Trip, event: Event) -> tuple[Trip, tuple[Action, ...]]:
    """Return the trip after the event, and what is to be done. What was heard before changes nothing."""
    if trip.phase.is_over:
        return trip, ()
    match event:
        case Began():
            return _next(trip, event.at_ns) if trip.open is None and not trip.attempts else (trip, ())
        case Looked():
            if trip.open is None:
                return _next(trip, event.at_ns)
            return trip, ((Ask(trip.open),) if event.at_ns >= trip.open.expires_ns else ())
    if trip.open is None or trip.open.key != event.key:
        return trip, ()
    attempt = trip.open
    trip = replace(trip, open=None, cost=trip.cost + event.cost)
    if isinstance(event, Settled):
        if not 0 < event.amount_in <= attempt.amount_in or event.amount_out < 0:
            return replace(trip, phase=Phase.STUCK, open=attempt), ()
        is_broken = event.amount_out < attempt_floor(attempt, event.amount_in)
        trip = replace(trip, broken=trip.broken + is_broken, fails=0, not_before_ns=0)
        if trip.plan.is_whole:
            return replace(trip, paid=event.amount_in, back=event.amount_out, phase=Phase.DONE), ()
        if attempt.phase is Phase.FIRST:
            trip = replace(trip, paid=trip.paid + event.amount_in, middle=trip.middle + event.amount_out)
        else:
            trip = replace(trip, middle=trip.middle - event.amount_in, back=trip.back + event.amount_out)
    elif attempt.phase is not Phase.FIRST:
        pause_ns = trip.plan.retry_ns << min(trip.fails, _DOUBLINGS_MAX)
        trip = replace(trip, fails=trip.fails + 1, not_before_ns=event.at_ns + pause_ns)
    return _next(trip, event.at_ns)


def fold(plan: TripPlan, events: Iterable[Event]) -> tuple[Trip, tuple[Action, ...]]:
    """Return the trip after its events, and how to go on after a restart."""
    trip = Trip(plan)
    for event in events:
        trip, _ = step(trip, event)
    # Whether an attempt was sent is not known: the venue is asked by its key, and says dead where it never came.
    return trip, () if trip.open is None else (Ask(trip.open),)


def attempt_floor(attempt: Attempt, amount_in: int) -> int:
    """Return the least that a part of an attempt must have given."""
    return attempt.amount_out_min * amount_in // attempt.amount_in


def in_order(legs: Sequence[tuple[LegPlan, int]]) -> tuple[LegPlan, ...]:
    """Return the legs in the order in which they are to be made, by how often each fails (bps): the surest last."""
    return tuple(leg for leg, _ in sorted(legs, key=lambda each: -each[1]))


def _next(trip: Trip, now_ns: int) -> tuple[Trip, tuple[Action, ...]]:
    """Go on from a point where nothing is open."""
    plan = trip.plan
    if trip.phase is Phase.FIRST:
        if not trip.attempts:
            return _send(trip, plan.first, plan.first.amount_in, now_ns, plan.hedge_by_ns)
        # The first leg is tried once: the opportunity was of that moment.
        trip = replace(trip, phase=Phase.SECOND if trip.middle else Phase.FLAT, tries=0)
    if trip.phase is Phase.SECOND:
        if trip.middle <= plan.dust:
            return replace(trip, phase=Phase.DONE), ()
        is_taken = trip.middle >= plan.second.least_in
        if is_taken and now_ns < plan.hedge_by_ns and trip.attempts < ATTEMPTS_MAX // 2:
            return _send_in_time(trip, plan.second, now_ns, plan.hedge_by_ns)
        trip = replace(trip, phase=Phase.UNWINDING, tries=0)
    if trip.phase is Phase.UNWINDING:
        if trip.middle <= plan.dust:
            return replace(trip, phase=Phase.FLAT), ()
        ways = [way for way in plan.unwinds if way.least_in <= trip.middle]
        if ways and now_ns < plan.flat_by_ns and trip.attempts < ATTEMPTS_MAX:
            return _send_in_time(trip, ways[trip.tries % len(ways)], now_ns, plan.flat_by_ns)
        return replace(trip, phase=Phase.STUCK), ()
    return trip, ()


def _send_in_time(trip: Trip, leg: LegPlan, now_ns: int, by_ns: int) -> tuple[Trip, tuple[Action, ...]]:
    if now_ns < trip.not_before_ns:
        return trip, ()
    return _send(trip, leg, trip.middle, now_ns, by_ns)


def _send(trip: Trip, leg: LegPlan, amount_in: int, now_ns: int, by_ns: int) -> tuple[Trip, tuple[Action, ...]]:
    attempt = Attempt(
        key=f"{trip.plan.id}:{trip.phase}:{trip.attempts}",
        phase=trip.phase,
        venue=leg.venue,
        amount_in=amount_in,
        amount_out_min=leg.floor(amount_in),
        expires_ns=min(now_ns + trip.plan.attempt_ns, by_ns),
        is_whole=trip.plan.is_whole,
    )
    return replace(trip, open=attempt, attempts=trip.attempts + 1, tries=trip.tries + 1), (Send(attempt),)
