"""Shares of the capital that move to what works: an expert algorithm over closed windows, with bounded steps.

Every strategy trades its own bucket, so what each would have brought is known whatever its share was: full information,
no exploration is bought. The beliefs are those of the Fixed Share forecaster (Herbster & Warmuth 1998, Machine Learning
32; Cesa-Bianchi & Lugosi 2006, Prediction, Learning, and Games, section 5.2): exponential weights, of which a small
share is spread evenly after each window, so that a strategy that was bad for long can come back. A strategy without a
return sleeps: its belief stays (Freund, Schapire, Singer & Warmuth 1997, "Using and combining predictors that
specialize").

What is held follows the beliefs within bounds: floor and cap, a step a day, and no move that is not expected to pay for
itself. The bound on regret (``regret_bound_ppm``) is one of the beliefs, in the worst case; what the bounds of the
shares cost on top is measured, not promised (docs/results.md).

Ints in, ints out; exponentials are of Decimal, which rounds the same everywhere.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import reduce
from typing import Final

from trading.model.bucket_rules import BucketRules
from trading.model.rotation import RotationVerdict
from trading.model.units import BPS_ONE, ceil_div

MILLION: Final = 1_000_000
BELIEF_ONE: Final = 1_000_000_000
MOVE_BPS_MIN: Final = 50
"""Less than so much of the capital is not worth a row."""
_EXACT: Final = Context(prec=28, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Terms:
    """How fast is learned: the figures of the forecaster, not of a desk. The defaults are what
    ``scripts/rotation_study.py`` chose on days that judge nothing: the slowest of its grid, at its edge. A first run of
    it, with a rate of 2 and a shift of 0.2 % in the desk, came to the same verdict.

    ``rate_percent``: eta in hundredths. ``shift_ppm``: alpha, the share of belief that is spread evenly after each
    window. ``range_ppm``: a return counts as at most so much up or down. ``mean_windows``: of so many of the newest a
    mean is taken, shrunken as if ``shrink_windows`` more had brought nothing.
    """

    rate_percent: int = 50
    shift_ppm: int = 500
    range_ppm: int = 10_000
    mean_windows: int = 60
    shrink_windows: int = 20


TERMS: Final = Terms()


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """What each strategy that had capital brought on it, in millionths, until ``until_ns``."""

    until_ns: int
    returns_ppm: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Seat:
    """A strategy as a decision sees it; ``barred``: its share may not grow."""

    before_bps: int
    belief_ppb: int
    mean_ppm: int
    windows: int
    barred: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """``target_bps`` is where the shares are to go, ``after_bps`` what they are from now on; both add up to what they
    were before. ``gain_ppm`` is expected of the move over the horizon, ``cost_ppm`` what it is taken to cost, both of
    all the capital."""

    verdict: RotationVerdict
    target_bps: Mapping[str, int]
    after_bps: Mapping[str, int]
    gain_ppm: int = 0
    cost_ppm: int = 0


def even_beliefs(names: Sequence[str]) -> dict[str, int]:
    """Return one belief for all of them, as even as whole billionths are."""
    return _rounded({name: Decimal(1) for name in names}, BELIEF_ONE)


def joined(beliefs: Mapping[str, int], names: Sequence[str]) -> dict[str, int]:
    """Return the beliefs of exactly these strategies: who left takes none along, who is new gets an even share."""
    known = [name for name in names if name in beliefs]
    if not known:
        return even_beliefs(names)
    new = [name for name in names if name not in beliefs]
    mass = BELIEF_ONE - len(new) * (BELIEF_ONE // len(names))
    kept = _rounded({name: Decimal(max(1, beliefs[name])) for name in known}, mass)
    return {name: kept.get(name, BELIEF_ONE // len(names)) for name in names}


def learned(beliefs: Mapping[str, int], returns_ppm: Mapping[str, int], terms: Terms = TERMS) -> dict[str, int]:
    """Return the beliefs after one window.

    Of the strategies with a return: w' = w exp(eta g), g in [0, 1] the return within its range, scaled so that together
    they have what they had; then every strategy gets alpha / N and gives alpha of its own.
    """
    awake = [name for name in beliefs if name in returns_ppm]
    raised = {
        name: _EXACT.multiply(Decimal(beliefs[name]), _EXACT.exp(_exponent(returns_ppm[name], terms))) for name in awake
    }
    before, after = sum(beliefs[name] for name in awake), _sum(raised.values())
    scale = _EXACT.divide(Decimal(before), after) if after else Decimal(1)
    kept = Decimal(MILLION - terms.shift_ppm)
    even = _EXACT.divide(Decimal(BELIEF_ONE * terms.shift_ppm), Decimal(max(1, len(beliefs))))
    return _rounded(
        {
            name: _EXACT.add(
                _EXACT.multiply(_EXACT.multiply(raised[name], scale) if name in raised else Decimal(belief), kept), even
            )
            for name, belief in beliefs.items()
        },
        BELIEF_ONE,
    )


def beliefs_as_of(
    windows: Sequence[ClosedWindow], as_of_ns: int, names: Sequence[str], terms: Terms = TERMS
) -> dict[str, int]:
    """Return the beliefs after every window that was closed by then, in their order; a later one counts for nothing."""
    beliefs = even_beliefs(names)
    for window in sorted((each for each in windows if each.until_ns <= as_of_ns), key=lambda each: each.until_ns):
        beliefs = learned(beliefs, window.returns_ppm, terms)
    return beliefs


def shrunken_mean_ppm(returns_ppm: Sequence[int], terms: Terms = TERMS) -> int:
    """Return the mean of the newest returns, as if some more had brought nothing; rounded towards zero."""
    newest = returns_ppm[-terms.mean_windows :]
    total, count = sum(newest), len(newest) + terms.shrink_windows
    return total // count if total >= 0 else -(-total // count)


def decide(seats: Mapping[str, Seat], rules: BucketRules) -> Decision:
    """Return the shares from now on.

    The target are the beliefs, within floor and cap (Euclidean projection); a young strategy's is the floor. What is
    held goes towards it by at most a step, and only where the shrunken means promise more over the horizon than the
    move costs.
    """
    before = {name: seat.before_bps for name, seat in seats.items()}
    mature = [name for name, seat in seats.items() if seat.windows >= rules.rotation_warmup_days]
    if len(mature) < 2:
        return Decision(RotationVerdict.WARMING_UP, before, before)
    target = _targets(seats, mature, rules)
    after = _stepped(seats, target, rules)
    moved = sum(abs(after[name] - before[name]) for name in seats) // 2
    if moved < MOVE_BPS_MIN:
        return Decision(RotationVerdict.SETTLED, target, before)
    promised = sum((after[name] - before[name]) * seat.mean_ppm for name, seat in seats.items())
    gain_ppm = promised * rules.rotation_horizon_days // BPS_ONE
    cost_ppm = ceil_div(moved * rules.rotation_cost_bps * (MILLION // BPS_ONE), BPS_ONE)
    if gain_ppm <= cost_ppm:
        return Decision(RotationVerdict.NOT_WORTH_IT, target, before, gain_ppm, cost_ppm)
    return Decision(RotationVerdict.MOVED, target, after, gain_ppm, cost_ppm)


def seated(weights_bps: Mapping[str, int], shares_bps: Mapping[str, int], floor_bps: int) -> dict[str, int]:
    """Return the shares with which these strategies go on: those that had one keep them in proportion, a new one gets
    the floor; together they have what the weights have. Where none had one, the weights are the shares."""
    known = {name: shares_bps[name] for name in weights_bps if name in shares_bps}
    total = sum(weights_bps.values())
    if not known:
        return dict(weights_bps)
    new = [name for name in weights_bps if name not in known]
    floor = min(floor_bps, total // len(weights_bps))
    kept = _rounded({name: Decimal(max(1, share)) for name, share in known.items()}, total - floor * len(new))
    return {name: kept.get(name, floor) for name in weights_bps}


def regret_bound_ppm(strategies: int, windows: int, switches: int, terms: Terms = TERMS) -> int:
    """Return by how much the beliefs can be worse than the best sequence of single strategies with so many switches,
    in millionths of the capital, summed over all windows, whatever the market does.

    Range times [(m + 1) ln N + m ln(1 / alpha) + (T - m - 1) ln(1 / (1 - alpha))] / eta + eta T / 8 (Cesa-Bianchi &
    Lugosi 2006, corollary 5.1), for returns within the range. For people: nothing is decided by it.
    """
    eta, alpha = terms.rate_percent / 100, terms.shift_ppm / MILLION
    steps = (switches + 1) * math.log(strategies) - max(0, windows - switches - 1) * math.log1p(-alpha)
    if switches:
        steps -= switches * math.log(alpha)
    return math.ceil(2 * terms.range_ppm * (steps / eta + eta * windows / 8))


def _exponent(return_ppm: int, terms: Terms) -> Decimal:
    """Return eta times the gain in [0, 1]."""
    bounded = max(-terms.range_ppm, min(terms.range_ppm, return_ppm)) + terms.range_ppm
    return _EXACT.divide(Decimal(terms.rate_percent * bounded), Decimal(200 * terms.range_ppm))


def _targets(seats: Mapping[str, Seat], mature: Sequence[str], rules: BucketRules) -> dict[str, int]:
    total = sum(seat.before_bps for seat in seats.values())
    floor = min(rules.rotation_floor_bps, total // len(seats))
    cap = max(rules.rotation_cap_bps, ceil_div(total, len(seats)))
    split = total - floor * (len(seats) - len(mature))
    wished = _rounded({name: Decimal(max(1, seats[name].belief_ppb)) for name in mature}, split)
    # The young together have less than their even share, so the cap of the others may have to give way.
    cap = max(cap, ceil_div(split, len(mature)))
    bounds = {name: (floor, cap) if name in wished else (floor, floor) for name in seats}
    return _projected({name: wished.get(name, floor) for name in seats}, bounds, total)


def _stepped(seats: Mapping[str, Seat], target: Mapping[str, int], rules: BucketRules) -> dict[str, int]:
    """Return the shares nearest to the target that a step allows; what was there before is always allowed."""
    bounds = {}
    for name, seat in seats.items():
        low = max(0, seat.before_bps - rules.rotation_step_bps)
        high = seat.before_bps if seat.barred else seat.before_bps + rules.rotation_step_bps
        bounds[name] = (low, high)
    return _projected(target, bounds, sum(seat.before_bps for seat in seats.values()))


def _projected(wished: Mapping[str, int], bounds: Mapping[str, tuple[int, int]], total: int) -> dict[str, int]:
    """Return the shares nearest to those wished (in squares) within their bounds, adding up to the total.

    The nearest point is that with one shift for all, cut off at the bounds; the bounds must leave room for the total.
    """

    def shifted(by: int) -> dict[str, int]:
        return {name: min(max(share + by, bounds[name][0]), bounds[name][1]) for name, share in wished.items()}

    low, high = -2 * BPS_ONE, 2 * BPS_ONE
    while low < high:  # the largest shift that does not go beyond the total
        middle = ceil_div(low + high, 2)
        low, high = (middle, high) if sum(shifted(middle).values()) <= total else (low, middle - 1)
    found = shifted(low)
    left = total - sum(found.values())
    for name in sorted(found, key=lambda name: (-wished[name], name)):
        if left > 0 and wished[name] + low >= bounds[name][0] and found[name] < bounds[name][1]:
            found[name] += 1
            left -= 1
    return found


def _rounded(shares: Mapping[str, Decimal], total: int) -> dict[str, int]:
    """Return whole shares in proportion, adding up to the total: rounded down, the rest to the largest remainders."""
    whole = _sum(shares.values())
    exact = {name: _EXACT.divide(_EXACT.multiply(share, Decimal(total)), whole) for name, share in shares.items()}
    found = {name: int(share) for name, share in exact.items()}
    left = total - sum(found.values())
    for name in sorted(found, key=lambda name: (_EXACT.subtract(Decimal(found[name]), exact[name]), name))[:left]:
        found[name] += 1
    return found


def _sum(values: Iterable[Decimal]) -> Decimal:
    """Return the sum in this module's precision, whatever that of the thread is."""
    return reduce(_EXACT.add, values, Decimal(0))
