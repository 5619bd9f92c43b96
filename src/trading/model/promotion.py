"""How a set of parameters earns its place: the stages, what is known of it, and what each gate read.

Everything is ints and texts, because it is journalled, hashed and decided by: ratios come in millionths or bps of what
floats said once, when the figure was made.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MILLION: Final = 1_000_000
VARIANCE_UNITS: Final = 10**12
"""A variance of Sharpe ratios a day is written in these."""


class Stage(StrEnum):
    """A candidate is proposed with its evidence, proves itself on paper, and is then released for real money. What its
    gates took the money from again is ``DEMOTED``."""

    CANDIDATE = "candidate"
    PAPER = "paper"
    LIVE = "live"
    DEMOTED = "demoted"


@dataclass(frozen=True, slots=True)
class GateReading:
    """One gate: what was read, what is asked for, and of how many observations it was read.

    ``is_floor``: the value must be at least the bound, else at most. ``passed`` is written down with it, because a gate
    whose figure could not be read is never passed; its ``note`` says why then, and its value is 0.
    """

    name: str
    value: int
    bound: int
    unit: str
    is_floor: bool
    passed: bool
    sample: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """What the gates need of a run's daily net returns.

    ``sharpe`` is a day's, in millionths, None where nothing varied; ``skewness`` and ``kurtosis`` (3 for a normal
    distribution) in thousandths. ``trades`` are round trips; ``drawdown_bps`` is the largest, of equity.
    """

    days: int
    sharpe: int | None
    skewness: int
    kurtosis: int
    trades: int
    drawdown_bps: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a candidate when it is proposed.

    ``selection``: the data that chose it; ``holdout``: data that no search saw, None where there was none.
    ``trials`` were made by the search that found it, and count like ``effective_trials`` independent ones.
    ``sharpe_variance``: how much their Sharpe ratios a day vary, in ``VARIANCE_UNITS``; None for too few. ``pbo_bps``:
    the probability of backtest overfitting over ``pbo_splits``, None where the trials' returns are not known.
    ``trade_mean_bps``: what a trade returned on average, None without one.
    """

    selection: Series
    holdout: Series | None
    trials: int
    effective_trials: int
    sharpe_variance: int | None
    pbo_bps: int | None
    pbo_splits: int
    trade_mean_bps: int | None


@dataclass(frozen=True, slots=True)
class PromotionTerms:
    """By what a promoted strategy is held from day to day: the bounds of its own evidence and of the desk's settings.

    It is demoted where it fell by more than ``drawdown_bps_max``, or where, after ``trades_min`` trades, the
    probability that its trades are worth anything (``psr_bps_min``), or that they are what its evidence said of them
    (``trade_mean_bps``, ``drift_bps_min``), is below its bound.
    """

    drawdown_bps_max: int
    trades_min: int
    psr_bps_min: int
    drift_bps_min: int
    trade_mean_bps: int


def number_of(text: str) -> int | float:
    """Return the number that ``repr`` wrote: an int where it is one. Raises: ValueError."""
    return int(text) if text.lstrip("-").isdecimal() else float(text)
