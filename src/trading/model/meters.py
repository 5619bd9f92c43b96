"""What is counted and timed for whoever watches: families with their units, tallies, and spreads of figures.

Names follow the conventions of Prometheus: base units (seconds, ratios from 0 to 1), ``_total`` for what only grows.
Money is in lamports, which is exact and one unit for all of it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]

SERIES_MAX: Final = 256
"""No family has more series; what comes after is counted under ``OTHER``."""
OTHER: Final = "other"
LABEL_CHARS_MAX: Final = 64

CALL_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Family:
    """``name`` as it is shown, with its unit; ``bounds``: the upper ends of a histogram's buckets, ascending."""

    name: str
    kind: Kind
    help: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()

    def told(self, series: Iterable[tuple[Labels, float]]) -> dict[str, Any]:
        """Return the family's document with these series of a counter or a gauge."""
        found = [{"labels": list(labels), "value": value} for labels, value in series]
        return {"name": self.name, "kind": self.kind, "help": self.help, "labels": list(self.labels), "series": found}

    def told_spread(self, series: Mapping[Labels, "Spread"]) -> dict[str, Any]:
        """Return the family's document with these series of a histogram."""
        found = [
            {"labels": list(labels), "value": spread.total, "counts": list(spread.counts)}
            for labels, spread in series.items()
        ]
        return {**self.told(()), "bounds": list(self.bounds), "series": found}


@dataclass(slots=True)
class Spread:
    """One series of a histogram: how many figures fell up to each bound, those above the last at the end, and their
    sum."""

    bounds: tuple[float, ...] = CALL_BOUNDS_S
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    def observe(self, value: float, times: int = 1) -> None:
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times


@dataclass(frozen=True, slots=True)
class CallFigures:
    """What was counted of one endpoint since the start: answered calls, failures by kind, how long answers took; what
    its budget has left and for how long it is left alone. ``lag_slots``: of the chain's only."""

    ok: int
    errors: Mapping[str, int]
    answered_s: Spread
    budget_left: float
    away_s: float
    lag_slots: int | None = None


class Tally:
    """A counter by labels. For one thread."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._counts: dict[Labels, float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        key = labels if labels in self._counts else bounded(labels, len(self._counts))
        self._counts[key] = self._counts.get(key, 0) + by

    def told(self) -> dict[str, Any]:
        none: list[tuple[Labels, float]] = [] if self.family.labels else [((), 0)]
        return self.family.told(list(self._counts.items()) or none)


class Spreads:
    """A histogram by labels. For one thread."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._series: dict[Labels, Spread] = {} if family.labels else {(): Spread(family.bounds)}

    def observe(self, value: float, *labels: str, times: int = 1) -> None:
        key = labels if labels in self._series else bounded(labels, len(self._series))
        self._series.setdefault(key, Spread(self.family.bounds)).observe(value, times)

    def told(self) -> dict[str, Any]:
        return self.family.told_spread(dict(self._series))


def bounded(labels: Labels, series: int) -> Labels:
    """Return the labels of a new series beside so many others."""
    if series >= SERIES_MAX:
        return (OTHER,) * len(labels)
    return tuple(label[:LABEL_CHARS_MAX] for label in labels)
