"""A trip told event by event, and what each of its events moved at which venue. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from .trips import Attempt, Dead, Event, Phase, Settled, Trip, TripPlan, step


@dataclass(frozen=True, slots=True)
class Scene:
    """One event that changed a trip. ``attempt`` is the one that it is about; ``phase`` is where the trip stood after,
    ``result`` what it had brought by then."""

    event: Event
    attempt: Attempt | None
    phase: Phase
    result: int


@dataclass(frozen=True, slots=True)
class Moved:
    """What one fill, or a failed attempt, changed at a venue: money that trips begin with, and the middle token."""

    venue: str
    money: int
    middle: int


def story(plan: TripPlan, events: Iterable[Event]) -> tuple[Trip, tuple[Scene, ...]]:
    """Return the trip after its events, and each event that changed something."""
    trip, scenes = Trip(plan), []
    for event in events:
        before = trip
        trip, _ = step(trip, event)
        if trip == before:
            continue
        attempt = before.open if isinstance(event, Settled | Dead) else None
        scenes.append(Scene(event, attempt, trip.phase, trip.result))
    return trip, tuple(scenes)


def moves(scenes: Iterable[Scene]) -> tuple[Moved, ...]:
    """Return what fills and the cost of attempts have changed, in order."""
    found = []
    for each in scenes:
        attempt, event = each.attempt, each.event
        if attempt is None or not isinstance(event, Settled | Dead):
            continue
        if isinstance(event, Dead):
            if event.cost:
                found.append(Moved(attempt.venue, -event.cost, 0))
        elif attempt.is_whole:
            found.append(Moved(attempt.venue, event.amount_out - event.amount_in - event.cost, 0))
        elif attempt.gives_money:
            found.append(Moved(attempt.venue, -event.amount_in - event.cost, event.amount_out))
        else:
            found.append(Moved(attempt.venue, event.amount_out - event.cost, -event.amount_in))
    return tuple(found)
