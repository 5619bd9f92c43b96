"""Counts what is asked of endpoints that somebody charges for: by endpoint, with the credits of each method.

Endpoints are opened in many places, so the meter is the one of the task that opens them: ``metered`` names it for what
is opened in its block. Without one nothing is counted.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

NAMES_MAX: Final = 64
OTHERS: Final = "others"


@dataclass(slots=True)
class Counts:
    """``calls`` were sent; ``limited`` of them were turned away with 429, ``failed`` brought nothing for other reasons.
    ``withheld`` were not sent: our own budget was used up, or the endpoint was being left alone."""

    calls: int = 0
    credits: int = 0
    limited: int = 0
    failed: int = 0
    withheld: int = 0

    def add(self, other: "Counts") -> None:
        self.calls += other.calls
        self.credits += other.credits
        self.limited += other.limited
        self.failed += other.failed
        self.withheld += other.withheld


@dataclass(slots=True)
class CallMeter:
    """``weights``: credits of a method, 1 where it is not named. For one event loop."""

    weights: Mapping[str, int] = field(default_factory=dict)
    _counts: dict[str, Counts] = field(default_factory=dict)

    def sent(self, name: str, method: str) -> None:
        counts = self._of(name)
        counts.calls += 1
        counts.credits += self.weights.get(method, 1)

    def failed(self, name: str, kind: str) -> None:
        """Count a failure by its kind: one of those words that endpoints count by."""
        counts = self._of(name)
        if kind == "http_429":
            counts.limited += 1
        elif kind in ("budget", "backing_off"):
            counts.withheld += 1
        else:
            counts.failed += 1

    def take(self) -> dict[str, Counts]:
        """Return what was counted since the last time, by endpoint."""
        found, self._counts = self._counts, {}
        return found

    def _of(self, name: str) -> Counts:
        if name not in self._counts and len(self._counts) >= NAMES_MAX:
            name = OTHERS
        return self._counts.setdefault(name, Counts())


_meter: ContextVar[CallMeter | None] = ContextVar("trading_call_meter", default=None)


def current_meter() -> CallMeter | None:
    """Return who counts for what this task opens, None for nobody."""
    return _meter.get()


@contextmanager
def metered(meter: CallMeter) -> Iterator[None]:
    """Have this meter count for the endpoints that the block opens, and the tasks that it starts."""
    before = _meter.get()
    _meter.set(meter)
    try:
        yield
    finally:
        _meter.set(before)  # no token: a block may be left in another context than it was entered in
