"""A strategy's finished trades by window, regime and tier: sample sizes, means and what chance makes of the means.

Everything is counted in ints, so that a replay states the same intervals to the last bit.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import isqrt
from typing import Final

from trading.model.account import RoundTrip
from trading.model.forecast import Direction
from trading.model.units import ceil_div
from trading.model.window import WINDOW_DAYS, CalibrationBin, WindowCell

from .forecasts import ForecastBook
from .performance import TrackRecords

DAY_NS: Final = 86_400 * 1_000_000_000
CELL_EVIDENCE_MAX: Final = 10
"""Trades that a cell names, the newest."""
CELLS_MAX: Final = 24
"""Cells of a window beside that of all trades: nine regimes and the unknown one in two tiers, and a few more. The
smallest are left out beyond."""
_T_THOUSANDTHS: Final = (
    *(12_706, 4_303, 3_182, 2_776, 2_571, 2_447, 2_365, 2_306, 2_262, 2_228),
    *(2_201, 2_179, 2_160, 2_145, 2_131, 2_120, 2_110, 2_101, 2_093, 2_086),
    *(2_080, 2_074, 2_069, 2_064, 2_060, 2_056, 2_052, 2_048, 2_045, 2_042),
)
"""97.5 % quantiles of Student's t for 1 to 30 degrees of freedom, in thousandths (NIST handbook, 1.3.6.7.2)."""
_T_BEYOND: Final = ((31, 2_042), (40, 2_021), (60, 2_000), (120, 1_980))
"""From so many degrees of freedom on; between two of them the larger quantile is taken, which widens the interval."""


def t_interval(values: Sequence[int]) -> tuple[int, int] | None:
    """Return the 95 % interval of the mean of ints by Student's t, rounded outwards; None for fewer than two values.

    mean -+ t(n - 1) * s / sqrt(n), in whole numbers only: the radicand is (n * sum of squares - square of the sum) /
    (n^2 (n - 1)).
    """
    count = len(values)
    if count < 2:
        return None
    total = sum(values)
    spread = count * sum(each * each for each in values) - total * total
    t = t_thousandths(count - 1)
    # A root in thousandths, rounded up, so that an interval of small figures is not one of nothing.
    half = isqrt(t * t * spread // (count * count * (count - 1))) + 1 if spread else 0
    return (total * 1_000 - half * count) // (1_000 * count), ceil_div(total * 1_000 + half * count, 1_000 * count)


def t_thousandths(freedom: int) -> int:
    """Return the 97.5 % quantile of Student's t in thousandths, never less than it is; ``freedom`` is at least 1."""
    if freedom <= len(_T_THOUSANDTHS):
        return _T_THOUSANDTHS[freedom - 1]
    return _T_BEYOND[bisect_right(_T_BEYOND, freedom, key=lambda step: step[0]) - 1][1]


def window_cells(records: TrackRecords, strategy: str, until_ns: int) -> tuple[WindowCell, ...]:
    """Return the cells of each of ``WINDOW_DAYS`` that ends at ``until_ns`` (excluded) and has a trade."""
    return tuple(
        cell
        for days in WINDOW_DAYS
        for cell in cells_of(records.trips(strategy, until_ns - days * DAY_NS, until_ns), days)
    )


def cells_of(trips: Sequence[RoundTrip], days: int) -> tuple[WindowCell, ...]:
    """Return the cell of all these trades and one for each regime and tier among them, the largest first."""
    if not trips:
        return ()
    parts: dict[tuple[str, str], list[RoundTrip]] = {}
    for trip in trips:
        parts.setdefault((trip.regime, trip.tier), []).append(trip)
    ordered = sorted(parts.items(), key=lambda part: (-len(part[1]), part[0]))[:CELLS_MAX]
    return (_cell(trips, days, "", ""), *(_cell(part, days, *names) for names, part in ordered))


def _cell(trips: Sequence[RoundTrip], days: int, regime: str, tier: str) -> WindowCell:
    returns = [trip.return_bps for trip in trips]
    interval = t_interval(returns)
    return WindowCell(
        days=days,
        regime=regime,
        tier=tier,
        trades=len(trips),
        wins=sum(trip.realised_lamports > 0 for trip in trips),
        realised_lamports=sum(trip.realised_lamports for trip in trips),
        mean_return_bps=mean_of(returns),
        low_bps=None if interval is None else interval[0],
        high_bps=None if interval is None else interval[1],
        evidence=tuple(trip.trajectory_id for trip in trips[-CELL_EVIDENCE_MAX:]),
    )


def mean_of(values: Iterable[int]) -> int:
    """Return the mean of at least one int, rounded down."""
    taken = list(values)
    return sum(taken) // len(taken)


def calibration_bins(forecasts: ForecastBook, strategy: str) -> tuple[CalibrationBin, ...]:
    """Return how the strategy's scored forecasts came out, by direction and by what confidence was stated."""
    return tuple(
        CalibrationBin(direction.value, each.count, each.hits, each.confidence_bps_sum // each.count, record.brier_ppm)
        for direction in Direction
        if (record := forecasts.calibration(strategy, direction)).brier_ppm is not None
        for each in record.by_confidence
        if each.count
    )
