"""Where the equity may go if the future is made of the same days as the past. Floats only; no promise.

Returns are drawn with the stationary bootstrap (Politis & Romano 1994, J. Am. Stat. Assoc. 89): blocks of random,
geometrically distributed length, so that days which hang together mostly stay together. Each path first draws a past of
its own from the one that was seen and then its future from that: how little a short record says of the mean return is
in the interval too (a predictive distribution by bootstrap, after Harris 1989, Biometrika 76). An interval of the seen
returns alone would be far too narrow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .performance import EquityCurve

PATHS: Final = 2_000
SEED: Final = 20_260_301
"""The same returns always give the same paths."""
PERCENTILES: Final = (5, 25, 50, 75, 95)
RETURNS_USED_MAX: Final = 1_000
STEPS_MAX: Final = 3_000
RETURN_MIN: Final = -0.9999
"""A period that lost everything would end every path that draws it; the logarithm needs a little left."""

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]
Times = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Goal:
    """A multiple of the present equity, above it or below it."""

    name: str
    growth: float


@dataclass(frozen=True, slots=True)
class Reach:
    """``reached``: the share of the paths that come to it within the horizon. ``steps``: after how many periods, by
    percentile over all paths; None where that share of them has not come to it by then."""

    name: str
    reached: float
    steps: Times


@dataclass(frozen=True, slots=True)
class Cone:
    """``growth[k]`` are the percentiles of equity after ``steps[k]`` periods, as multiples of the present one."""

    steps: tuple[int, ...]
    growth: tuple[tuple[float, ...], ...]
    reaches: tuple[Reach, ...]
    used: int
    mean_block: float


def period_returns(
    marks: Sequence[tuple[int, int]], flows: Sequence[tuple[int, int]], period_ns: int
) -> tuple[float, ...]:
    """Return the time-weighted return of each closed period, oldest first: deposits and withdrawals are none.

    ``marks`` are (time, equity) in the order of time, at least the last of each period and the last before each of the
    ``flows`` (time, amount: below 0 for a withdrawal); a flow comes after the marks of its own time. The first period,
    of which the beginning is not known, and the one that runs still are left out.
    """
    if not marks:
        return ()
    curve = EquityCurve(period_ns)
    curve.flow(marks[0][1])
    waiting = [flow for flow in flows if flow[0] >= marks[0][0]]
    for ts_ns, equity_lamports in marks:
        while waiting and waiting[0][0] < ts_ns:
            curve.flow(waiting.pop(0)[1])
        curve.mark(ts_ns, equity_lamports)
    return tuple(curve.returns()[1:])


def block_mean(returns: int, least: float) -> float:
    """Return the mean length of a block for so many returns: their cube root, as theory has it grow."""
    return max(least, float(round(returns ** (1 / 3))))


def project(returns: Sequence[float], steps: Sequence[int], goals: Sequence[Goal], mean_block: float) -> Cone:
    """Return what became of ``PATHS`` paths after each of ``steps`` (ascending, in periods of the returns).

    Of the returns the newest ``RETURNS_USED_MAX`` count. Raises: ValueError for no returns, or no steps or too many.
    """
    if not returns or not steps or steps[-1] > STEPS_MAX:
        msg = f"returns: at least 1, not {len(returns)}; steps: 1 to {STEPS_MAX}, not {list(steps)}"
        raise ValueError(msg)
    seen = np.log1p(np.maximum(np.asarray(returns[-RETURNS_USED_MAX:], np.float64), RETURN_MIN))
    chance = np.random.default_rng(SEED)
    pasts = seen[_drawn(chance, seen.size, seen.size, mean_block)]
    grown = np.zeros(PATHS)
    levels = [math.log(goal.growth) for goal in goals]
    reached = [np.full(PATHS, np.inf) for _ in goals]
    wanted, table = set(steps), []
    rows, places = np.arange(PATHS), chance.integers(0, seen.size, PATHS)
    for step in range(1, steps[-1] + 1):
        grown += pasts[places, rows]
        places = _next(chance, places, seen.size, mean_block)
        for level, first in zip(levels, reached, strict=True):
            is_there = grown >= level if level >= 0 else grown <= level
            first[is_there & np.isinf(first)] = step
        if step in wanted:
            table.append(tuple(float(each) for each in np.exp(np.percentile(grown, PERCENTILES))))
    reaches = tuple(_reach(goal.name, first) for goal, first in zip(goals, reached, strict=True))
    return Cone(tuple(steps), tuple(table), reaches, int(seen.size), mean_block)


def _drawn(chance: np.random.Generator, seen: int, length: int, mean_block: float) -> Ints:
    """Return places in the past, (length, PATHS)."""
    places = np.empty((length, PATHS), np.int64)
    places[0] = chance.integers(0, seen, PATHS)
    for step in range(1, length):
        places[step] = _next(chance, places[step - 1], seen, mean_block)
    return places


def _next(chance: np.random.Generator, places: Ints, seen: int, mean_block: float) -> Ints:
    """Return the place after each (the first one follows the last), now and then any place: a new block."""
    begins = chance.random(PATHS) < 1.0 / mean_block
    found: Ints = np.where(begins, chance.integers(0, seen, PATHS), (places + 1) % seen)
    return found


def _reach(name: str, first: Floats) -> Reach:
    # The nearest rank: what lies between a step and never is no step.
    ranked = np.sort(first)
    at = [ranked[min(PATHS - 1, math.ceil(PATHS * percentile / 100) - 1)] for percentile in PERCENTILES]
    steps = tuple(None if math.isinf(each) else float(each) for each in at)
    return Reach(name, float(np.isfinite(first).mean()), steps)
