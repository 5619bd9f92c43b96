"""Rotation judged on recorded daily returns: what the rule would have made of several strategies' streams.

The streams are each strategy's out-of-sample returns of a walk. The rule sees a day only when it is over, and its
figures are chosen on the first part alone; so every judged day is out of sample twice.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from trading.errors import InvalidInput
from trading.model.bucket_rules import BucketRules
from trading.model.units import BPS_ONE
from trading.portfolio.rotation import MILLION, Seat, Terms, decide, even_beliefs, learned, shrunken_mean_ppm

from .walk_forward import BLOCK_DAYS

Streams = Mapping[str, Sequence[float]]
"""Daily returns by strategy, all of the same days."""

RATES_PERCENT: Final = (50, 200, 800)
SHIFTS_PPM: Final = (500, 2_000, 10_000)
GRID: Final = tuple(Terms(rate_percent=rate, shift_ppm=shift) for rate, shift in product(RATES_PERCENT, SHIFTS_PPM))
"""Declared before any of them was tried on a judged day."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """``returns`` are of each day after what its moves cost; ``shares_bps`` are those that the day began with;
    ``moved_bps`` is all that ever moved, as a share of the capital."""

    returns: tuple[float, ...]
    shares_bps: tuple[Mapping[str, int], ...]
    moved_bps: int


def rotated(streams: Streams, rules: BucketRules, terms: Terms) -> Rotated:
    """Return what the rule makes of the streams, from even shares on. Raises: InvalidInput."""
    days = _days(streams)
    names = list(streams)
    share = {name: BPS_ONE // len(names) for name in names}
    share[names[0]] += BPS_ONE - sum(share.values())
    beliefs = even_beliefs(names)
    past: dict[str, list[int]] = {name: [] for name in names}
    returns, told, moved_bps, cost = [], [], 0, 0.0
    for day in range(days):
        told.append(share)
        brought = sum(share[name] * streams[name][day] for name in names) / BPS_ONE
        returns.append((1.0 + brought) * (1.0 - cost) - 1.0)
        of_day = {name: round(streams[name][day] * MILLION) for name in names}
        beliefs = learned(beliefs, of_day, terms)
        for name, each in of_day.items():
            past[name].append(each)
        seats = {
            name: Seat(share[name], beliefs[name], shrunken_mean_ppm(past[name], terms), day + 1) for name in names
        }
        after = dict(decide(seats, rules).after_bps)
        step_bps = sum(abs(after[name] - share[name]) for name in names) // 2
        moved_bps += step_bps
        cost = step_bps * rules.rotation_cost_bps / BPS_ONE**2  # paid out of the next day
        share = after
    return Rotated(tuple(returns), tuple(told), moved_bps)


def even(streams: Streams) -> list[float]:
    """Return the daily returns of equal shares, made equal again every day at no cost."""
    return [sum(streams[name][day] for name in streams) / len(streams) for day in range(_days(streams))]


def best_single(streams: Streams) -> str:
    """Return the strategy that grew most over all these days, as nobody could know before."""
    return max(streams, key=lambda name: (math.prod(1.0 + each for each in streams[name]), name))


def choose_terms(streams: Streams, rules: BucketRules, grid: Sequence[Terms] = GRID) -> Terms:
    """Return the figures with which the rule grew most on these days; the first of equals."""
    return max(grid, key=lambda terms: math.prod(1.0 + each for each in rotated(streams, rules, terms).returns))


def part(streams: Streams, begin: int, end: int | None = None) -> dict[str, tuple[float, ...]]:
    """Return the days from ``begin`` until ``end`` (excluded) of every stream."""
    return {name: tuple(each[begin:end]) for name, each in streams.items()}


def lifted(streams: Streams, name: str, by: float) -> dict[str, tuple[float, ...]]:
    """Return the streams with so much more a day for one of them: an edge that is there."""
    return {each: tuple(r + by for r in stream) if each == name else tuple(stream) for each, stream in streams.items()}


def resampled(streams: Streams, count: int, seed: int) -> Iterable[dict[str, tuple[float, ...]]]:
    """Yield streams of the same length made of blocks of ``BLOCK_DAYS`` days of these, drawn with replacement, the same
    days for every strategy (circular block bootstrap, Politis & Romano 1992)."""
    days = _days(streams)
    chance = np.random.default_rng(seed)
    for _ in range(count):
        starts = chance.integers(0, days, -(-days // BLOCK_DAYS))
        places = ((starts[:, None] + np.arange(BLOCK_DAYS)) % days).reshape(-1)[:days].tolist()
        yield {name: tuple(each[place] for place in places) for name, each in streams.items()}


def mean_interval(values: Sequence[float], share: float = 0.95) -> tuple[float, float]:
    """Return the range that holds the middle ``share`` of these values."""
    tail = (1.0 - share) / 2.0
    low, high = np.quantile(np.asarray(values, dtype=np.float64), [tail, 1.0 - tail])
    return float(low), float(high)


def _days(streams: Streams) -> int:
    """Return how many days the streams have. Raises: InvalidInput where there are fewer than two, or they differ."""
    lengths = {len(each) for each in streams.values()}
    if len(streams) < 2 or len(lengths) != 1:
        msg = f"streams: at least two, of the same days, not {len(streams)} of {sorted(lengths)} days"
        raise InvalidInput(msg, field="streams")
    return lengths.pop()
