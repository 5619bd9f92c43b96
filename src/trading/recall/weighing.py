"""From the nearest situations to an estimate: a distribution of outcomes, how sure it is, and how far it moves what a
strategy states.

Everything is counted in whole numbers, so that no last bit of a float decides.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from math import isqrt
from typing import Final

from trading.model.account import TrackRecord
from trading.model.recall import RecallRules, Recollection
from trading.model.units import BPS_ONE, NS_PER_S

from .memory import Neighbour

NAMED_MAX: Final = 5
"""Ids of neighbours that an answer names as its evidence."""
_WEIGHT_ONE: Final = 1_000
_WEIGHT_LEAST: Final = 100
_DAY_NS: Final = 86_400 * NS_PER_S


def recollection(nearest: Sequence[Neighbour], edge_bps: int, rules: RecallRules) -> Recollection | None:
    """Return what these situations, the nearest first, say to a stated edge; None where they are too few.

    A neighbour's weight falls in line with its squared distance, to a tenth at the furthest. Situations of one day hang
    together, so that days are what is counted: with w_i, moves y_i and the weighted mean m

      effective = (sum w)^2 / sum over days (sum w)^2            (Kish 1965, of clusters)
      error^2   = G / (G - 1) sum over days (sum w (y - m))^2 / (sum w)^2      (cluster-robust, G days; Liang & Zeger)

    and the stated edge e is moved towards m by the share 1 - error^2 / (m - e)^2, where that is above 0: the posterior
    mean under a normal prior around e whose variance is estimated from the distance itself (positive-part
    James & Stein 1961), the shrinkage that ``risk.sizing`` uses too.
    """
    if len(nearest) < rules.neighbours_min:
        return None
    weights = _weights(nearest)
    total = sum(weights)
    mean = _rounded(sum(w * each.move_bps for w, each in zip(weights, nearest, strict=True)), total)
    by_day: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    for weight, each in zip(weights, nearest, strict=True):
        day = by_day[each.ts_ns // _DAY_NS]
        day[0] += weight
        day[1] += weight * (each.move_bps - mean)
    days = len(by_day)
    if days < 2:
        return None
    effective_x100 = 100 * total**2 // sum(weight**2 for weight, _ in by_day.values())
    error = isqrt(days * sum(residual**2 for _, residual in by_day.values()) // ((days - 1) * total**2))
    trust = _trust_bps(mean - edge_bps, error)
    moved = abs(mean - edge_bps) * trust // BPS_ONE
    shift = _bounded(moved if mean > edge_bps else -moved, edge_bps, rules)
    moves = sorted(zip((each.move_bps for each in nearest), weights, strict=True))
    low, median, high = (_quantile(moves, total * tenths // 10) for tenths in (1, 5, 9))
    wins = [(w, each.net_bps) for w, each in zip(weights, nearest, strict=True) if each.net_bps > 0]
    losses = [(w, -each.net_bps) for w, each in zip(weights, nearest, strict=True) if each.net_bps <= 0]
    return Recollection(
        neighbours=len(nearest),
        effective_x100=effective_x100,
        mean_bps=mean,
        error_bps=error,
        low_bps=low,
        median_bps=median,
        high_bps=high,
        trust_bps=trust,
        shift_bps=shift,
        wins_bps=BPS_ONE * sum(w for w, _ in wins) // total,
        mean_win_bps=_mean(wins),
        mean_loss_bps=_mean(losses),
        nearest=tuple(each.id for each in nearest[:NAMED_MAX]),
    )


def mixed(record: TrackRecord, found: Recollection, share_bps: int) -> TrackRecord:
    """Return a strategy's record moved by that share towards what the neighbours' net outcomes say; how many trades it
    rests on stays, so that nothing looks surer than it is."""
    own = BPS_ONE - share_bps
    wins = record.wins * own * BPS_ONE + record.trades * found.wins_bps * share_bps
    return TrackRecord(
        trades=record.trades,
        wins=wins // BPS_ONE**2,
        mean_win_bps=(record.mean_win_bps * own + found.mean_win_bps * share_bps) // BPS_ONE,
        mean_loss_bps=(record.mean_loss_bps * own + found.mean_loss_bps * share_bps) // BPS_ONE,
    )


def _weights(nearest: Sequence[Neighbour]) -> list[int]:
    furthest = max(each.squared for each in nearest)
    if furthest == 0:
        return [_WEIGHT_ONE] * len(nearest)
    return [_WEIGHT_ONE - (_WEIGHT_ONE - _WEIGHT_LEAST) * each.squared // furthest for each in nearest]


def _trust_bps(distance: int, error: int) -> int:
    if distance**2 <= error**2:
        return 0
    return BPS_ONE * (distance**2 - error**2) // distance**2


def _bounded(shift: int, edge_bps: int, rules: RecallRules) -> int:
    """An edge is lowered to nothing at most, and raised by a share of itself."""
    most = max(0, edge_bps) * rules.raise_bps_max // BPS_ONE
    return max(-max(0, edge_bps), min(most, shift))


def _quantile(moves: Sequence[tuple[int, int]], weight: int) -> int:
    """Return the first move at which that much of the weight is reached; ``moves`` with their weights, ascending."""
    reached = accumulate(own for _, own in moves)
    return next(move for (move, _), by_now in zip(moves, reached, strict=True) if by_now >= weight)


def _mean(weighted: Sequence[tuple[int, int]]) -> int:
    total = sum(weight for weight, _ in weighted)
    return _rounded(sum(weight * value for weight, value in weighted), total) if total else 0


def _rounded(one: int, other: int) -> int:
    """Divide and round to the nearest, halves away from zero."""
    half = (2 * abs(one) + other) // (2 * other)
    return half if one >= 0 else -half
