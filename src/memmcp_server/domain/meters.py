"""What is counted and timed for whoever watches: families with their units, tallies, and spreads of durations.

A family says once what a figure is called, in base units (seconds, bytes, ratios from 0 to 1; lamports for money, so
that it stays exact). How its readings are written down is a door's business.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]

SERIES_MAX: Final = 256
"""No family has more series. Whoever sends made-up names is counted, under ``OTHER``."""
OTHER: Final = "other"
LABEL_CHARS_MAX: Final = 64

CALL_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Family:
    """``name`` as it is shown, with its unit; ``bounds``: the upper ends of a histogram's buckets, ascending."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One series as it is now. ``counts`` of a histogram: how many fell into each bucket, those above the last bound
    at the end; ``value`` is then the sum of what was observed."""

    family: Family
    labels: tuple[str, ...]
    value: float
    counts: tuple[int, ...] = ()


class Tally:
    """A counter by labels. For one thread."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._counts: dict[tuple[str, ...], float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        key = labels if labels in self._counts else _bounded(labels, len(self._counts))
        self._counts[key] = self._counts.get(key, 0) + by

    def readings(self) -> Iterator[Reading]:
        if not self.family.labels and not self._counts:
            yield Reading(self.family, (), 0)
        for labels, count in list(self._counts.items()):
            yield Reading(self.family, labels, count)


class Spread:
    """A histogram by labels. For one thread."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self._series: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def observe(self, value: float, *labels: str) -> None:
        series = self._series.get(labels)
        if series is None:
            key = _bounded(labels, len(self._series))
            series = self._series.setdefault(key, ([0] * (len(self.family.bounds) + 1), [0.0]))
        counts, total = series
        counts[bisect_left(self.family.bounds, value)] += 1
        total[0] += value

    def readings(self) -> Iterator[Reading]:
        for labels, (counts, total) in list(self._series.items()):
            yield Reading(self.family, labels, total[0], tuple(counts))


def _bounded(labels: tuple[str, ...], series: int) -> tuple[str, ...]:
    if series >= SERIES_MAX:
        return (OTHER,) * len(labels)
    return tuple(label[:LABEL_CHARS_MAX] for label in labels)
