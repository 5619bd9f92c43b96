"""What a candidate's daily returns are worth: the figures that a search makes larger or smaller.

All ratios are Sharpe ratios a year of daily net returns, without a risk-free rate (Sharpe 1994). A candidate does not
learn, so nothing of it is fitted to a training set: what cross-validation adds is how its ratio differs from part to
part of the time. ``median_sharpe`` and ``low_sharpe`` are taken over the test sets of combinatorial purged
cross-validation (Lopez de Prado 2018, ch. 12) and over walk-forward tests; the search must be good in both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trading.errors import InvalidInput

from .splits import Scheme

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

DAYS_A_YEAR: Final = 365
"""Tokens trade on every day."""
LOW_QUANTILE: Final = 0.25
TRADES_MIN: Final = 10
"""Round trips below which a candidate's figures are an anecdote: it is told as the worst there is."""
DIGITS: Final = 4
"""Objectives are rounded to so many digits before anything is decided by them: the last bits of a float are nobody's
opinion."""
DIRECTIONS: Final = ("maximize", "maximize", "minimize")
SHARPE_MAX: Final = 99.0
"""What a ratio is cut to: one of a few days that hardly vary says nothing."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """What a search compares. ``median_sharpe``: the median over the test sets of cross-validation; ``low_sharpe``: the
    lower quartile over the walk-forward tests; ``max_drawdown``: the largest drop from a peak, as a share."""

    median_sharpe: float
    low_sharpe: float
    max_drawdown: float

    @property
    def values(self) -> tuple[float, float, float]:
        """In the order of ``DIRECTIONS``."""
        return self.median_sharpe, self.low_sharpe, self.max_drawdown

    @property
    def is_proper(self) -> bool:
        """Whether the candidate traded enough to have figures."""
        return self != NONE


NONE: Final = Objectives(-SHARPE_MAX, -SHARPE_MAX, 1.0)
"""Of a candidate that hardly traded: worse than any that did."""


def objectives(returns: Floats, trades: Ints, scheme: Scheme) -> list[Objectives]:
    """Return the figures of candidates, a row of ``returns`` (sets, days) and an entry of ``trades`` each.

    Raises: InvalidInput for shapes that do not go together.
    """
    if returns.ndim != 2 or returns.shape != (trades.size, scheme.days):
        msg = f"returns of {returns.shape} for {trades.size} candidates and {scheme.days} days"
        raise InvalidInput(msg, field="returns")
    tests = sharpes(returns, scheme.test_masks)
    ahead = sharpes(returns, scheme.walk_masks)
    median = np.median(tests, axis=1)
    low = np.quantile(ahead, LOW_QUANTILE, axis=1)
    deepest = drawdowns(returns)
    return [
        Objectives(*(round(float(each[row]), DIGITS) for each in (median, low, deepest)))
        if trades[row] >= TRADES_MIN
        else NONE
        for row in range(trades.size)
    ]


def sharpes(returns: Floats, masks: "np.ndarray[Any, np.dtype[np.bool_]]") -> Floats:
    """Return the Sharpe ratio a year of each row on the days of each mask: (sets, masks), 0 where nothing varies."""
    weights = masks.astype(np.float64)
    counts = weights.sum(axis=1)
    means = returns @ weights.T / counts
    squares = (returns * returns) @ weights.T / counts
    # Below this what is left of a difference of squares is rounding.
    floor = 1e-18 + 1e-12 * squares
    variances = np.where(squares - means**2 > floor, squares - means**2, np.nan) * counts / np.maximum(counts - 1, 1)
    found: Floats = np.nan_to_num(means / np.sqrt(variances) * math.sqrt(DAYS_A_YEAR), nan=0.0)
    return found.clip(-SHARPE_MAX, SHARPE_MAX)


def drawdowns(returns: Floats) -> Floats:
    """Return the largest drop of each row's chained curve from its peak, as a share."""
    values = np.cumprod(1.0 + returns, axis=1)
    peaks = np.maximum(np.maximum.accumulate(values, axis=1), 1.0)
    found: Floats = (1.0 - values / peaks).max(axis=1, initial=0.0)
    return found


def path_sharpes(returns: Floats, scheme: Scheme) -> tuple[float, ...]:
    """Return the ratios of the paths that choosing would have led along: in each split the candidate with the best
    ratio on the purged training days is taken, and what it made on the test days goes into the paths.

    This judges the whole search out of sample, not one candidate (Lopez de Prado 2018, section 12.4).
    """
    if returns.shape[0] == 0:
        return ()
    best = np.argmax(np.round(sharpes(returns, scheme.train_masks), DIGITS), axis=0)
    found = []
    for path in scheme.paths:
        chained = np.empty(scheme.days)
        for block, split in enumerate(path):
            days = scheme.block_days(block)
            chained[days] = returns[best[split], days]
        found.append(round(float(sharpes(chained[None, :], np.ones((1, scheme.days), dtype=bool))[0, 0]), DIGITS))
    return tuple(found)


def front(found: Sequence[Objectives]) -> list[int]:
    """Return the places of those that no other one beats in every figure (the Pareto front), the best median first;
    of equal ones the first."""
    seen: dict[tuple[float, ...], int] = {}
    for place, each in enumerate(found):
        if each.is_proper:
            seen.setdefault((-each.median_sharpe, -each.low_sharpe, each.max_drawdown), place)
    rows = sorted(seen)
    values = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
    kept = []
    for row, place in zip(values, (seen[key] for key in rows), strict=True):
        beaten = (values <= row).all(axis=1) & (values < row).any(axis=1)
        if not beaten.any():
            kept.append(place)
    return kept
