"""What trips are written down in, and the limits that all of them share. The body is ``adapters/trip_journal.py``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .trips import Event, Phase, TripPlan


@dataclass(frozen=True, slots=True)
class TripLimits:
    """In the unit that trips begin with. ``open_max``: trips that are not over, those that wait for a person included.
    ``day_loss_max``: what the trips of a UTC day may have lost when all that is open goes as badly as it may."""

    open_max: int
    amount_max: int
    day_loss_max: int

    def __post_init__(self) -> None:
        for name in ("open_max", "amount_max", "day_loss_max"):
            if getattr(self, name) < 1:
                msg = f"{name} is {getattr(self, name)}; allowed is 1 or more"
                raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class TripKept:
    """A trip as it was written down. ``result`` is in the unit of the trip, once it is over."""

    plan: TripPlan
    phase: Phase
    events: tuple[Event, ...]
    result: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen between two venues at a moment: the best trip of that direction and why it was not taken, "" where
    it was. ``net`` and ``amount`` are 0 where there was no price."""

    at_ns: int
    first: str
    second: str
    amount: int
    gross: int
    net: int
    why_not: str


@dataclass(frozen=True, slots=True)
class TripRow:
    """A trip with its place in the journal; ``ended_ns`` is 0 while it is not over."""

    number: int
    kept: TripKept
    ended_ns: int


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something was seen in an hour, and the most that any of it would have left."""

    hour_ns: int
    first: str
    second: str
    why_not: str
    count: int
    net_best: int


class TripJournal(Protocol):
    """Each method is one durable transaction. Raises: JournalUnavailable."""

    def open(self, plan: TripPlan, loss_max: int, limits: TripLimits, now_ns: int) -> str:
        """Write a trip down, or return why it may not be: halted, open_max, amount_max, day_loss_max. ``loss_max`` is
        the most that it may lose by its own floors. The same id again is taken as it is."""

    def happened(self, trip_id: str, number: int, event: Event, phase: Phase, result: int) -> None:
        """Write an event down before what it leads to is done. ``number`` counts the trip's events from 0. Raises:
        JournalUnavailable, also where another process has written that number."""

    def kept(self, trip_id: str) -> TripKept: ...

    def unfinished(self) -> Sequence[TripKept]:
        """Return the trips that are not over, oldest first."""

    def seen(self, sightings: Sequence[Sighting]) -> None:
        """Note what was seen; the oldest go when there are too many."""

    def sightings(self, limit: int = 100) -> Sequence[Sighting]:
        """Return the newest first."""

    def day_result(self, now_ns: int) -> int:
        """Return what the trips that ended in the present UTC day brought."""

    def halt(self, why: str) -> None:
        """Open no trip from now on; the first cause is the one that is kept."""

    def halted(self) -> str:
        """Return why no trip is opened, "" where they are."""

    def resume(self, actor: str, reason: str) -> None:
        """Let trips be opened again. Raises: InvalidInput without a reason, or while a trip waits for a person."""
